//! Greedy, sampled and beam decoding on models small enough to enumerate every sequence.

use std::cell::Cell;

use wgru::models::decode::{Beam, Hypothesis, Limits, Sampling, TokenStep, beam, greedy, sample};
use wgru::{Error, Result, Rng};

use crate::common::mix;

/// A model whose next token depends on all tokens before it: the state of a row is a hash of its prefix.
struct Model {
    vocabulary: usize,
    /// Spread of the logits.
    contrast: f32,
    /// Expected number of tokens, out of 8, that cannot follow.
    impossible: u32,
    steps: Cell<usize>,
}

impl Model {
    fn new(vocabulary: usize, contrast: f32) -> Self {
        Self { vocabulary, contrast, impossible: 0, steps: Cell::new(0) }
    }

    /// Log-probabilities after a prefix; token 0 can always follow.
    fn row(&self, prefix: u32) -> Vec<f32> {
        let hash = |token: usize| mix(prefix ^ mix(token as u32 + 1));
        let logit = |token: usize| match token > 0 && hash(token) % 8 < self.impossible {
            true => f32::NEG_INFINITY,
            false => self.contrast * (hash(token) >> 8) as f32 / 16_777_216.0,
        };
        let logits: Vec<f32> = (0..self.vocabulary).map(logit).collect();
        let total = logits.iter().map(|l| l.exp()).sum::<f32>().ln();
        logits.iter().map(|l| l - total).collect()
    }

    fn after(prefix: u32, token: u32) -> u32 {
        mix(prefix.wrapping_mul(31) ^ (token + 7))
    }
}

impl TokenStep for Model {
    type State = Vec<u32>;

    fn step(&self, state: &Vec<u32>, tokens: &[u32]) -> Result<(Vec<f32>, Vec<u32>)> {
        assert_eq!(state.len(), tokens.len(), "a state for every row");
        self.steps.set(self.steps.get() + 1);
        let next: Vec<u32> = state.iter().zip(tokens).map(|(&s, &t)| Self::after(s, t)).collect();
        Ok((next.iter().flat_map(|&prefix| self.row(prefix)).collect(), next))
    }

    fn select(&self, state: &Vec<u32>, rows: &[usize]) -> Result<Vec<u32>> {
        Ok(rows.iter().map(|&row| state[row]).collect())
    }
}

const END: u32 = 1;

fn limits(max_length: usize) -> Limits {
    Limits { start: 0, end: END, max_length }
}

fn penalty(length: usize, alpha: f32) -> f64 {
    ((5.0 + length as f64) / 6.0).powf(f64::from(alpha))
}

fn ranked(mut all: Vec<Hypothesis>) -> Vec<Hypothesis> {
    all.sort_by(|a, b| b.score.total_cmp(&a.score));
    all
}

/// Every sequence that ends within `max_length` tokens or is cut off there, best first.
fn every_sequence(model: &Model, seed: u32, max_length: usize, alpha: f32) -> Vec<Hypothesis> {
    let mut open = vec![(vec![], 0.0, Model::after(seed, 0))];
    let mut all = Vec::new();
    for length in 1..=max_length {
        let mut next = Vec::new();
        for (tokens, log_prob, prefix) in open {
            for (token, p) in model.row(prefix).into_iter().enumerate().filter(|(_, p)| p.is_finite()) {
                let log_prob = log_prob + f64::from(p);
                let (token, score) = (token as u32, log_prob / penalty(length, alpha));
                let mut longer: Vec<u32> = tokens.clone();
                if token == END {
                    all.push(Hypothesis { tokens: longer, log_prob, score, ended: true });
                    continue;
                }
                longer.push(token);
                match length == max_length {
                    true => all.push(Hypothesis { tokens: longer, log_prob, score, ended: false }),
                    false => next.push((longer, log_prob, Model::after(prefix, token))),
                }
            }
        }
        open = next;
    }
    ranked(all)
}

/// Beam search without early stopping.
fn patient_beam(model: &Model, seed: u32, max_length: usize, width: usize, alpha: f32) -> Vec<Hypothesis> {
    let mut open = vec![(vec![], 0.0, Model::after(seed, 0))];
    let mut all = Vec::new();
    for length in 1..=max_length {
        let mut longer: Vec<(Vec<u32>, f64, u32)> = Vec::new();
        for (tokens, log_prob, prefix) in &open {
            for (token, p) in model.row(*prefix).into_iter().enumerate().filter(|(_, p)| p.is_finite()) {
                let tokens = [&tokens[..], &[token as u32]].concat();
                longer.push((tokens, log_prob + f64::from(p), Model::after(*prefix, token as u32)));
            }
        }
        longer.sort_by(|a, b| b.1.total_cmp(&a.1));
        longer.truncate(width);
        let over = |tokens: &[u32]| tokens.last() == Some(&END) || length == max_length;
        for (tokens, log_prob, _) in longer.iter().filter(|(tokens, ..)| over(tokens)) {
            let ended = tokens.last() == Some(&END);
            let tokens = tokens[..tokens.len() - ended as usize].to_vec();
            all.push(Hypothesis { tokens, log_prob: *log_prob, score: log_prob / penalty(length, alpha), ended });
        }
        open = longer.into_iter().filter(|(tokens, ..)| !over(tokens)).collect();
    }
    let mut all = ranked(all);
    all.truncate(width);
    all
}

fn same(got: &[Hypothesis], want: &[Hypothesis], what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (got, want) in got.iter().zip(want) {
        assert_eq!((&got.tokens, got.ended), (&want.tokens, want.ended), "{what}");
        assert!((got.score - want.score).abs() <= 1e-9 && (got.log_prob - want.log_prob).abs() <= 1e-9, "{what}");
    }
}

fn beam_of(width: usize, length_penalty: f32) -> Beam {
    Beam { width, length_penalty }
}

#[test]
fn a_wide_enough_beam_finds_every_sequence_in_order() -> Result<()> {
    for (seed, vocabulary) in (0..40).map(|seed| (seed, 2 + seed as usize % 3)) {
        for max_length in 1..=4 {
            for alpha in [0.0, 0.6, 1.0, 2.5, -0.5] {
                let model = Model { impossible: seed % 3, ..Model::new(vocabulary, 3.0) };
                let want = every_sequence(&model, seed, max_length, alpha);
                let width = vocabulary.pow(max_length as u32);
                let got = beam(&model, vec![seed], 1, &limits(max_length), &beam_of(width, alpha))?;
                same(&got[0], &want, &format!("seed {seed}, length {max_length}, alpha {alpha}"));
            }
        }
    }
    Ok(())
}

#[test]
fn a_beam_of_one_is_greedy() -> Result<()> {
    for seed in 0..200 {
        let model = Model { impossible: seed % 4, ..Model::new(2 + seed as usize % 7, 4.0) };
        let max_length = 1 + seed as usize % 9;
        let one = greedy(&model, vec![seed], 1, &limits(max_length))?;
        let steps = model.steps.take();
        let best = beam(&model, vec![seed], 1, &limits(max_length), &beam_of(1, 0.0))?;
        same(&best[0], &one, &format!("seed {seed}"));
        assert_eq!(steps, model.steps.get(), "both stop at the end, seed {seed}");
    }
    Ok(())
}

#[test]
fn greedy_takes_the_most_probable_token_at_every_step() -> Result<()> {
    let model = Model::new(5, 4.0);
    for seed in 0..50 {
        let got = &greedy(&model, vec![seed], 1, &limits(12))?[0];
        let (mut prefix, mut log_prob) = (Model::after(seed, 0), 0.0);
        for &token in got.tokens.iter().chain(got.ended.then_some(&END)) {
            let row = model.row(prefix);
            assert!(row.iter().all(|&p| p <= row[token as usize]), "seed {seed}");
            log_prob += f64::from(row[token as usize]);
            prefix = Model::after(prefix, token);
        }
        assert!((got.log_prob - log_prob).abs() <= 1e-9 && got.score == got.log_prob);
        assert!(got.ended != (got.tokens.len() == 12) && !got.tokens.contains(&END), "{got:?}");
    }
    Ok(())
}

/// If a beam stops early, no unfinished hypothesis could have become better.
#[test]
fn early_stopping_does_not_change_the_result() -> Result<()> {
    let mut saved = 0;
    for seed in 0..150 {
        for (width, alpha) in [(2, 0.0), (3, 0.7), (4, 1.5), (5, -1.0)] {
            let model = Model { impossible: seed % 3, ..Model::new(4, 5.0) };
            let got = beam(&model, vec![seed], 1, &limits(8), &beam_of(width, alpha))?;
            let want = patient_beam(&model, seed, 8, width, alpha);
            same(&got[0], &want, &format!("seed {seed}, width {width}, alpha {alpha}"));
            saved += 8 - model.steps.get();
        }
    }
    assert!(saved > 500, "only {saved} of 4800 steps were saved");
    Ok(())
}

#[test]
fn rows_decode_as_if_alone() -> Result<()> {
    let model = Model { impossible: 1, ..Model::new(6, 4.0) };
    let seeds: Vec<u32> = (100..117).collect();
    let together = greedy(&model, seeds.clone(), 17, &limits(9))?;
    let beams = beam(&model, seeds.clone(), 17, &limits(9), &beam_of(3, 0.6))?;
    for (i, &seed) in seeds.iter().enumerate() {
        assert_eq!(greedy(&model, vec![seed], 1, &limits(9))?[0], together[i]);
        assert_eq!(beam(&model, vec![seed], 1, &limits(9), &beam_of(3, 0.6))?[0], beams[i]);
    }
    // A row draws the same tokens, however long the other rows are.
    let drawn = |seeds: Vec<u32>| {
        let rows = seeds.len();
        sample(&model, seeds, rows, &limits(9), &Sampling::default(), &mut Rng::new(4))
    };
    let mut others = seeds.clone();
    others[..16].iter_mut().for_each(|seed| *seed += 1000);
    assert_eq!(drawn(seeds)?[16], drawn(others)?[16]);
    Ok(())
}

#[test]
fn samples_follow_the_distribution() -> Result<()> {
    let model = Model::new(6, 3.0);
    let rows = 20_000;
    let shares = |sampling: &Sampling, seed| -> Result<Vec<f64>> {
        let drawn = sample(&model, vec![5; rows], rows, &limits(1), sampling, &mut Rng::new(seed))?;
        let mut counts = vec![0.0; 6];
        for hypothesis in drawn {
            counts[*hypothesis.tokens.first().unwrap_or(&END) as usize] += 1.0 / rows as f64;
        }
        Ok(counts)
    };
    let row = model.row(Model::after(5, 0));
    let mut order: Vec<usize> = (0..6).collect();
    order.sort_by(|&a, &b| row[b].total_cmp(&row[a]));
    let probability = |i: usize, t: f32| f64::from(row[i] / t).exp();
    // Four times the standard deviation of a share, which is at most 0.0036.
    let close = |got: Vec<f64>, want: Vec<f64>| {
        let total: f64 = want.iter().sum();
        for (got, want) in got.iter().zip(want) {
            assert!((got - want / total).abs() <= 0.0145 && (want > 0.0 || *got == 0.0), "{got} for {}", want / total);
        }
    };
    for t in [1.0, 0.4, 2.5] {
        let sampling = Sampling { temperature: t, ..Sampling::default() };
        close(shares(&sampling, 1)?, (0..6).map(|i| probability(i, t)).collect());
        let share = |count: usize, i: usize| if order[..count].contains(&i) { probability(i, t) } else { 0.0 };
        let kept = |count: usize| (0..6).map(|i| share(count, i)).collect::<Vec<_>>();
        close(shares(&Sampling { top_k: Some(3), ..sampling }, 2)?, kept(3));
        // The nucleus is the smallest set that reaches p.
        let total: f64 = kept(6).iter().sum();
        let first_two = order[..2].iter().map(|&i| probability(i, t)).sum::<f64>() / total;
        let top_p = |p: f64| Sampling { top_p: Some(p as f32), ..sampling };
        close(shares(&top_p(first_two - 0.01), 3)?, kept(2));
        close(shares(&top_p(first_two + 0.01), 4)?, kept(3));
        // Of the best three, p is just above the share of the best alone: two are kept.
        let both = Sampling { top_k: Some(3), ..top_p(probability(order[0], t) / kept(3).iter().sum::<f64>() + 0.01) };
        close(shares(&both, 5)?, kept(2));
    }
    Ok(())
}

#[test]
fn single_draws_follow_the_logits() -> Result<()> {
    let (logits, mut rng) = ([3.0, f32::NEG_INFINITY, 5.0, 4.0, -2.0], Rng::new(1));
    let sampling = Sampling { temperature: 2.0, top_k: Some(3), top_p: None };
    let mut counts = [0.0; 5];
    for _ in 0..20_000 {
        counts[sampling.draw(&logits, &mut rng)?] += 1.0 / 20_000.0;
    }
    let weights = [1.5f64.exp(), 0.0, 2.5f64.exp(), 2f64.exp(), 0.0];
    for (got, weight) in counts.iter().zip(weights) {
        let want = weight / weights.iter().sum::<f64>();
        assert!((got - want).abs() <= 0.0145 && (want > 0.0 || *got == 0.0), "{got} for {want}");
    }
    for wrong in [&[0.0, f32::NAN][..], &[f32::INFINITY, 0.0], &[f32::NEG_INFINITY], &[]] {
        let error = sampling.draw(wrong, &mut rng).unwrap_err();
        assert!(matches!(error, Error::Value { arg: "logits", .. }), "{wrong:?}: {error}");
    }
    let cold = Sampling { temperature: 0.0, ..sampling };
    assert!(matches!(cold.draw(&logits, &mut rng), Err(Error::Value { arg: "temperature", .. })));
    Ok(())
}

#[test]
fn sampling_only_the_best_token_is_greedy() -> Result<()> {
    let model = Model { impossible: 2, ..Model::new(7, 2.0) };
    let seeds: Vec<u32> = (0..50).collect();
    let want = greedy(&model, seeds.clone(), 50, &limits(6))?;
    for sampling in [
        Sampling { top_k: Some(1), ..Sampling::default() },
        Sampling { top_p: Some(1e-6), ..Sampling::default() },
        Sampling { temperature: 1e-4, ..Sampling::default() },
    ] {
        assert_eq!(sample(&model, seeds.clone(), 50, &limits(6), &sampling, &mut Rng::new(1))?, want, "{sampling:?}");
    }
    let free = |seed| sample(&model, seeds.clone(), 50, &limits(6), &Sampling::default(), &mut Rng::new(seed));
    assert_eq!(free(1)?, free(1)?);
    assert_ne!(free(1)?, free(2)?);
    assert_ne!(free(1)?, want);
    Ok(())
}

#[test]
fn tokens_that_cannot_follow_are_never_chosen() -> Result<()> {
    let model = Model { impossible: 6, ..Model::new(9, 2.0) };
    let seeds: Vec<u32> = (0..100).collect();
    let drawn = sample(&model, seeds.clone(), 100, &limits(7), &Sampling::default(), &mut Rng::new(1))?;
    let beams = beam(&model, seeds.clone(), 100, &limits(7), &beam_of(20, 0.0))?;
    let all = drawn.into_iter().chain(greedy(&model, seeds, 100, &limits(7))?).chain(beams.into_iter().flatten());
    for hypothesis in all {
        assert!(hypothesis.log_prob.is_finite(), "{hypothesis:?}");
    }
    Ok(())
}

/// Returns fixed log-probabilities.
struct Fixed(Vec<f32>);

impl TokenStep for Fixed {
    type State = ();

    fn step(&self, _: &(), tokens: &[u32]) -> Result<(Vec<f32>, ())> {
        Ok((self.0.repeat(tokens.len()), ()))
    }

    fn select(&self, _: &(), _: &[usize]) -> Result<()> {
        Ok(())
    }
}

#[test]
fn invalid_arguments_are_refused() {
    let refused = |log_probs: &[f32], limits: Limits, arg: &str| {
        let model = Fixed(log_probs.to_vec());
        let outcomes = [
            greedy(&model, (), 2, &limits).map(|_| ()),
            beam(&model, (), 2, &limits, &Beam::default()).map(|_| ()),
            sample(&model, (), 2, &limits, &Sampling::default(), &mut Rng::new(0)).map(|_| ()),
        ];
        for outcome in outcomes {
            let text = outcome.expect_err("refused").to_string();
            assert!(text.contains(arg), "{text:?} does not name {arg}");
        }
    };
    refused(&[-1.0, f32::NAN], limits(3), "log_probs");
    refused(&[-1.0, f32::INFINITY], limits(3), "log_probs");
    refused(&[-1.0, 0.5], limits(3), "log_probs");
    refused(&[f32::NEG_INFINITY; 2], limits(3), "log_probs");
    refused(&[], limits(3), "log_probs");
    refused(&[-0.5], limits(3), "end");
    refused(&[-0.5; 2], limits(0), "max_length");
    let fixed = Fixed(vec![-0.5; 2]);
    assert!(matches!(greedy(&fixed, (), 0, &limits(3)), Err(Error::Value { arg: "rows", .. })));
    for (wrong, arg) in [(beam_of(0, 0.0), "width"), (beam_of(2, f32::NAN), "length_penalty")] {
        let text = beam(&fixed, (), 1, &limits(3), &wrong).expect_err("refused").to_string();
        assert!(text.contains(arg), "{text}");
    }
    let base = Sampling::default();
    for (wrong, arg) in [
        (Sampling { temperature: 0.0, ..base }, "temperature"),
        (Sampling { temperature: f32::NAN, ..base }, "temperature"),
        (Sampling { top_k: Some(0), ..base }, "top_k"),
        (Sampling { top_p: Some(0.0), ..base }, "top_p"),
        (Sampling { top_p: Some(1.5), ..base }, "top_p"),
    ] {
        let text = sample(&fixed, (), 1, &limits(3), &wrong, &mut Rng::new(0)).expect_err("refused").to_string();
        assert!(text.contains(arg), "{text}");
    }
}

/// The first row ends at once and gets NaN from then on; the other continues.
struct OneEnds;

impl TokenStep for OneEnds {
    type State = bool;

    fn step(&self, ended: &bool, _: &[u32]) -> Result<(Vec<f32>, bool)> {
        let first = if *ended { [f32::NAN; 2] } else { [f32::NEG_INFINITY, 0.0] };
        Ok(([first, [0.0, f32::NEG_INFINITY]].concat(), true))
    }

    fn select(&self, ended: &bool, _: &[usize]) -> Result<bool> {
        Ok(*ended)
    }
}

#[test]
fn predictions_after_the_end_are_ignored() -> Result<()> {
    let drawn = sample(&OneEnds, false, 2, &limits(3), &Sampling::default(), &mut Rng::new(0))?;
    for found in [greedy(&OneEnds, false, 2, &limits(3))?, drawn] {
        assert!(found[0].ended && found[0].tokens.is_empty(), "{found:?}");
        assert_eq!(found[1].tokens, [0; 3]);
    }
    Ok(())
}
