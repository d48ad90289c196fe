//! Decodes sequences from a model that predicts the next token: greedily, by sampling, or by beam search.
//!
//! The decoders see a model only as a [`TokenStep`]: tokens in, log-probabilities out, and a state that is passed on.
//! They process a batch of sources together, and their results are reproducible.
//!
//! ```
//! use wgru::{Result, models::decode::{Beam, Limits, TokenStep, beam, greedy}};
//!
//! /// Token 0 is followed by 1 (60 %) or 2 (40 %), token 1 by any token, and token 2 by the end, token 3.
//! struct Chain;
//! impl TokenStep for Chain {
//!     type State = ();
//!     fn step(&self, _: &(), tokens: &[u32]) -> Result<(Vec<f32>, ())> {
//!         let next = |token: &u32| match token {
//!             0 => [0.0, 0.6, 0.4, 0.0],
//!             1 => [0.25; 4],
//!             _ => [0.0, 0.0, 0.0, 1.0f32],
//!         };
//!         Ok((tokens.iter().flat_map(next).map(f32::ln).collect(), ()))
//!     }
//!     fn select(&self, _: &(), _: &[usize]) -> Result<()> {
//!         Ok(())
//!     }
//! }
//! let limits = Limits { start: 0, end: 3, max_length: 5 };
//! assert_eq!(greedy(&Chain, (), 1, &limits)?[0].tokens[0], 1);              // the most probable first token
//! let best = &beam(&Chain, (), 1, &limits, &Beam { width: 2, ..Beam::default() })?[0][0];
//! assert_eq!(best.tokens, [2]);                                            // 0.4 · 1.0
//! # Ok::<(), wgru::Error>(())
//! ```

mod beam;
mod sample;

pub use beam::{Beam, beam};
pub use sample::{Sampling, sample};

use crate::decode::is_no_log_prob;
use crate::error::{Error, Result};

/// One step of a model that emits tokens, for several rows at once.
pub trait TokenStep {
    /// The model's state for every row.
    type State;

    /// Returns the log-probability of every next token, `[rows, vocabulary]`, given each row's last token, and the next
    /// state. A token that cannot come next has −∞.
    ///
    /// # Errors
    /// Errors from the model.
    fn step(&self, state: &Self::State, tokens: &[u32]) -> Result<(Vec<f32>, Self::State)>;

    /// Returns the state of the given rows. A row may be given several times.
    ///
    /// # Errors
    /// Errors from the model.
    fn select(&self, state: &Self::State, rows: &[usize]) -> Result<Self::State>;
}

/// Start and end tokens, and maximum length, of sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The token before the first one.
    pub start: u32,
    /// The token that ends a sequence.
    pub end: u32,
    /// Maximum number of tokens, including the end. A longer sequence is cut off.
    pub max_length: usize,
}

/// A decoded sequence.
#[derive(Clone, Debug, PartialEq)]
pub struct Hypothesis {
    /// The tokens, without start and end.
    pub tokens: Vec<u32>,
    /// Sum of the log-probabilities of the tokens, and of the end if it was reached.
    pub log_prob: f64,
    /// The score for ranking: `log_prob` divided by the length penalty, or `log_prob` without one.
    pub score: f64,
    /// Whether the end was reached; otherwise the sequence was cut off.
    pub ended: bool,
}

impl Limits {
    fn check(&self, op: &'static str, rows: usize) -> Result<()> {
        if rows == 0 {
            return Err(Error::value(op, "rows", "at least 1", 0));
        }
        match self.max_length {
            0 => Err(Error::value(op, "max_length", "at least 1", 0)),
            _ => Ok(()),
        }
    }

    /// Returns the log-probabilities row by row. [`check_row`] checks the values.
    fn table<'a>(&self, op: &'static str, log_probs: &'a [f32], rows: usize) -> Result<std::slice::Chunks<'a, f32>> {
        let vocabulary = log_probs.len() / rows;
        if vocabulary == 0 || !log_probs.len().is_multiple_of(rows) {
            return Err(Error::shape(op, "log_probs", format!("[{rows}, vocabulary]"), &[log_probs.len()]));
        }
        if self.end as usize >= vocabulary {
            return Err(Error::value(op, "end", format!("a token below {vocabulary}"), self.end));
        }
        Ok(log_probs.chunks(vocabulary))
    }
}

/// Checks that log-probabilities are at most 0, and that some token can follow.
fn check_row(op: &'static str, row: &[f32]) -> Result<()> {
    if let Some(wrong) = row.iter().find(|v| is_no_log_prob(**v)) {
        return Err(Error::value(op, "log_probs", "logarithms of probabilities, at most 0", wrong));
    }
    match row.iter().all(|v| *v == f32::NEG_INFINITY) {
        true => Err(Error::value(op, "log_probs", "at least one token that can come next", "-inf for all")),
        false => Ok(()),
    }
}

/// Picks the most probable token at every step; ties go to the lowest token.
///
/// # Errors
/// Errors from the model; [`Error::Value`] for log-probabilities that are NaN or above 0, if no token can follow, or
/// for a `max_length` of 0; [`Error::Shape`] for a wrong number of log-probabilities. Rows that have ended may hold any
/// values.
pub fn greedy<M: TokenStep>(model: &M, state: M::State, rows: usize, limits: &Limits) -> Result<Vec<Hypothesis>> {
    each_row("greedy", model, state, rows, limits, |_, log_probs| {
        (0..log_probs.len()).fold(0, |best, i| if log_probs[i] > log_probs[best] { i } else { best })
    })
}

/// Decodes one hypothesis per row. `pick` chooses each token, given the row and its log-probabilities.
fn each_row<M: TokenStep>(
    op: &'static str,
    model: &M,
    mut state: M::State,
    rows: usize,
    limits: &Limits,
    mut pick: impl FnMut(usize, &[f32]) -> usize,
) -> Result<Vec<Hypothesis>> {
    limits.check(op, rows)?;
    let mut out = vec![Hypothesis { tokens: vec![], log_prob: 0.0, score: 0.0, ended: false }; rows];
    let mut last = vec![limits.start; rows];
    for _ in 0..limits.max_length {
        let (log_probs, next) = model.step(&state, &last)?;
        let table = limits.table(op, &log_probs, rows)?;
        for (row, (hypothesis, log_probs)) in out.iter_mut().zip(table).enumerate() {
            if hypothesis.ended {
                continue;
            }
            check_row(op, log_probs)?;
            let token = pick(row, log_probs);
            hypothesis.log_prob += f64::from(log_probs[token]);
            hypothesis.ended = token == limits.end as usize;
            last[row] = token as u32;
            if !hypothesis.ended {
                hypothesis.tokens.push(token as u32);
            }
        }
        if out.iter().all(|hypothesis| hypothesis.ended) {
            break;
        }
        state = next;
    }
    out.iter_mut().for_each(|hypothesis| hypothesis.score = hypothesis.log_prob);
    Ok(out)
}
