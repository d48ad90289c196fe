//! Beam search.

use std::cmp::Ordering;

use super::{Hypothesis, Limits, TokenStep, check_row};
use crate::error::{Error, Result};

/// Options of [`beam`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Beam {
    /// Number of sequences that are followed per source, and maximum number of results.
    pub width: usize,
    /// α of the length penalty: 0 for none, above 0 to favor longer sequences.
    pub length_penalty: f32,
}

impl Default for Beam {
    fn default() -> Self {
        Self { width: 4, length_penalty: 0.0 }
    }
}

impl Beam {
    /// Returns `((5 + length) / 6)^α`, where the length includes the end token.
    fn penalty(&self, length: usize) -> f64 {
        ((5.0 + length as f64) / 6.0).powf(f64::from(self.length_penalty))
    }

    /// Returns an upper bound on the score of any continuation of a sequence. Log-probabilities only fall, and the
    /// penalty is monotonic in the length, so its extremes are at the shortest and the longest continuation.
    fn bound(&self, log_prob: f64, length: usize, limits: &Limits) -> f64 {
        let at = |length| log_prob / self.penalty(length);
        at(length + 1).max(at(limits.max_length))
    }
}

/// An unfinished sequence.
#[derive(Clone)]
struct Live {
    tokens: Vec<u32>,
    log_prob: f64,
}

/// State of the search for one source.
struct Search {
    live: Vec<Live>,
    /// Finished sequences, best first, at most the beam's width.
    done: Vec<Hypothesis>,
}

/// A continuation: the index of a live sequence, the next token, and their total log-probability.
type Candidate = (usize, usize, f64);

/// Orders by descending log-probability; ties go to the earlier sequence, then to the lower token.
fn better(a: &Candidate, b: &Candidate) -> Ordering {
    b.2.total_cmp(&a.2).then(a.0.cmp(&b.0)).then(a.1.cmp(&b.1))
}

/// Keeps the best `count` candidates, sorted.
fn keep_best(candidates: &mut Vec<Candidate>, count: usize) {
    if candidates.len() > count {
        candidates.select_nth_unstable_by(count - 1, better);
        candidates.truncate(count);
    }
    candidates.sort_unstable_by(better);
}

impl Search {
    fn new() -> Self {
        Self { live: vec![Live { tokens: vec![], log_prob: 0.0 }], done: vec![] }
    }

    /// Extends the sequences by one token. Returns, for each new live sequence, the index of the one that it continues.
    /// `table` has a row per live sequence.
    fn advance(&mut self, table: &[&[f32]], limits: &Limits, beam: &Beam) -> Vec<usize> {
        let mut candidates = Vec::new();
        for (i, (live, row)) in self.live.iter().zip(table).enumerate() {
            let possible = row.iter().enumerate().filter(|(_, v)| **v > f32::NEG_INFINITY);
            let mut of_one = possible.map(|(t, v)| (i, t, live.log_prob + f64::from(*v))).collect();
            keep_best(&mut of_one, beam.width);
            candidates.append(&mut of_one);
        }
        keep_best(&mut candidates, beam.width);
        let (mut next, mut parents) = (Vec::new(), Vec::new());
        for (i, token, log_prob) in candidates {
            let mut tokens = self.live[i].tokens.clone();
            let (ended, length) = (token == limits.end as usize, tokens.len() + 1);
            if !ended {
                tokens.push(token as u32);
            }
            if ended || length == limits.max_length {
                self.finish(Hypothesis { tokens, log_prob, score: log_prob / beam.penalty(length), ended }, beam);
            } else {
                next.push(Live { tokens, log_prob });
                parents.push(i);
            }
        }
        self.live = next;
        if self.is_settled(limits, beam) {
            self.live.clear();
            parents.clear();
        }
        parents
    }

    fn finish(&mut self, hypothesis: Hypothesis, beam: &Beam) {
        let at = self.done.partition_point(|other| other.score >= hypothesis.score);
        self.done.insert(at, hypothesis);
        self.done.truncate(beam.width);
    }

    /// Whether no live sequence can still make it into the results.
    fn is_settled(&self, limits: &Limits, beam: &Beam) -> bool {
        let bounds = self.live.iter().map(|live| beam.bound(live.log_prob, live.tokens.len(), limits));
        let best = bounds.fold(f64::NEG_INFINITY, f64::max);
        self.done.len() == beam.width && self.done.last().is_some_and(|worst| worst.score >= best)
    }
}

/// Returns the sequences with the best scores that a beam of `width` finds, best first, for each row of `state`:
///
/// ```text
/// score = log_prob / ((5 + length) / 6)^α
/// ```
///
/// At every step, the `width` most probable continuations of a source are kept; those that end leave the beam. A source
/// is finished when no live sequence can beat the worst of `width` finished ones. A beam of 1 is
/// [`greedy`](super::greedy) decoding. A beam as wide as the number of sequences finds the best of all.
///
/// Source of the penalty: Wu et al., *Google's neural machine translation system* (2016), equation 14.
///
/// # Errors
/// Same as [`greedy`](super::greedy); [`Error::Value`] for a width of 0 or a penalty that is not finite.
pub fn beam<M: TokenStep>(
    model: &M,
    mut state: M::State,
    rows: usize,
    limits: &Limits,
    beam: &Beam,
) -> Result<Vec<Vec<Hypothesis>>> {
    limits.check("beam", rows)?;
    if beam.width == 0 {
        return Err(Error::value("beam", "width", "at least 1", 0));
    }
    if !beam.length_penalty.is_finite() {
        return Err(Error::value("beam", "length_penalty", "a number", beam.length_penalty));
    }
    let mut searches: Vec<Search> = (0..rows).map(|_| Search::new()).collect();
    loop {
        let live: Vec<&Live> = searches.iter().flat_map(|search| &search.live).collect();
        if live.is_empty() {
            return Ok(searches.into_iter().map(|search| search.done).collect());
        }
        let last: Vec<u32> = live.iter().map(|live| live.tokens.last().copied().unwrap_or(limits.start)).collect();
        let (log_probs, next) = model.step(&state, &last)?;
        let table: Vec<&[f32]> = limits.table("beam", &log_probs, last.len())?.collect();
        table.iter().try_for_each(|row| check_row("beam", row))?;
        let (mut first, mut parents) = (0, Vec::new());
        for search in &mut searches {
            let count = search.live.len();
            let kept = search.advance(&table[first..first + count], limits, beam);
            parents.extend(kept.into_iter().map(|i| first + i));
            first += count;
        }
        let unchanged = parents.len() == last.len() && parents.iter().enumerate().all(|(i, &p)| i == p);
        state = if unchanged || parents.is_empty() { next } else { model.select(&next, &parents)? };
    }
}
