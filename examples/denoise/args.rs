//! The command line.

use std::path::PathBuf;

use clap::Parser;

const NOTES: &str = "\
The kind of the model is recognized from the file:
  DTLN     model_1.onnx and model_2.onnx, with two --model      16 kHz, delay 24 ms
  GTCRN    gtcrn_simple.onnx                                    16 kHz, delay 16 ms
  nsnet2   nsnet2-20ms-baseline.onnx                            16 kHz, delay 10 ms
  RNNoise  a text file (.rnnn), or weights.rnn of nnnoiseless   48 kHz, delay 10 ms

Recordings have one channel. They are resampled to the rate of the model and back, and the delay is removed.

With --mix, the first file is clean speech. Noise is added to it, and the result is compared with the speech.";

/// Removes noise from a recording of speech, frame by frame as in a call.
#[derive(Parser, Debug)]
#[command(name = "denoise", after_help = NOTES)]
pub struct Args {
    /// Recording to read (WAV, one channel), or a folder of recordings, which are read one after another
    #[arg(value_name = "NOISY.wav")]
    pub input: PathBuf,
    /// Recording to write
    #[arg(value_name = "CLEAN.wav")]
    pub output: PathBuf,
    /// File of the model; twice for the two halves of DTLN
    #[arg(long, value_name = "FILE", required = true)]
    pub model: Vec<PathBuf>,
    /// Add this noise to the first file: white, pink, babble, or a WAV file of the same rate
    #[arg(long, value_name = "NOISE", requires = "snr")]
    pub mix: Option<String>,
    /// Ratio of speech to noise for --mix, in decibels
    #[arg(long, value_name = "DB", requires = "mix", allow_negative_numbers = true, value_parser = decibels)]
    pub snr: Option<f64>,
    /// Write the mixture of --mix
    #[arg(long, value_name = "FILE", requires = "mix")]
    pub noisy: Option<PathBuf>,
    /// Seed of the noise
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Clean recording to compare with
    #[arg(long, value_name = "FILE", conflicts_with = "mix")]
    pub reference: Option<PathBuf>,
    /// Draw the spectrograms before and after
    #[arg(long, value_name = "FILE.svg")]
    pub plot: Option<PathBuf>,
    /// Print the results as JSON
    #[arg(long)]
    pub json: bool,
}

fn decibels(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "expected a number".to_string())?;
    match (-60.0..=60.0).contains(&value) {
        true => Ok(value),
        false => Err("expected −60 to 60 dB".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &str) -> Result<Args, String> {
        Args::try_parse_from(args.split(' ')).map_err(|e| e.to_string())
    }

    #[test]
    fn options_that_do_not_fit_together_are_refused() {
        let args = parse("denoise a.wav b.wav --model m.onnx --mix white --snr -5").expect("valid");
        assert_eq!((args.snr, args.mix.as_deref()), (Some(-5.0), Some("white")));
        for (bad, word) in [
            ("denoise a.wav b.wav", "--model"),
            ("denoise a.wav --model m.onnx", "CLEAN.wav"),
            ("denoise a.wav b.wav --model m.onnx --mix white", "--snr"),
            ("denoise a.wav b.wav --model m.onnx --mix white --snr loud", "expected a number"),
            ("denoise a.wav b.wav --model m.onnx --mix white --snr 99", "60 dB"),
            ("denoise a.wav b.wav --model m.onnx --mix white --snr 0 --reference c.wav", "--reference"),
        ] {
            let error = parse(bad).expect_err(bad);
            assert!(error.contains(word), "{bad}: {error}");
        }
    }
}
