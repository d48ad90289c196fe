//! Recordings, read from a folder or synthesized.

use std::collections::BTreeSet;
use std::f32::consts::TAU;
use std::path::Path;

use wgru::Rng;

use crate::Result;

/// Samples per second.
pub const RATE: u32 = 8000;
/// Maximum length of a recording, in samples: ten seconds.
const LONGEST: u32 = 10 * RATE;

/// One spoken digit.
pub struct Recording {
    pub digit: u8,
    pub speaker: String,
    pub take: u32,
    /// Samples from −1 to 1.
    pub samples: Vec<f32>,
}

/// Parses the stem `{digit}_{speaker}_{take}` of a file's name; `None` for any other.
fn parse(stem: &str) -> Option<(u8, &str, u32)> {
    let (digit, rest) = stem.split_once('_')?;
    let (speaker, take) = rest.rsplit_once('_')?;
    let digit = digit.parse().ok().filter(|d| *d < 10)?;
    Some((digit, speaker, take.parse().ok()?))
}

/// Reads the recordings of a folder, sorted by name.
///
/// # Errors
/// If the folder or a file cannot be read, if there are no recordings, and if one is too long or not mono at 8 kHz.
pub fn read(folder: &Path) -> Result<Vec<Recording>> {
    let explain = |e: &dyn std::fmt::Display, path: &Path| format!("{}: {e}", path.display());
    let entries = std::fs::read_dir(folder).map_err(|e| explain(&e, folder))?;
    let paths: std::io::Result<BTreeSet<_>> = entries.map(|entry| Ok(entry?.path())).collect();
    let mut recordings = Vec::new();
    for path in paths.map_err(|e| explain(&e, folder))? {
        let stem = path.file_stem().and_then(|s| s.to_str()).filter(|_| path.extension().is_some_and(|e| e == "wav"));
        if let Some((digit, speaker, take)) = stem.and_then(parse) {
            let samples = samples(&path).map_err(|e| explain(&e, &path))?;
            recordings.push(Recording { digit, speaker: speaker.into(), take, samples });
        }
    }
    if recordings.is_empty() {
        return Err(format!("{}: no file is named {{digit}}_{{speaker}}_{{take}}.wav", folder.display()).into());
    }
    Ok(recordings)
}

fn samples(path: &Path) -> Result<Vec<f32>> {
    let mut reader = hound::WavReader::open(path)?;
    let spec = reader.spec();
    if (spec.channels, spec.sample_rate) != (1, RATE) {
        let (channels, rate) = (spec.channels, spec.sample_rate);
        return Err(format!("expected 1 channel at {RATE} Hz, got {channels} at {rate} Hz").into());
    }
    if reader.duration() > LONGEST {
        return Err(format!("expected at most {} s", LONGEST / RATE).into());
    }
    let samples: hound::Result<Vec<f32>> = match spec.sample_format {
        hound::SampleFormat::Float => reader.samples::<f32>().collect(),
        hound::SampleFormat::Int => {
            let scale = 0.5f32.powi(i32::from(spec.bits_per_sample) - 1);
            reader.samples::<i32>().map(|s| s.map(|s| s as f32 * scale)).collect()
        }
    };
    Ok(samples?)
}

/// The two tones of a digit on a telephone's keys, in Hz.
const KEYS: [(f32, f32); 10] = [
    (941.0, 1336.0),
    (697.0, 1209.0),
    (697.0, 1336.0),
    (697.0, 1477.0),
    (770.0, 1209.0),
    (770.0, 1336.0),
    (770.0, 1477.0),
    (852.0, 1209.0),
    (852.0, 1336.0),
    (852.0, 1477.0),
];

/// Synthesizes tone digits of three "speakers", each with its own pitch, takes 5 to 24, in noise.
pub fn synthetic(seed: u64) -> Vec<Recording> {
    let mut rng = Rng::new(seed ^ 0x0070_6e65);
    let mut recordings = Vec::new();
    for (speaker, pitch) in [("low", 0.98), ("middle", 1.0), ("high", 1.02)] {
        for take in 5..25 {
            for (digit, (row, column)) in KEYS.into_iter().enumerate() {
                let len = (rng.uniform(0.15, 0.45) * RATE as f32) as usize;
                let (volume, detune) = (rng.uniform(0.05, 0.3), pitch * rng.uniform(0.995, 1.005));
                let sample = |i: usize| {
                    let tone = |f: f32| (TAU * f * detune * i as f32 / RATE as f32).sin();
                    let fade = (i.min(len - 1 - i) as f32 / 200.0).min(1.0);
                    volume * fade * (tone(row) + tone(column))
                };
                let samples = (0..len).map(|i| sample(i) + 0.02 * rng.normal()).collect();
                recordings.push(Recording { digit: digit as u8, speaker: speaker.into(), take, samples });
            }
        }
    }
    recordings
}

/// Splits the recordings into training and test. The test set is takes 5 to 9, or all recordings of one speaker.
///
/// # Errors
/// If either part is empty.
pub fn split(recordings: Vec<Recording>, speaker: Option<&str>) -> Result<[Vec<Recording>; 2]> {
    let names: BTreeSet<String> = recordings.iter().map(|r| r.speaker.clone()).collect();
    let is_test = |r: &Recording| speaker.map_or((5..10).contains(&r.take), |name| r.speaker == name);
    let (test, train): (Vec<_>, Vec<_>) = recordings.into_iter().partition(is_test);
    if test.is_empty() || train.is_empty() {
        let what = speaker.map_or("takes 5 to 9".into(), |name| format!("speaker {name}"));
        return Err(format!("{what} leaves no training or no test recordings; speakers: {names:?}").into());
    }
    Ok([train, test])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_parsed() {
        assert_eq!(parse("7_george_12"), Some((7, "george", 12)));
        assert_eq!(parse("0_two_names_0"), Some((0, "two_names", 0)));
        for bad in ["", "7", "7_george", "x_george_1", "10_george_1", "7_george_x", "-1_a_1"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn recordings_are_read_as_they_were_written() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, rate: u32| {
            let spec = hound::WavSpec {
                channels: 1,
                sample_rate: rate,
                bits_per_sample: 16,
                sample_format: hound::SampleFormat::Int,
            };
            let mut writer = hound::WavWriter::create(folder.path().join(name), spec).unwrap();
            [0i16, 16384, -32768].iter().for_each(|s| writer.write_sample(*s).unwrap());
            writer.finalize().unwrap();
        };
        assert!(read(folder.path()).err().unwrap().to_string().contains("no file"));
        write("3_ann_5.wav", RATE);
        std::fs::write(folder.path().join("notes.txt"), "not a recording").unwrap();
        let recordings = read(folder.path()).unwrap();
        assert_eq!((recordings.len(), recordings[0].digit, recordings[0].take), (1, 3, 5));
        assert_eq!(recordings[0].samples, [0.0, 0.5, -1.0]);
        assert!(split(recordings, None).is_err());
        write("4_ann_5.wav", 16000);
        assert!(read(folder.path()).err().unwrap().to_string().contains("4_ann_5.wav"));
        std::fs::write(folder.path().join("4_ann_5.wav"), b"RIFF").unwrap();
        assert!(read(folder.path()).is_err());
    }
}
