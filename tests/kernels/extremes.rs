//! extreme and extreme_backward: exact.

use wgru::kernel::Kernel;
use wgru::kernels::{Extreme, ExtremeBackward};
use wgru::{Device, Tensor};

use crate::common::{fill, mix};
use crate::{buffer, indices, on_every_backend, poison, run};

on_every_backend![
    extreme_finds_the_first_extreme_of_every_chunk,
    extreme_maps_positions,
    extreme_prefers_nan,
    extreme_backward_puts_each_gradient_in_its_place,
];

const EXTENTS: [[u32; 3]; 6] = [[1, 1, 1], [1, 335, 1], [3, 5, 67], [67, 3, 1], [5, 1, 3], [2, 130, 65]];

/// Few distinct values, so that ties are common.
fn values(len: usize) -> Vec<f32> {
    (0..len as u32).map(|i| (mix(i + 5) % 9) as f32 - 4.0).collect()
}

/// Runs a kernel whose second output holds indices.
fn found(device: &Device, kernel: &Extreme, reads: [&Tensor; 2]) -> (Vec<f32>, Vec<u32>) {
    let [value, index] = run(device, kernel, reads);
    (value, index.into_iter().map(f32::to_bits).collect())
}

/// The extreme of every chunk and its position, by a stable sort.
fn reference(x: &[f32], kernel: &Extreme) -> (Vec<f32>, Vec<u32>) {
    let [outer, axis, inner] = [kernel.outer, kernel.axis, kernel.inner].map(|n| n as usize);
    let positions: Vec<usize> = (0..axis).collect();
    let (mut value, mut index) = (Vec::new(), Vec::new());
    for o in 0..outer {
        for chunk in positions.chunks(kernel.chunk.min(kernel.axis) as usize) {
            for i in 0..inner {
                let key = |a: &usize| {
                    let v = f64::from(x[(o * axis + a) * inner + i]);
                    if kernel.least == 1 { v } else { -v }
                };
                let mut sorted = chunk.to_vec();
                sorted.sort_by(|a, b| key(a).total_cmp(&key(b)));
                value.push(x[(o * axis + sorted[0]) * inner + i]);
                index.push(sorted[0] as u32);
            }
        }
    }
    (value, index)
}

fn extreme_finds_the_first_extreme_of_every_chunk(device: &Device) {
    for [outer, axis, inner] in EXTENTS {
        let x = values((outer * axis * inner) as usize);
        // A chunk longer than the axis covers all of it, even if `axis + chunk` exceeds 32 bits.
        for chunk in [1, 2, 64, axis, u32::MAX] {
            for least in [0, 1] {
                let kernel = Extreme { outer, axis, inner, chunk, least, mapped: 0 };
                let x_buffer = buffer(device, &x);
                assert_eq!(found(device, &kernel, [&x_buffer, &x_buffer]), reference(&x, &kernel), "{kernel:?}");
            }
        }
    }
}

fn extreme_maps_positions(device: &Device) {
    for [outer, axis, inner] in EXTENTS {
        let len = outer * axis * inner;
        let x = values(len as usize);
        let at: Vec<u32> = (0..len).map(|i| mix(i + 1)).collect();
        let kernel = Extreme { outer, axis, inner, chunk: 7, least: 0, mapped: 1 };
        let (value, index) = found(device, &kernel, [&buffer(device, &x), &indices(device, &at)]);
        let (want, positions) = reference(&x, &kernel);
        let chunks = kernel.chunks() as u32;
        let place = |(i, a): (usize, &u32)| {
            let i = i as u32;
            at[((i / (chunks * inner) * axis + a) * inner + i % inner) as usize]
        };
        assert_eq!(value, want);
        assert_eq!(index, positions.iter().enumerate().map(place).collect::<Vec<_>>(), "{kernel:?}");
    }
}

fn extreme_prefers_nan(device: &Device) {
    const INF: f32 = f32::INFINITY;
    let x =
        [[1.0, f32::NAN, INF, f32::NAN], [f32::NAN, -INF, 0.0, 1.0], [INF, -INF, -INF, INF], [0.0, -0.0, 0.0, -0.0]];
    for (least, want) in [(0, [1, 0, 0, 0]), (1, [1, 0, 1, 0])] {
        let kernel = Extreme { outer: 4, axis: 4, inner: 1, chunk: 4, least, mapped: 0 };
        let x_buffer = buffer(device, x.as_flattened());
        let (value, index) = found(device, &kernel, [&x_buffer, &x_buffer]);
        assert_eq!(index, want, "least: {least}");
        for (row, (value, index)) in value.iter().zip(index).enumerate() {
            let want = x[row][index as usize];
            assert!(*value == want || value.is_nan() && want.is_nan(), "{row}: {value}");
        }
    }
}

fn extreme_backward_puts_each_gradient_in_its_place(device: &Device) {
    for [outer, axis, inner] in EXTENTS {
        let count = (outer * inner) as usize;
        let (mut dy, index) = (fill(1, count, 1.0), (0..count as u32).map(|i| mix(i) % axis).collect::<Vec<_>>());
        dy[0] = f32::NAN;
        let kernel = ExtremeBackward { outer, axis, inner };
        let [dx] = run(device, &kernel, [&buffer(device, &dy), &indices(device, &index)]);
        let mut want = vec![0.0f32; dx.len()];
        for (i, (dy, a)) in dy.iter().zip(&index).enumerate() {
            want[((i as u32 / inner * axis + a) * inner + i as u32 % inner) as usize] = *dy;
        }
        assert_eq!(crate::bits(&dx), crate::bits(&want), "{kernel:?}");
    }
}

/// Without a map, `at` may be any buffer.
#[test]
fn extreme_without_a_map_needs_no_positions() {
    let device = crate::common::twin();
    let kernel = Extreme { outer: 1, axis: 3, inner: 1, chunk: 3, least: 0, mapped: 0 };
    let (x, one, out) =
        (buffer(&device, &[1.0, 3.0, 2.0]), poison(&device, 0), [poison(&device, 1), poison(&device, 1)]);
    device.run(&kernel, [&x, &one], out.each_ref()).expect("run");
    assert!(
        device
            .run(&Extreme { mapped: 1, ..kernel }, [&x, &Tensor::zeros(&device, &[2]).expect("two")], out.each_ref())
            .is_err()
    );
    assert!(Extreme { least: 2, ..kernel }.check().is_err());
}
