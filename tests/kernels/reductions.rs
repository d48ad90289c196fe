//! sum, softmax and log-softmax.

use wgru::Device;
use wgru::kernels::{Softmax, SoftmaxBackward, Sum};

use crate::common::{assert_close, fill};
use crate::reference::{dense, elementwise as reference, narrow, wide};
use crate::{bits, buffer, on_every_backend, run, update};

/// A chunk is summed in order: each of up to 335 additions rounds once, and the errors mostly cancel.
const SUM: f64 = 2e-6;
/// The exponentials' error of a few ulp, and a sum of up to 335 of them.
const SOFTMAX: f64 = 2e-6;
/// The same sum, of products with mixed signs.
const SOFTMAX_BACKWARD: f64 = 1e-6;

on_every_backend![
    sum_matches_f64_by_axis_and_chunk,
    sum_accumulates_at_its_offset,
    softmax_matches_f64,
    softmax_backward_matches_the_jacobian,
    softmax_keeps_far_logits_finite,
];

const EXTENTS: [[usize; 3]; 7] =
    [[1, 1, 1], [1, 335, 1], [3, 5, 67], [67, 3, 1], [1, 257, 3], [5, 1, 67], [2, 130, 65]];

fn sum_matches_f64_by_axis_and_chunk(device: &Device) {
    for extents in EXTENTS {
        let [outer, axis, inner] = extents.map(|n| n as u32);
        let x = fill(1, extents.iter().product(), 1.0);
        // A chunk longer than the axis covers all of it, even if `axis + chunk` exceeds 32 bits.
        for chunk in [1, 64, axis, u32::MAX].into_iter().filter(|&c| c <= axis || c == u32::MAX) {
            for (square, scale) in [(0, 1.0), (1, 1.0), (0, -0.25), (1, 3.0)] {
                let kernel = Sum { outer, axis, inner, chunk, scale, square, accumulate: 0, offset: 0 };
                let [out] = run(device, &kernel, [&buffer(device, &x)]);
                let f = |v: f64| scale as f64 * if square == 1 { v.powi(2) } else { v };
                let want = reference::sum(&wide(&x), extents, chunk.min(axis) as usize, f);
                assert_close(&format!("{kernel:?}"), &out, &want, SUM);
            }
        }
    }
}

fn sum_accumulates_at_its_offset(device: &Device) {
    for extents in EXTENTS {
        let [outer, axis, inner] = extents.map(|n| n as u32);
        let x = fill(2, extents.iter().product(), 1.0);
        let sums = (outer * inner) as usize;
        for accumulate in [0, 1] {
            let start = [vec![f32::NAN; 3], fill(3, sums, 1.0)].concat();
            let kernel = Sum { outer, axis, inner, chunk: axis, scale: 0.5, square: 0, accumulate, offset: 3 };
            let [out] = update(device, &kernel, [&buffer(device, &x)], [&start]);
            assert_eq!(bits(&out[..3]), bits(&start[..3]), "before the offset");
            let mut want = reference::sum(&wide(&x), extents, extents[1], |v| v / 2.0);
            if accumulate == 1 {
                want.iter_mut().zip(&start[3..]).for_each(|(w, &s)| *w += s as f64);
            }
            assert_close(&format!("{kernel:?}"), &out[3..], &want, SUM);
        }
    }
}

const ROWS: [[usize; 2]; 6] = [[1, 1], [3, 67], [67, 3], [5, 335], [257, 2], [1, 257]];

fn softmax_matches_f64(device: &Device) {
    for [rows, width] in ROWS {
        let x = fill(4, rows * width, 8.0);
        for log in [0, 1] {
            let kernel = Softmax { rows: rows as u32, width: width as u32, log };
            let [y] = run(device, &kernel, [&buffer(device, &x)]);
            let reference = if log == 1 { dense::log_softmax } else { dense::softmax };
            assert_close(&format!("{kernel:?}"), &y, &reference(&wide(&x), width), SOFTMAX);
        }
    }
}

fn softmax_backward_matches_the_jacobian(device: &Device) {
    for [rows, width] in ROWS {
        let (x, dy) = (wide(&fill(5, rows * width, 4.0)), fill(6, rows * width, 1.0));
        for log in [0, 1] {
            let y = narrow(&if log == 1 { dense::log_softmax(&x, width) } else { dense::softmax(&x, width) });
            let backward = if log == 1 { dense::log_softmax_backward } else { dense::softmax_backward };
            let kernel = SoftmaxBackward { rows: rows as u32, width: width as u32, log };
            let [dx] = run(device, &kernel, [&buffer(device, &y), &buffer(device, &dy)]);
            let want: Vec<f64> = backward(&wide(&y), &wide(&dy), width);
            // Softmax over a single class has gradient 0, so the comparison is absolute.
            if width == 1 {
                assert!(dx.iter().all(|v| v.abs() <= 1e-6), "{dx:?}");
            } else {
                assert_close(&format!("{kernel:?}"), &dx, &want, SOFTMAX_BACKWARD);
            }
        }
    }
}

fn softmax_keeps_far_logits_finite(device: &Device) {
    let x = [1e30, -1e30, 1e30, 0.0, -1e4, -1e4 + 1.0];
    for (log, want) in [
        (0, [0.5, 0.0, 0.5, 1.0, 0.0, 0.0]),
        (1, [-std::f64::consts::LN_2, -2e30, -std::f64::consts::LN_2, 0.0, -1e4, -1e4 + 1.0]),
    ] {
        let [y] = run(device, &Softmax { rows: 2, width: 3, log }, [&buffer(device, &x)]);
        assert_close("equal maxima", &y[..1], &want[..1], SOFTMAX);
        assert_close("far below", &y[..3], &want[..3], SOFTMAX);
        assert_close("one maximum", &y[3..], &want[3..], SOFTMAX);
    }
}
