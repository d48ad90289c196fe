//! Every kernel against f64 on every backend. Outputs start as NaN, and every buffer ends in a guard of NaN that must
//! not be read or written.

#[cfg(wgru_jspi)]
#[macro_use]
extern crate browser_tests;

#[path = "../common/mod.rs"]
mod common;
#[path = "../reference/mod.rs"]
mod reference;

mod accuracy;
mod binding;
mod cells;
mod comparison;
mod conv;
mod ctc;
mod elementwise;
mod extremes;
mod functions;
mod gru_backward;
mod gru_case;
mod gru_forward;
mod losses;
mod low_weights;
mod masks;
mod matmul;
mod min_gru;
mod movement;
mod nan;
mod normalize;
mod optimizers;
mod recurrent_marks;
mod recurrent_waves;
mod reductions;
mod state;

use wgru::kernel::Kernel;
use wgru::{Device, Tensor};

/// Numbers of elements below and past the edge of a workgroup of 64.
const LENGTHS: [usize; 5] = [1, 3, 67, 257, 335];

/// NaN words after every buffer.
const GUARD: usize = 5;

/// A buffer of `values`, followed by the guard.
fn buffer(device: &Device, values: &[f32]) -> Tensor {
    let guarded = [values, &[f32::NAN; GUARD]].concat();
    Tensor::from_slice(device, &guarded, &[guarded.len()]).expect("uploaded")
}

/// A buffer of indices, followed by a guard of indices that are out of range for every table.
fn indices(device: &Device, values: &[u32]) -> Tensor {
    let guarded = [values, &[u32::MAX; GUARD]].concat();
    Tensor::from_indices(device, &guarded, &[guarded.len()]).expect("uploaded")
}

/// A buffer of `len` NaN, followed by the guard.
fn poison(device: &Device, len: usize) -> Tensor {
    Tensor::full(device, f32::NAN, &[len + GUARD]).expect("allocated")
}

/// Returns the content of a buffer before its guard, and checks that the guard is unchanged.
#[track_caller]
fn read(tensor: &Tensor) -> Vec<f32> {
    let mut values = tensor.read_blocking().expect("read back");
    let guard = values.split_off(values.len() - GUARD);
    assert!(guard.iter().all(|v| v.is_nan()), "written past the end: {guard:?}");
    values
}

/// Runs a kernel on outputs of the lengths it asks for, which start as NaN.
#[track_caller]
fn run<const R: usize, const W: usize, K: Kernel<R, W>>(
    device: &Device,
    kernel: &K,
    reads: [&Tensor; R],
) -> [Vec<f32>; W] {
    let (_, lens) = kernel.lens();
    let writes = lens.map(|len| poison(device, len));
    device.run(kernel, reads, writes.each_ref()).expect("run");
    writes.each_ref().map(read)
}

/// Runs a kernel that updates buffers that start as `start`.
#[track_caller]
fn update<const R: usize, const W: usize, K: Kernel<R, W>>(
    device: &Device,
    kernel: &K,
    reads: [&Tensor; R],
    start: [&[f32]; W],
) -> [Vec<f32>; W] {
    let writes = start.map(|values| buffer(device, values));
    device.run(kernel, reads, writes.each_ref()).expect("run");
    writes.each_ref().map(read)
}

/// Returns the bits, for exact comparisons in which NaN equals NaN.
fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}
