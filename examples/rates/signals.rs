//! Test signals: a sine sweep, and plucked strings by the Karplus–Strong algorithm.

use std::f64::consts::PI;

use wgru::Rng;

use crate::spectrum::{SECONDS, Spectrum};

/// Sample rate of the synthesis, in Hz.
const RATE: u32 = 48_000;
/// Silence before a signal, in which models reach their state of rest, in seconds.
const REST: f64 = 0.4;

/// Returns the signals with their names.
pub fn all() -> [(&'static str, Spectrum); 2] {
    [("sweep", sweep()), ("strings", strings())].map(|(name, x)| (name, Spectrum::of_input(&x, RATE)))
}

/// An exponential sweep from 30 Hz to 10 kHz, at −12 dB of full scale.
fn sweep() -> Vec<f32> {
    let (from, to, length) = (30.0f64, 10_000.0f64, SECONDS - REST);
    let growth = (to / from).ln() / length;
    let sample = |i: u32| {
        let t = f64::from(i) / f64::from(RATE) - REST;
        let fade = (t / 0.05).min((length - t) / 0.3).clamp(0.0, 1.0);
        0.25 * fade * (2.0 * PI * from / growth * ((growth * t).exp() - 1.0)).sin()
    };
    (0..SECONDS as u32 * RATE).map(|i| sample(i) as f32).collect()
}

/// Single notes of a guitar and a chord, with peaks at −6 dB of full scale.
fn strings() -> Vec<f32> {
    let mut sum = vec![0.0f32; SECONDS as usize * RATE as usize];
    let mut rng = Rng::new(1);
    let notes =
        [(82.41, 0.0), (146.83, 0.5), (329.63, 1.0), (82.41, 1.6), (123.47, 1.62), (164.81, 1.64), (246.94, 1.66)];
    for (hz, start) in notes {
        let first = ((REST + start) * f64::from(RATE)) as usize;
        let period = (f64::from(RATE) / hz) as usize;
        // A pluck is low-pass filtered noise.
        let mut line = vec![0.0f32; period];
        let mut last = 0.0;
        for v in &mut line {
            last += 0.4 * (rng.uniform(-1.0, 1.0) - last);
            *v = last;
        }
        // Ends before the end of the signal, so that nothing is cut off.
        let end = sum.len() - RATE as usize / 5;
        for (i, out) in sum[first..end].iter_mut().enumerate() {
            let at = i % period;
            let fade = ((end - first - i) as f32 / 4800.0).min(1.0);
            *out += fade * line[at];
            line[at] = 0.498 * (line[at] + line[(at + 1) % period]);
        }
    }
    let peak = sum.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    sum.iter().map(|v| 0.5 * v / peak).collect()
}
