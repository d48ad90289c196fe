//! CTC decoding, compared with an enumeration of all paths.

use std::collections::BTreeMap;

use wgru::decode::{self, BeamOptions, Frames};

use crate::common::{fill, mix};
use crate::reference::ctc::{paths, probability, spelled};
use crate::reference::dense::log_softmax;
use crate::reference::{narrow, wide};

/// Sums in f64 of a few hundred probabilities that were rounded to f32.
const EXACT: f64 = 1e-12;

/// Sizes and log-probabilities for a seed: up to 6 steps of up to 3 sequences with up to 4 classes.
fn case(seed: u32) -> ([usize; 3], u32, Vec<f32>) {
    let draw = |stream: u32, count: usize| (mix(16 * seed + stream) % count as u32) as usize;
    let dims @ [steps, batch, classes] = [1 + draw(0, 6), 1 + draw(1, 3), 2 + draw(2, 3)];
    let scale = [0.1, 1.0, 4.0][draw(3, 3)];
    let logits = wide(&fill(100 + seed, steps * batch * classes, scale));
    (dims, draw(4, classes) as u32, narrow(&log_softmax(&logits, classes)))
}

fn frames<'a>(dims: [usize; 3], blank: u32, log_probs: &'a [f32], lengths: Option<&'a [usize]>) -> Frames<'a> {
    let [steps, batch, classes] = dims;
    Frames { log_probs, steps, batch, classes, blank, lengths }
}

fn probabilities([steps, batch, classes]: [usize; 3], log_probs: &[f32], b: usize, length: usize) -> Vec<Vec<f64>> {
    let row = |t: usize| &log_probs[(t * batch + b) * classes..][..classes];
    (0..length.min(steps)).map(|t| row(t).iter().map(|&v| (v as f64).exp()).collect()).collect()
}

/// Every labeling with its probability.
fn exhaustive(p: &[Vec<f64>], blank: u32) -> BTreeMap<Vec<u32>, f64> {
    let mut all = BTreeMap::new();
    for path in paths(p.len(), p.first().map_or(1, Vec::len)) {
        let labels = spelled(&path, blank as usize).iter().map(|&l| l as u32).collect();
        *all.entry(labels).or_insert(0.0) += probability(p, &path);
    }
    all
}

#[test]
fn wide_beams_find_every_labeling_with_its_probability() {
    let mut different = 0;
    for seed in 0..60 {
        let (dims @ [steps, batch, _], blank, log_probs) = case(seed);
        let lengths: Vec<usize> = (0..batch).map(|b| steps.saturating_sub(b)).collect();
        let frames = frames(dims, blank, &log_probs, Some(&lengths));
        let options = BeamOptions { width: 10_000, results: 10_000 };
        let found = decode::beam_search(&frames, options).expect("a search");
        let greedy = decode::greedy(&frames).expect("a best path");
        assert_eq!(found.len(), batch);
        for b in 0..batch {
            let want = exhaustive(&probabilities(dims, &log_probs, b, lengths[b]), blank);
            assert_eq!(found[b].len(), want.len(), "seed {seed}: labelings");
            for labeling in &found[b] {
                let error = (labeling.log_probability - want[&labeling.labels].ln()).abs();
                assert!(error <= EXACT, "seed {seed}: {labeling:?} is {error:.1e} off");
            }
            assert!(found[b].is_sorted_by(|a, b| a.log_probability >= b.log_probability), "seed {seed}: order");
            different += (found[b][0].labels != greedy[b].labels) as usize;
        }
    }
    assert!(different >= 5, "the best path differs from the best labeling in only {different} cases");
}

#[test]
fn narrow_beams_never_overestimate_and_return_distinct_labelings() {
    let mut exact = 0;
    for seed in 0..60 {
        let (dims, blank, log_probs) = case(seed);
        for width in [1, 2, 5] {
            let options = BeamOptions { width, results: width };
            let found = decode::beam_search(&frames(dims, blank, &log_probs, None), options).expect("a search");
            for (b, found) in found.iter().enumerate() {
                let want = exhaustive(&probabilities(dims, &log_probs, b, dims[0]), blank);
                assert!(!found.is_empty() && found.len() <= width);
                let distinct: BTreeMap<_, _> = found.iter().map(|l| (&l.labels, l.log_probability)).collect();
                assert_eq!(distinct.len(), found.len(), "seed {seed}: {found:?}");
                assert!(distinct.iter().all(|(labels, p)| *p <= want[*labels].ln() + EXACT), "seed {seed}: {found:?}");
                let best = want.values().fold(0.0, |m: f64, p| m.max(*p)).ln();
                exact += (width == 5 && (found[0].log_probability - best).abs() <= EXACT) as usize;
            }
        }
    }
    assert!(exact >= 30, "a beam of 5 was exact only {exact} times");
}

#[test]
fn greedy_returns_the_most_probable_path_and_the_frames_of_its_labels() {
    for seed in 0..60 {
        let (dims @ [steps, _, classes], blank, log_probs) = case(seed);
        let found = decode::greedy(&frames(dims, blank, &log_probs, None)).expect("a best path");
        for (b, found) in found.iter().enumerate() {
            let p = probabilities(dims, &log_probs, b, steps);
            let best = paths(steps, classes).max_by(|x, y| probability(&p, x).total_cmp(&probability(&p, y)));
            let best = best.expect("a path");
            assert!((found.log_probability - probability(&p, &best).ln()).abs() <= EXACT, "seed {seed}");
            let labels: Vec<u32> = spelled(&best, blank as usize).iter().map(|&l| l as u32).collect();
            assert_eq!(found.labels, labels, "seed {seed}");
            // The frames of the labels are ordered and disjoint, and cover exactly the non-blank part of the path.
            let mut path = vec![blank as usize; steps];
            for (label, frames) in found.labels.iter().zip(&found.frames) {
                path[frames.clone()].fill(*label as usize);
            }
            assert_eq!(path, best, "seed {seed}");
            assert!(found.frames.is_sorted_by(|a, b| a.end <= b.start) && found.frames.iter().all(|f| !f.is_empty()));
        }
    }
}

/// With a blank probability of 0.6 in both frames, the best path has no labels, but three paths spell the label.
#[test]
fn beam_search_sums_over_paths_and_greedy_does_not() {
    let log_probs = [0.6f32, 0.4, 0.6, 0.4].map(f32::ln);
    let frames = frames([2, 1, 2], 0, &log_probs, None);
    assert!(decode::greedy(&frames).expect("a best path")[0].labels.is_empty());
    let found = &decode::beam_search(&frames, BeamOptions::default()).expect("a search")[0][0];
    assert_eq!(found.labels, [1]);
    assert!((found.log_probability - 0.64f64.ln()).abs() <= 1e-6);
}

#[test]
fn decoders_accept_empty_sequences_and_impossible_classes() {
    let none = f32::NEG_INFINITY;
    let log_probs = [0.0, none, 0.0, none];
    let frames = frames([2, 1, 2], 1, &log_probs, Some(&[0]));
    let found = decode::beam_search(&frames, BeamOptions::default()).expect("a search");
    assert_eq!((found[0].len(), &found[0][0].labels[..], found[0][0].log_probability), (1, &[][..], 0.0));
    assert!(decode::greedy(&frames).expect("a best path")[0].labels.is_empty());
    let frames = Frames { lengths: None, ..frames };
    let found = decode::beam_search(&frames, BeamOptions { width: 8, results: 8 }).expect("a search");
    assert_eq!((found[0].len(), &found[0][0].labels[..], found[0][0].log_probability), (1, &[0][..], 0.0));
    // A frame in which every class is impossible leaves no result.
    let frames = Frames { log_probs: &[none; 4], ..frames };
    assert_eq!(decode::beam_search(&frames, BeamOptions::default()).expect("a search"), [vec![]]);
}

#[test]
fn decoders_refuse_invalid_batches() {
    let good = [-1f32; 12];
    let base = frames([3, 2, 2], 0, &good, None);
    let refused = |frames: Frames, words: &[&str]| {
        let errors = [decode::greedy(&frames).err(), decode::beam_search(&frames, BeamOptions::default()).err()];
        for error in errors {
            let text = error.expect("refused").to_string();
            assert!(text.contains("decode::") && words.iter().all(|w| text.contains(w)), "{text}");
        }
    };
    assert!(decode::greedy(&base).is_ok());
    refused(Frames { steps: 4, ..base }, &["log_probs", "[4, 2, 2]", "[12]"]);
    refused(Frames { steps: usize::MAX, ..base }, &["log_probs"]);
    refused(Frames { log_probs: &[], steps: 0, ..base }, &["log_probs", "at least 1"]);
    refused(Frames { blank: 2, ..base }, &["blank", "below 2"]);
    refused(Frames { lengths: Some(&[3]), ..base }, &["lengths", "[2]", "[1]"]);
    refused(Frames { lengths: Some(&[3, 4]), ..base }, &["lengths", "at most 3", "4"]);
    for bad in [f32::NAN, f32::INFINITY, 2.5] {
        let mut values = good;
        values[7] = bad;
        refused(Frames { log_probs: &values, ..base }, &["log_probs", "at most 0"]);
    }
    for options in [BeamOptions { width: 0, results: 1 }, BeamOptions { width: 1, results: 0 }] {
        assert!(decode::beam_search(&base, options).is_err());
    }
}
