//! The fused GRU kernels with marks of every kind: the GPU against the twins.
#![cfg(feature = "gpu")]

use wgru::kernel::Kernel;
use wgru::kernels::{
    Gru, GruCandidate, GruGates, GruResetBackward, GruSequence, GruSequenceBackward, GruStep, GruStepBackward,
};
use wgru::{Device, Tensor};

use crate::common::{assert_close, fill, gpu, mix, twin};
use crate::{buffer, indices, poison, read};

/// Up to five steps, and `exp` of a shader.
const GRU: f64 = 4e-6;

/// Steps, batch, hidden, directions, reverse.
const SHAPES: [[u32; 5]; 5] = [[5, 7, 3, 1, 0], [5, 9, 17, 1, 1], [4, 5, 67, 2, 0], [5, 3, 130, 2, 0], [1, 1, 1, 1, 0]];

fn cases() -> Vec<Gru> {
    let case = |[steps, batch, hidden, directions, reverse]: [u32; 5], reset_before| Gru {
        steps,
        batch,
        hidden,
        directions,
        reverse,
        step: 0,
        reset_before,
        save: 1,
    };
    SHAPES.into_iter().flat_map(|shape| [0, 1].map(|reset_before| case(shape, reset_before))).collect()
}

fn marks(device: &Device, p: &Gru) -> Tensor {
    indices(device, &(0..p.steps * p.batch).map(|i| mix(i + p.hidden) % 64).collect::<Vec<_>>())
}

/// Packed weights whose padding units are 0.
fn packed(p: &Gru, depth: usize) -> Vec<f32> {
    let mut values = fill(2, p.packed_len(depth), 1.0 / (p.hidden as f32).sqrt());
    let (blocks, hidden) = (p.hidden.div_ceil(16) as usize, p.hidden as usize);
    let unit = |i: usize| i / (depth * 48) % blocks * 16 + i % 16;
    values.iter_mut().enumerate().filter(|(i, _)| unit(*i) >= hidden).for_each(|(_, v)| *v = 0.0);
    values
}

/// `state`, `y`, `saved`.
fn forward(device: &Device, p: &Gru, whole: bool) -> Vec<Vec<f32>> {
    let ([x, _, _], [state, y, saved]) = GruSequence::new(*p).lens();
    let [x, packed] = [fill(1, x, 1.5), packed(p, p.hidden as usize + 1)].map(|v| buffer(device, &v));
    let reads = [&x, &packed, &marks(device, p)];
    let mut start = vec![f32::NAN; state];
    let one = (p.batch * p.hidden) as usize;
    for d in 0..p.directions as usize {
        let slot = if d as u32 + p.reverse == 1 { p.steps as usize } else { 0 };
        start[(d * (p.steps as usize + 1) + slot) * one..][..one].copy_from_slice(&fill(3 + d as u32, one, 0.9));
    }
    let writes = [&buffer(device, &start), &poison(device, y), &poison(device, saved)];
    if whole {
        device.run(&GruSequence::new(*p), reads, writes).expect("run");
    }
    for step in if whole { 0..0 } else { 0..p.steps } {
        let p = Gru { step, ..*p };
        if p.reset_before == 1 {
            device.run(&GruGates::new(p), [reads[0], reads[1], writes[0]], [writes[2]]).expect("run");
            device.run(&GruCandidate::new(p), reads, writes).expect("run");
        } else {
            device.run(&GruStep::new(p), reads, writes).expect("run");
        }
    }
    writes.map(read).to_vec()
}

/// `d_gates`, `carry`.
fn backward(device: &Device, p: &Gru, whole: bool) -> Vec<Vec<f32>> {
    let ([_, _, state, saved, dy], [d_gates, carry]) = GruSequenceBackward(*p).lens();
    let gates: Vec<f32> = fill(4, saved, 0.9).iter().map(|v| v.abs()).collect();
    let values = [packed(p, p.hidden as usize), fill(5, state, 0.5), gates, fill(6, dy, 1.0)];
    let [packed, state, saved, dy] = values.map(|v| buffer(device, &v));
    let marks = &marks(device, p);
    let reads = [&packed, marks, &state, &saved, &dy];
    let writes = [&poison(device, d_gates), &buffer(device, &fill(7, carry, 1.0))];
    if whole {
        device.run(&GruSequenceBackward(*p), reads, writes).expect("run");
    }
    for step in if whole { 0..0 } else { 0..p.steps + 1 } {
        let p = Gru { step, ..*p };
        device.run(&GruStepBackward(p), reads, writes).expect("run");
        if p.reset_before == 1 && step < p.steps {
            device.run(&GruResetBackward(p), [&packed, marks, &state, &saved], writes).expect("run");
        }
    }
    writes.map(read).to_vec()
}

/// Compares what the twin wrote. Only `saved`, the third output of forward, may hold steps that nobody writes.
#[track_caller]
fn assert_same(what: &str, got: &[Vec<f32>], want: &[Vec<f32>]) {
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        assert_eq!(got.len(), want.len(), "{what}: length of {i}");
        assert!(i == 2 || want.iter().all(|w| !w.is_nan()), "{what}: output {i} has holes");
        let known = got.iter().zip(want).filter(|(_, w)| !w.is_nan());
        let (got, want): (Vec<f32>, Vec<f64>) = known.map(|(&g, &w)| (g, w as f64)).unzip();
        assert_close(&format!("{what}: output {i}"), &[&got[..], &[1.0]].concat(), &[&want[..], &[1.0]].concat(), GRU);
    }
}

type Pass = fn(&Device, &Gru, bool) -> Vec<Vec<f32>>;

/// Both plans of the GPU against both of the twins.
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
fn gru_forward_takes_marks_of_every_kind_on_the_gpu() {
    agree(forward);
}

#[test]
fn gru_backward_takes_marks_of_every_kind_on_the_gpu() {
    agree(backward);
}
