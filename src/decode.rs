//! Decodes the frames of connectionist temporal classification (CTC) to labels, by the best path or by a prefix beam
//! search.
//!
//! Decoding runs on the host, on log-probabilities that were read back.
//!
//! ```
//! use wgru::{Device, Tensor, decode::{self, BeamOptions, Frames}};
//! let logits = Tensor::from_slice(&Device::cpu(), &[0.0, 3.0, 0.0, 3.0, 3.0, 0.0, 0.0, 2.0], &[4, 1, 2])?;
//! let log_probs = logits.log_softmax()?.read_blocking()?;
//! let frames = Frames { log_probs: &log_probs, steps: 4, batch: 1, classes: 2, blank: 0, lengths: None };
//! let best = &decode::greedy(&frames)?[0];
//! assert_eq!(best.labels, [1, 1]);                        // repeats merged, the blank between them dropped
//! assert_eq!(best.frames, [0..2, 3..4]);
//! let found = &decode::beam_search(&frames, BeamOptions::default())?[0];
//! assert_eq!(found[0].labels, [1, 1]);
//! assert!(found[0].log_probability >= best.log_probability);
//! # Ok::<(), wgru::Error>(())
//! ```

use std::cmp::Ordering;
use std::collections::HashMap;
use std::ops::Range;

use crate::error::{Error, Result};

/// Log-probabilities of a batch, on the host.
#[derive(Clone, Copy, Debug)]
pub struct Frames<'a> {
    /// `[T, B, C]`, as returned by [`Tensor::log_softmax`](crate::Tensor::log_softmax).
    pub log_probs: &'a [f32],
    /// T
    pub steps: usize,
    /// B
    pub batch: usize,
    /// C, including the blank.
    pub classes: usize,
    /// The class that means "no label".
    pub blank: u32,
    /// Valid steps of each sequence; all if `None`.
    pub lengths: Option<&'a [usize]>,
}

/// The path through the most probable class of every frame.
#[derive(Clone, Debug, PartialEq)]
pub struct BestPath {
    /// Labels of the path: repeats merged, blanks dropped.
    pub labels: Vec<u32>,
    /// The frames of each label.
    pub frames: Vec<Range<usize>>,
    /// Log-probability of this one path.
    pub log_probability: f64,
}

/// A sequence of labels, with the total probability of all its paths that the search found.
#[derive(Clone, Debug, PartialEq)]
pub struct Labelling {
    /// The labels.
    pub labels: Vec<u32>,
    /// Logarithm of the total probability of these paths.
    pub log_probability: f64,
}

/// Options of [`beam_search`].
#[derive(Clone, Copy, Debug)]
pub struct BeamOptions {
    /// Prefixes kept after each frame.
    pub width: usize,
    /// Maximum number of results per sequence.
    pub results: usize,
}

impl Default for BeamOptions {
    fn default() -> Self {
        Self { width: 16, results: 1 }
    }
}

/// Log-probabilities may exceed 0 by this much, due to rounding.
const ROUNDING: f32 = 1e-3;

/// Whether a value is not the logarithm of a probability.
pub(crate) fn is_no_log_prob(v: f32) -> bool {
    v.is_nan() || v > ROUNDING
}

impl Frames<'_> {
    /// Checks the input, and returns the frames of each sequence.
    fn sequences(&self, op: &'static str) -> Result<Vec<Vec<&[f32]>>> {
        let Self { log_probs, steps, batch, classes, blank, lengths } = *self;
        let expected = steps.checked_mul(batch).and_then(|n| n.checked_mul(classes));
        if expected != Some(log_probs.len()) || log_probs.is_empty() {
            let expected = format!("[{steps}, {batch}, {classes}], each at least 1");
            return Err(Error::shape(op, "log_probs", expected, &[log_probs.len()]));
        }
        if blank as usize >= classes {
            return Err(Error::value(op, "blank", format!("below {classes}"), blank));
        }
        if lengths.is_some_and(|l| l.len() != batch) {
            return Err(Error::shape(op, "lengths", format!("[{batch}]"), &[lengths.map_or(0, <[_]>::len)]));
        }
        let length = |b: usize| lengths.map_or(steps, |l| l[b]);
        if let Some(bad) = (0..batch).map(length).find(|&l| l > steps) {
            return Err(Error::value(op, "lengths", format!("at most {steps}"), bad));
        }
        let row = |b: usize| (0..length(b)).map(|t| &log_probs[(t * batch + b) * classes..][..classes]).collect();
        let sequences: Vec<Vec<&[f32]>> = (0..batch).map(row).collect();
        if let Some(bad) = sequences.iter().flatten().flat_map(|frame| frame.iter()).find(|v| is_no_log_prob(**v)) {
            return Err(Error::value(op, "log_probs", "logarithms of probabilities, at most 0", bad));
        }
        Ok(sequences)
    }
}

/// Returns the best path of each sequence: the most probable class of every frame, with repeats merged, then blanks
/// dropped. Ties go to the lowest class.
///
/// # Errors
/// [`Error::Shape`] if the extents do not match the length of `log_probs`; [`Error::Value`] for a blank outside the
/// classes, a length beyond the steps, NaN, and values above 0, which are not log-probabilities.
pub fn greedy(frames: &Frames) -> Result<Vec<BestPath>> {
    Ok(frames.sequences("decode::greedy")?.iter().map(|sequence| best_path(sequence, frames.blank)).collect())
}

fn best_path(sequence: &[&[f32]], blank: u32) -> BestPath {
    let mut path = BestPath { labels: Vec::new(), frames: Vec::new(), log_probability: 0.0 };
    let mut before = blank;
    for (t, frame) in sequence.iter().enumerate() {
        let mut top = 0;
        for (c, v) in frame.iter().enumerate() {
            top = if *v > frame[top] { c } else { top };
        }
        path.log_probability += f64::from(frame[top]);
        let symbol = top as u32;
        if symbol != blank {
            match path.frames.last_mut() {
                Some(run) if symbol == before => run.end = t + 1,
                _ => {
                    path.labels.push(symbol);
                    path.frames.push(t..t + 1);
                }
            }
        }
        before = symbol;
    }
    path
}

/// Returns the most probable labelings of each sequence, best first, by a search that keeps the `width` most probable
/// prefixes after every frame. A beam that holds every prefix makes the search exact. Ties are broken by when prefixes
/// were found, so results are reproducible. Labelings without any path are not returned.
///
/// Sources: Graves, *Supervised sequence labelling with recurrent neural networks* (2012), chapter 7; Hannun et al.,
/// *First-pass large vocabulary continuous speech recognition using bi-directional recurrent DNNs* (2014), here without
/// a language model.
///
/// # Errors
/// Same as [`greedy`]; [`Error::Value`] for a width or number of results of 0.
pub fn beam_search(frames: &Frames, options: BeamOptions) -> Result<Vec<Vec<Labelling>>> {
    for (arg, value) in [("width", options.width), ("results", options.results)] {
        if value == 0 {
            return Err(Error::value("decode::beam_search", arg, "at least 1", 0));
        }
    }
    let search = |sequence: &Vec<&[f32]>| {
        let mut search = Search::new();
        sequence.iter().for_each(|frame| search.step(frame, frames.blank as usize, options.width));
        search.best(options.results)
    };
    Ok(frames.sequences("decode::beam_search")?.iter().map(search).collect())
}

/// Node of the empty prefix, which is its own parent.
const ROOT: usize = 0;

/// A prefix kept by the search.
#[derive(Clone, Copy)]
struct Beam {
    node: usize,
    /// Log-probability of the prefix's paths that end in a blank.
    blank: f64,
    /// Log-probability of the paths that end in its last label.
    label: f64,
}

/// A candidate prefix for the next frame. Its node may not exist yet.
#[derive(Clone, Copy)]
struct Candidate {
    parent: usize,
    symbol: Option<u32>,
    beam: Beam,
}

impl Beam {
    fn total(&self) -> f64 {
        log_add(self.blank, self.label)
    }
}

impl Candidate {
    /// Orders by descending probability; no two candidates are equal.
    fn order(&self, other: &Self) -> Ordering {
        let place = |c: &Self| (c.parent, c.symbol);
        other.beam.total().total_cmp(&self.beam.total()).then(place(self).cmp(&place(other)))
    }
}

/// All prefixes found, as a tree, and those kept.
struct Search {
    /// Parent and last label of each node.
    nodes: Vec<(usize, Option<u32>)>,
    children: HashMap<(usize, u32), usize>,
    beams: Vec<Beam>,
}

impl Search {
    fn new() -> Self {
        let empty = Beam { node: ROOT, blank: 0.0, label: f64::NEG_INFINITY };
        Self { nodes: vec![(ROOT, None)], children: HashMap::new(), beams: vec![empty] }
    }

    fn step(&mut self, frame: &[f32], blank: usize, width: usize) {
        let log_p = |symbol: u32| f64::from(frame[symbol as usize]);
        let kept: HashMap<usize, Beam> = self.beams.iter().map(|beam| (beam.node, *beam)).collect();
        let mut candidates = Vec::new();
        for beam in &self.beams {
            let (parent, last) = self.nodes[beam.node];
            // Paths that stay on this prefix, and paths that reach it from its parent.
            let mut stay = Beam { blank: beam.total() + f64::from(frame[blank]), label: f64::NEG_INFINITY, ..*beam };
            if let Some(last) = last {
                let from = kept.get(&parent).map_or(f64::NEG_INFINITY, |from| self.extended(from, last));
                stay.label = log_add(beam.label, from) + log_p(last);
            }
            candidates.push(Candidate { parent, symbol: last, beam: stay });
            for symbol in (0..frame.len() as u32).filter(|&symbol| symbol as usize != blank) {
                let node = self.children.get(&(beam.node, symbol)).copied();
                if node.is_some_and(|node| kept.contains_key(&node)) {
                    continue; // Counted above, among the paths that reach that prefix.
                }
                let label = self.extended(beam, symbol) + log_p(symbol);
                let next = Beam { node: node.unwrap_or(usize::MAX), blank: f64::NEG_INFINITY, label };
                candidates.push(Candidate { parent: beam.node, symbol: Some(symbol), beam: next });
            }
        }
        candidates.retain(|c| c.beam.total() > f64::NEG_INFINITY);
        if candidates.len() > width {
            candidates.select_nth_unstable_by(width - 1, Candidate::order);
            candidates.truncate(width);
        }
        candidates.sort_unstable_by(Candidate::order);
        self.beams = candidates.into_iter().map(|candidate| self.placed(candidate)).collect();
    }

    /// Log-probability of the paths of `beam` that `symbol` can extend: a repeated label needs a blank before it.
    fn extended(&self, beam: &Beam, symbol: u32) -> f64 {
        if self.nodes[beam.node].1 == Some(symbol) { beam.blank } else { beam.total() }
    }

    /// Returns the beam with its node, which is created if it is new.
    fn placed(&mut self, candidate: Candidate) -> Beam {
        let Candidate { parent, symbol, mut beam } = candidate;
        if let (usize::MAX, Some(label)) = (beam.node, symbol) {
            beam.node = self.nodes.len();
            self.nodes.push((parent, symbol));
            self.children.insert((parent, label), beam.node);
        }
        beam
    }

    fn best(&self, results: usize) -> Vec<Labelling> {
        let labels = |mut node: usize| {
            let mut labels = Vec::new();
            while let (parent, Some(label)) = self.nodes[node] {
                labels.push(label);
                node = parent;
            }
            labels.reverse();
            labels
        };
        let one = |beam: &Beam| Labelling { labels: labels(beam.node), log_probability: beam.total() };
        self.beams.iter().take(results).map(one).collect()
    }
}

/// `log(e^a + e^b)`
fn log_add(a: f64, b: f64) -> f64 {
    let (top, low) = if a > b { (a, b) } else { (b, a) };
    if low == f64::NEG_INFINITY { top } else { top + (low - top).exp().ln_1p() }
}
