//! Measures the time of the plug-in in an offline host, by block size, number of channels and sample rate.
//!
//! ```text
//! cargo run --release --example time -- [MODEL...]
//! ```

#[path = "../tests/common/mod.rs"]
mod common;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clack_host::events::io::EventBuffer;
use common::models::{Models, network};
use common::{Plugin, signal};
use wgru::io::{to_guitarml_blocking, to_nam_blocking, to_rtneural_blocking};
use wgru::nn::RecurrentConfig;

/// Numbers of samples of a block.
const BLOCKS: [usize; 4] = [32, 64, 128, 512];
/// Seconds of audio.
const SECONDS: f64 = 10.0;

/// Times of a model.
struct Times {
    /// Milliseconds until the first block can be processed.
    load: f64,
    /// Microseconds per block, ascending.
    blocks: Vec<f64>,
}

impl Times {
    fn measure(file: &Path, rate: f64, channels: u32, block: usize) -> Self {
        let start = Instant::now();
        let mut plugin = Plugin::with(file, rate, channels);
        let load = start.elapsed().as_secs_f64() * 1e3;
        let mut input: Vec<_> = (1..=channels).map(|seed| signal(block, seed)).collect();
        let (mut output, events) = (input.clone(), EventBuffer::new());
        let mut time = || {
            let mut from: Vec<_> = input.iter_mut().map(|x| &mut x[..]).collect();
            let mut to: Vec<_> = output.iter_mut().map(|y| &mut y[..]).collect();
            let start = Instant::now();
            plugin.block(&mut from, &mut to, &events);
            start.elapsed().as_secs_f64() * 1e6
        };
        let mut blocks: Vec<f64> = (0..(SECONDS * rate) as usize / block).map(|_| time()).collect();
        blocks.sort_by(f64::total_cmp);
        Self { load, blocks }
    }

    /// The time that a share of the blocks does not exceed.
    fn quantile(&self, share: f64) -> f64 {
        self.blocks[(share * self.blocks.len() as f64) as usize]
    }

    /// Processor time in percent of the duration of the audio.
    fn percent(&self) -> f64 {
        self.blocks.iter().sum::<f64>() / SECONDS / 1e4
    }
}

/// The same kinds and sizes of models as players of amplifiers use, with random weights.
fn usual(models: &Models) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let (gru, lstm) = (|units| RecurrentConfig::gru(1, units), |units| RecurrentConfig::lstm(1, units));
    let nam = to_nam_blocking(&network(RecurrentConfig { layers: 2, ..lstm(8) }, 1), Some(48_000.0))?;
    let mut files = vec![models.write("NAM, LSTM, 2 × 8.nam", nam)];
    for units in [16, 24] {
        let text = to_nam_blocking(&network(lstm(units), 1), Some(48_000.0))?;
        files.push(models.write(&format!("NAM, LSTM, {units}.nam"), text));
    }
    files.push(models.write("GuitarML, LSTM, 40.json", to_guitarml_blocking(&network(lstm(40), 1))?));
    for units in [8, 12, 16, 20, 32, 40] {
        let text = to_rtneural_blocking(&network(gru(units), 2))?;
        files.push(models.write(&format!("RTNeural, GRU, {units}.json"), text));
    }
    // The same GRU as a stack of layers, and as any graph of nodes.
    for (name, from) in [("ONNX, GRU, 20", models.onnx(2)), ("ONNX, GRU, 20, as a graph", models.onnx_graph(2))] {
        files.push(models.write(&format!("{name}.onnx"), std::fs::read(from)?));
    }
    Ok(files)
}

fn main() -> Result<(), Box<dyn Error>> {
    let (models, given) = (Models::new(), std::env::args_os().skip(1).map(PathBuf::from).collect::<Vec<_>>());
    let files = if given.is_empty() { usual(&models)? } else { given };
    let name = |file: &Path| file.file_stem().unwrap_or_default().to_string_lossy().into_owned();

    println!("µs per block at 48 kHz, p50 / p99, and processor time in % of real time\n");
    println!("| model | channels | {} |", BLOCKS.map(|block| format!("{block} samples")).join(" | "));
    println!("| --- | --: |{}", " --: |".repeat(BLOCKS.len()));
    for file in &files {
        for channels in [1, 2] {
            let cells = BLOCKS.map(|block| {
                let times = Times::measure(file, 48_000.0, channels, block);
                format!("{:.1} / {:.1}, {:.2} %", times.quantile(0.5), times.quantile(0.99), times.percent())
            });
            println!("| {} | {channels} | {} |", name(file), cells.join(" | "));
        }
    }

    println!("\nBlocks of 64 samples, two channels\n");
    println!("| model | host | load | µs per block, p50 | p99 | p99.9 | of real time |");
    println!("| --- | --: | --: | --: | --: | --: | --: |");
    for file in &files {
        for rate in [44_100.0, 48_000.0, 96_000.0] {
            let times = Times::measure(file, rate, 2, 64);
            let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|share| times.quantile(share));
            let (name, load, share) = (name(file), times.load, times.percent());
            let rate = rate / 1e3;
            println!("| {name} | {rate} kHz | {load:.1} ms | {p50:.1} | {p99:.1} | {p999:.1} | {share:.2} % |");
        }
    }
    Ok(())
}
