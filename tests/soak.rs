//! Long runs: memory stays flat, results stay the same, and threads that share a device do not disturb each other.
//!
//! `WGRU_SOAK` is the part of the full counts to run: 1 in `scripts/proof.sh soak`, otherwise 0.001.
#![cfg(target_os = "linux")]

mod common;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use common::fill;
use indicatif::ProgressBar;
use wgru::io::onnx::{self, OnnxModel};
use wgru::io::{TensorFile, load_checkpoint, load_recurrent_blocking, recurrent_to_file, save_checkpoint_blocking};
use wgru::nn::{LastState, Linear, Mode, Module, RecurrentConfig, Sequential};
use wgru::train::{AdamConfig, HostData, Method, Optimizer, TrainOptions, Trainer, loss};
use wgru::{Device, Rng, Stream, StreamOptions, Tensor};

/// Most bytes that the process may grow from a tenth of a run to its end.
const GROWTH: usize = 1 << 20;

/// Waits for the other tests of this process: all of its memory is measured.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the part of `full` to run.
fn count(full: u64) -> u64 {
    let part = std::env::var("WGRU_SOAK").map_or(0.001, |part| part.parse().expect("WGRU_SOAK is a number"));
    (full as f64 * part).max(10.0) as u64
}

/// Bytes of this process in physical memory.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    text.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("a number of pages") * 4096
}

/// Calls `work` with 0, 1, … `times`, and asserts that memory stays flat.
fn soak(name: &str, times: u64, mut work: impl FnMut(u64)) {
    let (start, bar) = (Instant::now(), ProgressBar::new(times).with_message(name.to_string()));
    let mut sizes = Vec::new();
    for time in 0..times {
        work(time);
        if (time + 1) % (times / 10) == 0 {
            sizes.push(resident());
            bar.set_position(time + 1);
        }
    }
    bar.finish_and_clear();
    let kib: Vec<usize> = sizes.iter().map(|size| size >> 10).collect();
    println!("{name}: {times} times in {:.1?}; KiB after each tenth: {kib:?}", start.elapsed());
    assert!(sizes[sizes.len() - 1] <= sizes[0] + GROWTH, "{name}: memory grew: {kib:?} KiB");
}

fn bits(model: &dyn Module) -> Vec<u32> {
    model.parameters().iter().flat_map(|(_, t)| t.read_blocking().expect("read")).map(f32::to_bits).collect()
}

#[test]
fn a_billion_steps_of_a_stream_keep_memory_flat_and_do_not_drift() {
    let _alone = alone();
    const FRAMES: usize = 1000;
    let device = Device::cpu();
    let layer = RecurrentConfig::gru(1, 8).build(&device, &mut Rng::new(1)).expect("gru");
    let head = Linear::new(&device, 8, 1, true, &mut Rng::new(2)).expect("linear");
    let fresh = || Stream::new(&layer, StreamOptions::default()).and_then(|s| s.then(&head)).expect("a stream");
    // One period, so that all blocks have the same output once the first state is forgotten.
    let (x, mut want, mut out) = (fill(3, FRAMES, 1.0), vec![0.0; FRAMES], vec![0.0; FRAMES]);
    let mut settled = fresh();
    (0..20).for_each(|_| settled.process(&x, &mut want).expect("a block"));
    let mut stream = fresh();
    soak("blocks of 1,000 frames", count(1_000_000_000) / FRAMES as u64, |_| {
        stream.process(&x, &mut out).expect("a block");
    });
    let worst = out.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    println!("largest difference from the 20th block: {worst:e}");
    assert!(out.iter().all(|v| v.is_finite()) && worst <= 1e-6, "drifted by {worst}");
}

#[test]
fn models_loaded_and_dropped_keep_memory_flat() {
    let _alone = alone();
    let device = Device::cpu();
    let layer = RecurrentConfig::gru(3, 5).build(&device, &mut Rng::new(1)).expect("gru");
    let bytes = pollster::block_on(recurrent_to_file(&layer)).and_then(|file| file.to_bytes()).expect("bytes");
    let model = Sequential::new().push("gru", layer).push("last", LastState::default());
    let input = onnx::Input::new("x", [4, 2, 3].map(onnx::Extent::Fixed).to_vec());
    let onnx = onnx::export_blocking(&model, &input).expect("exported");
    let x = Tensor::from_slice(&device, &fill(2, 4 * 2 * 3, 1.0), &[4, 2, 3]).expect("x");
    let load = || {
        let file = TensorFile::from_bytes("layer", &bytes).expect("read");
        let layer = load_recurrent_blocking(&device, &file).expect("a layer");
        let y = layer.forward(&x).and_then(|y| y.read_blocking()).expect("run");
        let model = OnnxModel::load(&device, &onnx).expect("a model");
        let outputs = model.run(&[("x", x.clone().into())]).expect("run");
        (y, outputs[0].1.as_tensor().and_then(|t| t.read_blocking()).expect("read"))
    };
    let want = load();
    soak("models loaded and dropped", count(100_000), |_| assert!(load() == want, "another result"));
}

#[test]
fn training_restarts_keep_memory_flat_and_lose_nothing() {
    let _alone = alone();
    let device = Device::cpu();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("run.safetensors");
    let targets: Vec<f32> = fill(2, 8, 1.0);
    let data = HostData::new(&device, fill(1, 8 * 3, 1.0), &[3, 1]).and_then(|data| data.with_targets(targets, &[1]));
    let data = data.expect("data");
    let fresh = |epochs| {
        let mut rng = Rng::new(4);
        let gru = RecurrentConfig { batch_first: true, ..RecurrentConfig::gru(1, 4) };
        let model = Sequential::new()
            .push("gru", gru.build(&device, &mut rng).expect("gru"))
            .push("last", LastState { batch_first: true, ..LastState::default() })
            .push("head", Linear::new(&device, 4, 1, true, &mut rng).expect("head"));
        let optimizer = Optimizer::new(model.parameters(), Method::Adam(AdamConfig::default()), 1e-3);
        let options = TrainOptions { epochs, batch: 4, ..TrainOptions::default() };
        (Trainer::new(optimizer.expect("adam"), options, rng), model)
    };
    let restarts = count(10_000);
    let mut last = Vec::new();
    soak("restarts of a training run", restarts, |done| {
        let (mut trainer, model) = fresh(done as usize + 1);
        if done > 0 {
            load_checkpoint(&mut trainer, &model, &TensorFile::open(&path).expect("a checkpoint")).expect("resumed");
        }
        trainer.fit_blocking(&model, &data, None, loss::mse).expect("trained");
        save_checkpoint_blocking(&trainer, &model, &path).expect("saved");
        last = bits(&model);
    });
    let (mut trainer, model) = fresh(restarts as usize);
    trainer.fit_blocking(&model, &data, None, loss::mse).expect("trained");
    assert_eq!(last, bits(&model), "other weights than without restarts");
}

on_every_backend![eight_threads_get_the_bits_of_one];

/// Each thread runs a layer that all share, and trains one of its own.
fn eight_threads_get_the_bits_of_one(device: &Device) {
    let _alone = alone();
    let layer = RecurrentConfig::lstm(5, 40).build(device, &mut Rng::new(1)).expect("lstm");
    let work = |seed: u32| {
        let x = Tensor::from_slice(device, &fill(seed, 6 * 9 * 5, 1.0), &[6, 9, 5]).expect("x");
        let run = layer.forward(&x).and_then(|y| y.read_blocking()).expect("run");
        let own = RecurrentConfig::gru(5, 7).build(device, &mut Rng::new(seed.into())).expect("gru");
        let mut optimizer = Optimizer::adam(own.parameters(), 1e-2).expect("adam");
        for _ in 0..3 {
            optimizer.zero_grad();
            let y = own.forward_with(&x, &mut Mode::Train(&mut Rng::new(seed.into()))).expect("forward");
            y.square().and_then(|y| y.mean()).and_then(|l| l.backward()).expect("backward");
            optimizer.step().expect("step");
        }
        (run.iter().map(|v| v.to_bits()).collect::<Vec<_>>(), bits(&own))
    };
    let want: Vec<_> = (0..8).map(work).collect();
    assert!(want.windows(2).all(|two| two[0] != two[1]), "all threads have the same work");
    let rounds = count(3000);
    std::thread::scope(|scope| {
        for (seed, want) in want.iter().enumerate() {
            let work = &work;
            scope.spawn(move || {
                for round in 0..rounds {
                    assert!(work(seed as u32) == *want, "thread {seed}, round {round}: other bits than alone");
                }
            });
        }
    });
}
