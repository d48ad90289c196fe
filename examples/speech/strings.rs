//! Strings of digits: recordings one after another.

use wgru::train::{Batch, Data};
use wgru::{Device, Result, Rng, Tensor};

use crate::audio::{RATE, Recording};
use crate::mel::{BANDS, Mel};

/// Maximum number of digits in a string.
const MOST: usize = 5;

/// Features for the network, and the digits that were said.
pub struct Utterance {
    pub digits: Vec<u8>,
    /// `[frames, BANDS]`
    pub features: Vec<f32>,
}

impl Utterance {
    pub fn frames(&self) -> usize {
        self.features.len() / BANDS
    }
}

/// Utterances as batches, padded to the longest of each.
pub struct Utterances<'a> {
    pub device: &'a Device,
    pub list: &'a [Utterance],
}

impl Data for Utterances<'_> {
    fn len(&self) -> usize {
        self.list.len()
    }

    fn batch(&self, examples: &[usize]) -> Result<Batch> {
        let lengths: Vec<usize> = examples.iter().map(|&i| self.list[i].frames()).collect();
        let steps = lengths.iter().copied().max().unwrap_or(1);
        let mut x = vec![0.0; examples.len() * steps * BANDS];
        for (row, &i) in x.chunks_exact_mut(steps * BANDS).zip(examples) {
            let features = &self.list[i].features;
            row[..features.len()].copy_from_slice(features);
        }
        Ok(Batch::new(Tensor::from_slice(self.device, &x, &[examples.len(), steps, BANDS])?).with_lengths(lengths))
    }
}

/// Shuffles all recordings, and cuts them into strings of one to five digits, with pauses of faint noise between them.
pub fn strings(recordings: &[Recording], mel: &Mel, rng: &mut Rng) -> Vec<Utterance> {
    let mut order: Vec<usize> = (0..recordings.len()).collect();
    rng.shuffle(&mut order);
    let mut rest = &order[..];
    let mut all = Vec::new();
    while !rest.is_empty() {
        let (these, others) = rest.split_at((1 + rng.below(MOST)).min(rest.len()));
        all.push(joined(these.iter().map(|&i| &recordings[i]), mel, rng));
        rest = others;
    }
    all
}

/// Returns each recording by itself, with pauses around it.
pub fn singles(recordings: &[Recording], mel: &Mel, rng: &mut Rng) -> Vec<Utterance> {
    recordings.iter().map(|recording| joined([recording].into_iter(), mel, rng)).collect()
}

fn joined<'a>(recordings: impl Iterator<Item = &'a Recording>, mel: &Mel, rng: &mut Rng) -> Utterance {
    let mut samples = pause(rng);
    let mut digits = Vec::new();
    for recording in recordings {
        // Normalizes the volume of every digit.
        let top = recording.samples.iter().fold(1e-3f32, |top, v| top.max(v.abs()));
        samples.extend(recording.samples.iter().map(|v| 0.5 * v / top));
        samples.extend(pause(rng));
        digits.push(recording.digit);
    }
    Utterance { digits, features: mel.features(&samples) }
}

/// Returns 30 to 150 ms of faint noise.
fn pause(rng: &mut Rng) -> Vec<f32> {
    let len = (rng.uniform(0.03, 0.15) * RATE as f32) as usize;
    (0..len).map(|_| 0.002 * rng.normal()).collect()
}

/// Returns the minimum number of digits to insert, delete or replace between two strings (Levenshtein).
pub fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let replaced = corner + usize::from(x != y);
            corner = row[j + 1];
            row[j + 1] = replaced.min(corner + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::synthetic;

    #[test]
    fn distance_counts_edits() {
        for (a, b, want) in [(&[][..], &[][..], 0), (&[1, 2, 3], &[1, 3], 1), (&[1, 2], &[2, 1], 2), (&[], &[5, 5], 2)]
        {
            assert_eq!((distance(a, b), distance(b, a)), (want, want), "{a:?} {b:?}");
        }
    }

    #[test]
    fn strings_take_every_recording_once() {
        let recordings = &synthetic(1)[..50];
        let all = strings(recordings, &Mel::new(), &mut Rng::new(2));
        let mut said: Vec<u8> = all.iter().flat_map(|u| u.digits.clone()).collect();
        said.sort_unstable();
        let want: Vec<u8> = (0..50).map(|i| i / 5).collect();
        assert_eq!(said, want);
        assert!(all.iter().all(|u| (1..=MOST).contains(&u.digits.len()) && u.frames() > 10 * u.digits.len()));
    }
}
