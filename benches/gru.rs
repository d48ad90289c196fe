//! The GRU on every device and plan, and its kernels alone. For the cost of recording a chain, see
//! `tests/device/recording.rs`.
//!
//! `cargo bench --bench gru`, or `cargo bench --bench gru -- cpu/seq` for a selection. Absolute times depend on the
//! machine; compare ratios within one run.

mod common;

use common::cpu;
use criterion::{BenchmarkId, Criterion};
use half::f16;
use wgru::kernels::fused::GRU;
use wgru::kernels::{
    Fused as Params, RecurrentSequence, RecurrentSequenceBackward, RecurrentStep, RecurrentStepBackward,
};
use wgru::nn::{Mode, Module, RecurrentConfig, RunOptions};
use wgru::ops::recurrent::Plan;
use wgru::train::{Method, Optimizer, SgdConfig};
use wgru::{Device, Rng, Tensor};

/// Name, layers, B, T, I = H.
const SHAPES: [(&str, usize, usize, usize, usize); 4] = [
    ("step-h256", 1, 1, 1, 256),
    ("seq-b1", 2, 1, 512, 256),
    ("seq-b32", 1, 32, 128, 256),
    ("seq-b64-h512", 1, 64, 128, 512),
];

fn gru(device: &Device, layers: usize, hidden: usize, plan: Option<Plan>) -> wgru::nn::Gru {
    let config = RecurrentConfig { layers, plan, ..RecurrentConfig::gru(hidden, hidden) };
    config.build(device, &mut Rng::new(1)).expect("built")
}

fn input(device: &Device, dims: [usize; 3]) -> Tensor {
    let mut rng = Rng::new(2);
    let values: Vec<f32> = (0..dims.iter().product()).map(|_| rng.uniform(-1.0, 1.0)).collect();
    Tensor::from_slice(device, &values, &dims).expect("input")
}

/// The serial loop alone, without the products before and after it; steps are those of the chain plan.
fn kernels(c: &mut Criterion) {
    let mut group = c.benchmark_group("kernels");
    group.sample_size(10);
    for device in common::devices() {
        for (batch, hidden) in [(1, 128), (32, 128), (32, 256)] {
            let p = Params { steps: 16, batch, hidden, directions: 1, save: 1, ..Params::default() };
            let name = format!("b{batch}-h{hidden}-t16");
            common::kernel(&mut group, &device, &name, &RecurrentSequence::<GRU>::new(p));
            common::kernel(&mut group, &device, &name, &RecurrentSequenceBackward::<GRU>(p));
            // On the CPU, these run as twins, which no plan uses there.
            if device.1.is_gpu() {
                common::kernel(&mut group, &device, &name, &RecurrentStep::<GRU>::new(p));
                common::kernel(&mut group, &device, &name, &RecurrentStep::<GRU, f16>::from(p));
                common::kernel(&mut group, &device, &name, &RecurrentStep::<GRU, i8>::from(p));
                common::kernel(&mut group, &device, &name, &RecurrentStepBackward::<GRU>(p));
            }
        }
    }
    group.finish();
}

fn inference(c: &mut Criterion) {
    let mut group = c.benchmark_group("inference");
    group.sample_size(10);
    for (name, layers, batch, steps, hidden) in SHAPES {
        for (label, device) in [("cpu1", cpu(false, 1)), ("cpu2", cpu(false, 2))] {
            let gru = gru(&device, layers, hidden, None);
            let x = input(&device, [steps, batch, hidden]);
            group.bench_function(BenchmarkId::new(label, name), |b| {
                b.iter(|| gru.run(&x, RunOptions::default(), &mut Mode::Eval).expect("run"));
            });
        }
    }
    // The reference twin, for comparison: H = 256, one sequence of 32 steps.
    for (label, device) in [("twin", cpu(true, 1)), ("packed", cpu(false, 1))] {
        let gru = gru(&device, 1, 256, None);
        let x = input(&device, [32, 1, 256]);
        group.bench_function(BenchmarkId::new(label, "h256-t32"), |b| {
            b.iter(|| gru.run(&x, RunOptions::default(), &mut Mode::Eval).expect("run"));
        });
    }
    group.finish();
}

fn training(c: &mut Criterion) {
    let mut group = c.benchmark_group("train-b32");
    group.sample_size(10);
    for (label, device) in [("cpu1", cpu(false, 1)), ("cpu2", cpu(false, 2))] {
        let gru = gru(&device, 1, 256, None);
        let x = input(&device, [64, 32, 256]).requires_grad();
        let mut optimizer = Optimizer::new(gru.parameters(), Method::Sgd(SgdConfig::default()), 1e-3).expect("sgd");
        group.bench_function(label, |b| {
            b.iter(|| {
                optimizer.zero_grad();
                x.set_grad(None);
                let y = gru.forward_with(&x, &mut Mode::Train(&mut Rng::new(0))).expect("forward");
                y.square().and_then(|y| y.mean()).and_then(|l| l.backward()).expect("backward");
                optimizer.step().expect("step");
            });
        });
    }
    group.finish();
}

#[cfg(feature = "gpu")]
fn gpu(c: &mut Criterion) {
    let Ok(device) = Device::gpu_blocking() else { return eprintln!("no adapter: GPU benches skipped") };
    let mut group = c.benchmark_group(format!("gpu/{}", device.info().name));
    group.sample_size(10);
    for (name, layers, batch, steps, hidden) in SHAPES {
        for plan in [Plan::Whole, Plan::Chain] {
            if plan.check(&device, hidden, Some(wgru::Cell::Gru)).is_err() {
                continue;
            }
            let gru = gru(&device, layers, hidden, Some(plan));
            let x = input(&device, [steps, batch, hidden]);
            group.bench_function(BenchmarkId::new(plan.to_string(), name), |b| {
                b.iter(|| {
                    let _y = gru.run(&x, RunOptions::default(), &mut Mode::Eval).expect("run");
                    device.wait_blocking().expect("done");
                });
            });
        }
    }
    group.finish();
}

#[cfg(not(feature = "gpu"))]
fn gpu(_: &mut Criterion) {}

fn main() {
    let mut c = Criterion::default().configure_from_args();
    kernels(&mut c);
    inference(&mut c);
    training(&mut c);
    gpu(&mut c);
    c.final_summary();
}
