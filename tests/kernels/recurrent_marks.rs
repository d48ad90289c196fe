//! The fused kernels with marks of every kind, the GPU compared with the twins.
#![cfg(feature = "gpu")]

use half::{bf16, f16};
use wgru::kernel::Kernel;
use wgru::kernels::{
    Fused, PackLow, RecurrentSequence, RecurrentSequenceBackward, RecurrentStep, RecurrentStepBackward, WeightDtype,
};
use wgru::{Cell, Device, Tensor};

use crate::by_kind;
use crate::common::{assert_close, fill, gpu, mix, twin};
use crate::gru_case::SHADERS;
use crate::{buffer, indices, poison, read};

/// Up to five steps with a shader's `exp`.
const STEPS: f64 = 4e-6;

/// Steps, batch, hidden, directions, reverse.
const SHAPES: [[u32; 5]; 5] = [[5, 7, 3, 1, 0], [5, 9, 17, 1, 1], [4, 5, 67, 2, 0], [5, 3, 130, 2, 0], [1, 1, 1, 1, 0]];

fn cases() -> Vec<Fused> {
    let case = |[steps, batch, hidden, directions, reverse]: [u32; 5], cell: Cell, shader: u32| Fused {
        steps,
        batch,
        hidden,
        directions,
        reverse,
        count: steps,
        cell: cell as u32,
        save: 1,
        shader,
        ..Fused::default()
    };
    let kinds = || Cell::ALL.into_iter().flat_map(|cell| SHADERS.map(|shader| (cell, shader)));
    SHAPES.into_iter().flat_map(|shape| kinds().map(move |(cell, shader)| case(shape, cell, shader))).collect()
}

fn marks(device: &Device, p: &Fused) -> Tensor {
    indices(device, &(0..p.steps * p.batch).map(|i| mix(i + p.hidden) % 64).collect::<Vec<_>>())
}

/// Packed weights whose padding units are 0.
fn packed(p: &Fused, transposed: bool) -> Vec<f32> {
    let mut values = fill(2, p.packed_len(p.extent(transposed)), 1.0 / (p.hidden as f32).sqrt());
    let [depth, gates] = p.extent(transposed);
    let (blocks, hidden) = (p.hidden.div_ceil(16) as usize, p.hidden as usize);
    let unit = |i: usize| i / (depth * gates * 16) % blocks * 16 + i % 16;
    values.iter_mut().enumerate().filter(|(i, _)| unit(*i) >= hidden).for_each(|(_, v)| *v = 0.0);
    values
}

fn forward(device: &Device, p: &Fused, whole: bool) -> Vec<Vec<f32>> {
    forward_by::<f32>(device, p, &buffer(device, &packed(p, false)), whole)
}

/// Runs forward. Returns `state`, `y` and `saved`.
fn forward_by<W: WeightDtype>(device: &Device, p: &Fused, packed: &Tensor, whole: bool) -> Vec<Vec<f32>> {
    let ([x, _, _], [state, y, saved]) = by_kind!(p.cell, C => RecurrentSequence::<C>::new(*p).lens());
    let x = buffer(device, &fill(1, x, 1.5));
    let reads = [&x, packed, &marks(device, p)];
    let mut start = vec![f32::NAN; state];
    let one = p.batch as usize * p.width();
    for d in 0..p.directions as usize {
        let slot = if d as u32 + p.reverse == 1 { p.steps as usize } else { 0 };
        start[(d * (p.steps as usize + 1) + slot) * one..][..one].copy_from_slice(&fill(3 + d as u32, one, 0.9));
    }
    let writes = [&buffer(device, &start), &poison(device, y), &poison(device, saved)];
    if whole {
        by_kind!(p.cell, C => device.run(&RecurrentSequence::<C, W>::from(*p), reads, writes).expect("run"));
    } else {
        for (step, half) in (0..p.steps).flat_map(|step| (0..p.halves()).map(move |half| (step, half))) {
            let p = Fused { step, half, ..*p };
            by_kind!(p.cell, C => device.run(&RecurrentStep::<C, W>::from(p), reads, writes).expect("run"));
        }
    }
    writes.map(read).to_vec()
}

/// Runs backward. Returns `d_gates` and `carry`.
fn backward(device: &Device, p: &Fused, whole: bool) -> Vec<Vec<f32>> {
    let lens = by_kind!(p.cell, C => RecurrentSequenceBackward::<C>(*p).lens());
    let ([_, _, state, saved, dy], [d_gates, carry]) = lens;
    let gates: Vec<f32> = fill(4, saved, 0.9).iter().map(|v| v.abs()).collect();
    let values = [packed(p, true), fill(5, state, 0.5), gates, fill(6, dy, 1.0)];
    let [packed, state, saved, dy] = values.map(|v| buffer(device, &v));
    let marks = &marks(device, p);
    let reads = [&packed, marks, &state, &saved, &dy];
    let writes = [&poison(device, d_gates), &buffer(device, &fill(7, carry, 1.0))];
    if whole {
        by_kind!(p.cell, C => device.run(&RecurrentSequenceBackward::<C>(*p), reads, writes).expect("run"));
    } else {
        for step in 0..=p.steps {
            for half in 0..if step < p.steps { p.halves() } else { 1 } {
                let p = Fused { step, half, ..*p };
                by_kind!(p.cell, C => device.run(&RecurrentStepBackward::<C>(p), reads, writes).expect("run"));
            }
        }
    }
    writes.map(read).to_vec()
}

/// Compares what the twin wrote. Only `saved`, the third output of forward, may contain steps that are never written.
#[track_caller]
fn assert_same(what: &str, got: &[Vec<f32>], want: &[Vec<f32>]) {
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        assert_eq!(got.len(), want.len(), "{what}: length of {i}");
        assert!(i == 2 || want.iter().all(|w| !w.is_nan()), "{what}: output {i} has unwritten elements");
        let known = got.iter().zip(want).filter(|(_, w)| !w.is_nan());
        let (got, want): (Vec<f32>, Vec<f64>) = known.map(|(&g, &w)| (g, w as f64)).unzip();
        assert_close(
            &format!("{what}: output {i}"),
            &[&got[..], &[1.0]].concat(),
            &[&want[..], &[1.0]].concat(),
            STEPS,
        );
    }
}

type Pass = fn(&Device, &Fused, bool) -> Vec<Vec<f32>>;

/// Compares both plans of the twins and of the GPU with each other.
fn agree(pass: Pass) {
    let Some(device) = gpu() else {
        eprintln!("SKIPPED marks of every kind: no adapter");
        return;
    };
    for p in cases() {
        let want = pass(&twin(), &p, true);
        assert_same(&format!("chain of the twins, {p:?}"), &pass(&twin(), &p, false), &want);
        for whole in [true, false] {
            assert_same(&format!("whole {whole}, {p:?}"), &pass(&device, &p, whole), &want);
        }
    }
}

#[test]
fn recurrent_forward_takes_marks_of_every_kind_on_the_gpu() {
    agree(forward);
}

/// Both plans with weights of every format, packed by their kernel, the GPU compared with the twins.
#[test]
fn recurrent_forward_takes_weights_of_every_format_on_the_gpu() {
    fn agree<W: WeightDtype>(device: &Device, p: &Fused) {
        let (hidden, gates) = (p.hidden as usize, p.cell().gates());
        let (u, bias) = (fill(2, gates * hidden * hidden, 0.5), fill(3, gates * hidden, 0.5));
        let len = p.packed_len([W::depth(hidden), gates]);
        let pack = |device: &Device| {
            let packed = poison(device, len);
            for d in 0..p.directions as usize {
                let reads = [&buffer(device, &u), &buffer(device, &bias)];
                device.run(&PackLow::new::<W>(hidden, gates, d), reads, [&packed]).expect("packed");
            }
            packed
        };
        let twin = twin();
        let want = forward_by::<W>(&twin, p, &pack(&twin), true);
        for whole in [true, false] {
            let got = forward_by::<W>(device, p, &pack(device), whole);
            assert_same(&format!("format {}, whole {whole}, {p:?}", W::FORMAT), &got, &want);
        }
    }
    let Some(device) = gpu() else { return eprintln!("SKIPPED weights of every format: no adapter") };
    // A third of the cases in browsers, where this takes minutes.
    let stride = if cfg!(target_arch = "wasm32") { 3 } else { 1 };
    for p in cases().into_iter().filter(|p| p.hidden < 130).step_by(stride) {
        agree::<f16>(&device, &p);
        agree::<bf16>(&device, &p);
        agree::<i8>(&device, &p);
    }
}

#[test]
fn recurrent_backward_takes_marks_of_every_kind_on_the_gpu() {
    agree(backward);
}
