//! Directions that all run forward, each some steps behind the one before: the layers of a wavefront.

use std::ops::Range;

use wgru::kernel::Kernel;
use wgru::kernels::fused::GRU;
use wgru::kernels::{Fused, RecurrentSequence, RecurrentSequenceBackward, RecurrentStep};
use wgru::{Cell, Device};

use crate::by_kind;
use crate::gru_case::SHADERS;

use crate::common::{fill, mix};
use crate::{bits, buffer, indices, on_every_backend, poison, read};

const LAYERS: usize = 3;
const FORWARD: u32 = 2;

fn plain(cell: Cell, [steps, batch, hidden]: [u32; 3]) -> Fused {
    let directions = LAYERS as u32;
    Fused {
        steps,
        batch,
        hidden,
        directions,
        reverse: FORWARD,
        count: steps,
        cell: cell as u32,
        save: 1,
        ..Fused::default()
    }
}

/// `x`, `packed` and the initial states of all layers.
fn data(p: &Fused) -> [Vec<f32>; 3] {
    let one = p.batch as usize * p.width();
    let packed = fill(2, p.packed_len(p.extent(false)), 1.0 / (p.hidden as f32).sqrt());
    [fill(1, p.x_len(), 1.5), packed, fill(3, LAYERS * one, 0.9)]
}

/// Returns `state`, `y` and `saved` after dispatches of these step ranges; a chain takes one dispatch per step.
fn run(
    device: &Device,
    p: &Fused,
    [x, packed, first]: [&[f32]; 3],
    parts: &[Range<u32>],
    chain: bool,
) -> Vec<Vec<f32>> {
    let one = p.batch as usize * p.width();
    let mut start = vec![f32::NAN; p.state_len()];
    for (d, first) in first.chunks_exact(one).enumerate() {
        start[d * (p.steps as usize + 1) * one..][..one].copy_from_slice(first);
    }
    let marks: Vec<u32> = (0..p.steps * p.batch).map(|i| mix(i) % 64).collect();
    let reads = [&buffer(device, x), &buffer(device, packed), &indices(device, &marks)];
    let writes = [&buffer(device, &start), &poison(device, p.output_len()), &poison(device, p.saved_len())];
    for part in parts {
        let (step, count) = (part.start, part.len() as u32);
        if !chain {
            let p = Fused { step, count, ..*p };
            by_kind!(p.cell, C => device.run(&RecurrentSequence::<C>::new(p), reads, writes).expect("run"));
            continue;
        }
        for (step, half) in part.clone().flat_map(|step| (0..p.halves()).map(move |half| (step, half))) {
            let p = Fused { step, half, ..*p };
            by_kind!(p.cell, C => device.run(&RecurrentStep::<C>::new(p), reads, writes).expect("run"));
        }
    }
    writes.map(read).to_vec()
}

/// Runs layer `d` alone, as the only direction.
fn alone(device: &Device, p: &Fused, [x, packed, first]: [&[f32]; 3], d: usize) -> Vec<Vec<f32>> {
    let of = |all: &'static str, v: &[f32]| {
        assert!(v.len().is_multiple_of(LAYERS), "{all}");
        v[d * v.len() / LAYERS..][..v.len() / LAYERS].to_vec()
    };
    let parts = [of("x", x), of("packed", packed), of("first", first)];
    let one = Fused { directions: 1, reverse: 0, ..*p };
    run(device, &one, parts.each_ref().map(|v| &v[..]), std::slice::from_ref(&(0..p.steps)), false)
}

on_every_backend![wavefront_layers_match_each_layer_alone];

fn wavefront_layers_match_each_layer_alone(device: &Device) {
    let kinds = Cell::ALL.into_iter().flat_map(|cell| SHADERS.map(|shader| (cell, shader)));
    for (cell, shader, chain) in kinds.flat_map(|(cell, shader)| [false, true].map(|chain| (cell, shader, chain))) {
        for (size, lag) in [([5, 2, 3], 1), ([7, 5, 19], 3), ([4, 1, 33], 4), ([3, 2, 17], 5)] {
            let p = Fused { shader, ..plain(cell, size) };
            let data = data(&p);
            let data = data.each_ref().map(|v| &v[..]);
            let end = p.steps + (LAYERS as u32 - 1) * lag;
            let parts: Vec<Range<u32>> = (0..end).step_by(lag as usize).map(|s| s..end.min(s + lag)).collect();
            let waves = run(device, &Fused { lag, ..p }, data, &parts, chain);
            for d in 0..LAYERS {
                let what = format!("{} {cell:?} {shader} {size:?} lag {lag}, layer {d}", device.info().name);
                let want = alone(device, &p, data, d);
                let (h, all) = (p.hidden as usize, LAYERS * p.hidden as usize);
                let shown: Vec<f32> = waves[1].chunks_exact(all).flat_map(|row| &row[d * h..][..h]).copied().collect();
                let of = |v: &[f32]| v[d * v.len() / LAYERS..][..v.len() / LAYERS].to_vec();
                assert!(want[1].iter().all(|v| v.is_finite()), "{what}: holes");
                if chain {
                    // A different kernel, which may round differently.
                    let close = |got: &[f32], want: &[f32]| got.iter().zip(want).all(|(g, w)| (g - w).abs() <= 1e-5);
                    assert!(close(&shown, &want[1]) && close(&of(&waves[0]), &want[0]), "{what}");
                    continue;
                }
                assert_eq!(bits(&shown), bits(&want[1]), "{what}: y");
                assert_eq!(bits(&of(&waves[0])), bits(&want[0]), "{what}: state");
                assert_eq!(bits(&of(&waves[2])), bits(&want[2]), "{what}: saved");
            }
        }
    }
}

on_every_backend![backward_in_parts_gives_the_bits_of_a_single_call];

/// Runs the last steps first; `carry` passes from part to part.
fn backward_in_parts_gives_the_bits_of_a_single_call(device: &Device) {
    for (cell, shader) in Cell::ALL.into_iter().flat_map(|cell| SHADERS.map(|shader| (cell, shader))) {
        for (directions, reverse) in [(1, 0), (1, 1), (2, 0)] {
            let p = Fused { directions, reverse, shader, ..plain(cell, [7, 5, 19]) };
            let lens = by_kind!(p.cell, C => RecurrentSequenceBackward::<C>(p).lens());
            let ([packed, marks, state, saved, dy], [d_gates, carry]) = lens;
            let reads = [(1, packed, 0.3), (2, state, 0.5), (3, saved, 0.9), (4, dy, 1.0)];
            let [packed, state, saved, dy] = reads.map(|(stream, n, scale)| buffer(device, &fill(stream, n, scale)));
            let marks = indices(device, &(0..marks as u32).map(|i| mix(i) % 64).collect::<Vec<_>>());
            let run = |parts: &[Range<u32>]| {
                let writes = [&poison(device, d_gates), &buffer(device, &fill(5, carry, 1.0))];
                for part in parts {
                    let (p, reads) = (
                        Fused { step: part.start, count: part.len() as u32, ..p },
                        [&packed, &marks, &state, &saved, &dy],
                    );
                    by_kind!(p.cell, C => {
                        device.run(&RecurrentSequenceBackward::<C>(p), reads, writes).expect("run");
                    });
                }
                writes.map(read)
            };
            let (whole, parts) = (run(std::slice::from_ref(&(0..7))), run(&[6..7, 2..6, 0..2]));
            assert!(whole.iter().flatten().all(|v| v.is_finite()), "{cell:?}: holes");
            assert_eq!(
                parts.each_ref().map(|v| bits(v)),
                whole.each_ref().map(|v| bits(v)),
                "{cell:?} {shader} {directions} {reverse}"
            );
        }
    }
}

#[test]
fn lag_is_refused_in_backward_and_for_two_directions() {
    let p = plain(Cell::Gru, [3, 2, 5]);
    assert!(RecurrentSequence::<GRU>::new(p).check().is_ok());
    for (kernel, field) in [
        (Fused { reverse: 0, directions: 2, lag: 1, ..p }, "lag"),
        (Fused { reverse: 0, ..p }, "directions"),
        (Fused { reverse: 3, ..p }, "reverse"),
        (Fused { directions: 65, ..p }, "directions"),
        (Fused { directions: 2, reverse: 1, ..p }, "reverse"),
        (Fused { count: u32::MAX, ..p }, "count"),
        (Fused { half: 1, ..p }, "half"),
        (Fused { shader: 2, ..p }, "shader"),
    ] {
        let error = RecurrentSequence::<GRU>::new(kernel).check().expect_err(field).to_string();
        assert!(error.contains(field), "{error}");
    }
    let error = RecurrentSequenceBackward::<GRU>(p).check().expect_err("one layer at a time").to_string();
    assert!(error.contains("reverse"), "{error}");
}
