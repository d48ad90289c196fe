//! Streams above the sample rate of their model: past states, and interpolation between them.

use super::StreamOptions;
use crate::error::{Error, Result};
use crate::kernel::IS_LEAN;

/// Highest ratio of rates. It limits the memory for past states.
const MOST: f64 = 64.0;

/// Interpolation of the state between two steps, for a [`StreamOptions::rate_ratio`] that is not a whole number.
///
/// Both methods have a gain of at most 1 at every frequency, so interpolation never makes states grow. A cubic
/// polynomial at ratios below 2 would have a higher gain: it made a model diverge.
///
/// ```
/// use wgru::{Device, Interpolation, Rng, Stream, StreamOptions, nn::RecurrentConfig};
/// let lstm = RecurrentConfig::lstm(1, 8).build(&Device::cpu(), &mut Rng::new(0))?;
/// // A model of 44.1 kHz at 48 kHz.
/// let options = StreamOptions { rate_ratio: 48_000.0 / 44_100.0, ..Default::default() };
/// assert_eq!(options.interpolation, Interpolation::Lagrange);
/// let mut stream = Stream::new(&lstm, options)?;
/// stream.step(&[0.5])?;
/// # Ok::<(), wgru::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Interpolation {
    /// A line through the states of the two nearest steps, as in RTNeural.
    Linear,
    /// A polynomial through the states of three steps at ratios below 2, and of the four nearest steps from 2 on.
    #[default]
    Lagrange,
}

/// The states after the last steps, and their weights in the state `rate_ratio` steps ago.
#[derive(Clone)]
pub(super) struct Past {
    /// Age in steps of the first weighted state.
    first: usize,
    /// Up to four, one per step.
    weights: Vec<f32>,
    /// `[2·kept, S]`: the states `[S]` of each step twice, in slots `i` and `i + kept`. So the slots from `newest` on
    /// are contiguous and hold all states, newest first.
    slots: Vec<f32>,
    newest: usize,
    kept: usize,
}

/// Returns an error if a stream cannot run at this ratio.
pub(super) fn check(options: StreamOptions) -> Result<()> {
    if IS_LEAN && options.rate_ratio != 1.0 {
        return Err(Error::value("Stream", "rate_ratio", "1 in browser builds without training", "another ratio"));
    }
    if IS_LEAN || (1.0..=MOST).contains(&options.rate_ratio) {
        return Ok(());
    }
    let expected =
        format!("1 to {MOST}; at other rates, resample the frames to the rate of the model and the outputs back");
    Err(Error::value("Stream", "rate_ratio", expected, options.rate_ratio))
}

/// Returns the age of the first state, and the weights of the Lagrange polynomial for the state `ratio` steps ago.
fn weights(ratio: f64, interpolation: Interpolation) -> (usize, Vec<f32>) {
    let whole = ratio.floor();
    let (first, count) = match interpolation {
        _ if whole == ratio => (whole, 1),
        Interpolation::Linear => (whole, 2),
        // With four states, `ratio` would not be in their middle, and the gain at high frequencies would exceed 1.
        Interpolation::Lagrange if whole < 2.0 => (1.0, 3),
        Interpolation::Lagrange => (whole - 1.0, 4),
    };
    let weight = |j: usize| {
        let others = (0..count).filter(|&k| k != j);
        others.map(|k| (ratio - first - k as f64) / (j as f64 - k as f64)).product::<f64>() as f32
    };
    (first as usize, (0..count).map(weight).collect())
}

/// The past states of a stream, if it needs any. Browser builds without training leave them out, because of the code size.
#[derive(Clone)]
pub(super) struct Kept(Option<Past>);

impl Kept {
    /// Starts with the states `now` `[S]` for all past steps.
    pub fn new(now: &[f32], options: StreamOptions) -> Self {
        Self(if IS_LEAN { None } else { Past::new(now, options) })
    }

    pub fn get(&self) -> Option<&Past> {
        if IS_LEAN { None } else { self.0.as_ref() }
    }

    pub fn get_mut(&mut self) -> Option<&mut Past> {
        if IS_LEAN { None } else { self.0.as_mut() }
    }
}

impl Past {
    /// Fills all past steps with the states `now` `[S]`. Returns `None` if no past states are needed.
    pub fn new(now: &[f32], options: StreamOptions) -> Option<Self> {
        let (first, weights) = weights(options.rate_ratio, options.interpolation);
        let kept = first + weights.len() - 1;
        (kept > 1).then(|| Self { first, weights, slots: now.repeat(2 * kept), newest: 0, kept })
    }

    /// Returns the states of all steps that are kept, `[kept, S]`, newest first.
    pub fn all(&self) -> &[f32] {
        let len = self.slots.len() / 2;
        &self.slots[self.newest * (len / self.kept)..][..len]
    }

    /// Sets the states of all steps that are kept, in the layout of [`all`](Self::all).
    pub fn set(&mut self, all: &[f32]) {
        let (first, second) = self.slots.split_at_mut(all.len());
        first.copy_from_slice(all);
        second.copy_from_slice(all);
        self.newest = 0;
    }

    /// Iterates over all slots, each with the states of one step, and the number of steps since.
    pub fn slots_mut(&mut self) -> impl Iterator<Item = (usize, &mut [f32])> {
        let (newest, kept, len) = (self.newest, self.kept, self.slots.len() / (2 * self.kept));
        let slots = self.slots.chunks_exact_mut(len).enumerate();
        slots.map(move |(slot, states)| ((slot + kept - newest) % kept, states))
    }

    /// Writes the states `[S]` from which the next step continues.
    pub fn read(&self, out: &mut [f32]) {
        let past = &self.all()[(self.first - 1) * out.len()..];
        match self.weights[..] {
            [a, b] => sum([a, b], past, out),
            [a, b, c] => sum([a, b, c], past, out),
            [a, b, c, d] => sum([a, b, c, d], past, out),
            _ => out.copy_from_slice(&past[..out.len()]),
        }
    }

    /// Replaces the oldest states by the states `[S]` after a step.
    pub fn push(&mut self, states: &[f32]) {
        self.newest = if self.newest == 0 { self.kept } else { self.newest } - 1;
        for slot in [self.newest, self.newest + self.kept] {
            self.slots[slot * states.len()..][..states.len()].copy_from_slice(states);
        }
    }
}

/// `out[i] = Σ weights[k]·past[k, i]`
#[inline]
fn sum<const N: usize>(weights: [f32; N], past: &[f32], out: &mut [f32]) {
    let len = out.len();
    let rows: [&[f32]; N] = std::array::from_fn(|k| &past[k * len..][..len]);
    for (i, out) in out.iter_mut().enumerate() {
        *out = (1..N).fold(weights[0] * rows[0][i], |sum, k| sum + weights[k] * rows[k][i]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATIOS: [f64; 10] = [1.0, 48_000.0 / 44_100.0, 1.25, 1.5, 1.8375, 2.0, 2.18, 3.999, 4.35, 64.0];

    #[test]
    fn weights_reproduce_polynomials() {
        for ratio in RATIOS {
            for (interpolation, degree) in
                [(Interpolation::Linear, 1), (Interpolation::Lagrange, if ratio < 2.0 { 2 } else { 3 })]
            {
                let (first, weights) = weights(ratio, interpolation);
                assert!(first >= 1, "only states that are known");
                for power in 0..=degree {
                    let value = |k: usize| ((first + k) as f64 - ratio).powi(power);
                    let got: f64 = weights.iter().enumerate().map(|(k, w)| f64::from(*w) * value(k)).sum();
                    let want = if power == 0 { 1.0 } else { 0.0 };
                    assert!((got - want).abs() <= 1e-6, "{interpolation:?}, {ratio}, power {power}: {got}");
                }
            }
        }
    }

    #[test]
    fn weights_amplify_no_frequency() {
        let gain = |weights: &[f32], angle: f64| {
            let part = |f: fn(f64) -> f64| -> f64 {
                weights.iter().enumerate().map(|(k, w)| f64::from(*w) * f(k as f64 * angle)).sum()
            };
            part(f64::cos).hypot(part(f64::sin))
        };
        let angles = || (0..=1000).map(|i| f64::from(i) * std::f64::consts::PI / 1000.0);
        for ratio in RATIOS.into_iter().chain((0..400).map(|i| 1.0 + f64::from(i) / 100.0)) {
            for interpolation in [Interpolation::Linear, Interpolation::Lagrange] {
                let (_, weights) = weights(ratio, interpolation);
                let worst = angles().map(|angle| gain(&weights, angle)).fold(0.0, f64::max);
                assert!(worst <= 1.0 + 1e-6, "{interpolation:?}, {ratio}: {worst}");
            }
        }
        // A cubic polynomial through the states of 1 to 4 steps ago, at a ratio of 1.8375.
        let worst = angles().map(|angle| gain(&[0.0681, 1.0527, -0.1472, 0.0264], angle)).fold(0.0, f64::max);
        assert!(worst > 1.1, "{worst}");
    }
}
