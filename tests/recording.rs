//! The chain is exactly one dispatch a step (two for reset before), whatever the directions, and cheap to record.
//! On wgpu's noop backend: it validates and records everything and computes nothing.
#![cfg(feature = "gpu")]

mod common;

use std::time::{Duration, Instant};

use wgru::nn::{GruConfig, Mode, SequenceInput};
use wgru::ops::recurrent::Plan;
use wgru::{Device, Rng, Tensor, wgpu};

fn noop() -> Device {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::NOOP;
    descriptor.backend_options.noop = wgpu::NoopBackendOptions::enabled();
    let instance = wgpu::Instance::new(descriptor);
    let adapter = pollster::block_on(instance.request_adapter(&Default::default())).expect("noop adapter");
    let (device, queue) = pollster::block_on(adapter.request_device(&Default::default())).expect("noop device");
    Device::from_wgpu(&adapter, device, queue)
}

/// Dispatches recorded by one run of `steps` steps.
fn dispatches(device: &Device, steps: usize, bidirectional: bool, reset_after: bool, plan: Plan) -> usize {
    let config =
        GruConfig { input: 4, hidden: 8, bidirectional, reset_after, plan: Some(plan), ..GruConfig::default() };
    let gru = config.build(device, &mut Rng::new(0)).expect("gru");
    let x = Tensor::zeros(device, &[steps, 2, 4]).expect("x");
    device.flush().expect("flush");
    gru.run(&x, SequenceInput::default(), &mut Mode::Eval).expect("run");
    let count = device.pending();
    device.flush().expect("flush");
    count
}

#[test]
fn chain_is_one_dispatch_a_step_for_all_directions() {
    let device = noop();
    for bidirectional in [false, true] {
        for (reset_after, per_step) in [(true, 1), (false, 2)] {
            let count = |steps| dispatches(&device, steps, bidirectional, reset_after, Plan::Chain);
            // What does not depend on the steps (packing, projection, states) drops out of the difference.
            assert_eq!(count(101) - count(1), 100 * per_step, "bidirectional {bidirectional}");
        }
    }
}

/// Longer than a submission and than several chunks of parameters: the parts join without a seam.
#[test]
fn a_chain_longer_than_a_submission_gives_the_twins_numbers() {
    let Some(device) = common::gpu() else { return eprintln!("SKIPPED: no adapter") };
    let run = |device: &Device| {
        let config = GruConfig { input: 1, hidden: 2, plan: Some(Plan::Chain), ..GruConfig::default() };
        let gru = config.build(device, &mut Rng::new(7)).expect("gru");
        let x = Tensor::from_slice(device, &common::fill(1, 9_000, 1.0), &[9_000, 1, 1]).expect("x");
        gru.run(&x, SequenceInput::default(), &mut Mode::Eval).expect("run").output.to_vec().expect("read")
    };
    let want: Vec<f64> = run(&common::twin()).iter().map(|&v| v as f64).collect();
    common::assert_close("9,000 steps", &run(&device), &want, 2e-6);
}

#[test]
fn whole_sequence_is_one_dispatch() {
    let device = noop();
    let count = |steps, plan| dispatches(&device, steps, true, true, plan);
    assert_eq!(count(101, Plan::Whole), count(1, Plan::Whole));
    // A chain of one step is one dispatch, and all around it is the same.
    assert_eq!(count(101, Plan::Whole), count(1, Plan::Chain));
}

#[test]
fn a_forward_pass_submits_nothing() {
    let device = noop();
    assert!(dispatches(&device, 500, false, true, Plan::Chain) >= 500, "something submitted on its own");
}

/// The cost of a step, recorded, encoded and submitted, is printed (`cargo test --release --test recording --
/// --nocapture`); the aim is 0.5 µs. Asserted is only how it grows: ten times the steps, at most thirty times the cost.
#[test]
fn recording_grows_with_the_steps_only() {
    let device = noop();
    let config = GruConfig { input: 4, hidden: 8, plan: Some(Plan::Chain), ..GruConfig::default() };
    let gru = config.build(&device, &mut Rng::new(0)).expect("gru");
    let time = |steps: usize| -> Duration {
        let x = Tensor::zeros(&device, &[steps, 2, 4]).expect("x");
        let best = (0..7).map(|_| {
            device.flush().expect("flush");
            let start = Instant::now();
            gru.run(&x, SequenceInput::default(), &mut Mode::Eval).expect("run");
            device.flush().expect("flush");
            start.elapsed()
        });
        best.min().expect("seven runs")
    };
    let (short, long) = (time(200), time(2000));
    println!("recorded, encoded and submitted: {:.3} µs a step", (long - short).as_secs_f64() * 1e6 / 1800.0);
    assert!(long < 30 * short, "{short:?} for 200 steps, {long:?} for 2000");
}
