//! The windows of a convolution over time, and their gradient.

use wgru::Device;
use wgru::kernels::{Fold, Unfold};

use crate::common::{assert_close, fill};
use crate::reference::conv::Conv;
use crate::{buffer, on_every_backend, run};

/// A sum of up to five f32 numbers.
const SUM: f64 = 2e-7;

on_every_backend![unfold_moves_every_element_to_its_windows, fold_adds_up_overlapping_windows];

/// `[steps, batch, channels, groups, taps, stride, padding, dilation]`
const CASES: [[usize; 8]; 6] = [
    [1, 1, 1, 1, 1, 1, 0, 1],
    [5, 2, 3, 1, 3, 1, 1, 1],
    [11, 3, 4, 2, 3, 2, 0, 2],
    [7, 2, 6, 6, 5, 3, 4, 1],
    [4, 1, 3, 3, 2, 1, 6, 3], // whole windows within the padding
    [40, 2, 6, 3, 3, 1, 1, 1],
];

fn cases() -> impl Iterator<Item = (Conv, Unfold)> {
    CASES.into_iter().map(|[steps, batch, input, groups, taps, stride, padding, dilation]| {
        let conv = Conv { steps, batch, input, output: input, taps, stride, padding, dilation, groups };
        let [steps, outputs, batch, channels] = [steps, conv.outputs(), batch, input].map(|n| n as u32);
        let [groups, taps, stride, padding, dilation] = [groups, taps, stride, padding, dilation].map(|n| n as u32);
        (conv, Unfold { steps, outputs, batch, channels, groups, taps, stride, padding, dilation })
    })
}

/// Pairs of indices `(x, windows)`: the source and the destination of each element of the windows.
fn moves(conv: &Conv) -> Vec<[usize; 2]> {
    let (width, outputs) = (conv.input / conv.groups, conv.outputs());
    let mut all = Vec::new();
    for [o, j, t] in conv.taps() {
        for b in 0..conv.batch {
            for c in 0..conv.input {
                let window = ((c / width * outputs + o) * conv.batch + b) * width + c % width;
                all.push([(t * conv.batch + b) * conv.input + c, window * conv.taps + j]);
            }
        }
    }
    all
}

fn unfold_moves_every_element_to_its_windows(device: &Device) {
    for (conv, kernel) in cases() {
        let x = fill(1, kernel.x_len(), 1.0);
        let mut want = vec![0.0; kernel.windows_len()];
        moves(&conv).iter().for_each(|&[from, to]| want[to] = x[from]);
        let [windows] = run(device, &kernel, [&buffer(device, &x)]);
        assert_eq!(windows, want, "{conv:?}");
    }
}

fn fold_adds_up_overlapping_windows(device: &Device) {
    for (conv, kernel) in cases() {
        let dwindows = fill(2, kernel.windows_len(), 1.0);
        let mut want = vec![0.0; kernel.x_len()];
        moves(&conv).iter().for_each(|&[to, from]| want[to] += dwindows[from] as f64);
        let [dx] = run(device, &Fold(kernel), [&buffer(device, &dwindows)]);
        assert_close(&format!("{conv:?}"), &dx, &want, SUM);
    }
}
