//! Recordings of one channel.

use std::collections::BTreeSet;
use std::path::Path;

use hound::{SampleFormat, WavReader, WavSpec, WavWriter};

use crate::failure::{Failure, Result};

/// Pause between the recordings of a folder, in seconds.
const PAUSE: f64 = 0.25;
/// Sample rates that are read.
const RATES: std::ops::RangeInclusive<u32> = 4_000..=384_000;

/// Samples from −1 to 1, and their rate in Hz.
#[derive(Clone, Debug)]
pub struct Recording {
    pub samples: Vec<f32>,
    pub rate: u32,
}

impl Recording {
    /// Reads a file, or the WAV files of a folder one after another in the order of their names, with pauses.
    ///
    /// # Errors
    /// If a file cannot be read, if it has several channels, no samples, or samples that are not finite, for rates
    /// outside 4 to 384 kHz, and for different rates in a folder.
    pub fn read(path: &Path) -> Result<Self> {
        if !path.is_dir() {
            return Self::read_file(path);
        }
        let entries = std::fs::read_dir(path).map_err(Failure::io(path))?;
        let files: std::io::Result<BTreeSet<_>> = entries.map(|entry| Ok(entry?.path())).collect();
        let files = files.map_err(Failure::io(path))?;
        let mut all: Option<Self> = None;
        for file in files.iter().filter(|file| file.extension().is_some_and(|e| e.eq_ignore_ascii_case("wav"))) {
            let next = Self::read_file(file)?;
            let all = all.get_or_insert(Self { samples: Vec::new(), rate: next.rate });
            if next.rate != all.rate {
                let expected = format!("{} Hz as in the other recordings of the folder", all.rate);
                return Err(Failure::Rate { path: file.clone(), expected, got: next.rate });
            }
            all.samples.extend(next.samples);
            all.samples.resize(all.samples.len() + (PAUSE * f64::from(all.rate)) as usize, 0.0);
        }
        all.ok_or_else(|| Failure::Empty { path: path.into() })
    }

    fn read_file(path: &Path) -> Result<Self> {
        let mut reader = WavReader::open(path).map_err(Failure::wav(path))?;
        let spec = reader.spec();
        if spec.channels != 1 {
            return Err(Failure::Channels { path: path.into(), channels: spec.channels });
        }
        if !RATES.contains(&spec.sample_rate) {
            let expected = format!("{} to {} Hz", RATES.start(), RATES.end());
            return Err(Failure::Rate { path: path.into(), expected, got: spec.sample_rate });
        }
        let samples: hound::Result<Vec<f32>> = match spec.sample_format {
            SampleFormat::Float => reader.samples::<f32>().collect(),
            SampleFormat::Int => {
                let scale = 0.5f32.powi(i32::from(spec.bits_per_sample) - 1);
                reader.samples::<i32>().map(|s| s.map(|s| s as f32 * scale)).collect()
            }
        };
        let samples = samples.map_err(Failure::wav(path))?;
        if samples.is_empty() {
            return Err(Failure::Empty { path: path.into() });
        }
        if let Some(at) = samples.iter().position(|s| !s.is_finite()) {
            return Err(Failure::NotFinite { path: path.into(), at, value: samples[at] });
        }
        Ok(Self { samples, rate: spec.sample_rate })
    }

    /// Writes floats of 32 bits, so that nothing is clipped or rounded.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let (bits_per_sample, sample_format) = (32, SampleFormat::Float);
        let spec = WavSpec { channels: 1, sample_rate: self.rate, bits_per_sample, sample_format };
        let mut writer = WavWriter::create(path, spec).map_err(Failure::wav(path))?;
        self.samples.iter().try_for_each(|s| writer.write_sample(*s)).map_err(Failure::wav(path))?;
        writer.finalize().map_err(Failure::wav(path))
    }

    pub fn seconds(&self) -> f64 {
        self.samples.len() as f64 / f64::from(self.rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(spec: WavSpec, samples: &[f32]) -> Result<Recording> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.wav");
        let mut writer = WavWriter::create(&path, spec).expect("a file");
        samples.iter().for_each(|s| writer.write_sample(*s).expect("written"));
        writer.finalize().expect("written");
        Recording::read(&path)
    }

    #[test]
    fn recordings_are_read_as_they_were_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.wav");
        let recording = Recording { samples: vec![0.0, 0.5, -1.25], rate: 16_000 };
        recording.write(&path).expect("written");
        let read = Recording::read(&path).expect("read");
        assert_eq!((&read.samples, read.rate), (&recording.samples, 16_000));
        recording.write(&folder.path().join("b.WAV")).expect("written");
        std::fs::write(folder.path().join("c.txt"), "no recording").expect("written");
        let both = Recording::read(folder.path()).expect("read");
        assert_eq!(both.samples.len(), 2 * (3 + 4_000));
        assert_eq!((both.samples[2], both.samples[4003 + 2]), (-1.25, -1.25));
        Recording { rate: 8_000, ..recording }.write(&folder.path().join("d.wav")).expect("written");
        let error = Recording::read(folder.path()).expect_err("two rates").to_string();
        assert!(error.contains("d.wav") && error.contains("8000 Hz"), "{error}");
    }

    #[test]
    fn unusable_recordings_are_refused_with_the_reason() {
        let spec = |channels, sample_rate| WavSpec {
            channels,
            sample_rate,
            bits_per_sample: 32,
            sample_format: SampleFormat::Float,
        };
        let error = |result: Result<Recording>| result.expect_err("refused").to_string();
        assert!(error(written(spec(2, 16_000), &[0.0; 4])).contains("one channel, got 2"));
        assert!(error(written(spec(1, 2_000), &[0.0; 4])).contains("got 2000 Hz"));
        assert!(error(written(spec(1, 16_000), &[])).contains("empty"));
        assert!(error(written(spec(1, 16_000), &[0.0, f32::NAN])).contains("sample 1 is NaN"));
        assert!(error(Recording::read(tempfile::tempdir().expect("a folder").path())).contains("empty"));
        assert!(error(Recording::read(Path::new("no/such.wav"))).contains("no/such.wav"));
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.wav");
        std::fs::write(&path, "not a recording").expect("written");
        assert!(error(Recording::read(&path)).contains("not a WAV file"));
    }
}
