//! Noise at a known level.

use std::path::Path;

use wgru::Rng;

use crate::failure::{Failure, Result};
use crate::wav::Recording;

/// Voices of babble: copies of the speech, each from another place and in reverse.
const VOICES: usize = 6;

/// Adds noise to speech, with a ratio of their energies of `snr` decibels. `kind` is `white`, `pink` (3 dB less per
/// octave), `babble` (of the speech itself), or a WAV file, which is repeated.
///
/// # Errors
/// If the speech or the noise is silent, and errors of the WAV file.
pub fn mix(speech: &Recording, path: &Path, kind: &str, snr: f64, seed: u64) -> Result<Recording> {
    let (len, mut rng) = (speech.samples.len(), Rng::new(seed));
    let noise = match kind {
        "white" => (0..len).map(|_| rng.normal()).collect(),
        "pink" => pink(len, &mut rng),
        "babble" => babble(&speech.samples, &mut rng),
        file => {
            let file = Path::new(file);
            let noise = Recording::read(file)?;
            if noise.rate != speech.rate {
                let expected = format!("{} Hz as in the speech", speech.rate);
                return Err(Failure::Rate { path: file.into(), expected, got: noise.rate });
            }
            let start = rng.below(noise.samples.len());
            noise.samples.into_iter().cycle().skip(start).take(len).collect::<Vec<f32>>()
        }
    };
    let energy = |x: &[f32]| x.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>();
    let [of_speech, of_noise] = [&speech.samples, &noise].map(|x| energy(x));
    if of_speech == 0.0 || of_noise == 0.0 {
        let path = if of_speech == 0.0 { path } else { Path::new(kind) };
        return Err(Failure::Silent { path: path.into() });
    }
    let gain = (of_speech / of_noise * 10f64.powf(-snr / 10.0)).sqrt() as f32;
    let samples = speech.samples.iter().zip(&noise).map(|(s, n)| s + gain * n).collect();
    Ok(Recording { samples, rate: speech.rate })
}

/// Sums first-order low-passes of white noise with equal variances, one per octave.
fn pink(len: usize, rng: &mut Rng) -> Vec<f32> {
    let mut states = [0.0f32; 12];
    let mut next = || {
        for (octave, state) in states.iter_mut().enumerate() {
            let pole = (-std::f32::consts::PI * 0.5f32.powi(octave as i32)).exp();
            *state = pole * *state + (1.0 - pole * pole).sqrt() * rng.normal();
        }
        states.iter().sum()
    };
    (0..len).map(|_| next()).collect()
}

/// Sums copies of the speech in reverse, so that the sound of voices remains without their words.
fn babble(speech: &[f32], rng: &mut Rng) -> Vec<f32> {
    let starts: Vec<usize> = (0..VOICES).map(|_| rng.below(speech.len())).collect();
    let sample = |i: usize| starts.iter().map(|start| speech[(start + speech.len() - 1 - i) % speech.len()]).sum();
    (0..speech.len()).map(sample).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::si_sdr;

    #[test]
    fn noise_has_the_level_asked_for_and_depends_on_the_seed_alone() {
        let samples = (0..32_000).map(|i| (i as f32 * 0.05).sin() * (i as f32 * 0.0007).sin()).collect();
        let speech = Recording { samples, rate: 16_000 };
        let path = Path::new("speech.wav");
        for kind in ["white", "pink", "babble"] {
            for snr in [-5.0, 10.0] {
                let noisy = mix(&speech, path, kind, snr, 1).expect("mixed");
                let noise: Vec<f32> = noisy.samples.iter().zip(&speech.samples).map(|(x, s)| x - s).collect();
                let energy = |x: &[f32]| x.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>();
                let got = 10.0 * (energy(&speech.samples) / energy(&noise)).log10();
                assert!((got - snr).abs() <= 1e-3, "{kind}: {got} dB");
                if kind != "babble" {
                    let got = si_sdr(&noisy.samples, &speech.samples);
                    assert!((got - snr).abs() <= 0.7, "{kind}: {got} dB");
                }
                assert_eq!(noisy.samples, mix(&speech, path, kind, snr, 1).expect("mixed").samples);
                assert_ne!(noisy.samples, mix(&speech, path, kind, snr, 2).expect("mixed").samples);
            }
        }
        let silence = Recording { samples: vec![0.0; 100], rate: 16_000 };
        let error = mix(&silence, path, "white", 0.0, 1).expect_err("silent").to_string();
        assert!(error.contains("speech.wav") && error.contains("silent"), "{error}");
        assert!(mix(&speech, path, "no.wav", 0.0, 1).expect_err("no file").to_string().contains("no.wav"));
    }

    #[test]
    fn pink_noise_falls_by_three_decibels_per_octave() {
        let noise = pink(1 << 18, &mut Rng::new(1));
        let mut stft = crate::stft::Stft::new(crate::stft::root_hann(4096), 2048);
        let mut power = vec![0.0f64; 2049];
        for chunk in noise.chunks(2048) {
            stft.analyze(chunk);
            power.iter_mut().zip(&stft.spectrum).for_each(|(p, c)| *p += f64::from(c.norm_sqr()));
        }
        let band = |low: usize| 10.0 * (power[low..2 * low].iter().sum::<f64>() / low as f64).log10();
        for low in [8, 16, 32, 64, 128, 256, 512] {
            let slope = band(2 * low) - band(low);
            assert!((slope + 3.0).abs() <= 1.2, "from bin {low}: {slope:.2} dB");
        }
    }
}
