//! The chain plan takes exactly one dispatch per step (two with reset before) for all directions together, and is cheap
//! to record. Most tests run on wgpu's noop backend, which validates and records everything but computes nothing.
#![cfg(feature = "gpu")]

use std::time::{Duration, Instant};

use wgru::nn::{Mode, Module, RecurrentConfig, RunOptions};
use wgru::ops::recurrent::Plan;
use wgru::train::{Method, Optimizer, SgdConfig};
use wgru::{Cell, Device, GpuOptions, Pacing, Rng, Tensor, wgpu};

fn noop() -> Device {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::NOOP;
    descriptor.backend_options.noop = wgpu::NoopBackendOptions::enabled();
    let instance = wgpu::Instance::new(descriptor);
    let adapter = pollster::block_on(instance.request_adapter(&Default::default())).expect("noop adapter");
    let (device, queue) = pollster::block_on(adapter.request_device(&Default::default())).expect("noop device");
    let options = GpuOptions { pacing: Pacing::Off, ..GpuOptions::default() };
    Device::from_wgpu_with(&adapter, device, queue, options).expect("adopted")
}

/// Returns the number of dispatches recorded by one run of `steps` steps.
fn dispatches(device: &Device, cell: Cell, steps: usize, bidirectional: bool, plan: Plan) -> usize {
    let config = RecurrentConfig { bidirectional, plan: Some(plan), ..RecurrentConfig::new(cell, 4, 8) };
    let gru = config.build(device, &mut Rng::new(0)).expect("gru");
    let x = Tensor::zeros(device, &[steps, 2, 4]).expect("x");
    device.flush().expect("flush");
    // Kept alive, since work whose results are dropped is not submitted.
    let _y = gru.run(&x, RunOptions::default(), &mut Mode::Eval).expect("run");
    let count = device.pending();
    device.flush().expect("flush");
    count
}

#[test]
fn chain_is_one_dispatch_a_step_for_all_directions() {
    let device = noop();
    for bidirectional in [false, true] {
        for cell in Cell::ALL {
            let per_step = 1 + (cell == Cell::GruResetBefore) as usize;
            let count = |steps| dispatches(&device, cell, steps, bidirectional, Plan::Chain);
            // Work that does not depend on the steps (packing, projection, states) cancels out in the difference.
            assert_eq!(count(101) - count(1), 100 * per_step, "{cell}, bidirectional {bidirectional}");
        }
    }
}

/// The second layer starts once the first has finished a chunk of 32 steps. Each chunk costs a product and its
/// bookkeeping.
#[test]
fn two_layers_take_about_as_many_dispatches_as_one() {
    let device = noop();
    let dispatches = |layers: usize| {
        let config = RecurrentConfig { layers, plan: Some(Plan::Chain), ..RecurrentConfig::gru(8, 96) };
        let gru = config.build(&device, &mut Rng::new(0)).expect("gru");
        let x = Tensor::zeros(&device, &[256, 1, 8]).expect("x");
        device.flush().expect("flush");
        gru.forward(&x).expect("run");
        device.pending()
    };
    let (one, two) = (dispatches(1), dispatches(2));
    assert!(one >= 256 && two < one + 32 + 24, "{one} and {two} dispatches");
}

#[test]
fn a_chain_longer_than_a_submission_matches_the_twins() {
    let Some(device) = crate::common::gpu() else { return eprintln!("SKIPPED: no adapter") };
    let run = |device: &Device| {
        let config = RecurrentConfig { plan: Some(Plan::Chain), ..RecurrentConfig::gru(1, 2) };
        let gru = config.build(device, &mut Rng::new(7)).expect("gru");
        let x = Tensor::from_slice(device, &crate::common::fill(1, 9_000, 1.0), &[9_000, 1, 1]).expect("x");
        gru.run(&x, RunOptions::default(), &mut Mode::Eval).expect("run").output.read_blocking().expect("read")
    };
    let want: Vec<f64> = run(&crate::common::twin()).iter().map(|&v| v as f64).collect();
    crate::common::assert_close("9,000 steps", &run(&device), &want, 2e-6);
}

#[test]
fn whole_sequence_is_one_dispatch() {
    let device = noop();
    for cell in [Cell::Gru, Cell::Lstm, Cell::Rnn, Cell::RnnRelu] {
        let count = |steps, plan| dispatches(&device, cell, steps, true, plan);
        assert_eq!(count(101, Plan::Whole), count(1, Plan::Whole), "{cell}");
        // A chain of one step is one dispatch, and everything around it is the same.
        assert_eq!(count(101, Plan::Whole), count(1, Plan::Chain), "{cell}");
    }
}

/// llvmpipe ends all loops of an invocation after 65,535 iterations; a step of 8 units counts as 57.
#[test]
fn a_long_sequence_takes_several_dispatches() {
    let device = noop();
    let count = |steps| dispatches(&device, Cell::Gru, steps, false, Plan::Whole);
    assert_eq!(count(1149), count(1));
    assert_eq!(count(1150), count(1) + 1);
    assert_eq!(count(5 * 1149), count(1) + 4);
}

/// A step of one sequence computes little, but on a GPU it waits for memory in every iteration of its loops. An hour of
/// audio, 350,000 steps, would be one submission of seconds, for which a watchdog may reset the GPU.
#[test]
fn a_long_sequence_takes_several_submissions() {
    let device = noop();
    let left = |steps| dispatches(&device, Cell::Gru, steps, false, Plan::Whole);
    // Every dispatch has 1149 steps, as above, so all of them are submitted but the last few.
    let (all, last) = (350_000 / 1149, left(350_000));
    assert!(last < all / 6, "{last} of {all} dispatches are left after the last full submission");
    assert_eq!(left(5 * 1149), left(1) + 4, "a minute is submitted as a whole");
}

/// Outputs, last states and gradients are correct where an invocation's loops would be too long for llvmpipe in one
/// dispatch.
#[test]
fn long_loops_match_the_cpu() {
    let Some(device) = crate::common::gpu() else { return eprintln!("SKIPPED: no adapter") };
    let (steps, hidden) = (230, 144);
    let x = crate::common::fill(1, steps * 3, 1.0);
    let run = |device: &Device, cell: Cell| -> wgru::Result<Vec<Vec<f32>>> {
        let (rng, plan) = (&mut Rng::new(7), Some(Plan::Whole));
        let x = Tensor::from_slice(device, &x, &[steps, 1, 3])?.requires_grad();
        let layer = RecurrentConfig { plan, ..RecurrentConfig::new(cell, 3, hidden) }.build(device, rng)?;
        let y = layer.forward_with(&x, &mut Mode::Train(rng))?;
        y.square()?.sum()?.backward()?;
        let gradients = layer.parameters();
        let gradients = gradients.iter().map(|(_, p)| p).chain([&x]).map(|t| t.grad().expect("a gradient"));
        std::iter::once(y.detach()).chain(gradients).map(|t| t.read_blocking()).collect()
    };
    for cell in [Cell::Gru, Cell::GruResetBefore, Cell::Lstm] {
        let want = run(&Device::cpu(), cell).expect("the CPU");
        for (i, (got, want)) in run(&device, cell).expect("the GPU").iter().zip(&want).enumerate() {
            let want: Vec<f64> = want.iter().map(|&v| v as f64).collect();
            crate::common::assert_close(&format!("{cell}, tensor {i}"), got, &want, 2e-5);
        }
    }
}

#[test]
fn loops_that_an_adapter_would_end_are_refused() {
    let Some(device) = crate::common::gpu() else { return eprintln!("SKIPPED: no adapter") };
    let most = device.info().adapter.as_ref().map_or(u64::MAX, |a| a.max_loops);
    let rows = |classes: usize| {
        let x = Tensor::full(&device, 1.0, &[1, classes])?;
        x.softmax()?.read_blocking()
    };
    let even = |classes: usize| rows(classes).is_ok_and(|y| y.iter().all(|v| (v * classes as f32 - 1.0).abs() < 1e-3));
    assert!(even(20_000));
    if most == u64::MAX {
        return assert!(even(30_000));
    }
    let error = rows(30_000).expect_err("three loops of 30,000").to_string();
    assert!(error.contains("softmax") && error.contains("loops"), "{error}");
}

/// This also holds backward, and where the two halves of a step pass on their gates.
#[test]
fn long_sequences_on_the_whole_plan_match_the_twins() {
    let Some(device) = crate::common::gpu() else { return eprintln!("SKIPPED: no adapter") };
    for cell in Cell::ALL {
        let run = |device: &Device| {
            let config = RecurrentConfig { plan: Some(Plan::Whole), ..RecurrentConfig::new(cell, 1, 2) };
            let gru = config.build(device, &mut Rng::new(7)).expect("gru");
            let x = Tensor::from_slice(device, &crate::common::fill(1, 4_100, 1.0), &[4_100, 1, 1]).expect("x");
            let x = x.requires_grad();
            let eval = gru.run(&x, RunOptions::default(), &mut Mode::Eval).expect("run").output;
            let y = gru.run(&x, RunOptions::default(), &mut Mode::Train(&mut Rng::new(0))).expect("run").output;
            y.square().and_then(|y| y.mean()).and_then(|l| l.backward()).expect("backward");
            [eval.read_blocking().expect("read"), x.grad().expect("a gradient").read_blocking().expect("read")]
        };
        for (got, want) in run(&device).into_iter().zip(run(&crate::common::twin())) {
            let want: Vec<f64> = want.iter().map(|&v| v as f64).collect();
            crate::common::assert_close(&cell.to_string(), &got, &want, 2e-6);
        }
    }
}

#[test]
fn a_forward_pass_submits_nothing() {
    let device = noop();
    assert!(dispatches(&device, Cell::Gru, 500, false, Plan::Chain) >= 500, "the forward pass submitted work");
}

/// Prints the cost per step of recording, encoding and submitting; the goal is 0.5 µs. To see it, run
/// `cargo test --release --test device recording -- --nocapture`. Only asserts how the cost grows: ten times the steps, at
/// most thirty times the cost.
#[test]
fn recording_cost_is_linear_in_the_steps() {
    let device = noop();
    let config = RecurrentConfig { plan: Some(Plan::Chain), ..RecurrentConfig::gru(4, 8) };
    let gru = config.build(&device, &mut Rng::new(0)).expect("gru");
    let time = |steps: usize| -> Duration {
        let x = Tensor::zeros(&device, &[steps, 2, 4]).expect("x");
        let best = (0..7).map(|_| {
            device.flush().expect("flush");
            let start = Instant::now();
            let _y = gru.run(&x, RunOptions::default(), &mut Mode::Eval).expect("run");
            device.flush().expect("flush");
            start.elapsed()
        });
        best.min().expect("seven runs")
    };
    let (short, long) = (time(200), time(2000));
    println!("recorded, encoded and submitted: {:.3} µs a step", (long - short).as_secs_f64() * 1e6 / 1800.0);
    assert!(long < 30 * short, "{short:?} for 200 steps, {long:?} for 2000");
}

/// Keeps drivers from taking a slow adapter for a hung one: recorded work is submitted once it is large, whatever its
/// number of dispatches. 1,024³ multiply-adds are a sixteenth of the limit of one submission.
#[test]
fn large_work_is_submitted_in_parts() {
    let device = noop();
    let x = Tensor::zeros(&device, &[1024, 1024]).expect("x");
    device.flush().expect("flush");
    let mut products = Vec::new();
    let pending: Vec<usize> = (0..40)
        .map(|_| {
            products.push(x.linear(&x, None).expect("product"));
            device.pending()
        })
        .collect();
    assert_eq!(pending[14], 15, "fifteen products are pending");
    let most = *pending.iter().max().expect("forty");
    assert!((15..=17).contains(&most), "{most} products in one submission");
    assert!(pending[39] < 10, "submitted twice by then: {pending:?}");
}

/// Consecutive training steps allocate no buffers, since dropped ones are reused.
#[test]
fn steady_training_allocates_no_buffers() {
    let Some(device) = crate::common::gpu() else { return eprintln!("SKIPPED: no adapter") };
    for (hidden, bidirectional) in [(8, true), (72, false)] {
        let config = RecurrentConfig { layers: 2, bidirectional, ..RecurrentConfig::gru(5, hidden) };
        let gru = config.build(&device, &mut Rng::new(3)).expect("gru");
        let mut optimizer = Optimizer::new(gru.parameters(), Method::Sgd(SgdConfig::default()), 1e-2).expect("sgd");
        let mut rng = Rng::new(4);
        let mut step = |i: u32| {
            let x = Tensor::from_slice(&device, &crate::common::fill(i, 6 * 3 * 5, 1.0), &[6, 3, 5]).expect("x");
            let y = gru.run(&x, RunOptions::default(), &mut Mode::Train(&mut rng)).expect("run").output;
            let loss = y.square().and_then(|y| y.mean()).expect("loss");
            loss.backward().expect("backward");
            optimizer.step().expect("step");
            optimizer.zero_grad();
            loss.read_blocking().expect("read")
        };
        (0..3).for_each(|i| _ = step(i));
        let made = device.buffers_made();
        assert!(made > 10, "only {made} buffers were counted");
        (3..50).for_each(|i| _ = step(i));
        assert_eq!(device.buffers_made(), made, "47 more steps allocated buffers");
    }
}

#[test]
fn timestamps_name_every_dispatch() {
    if crate::common::gpu().is_none() {
        return eprintln!("SKIPPED: no adapter");
    }
    let options = GpuOptions { timestamps: true, ..GpuOptions::default() };
    let device = match pollster::block_on(Device::gpu_with(options)) {
        Ok(device) => device,
        Err(wgru::Error::Value { arg: "timestamps", .. }) => {
            return eprintln!("SKIPPED: the adapter has no timestamps");
        }
        Err(error) => panic!("{error}"),
    };
    let x = Tensor::from_slice(&device, &crate::common::fill(1, 12, 1.0), &[3, 4]).expect("x");
    let y = Tensor::from_slice(&device, &crate::common::fill(2, 8, 1.0), &[4, 2]).expect("y");
    // More than the number of queries of one submission.
    let products = 2500;
    (0..products).for_each(|_| _ = x.matmul(&y).expect("product"));
    let times = device.take_times_blocking().expect("times");
    let of = |kernel: &str| times.iter().filter(|t| t.kernel.starts_with(kernel)).count();
    assert_eq!(of("matmul"), products);
    assert!(times.iter().all(|t| t.duration >= 0.0 && t.start > 0.0) && times.iter().any(|t| t.duration > 0.0));
    assert!(times.windows(2).all(|t| t[0].start <= t[1].start), "in the order of time");
    assert!(device.take_times_blocking().expect("times").is_empty(), "given once");
    let unmeasured = crate::common::gpu().expect("as above");
    Tensor::zeros(&unmeasured, &[2]).and_then(|x| x.square()).expect("squared");
    assert!(unmeasured.take_times_blocking().expect("times").is_empty());
}

/// A pipeline cache that is damaged, from another driver, or missing gives the same numbers, and a written one can be
/// read again.
#[test]
fn a_pipeline_cache_does_not_change_results() {
    if crate::common::gpu().is_none() {
        return eprintln!("SKIPPED: no adapter");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("pipelines");
    let run = || {
        let options = GpuOptions { pipeline_cache: Some(path.clone()), ..GpuOptions::default() };
        let device = pollster::block_on(Device::gpu_with(options)).expect("a device");
        let x = Tensor::from_slice(&device, &crate::common::fill(1, 12, 1.0), &[3, 4]).expect("x");
        let out = x.square().and_then(|y| y.exp()).and_then(|y| y.read_blocking()).expect("numbers");
        (out, device.info().adapter.as_ref().is_some_and(|a| a.features.iter().any(|f| f == "PIPELINE_CACHE")))
    };
    let (want, has_cache) = run();
    assert_eq!(path.exists(), has_cache, "written if the adapter supports it");
    assert_eq!(run().0, want, "read");
    std::fs::write(&path, b"not a cache").expect("damaged");
    assert_eq!(run().0, want, "damaged");
    if has_cache {
        assert_ne!(std::fs::read(&path).expect("written"), b"not a cache", "replaced");
    }
    assert_eq!(std::fs::read_dir(folder.path()).expect("listed").count(), 1, "no temporary file is left");
}
