//! The fused kernels with marks of every kind, the GPU compared with the twins.
#![cfg(feature = "gpu")]

use wgru::kernel::Kernel;
use wgru::kernels::{
    CellSequence, CellSequenceBackward, GruCandidate, GruGates, GruResetBackward, GruSequence, GruSequenceBackward,
    GruStep, GruStepBackward, Plain,
};
use wgru::{Cell, Device, Tensor};

use crate::common::recurrent::{GRUS, OTHERS};
use crate::common::{assert_close, fill, gpu, mix, twin};
use crate::{buffer, indices, poison, read};

/// Up to five steps with a shader's `exp`.
const STEPS: f64 = 4e-6;

/// Steps, batch, hidden, directions, reverse.
const SHAPES: [[u32; 5]; 5] = [[5, 7, 3, 1, 0], [5, 9, 17, 1, 1], [4, 5, 67, 2, 0], [5, 3, 130, 2, 0], [1, 1, 1, 1, 0]];

fn cases(cells: &[Cell]) -> Vec<Plain> {
    let case = |[steps, batch, hidden, directions, reverse]: [u32; 5], cell: Cell| Plain {
        steps,
        batch,
        hidden,
        directions,
        reverse,
        step: 0,
        count: steps,
        lag: 0,
        cell: cell as u32,
        save: 1,
    };
    SHAPES.into_iter().flat_map(|shape| cells.iter().map(move |&cell| case(shape, cell))).collect()
}

fn marks(device: &Device, p: &Plain) -> Tensor {
    indices(device, &(0..p.steps * p.batch).map(|i| mix(i + p.hidden) % 64).collect::<Vec<_>>())
}

/// Packed weights whose padding units are 0.
fn packed(p: &Plain, transposed: bool) -> Vec<f32> {
    let mut values = fill(2, p.packed_len(p.extent(transposed)), 1.0 / (p.hidden as f32).sqrt());
    let [depth, gates] = p.extent(transposed);
    let (blocks, hidden) = (p.hidden.div_ceil(16) as usize, p.hidden as usize);
    let unit = |i: usize| i / (depth * gates * 16) % blocks * 16 + i % 16;
    values.iter_mut().enumerate().filter(|(i, _)| unit(*i) >= hidden).for_each(|(_, v)| *v = 0.0);
    values
}

/// Runs forward. Returns `state`, `y` and `saved`.
fn forward(device: &Device, p: &Plain, whole: bool) -> Vec<Vec<f32>> {
    let is_gru = p.cell < 2;
    let ([x, _, _], [state, y, saved]) = if is_gru { GruSequence::new(*p).lens() } else { CellSequence(*p).lens() };
    let [x, packed] = [fill(1, x, 1.5), packed(p, false)].map(|v| buffer(device, &v));
    let reads = [&x, &packed, &marks(device, p)];
    let mut start = vec![f32::NAN; state];
    let one = p.batch as usize * p.width();
    for d in 0..p.directions as usize {
        let slot = if d as u32 + p.reverse == 1 { p.steps as usize } else { 0 };
        start[(d * (p.steps as usize + 1) + slot) * one..][..one].copy_from_slice(&fill(3 + d as u32, one, 0.9));
    }
    let writes = [&buffer(device, &start), &poison(device, y), &poison(device, saved)];
    match (is_gru, whole) {
        (true, true) => device.run(&GruSequence::new(*p), reads, writes).expect("run"),
        (false, _) => device.run(&CellSequence(*p), reads, writes).expect("run"),
        _ => {}
    }
    for step in if whole || !is_gru { 0..0 } else { 0..p.steps } {
        let p = Plain { step, ..*p };
        if p.cell == 1 {
            device.run(&GruGates::new(p), [reads[0], reads[1], writes[0]], [writes[2]]).expect("run");
            device.run(&GruCandidate::new(p), reads, writes).expect("run");
        } else {
            device.run(&GruStep::new(p), reads, writes).expect("run");
        }
    }
    writes.map(read).to_vec()
}

/// Runs backward. Returns `d_gates` and `carry`.
fn backward(device: &Device, p: &Plain, whole: bool) -> Vec<Vec<f32>> {
    let is_gru = p.cell < 2;
    let lens = if is_gru { GruSequenceBackward(*p).lens() } else { CellSequenceBackward(*p).lens() };
    let ([_, _, state, saved, dy], [d_gates, carry]) = lens;
    let gates: Vec<f32> = fill(4, saved, 0.9).iter().map(|v| v.abs()).collect();
    let values = [packed(p, true), fill(5, state, 0.5), gates, fill(6, dy, 1.0)];
    let [packed, state, saved, dy] = values.map(|v| buffer(device, &v));
    let marks = &marks(device, p);
    let reads = [&packed, marks, &state, &saved, &dy];
    let writes = [&poison(device, d_gates), &buffer(device, &fill(7, carry, 1.0))];
    match (is_gru, whole) {
        (true, true) => device.run(&GruSequenceBackward(*p), reads, writes).expect("run"),
        (false, _) => device.run(&CellSequenceBackward(*p), reads, writes).expect("run"),
        _ => {}
    }
    for step in if whole || !is_gru { 0..0 } else { 0..p.steps + 1 } {
        let p = Plain { step, ..*p };
        device.run(&GruStepBackward(p), reads, writes).expect("run");
        if p.cell == 1 && step < p.steps {
            device.run(&GruResetBackward(p), [&packed, marks, &state, &saved], writes).expect("run");
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

type Pass = fn(&Device, &Plain, bool) -> Vec<Vec<f32>>;

/// Compares both plans of the twins and of the GPU with each other; cells other than the GRU have only one plan.
fn agree(pass: Pass, cells: &[Cell]) {
    let Some(device) = gpu() else {
        eprintln!("SKIPPED marks of every kind: no adapter");
        return;
    };
    for p in cases(cells) {
        let want = pass(&twin(), &p, true);
        assert_same(&format!("chain of the twins, {p:?}"), &pass(&twin(), &p, false), &want);
        for &whole in if p.cell < 2 { &[true, false][..] } else { &[true] } {
            assert_same(&format!("whole {whole}, {p:?}"), &pass(&device, &p, whole), &want);
        }
    }
}

#[test]
fn gru_forward_takes_marks_of_every_kind_on_the_gpu() {
    agree(forward, &GRUS);
}

#[test]
fn gru_backward_takes_marks_of_every_kind_on_the_gpu() {
    agree(backward, &GRUS);
}

#[test]
fn cell_forward_takes_marks_of_every_kind_on_the_gpu() {
    agree(forward, &OTHERS);
}

#[test]
fn cell_backward_takes_marks_of_every_kind_on_the_gpu() {
    agree(backward, &OTHERS);
}
