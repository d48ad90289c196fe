//! Measures the time of the plug-in in an offline host, with stereo blocks of 64 samples.
//!
//! ```text
//! cargo run --release --example time -- [MODEL...]
//! ```

#[path = "../tests/common/mod.rs"]
mod common;

use std::path::PathBuf;
use std::time::Instant;

use clack_host::events::io::EventBuffer;
use common::models::Models;
use common::{Plugin, signal};

/// Number of samples of a block.
const BLOCK: usize = 64;
/// Seconds of audio.
const SECONDS: usize = 20;

fn main() {
    let (models, given) = (Models::new(), std::env::args_os().skip(1).map(PathBuf::from).collect::<Vec<_>>());
    let own = vec![models.nam(1, 48_000.0), models.rtneural(2), models.onnx(2)];
    let files = if given.is_empty() { own } else { given };
    println!("| model | host | load | block, p50 | p99 | p99.9 | of real time |");
    println!("| --- | --: | --: | --: | --: | --: | --: |");
    for file in &files {
        for rate in [44_100, 48_000, 96_000] {
            let start = Instant::now();
            let mut plugin = Plugin::with(file, f64::from(rate), 2);
            let load = start.elapsed();
            let (mut x, mut y) = ([signal(BLOCK, 1), signal(BLOCK, 2)], [vec![0.0; BLOCK], vec![0.0; BLOCK]]);
            let (blocks, events) = (SECONDS * rate as usize / BLOCK, EventBuffer::new());
            let mut times: Vec<f64> = (0..blocks)
                .map(|_| {
                    let ([a, b], [c, d]) = (&mut x, &mut y);
                    let start = Instant::now();
                    plugin.block(&mut [a, b], &mut [c, d], &events);
                    start.elapsed().as_secs_f64() * 1e6
                })
                .collect();
            let total: f64 = times.iter().sum();
            times.sort_by(f64::total_cmp);
            let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|share| times[(share * blocks as f64) as usize]);
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            let (load, share) = (load.as_secs_f64() * 1e3, total / 1e4 / SECONDS as f64);
            let rate = f64::from(rate) / 1e3;
            println!("| {name} | {rate} kHz | {load:.0} ms | {p50:.1} µs | {p99:.1} | {p999:.1} | {share:.2} % |");
        }
    }
}
