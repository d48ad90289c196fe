//! Low-precision recurrent weights: packing, and the GRU's forward pass against f64 on the rounded weights.

use half::{bf16, f16};
use wgru::kernels::{Fused, PackLow, WeightDtype};
use wgru::{Device, Tensor};

use crate::common::{fill, relative_error, twin};
use crate::gru_case::{Case, Data, assert_known, cases};
use crate::{bits, buffer, on_every_backend, poison, read, run, update};

/// As for f32 weights: the rounding of the weights is not part of the error.
const GRU: f64 = 2e-6;

on_every_backend![
    pack_low_rounds_to_the_nearest,
    pack_low_rounds_as_the_twin_does,
    pack_low_writes_its_direction_only,
    pack_low_writes_nan_for_rows_that_the_format_cannot_hold,
    low_precision_gru_matches_f64_on_rounded_weights,
    low_precision_gru_differs_from_the_f32_gru,
];

/// Bits per weight.
fn width(format: usize) -> usize {
    [32, 16, 16, 8][format]
}

/// Unpacks one direction of packed words to `U` `[3, H, H]`, `b_hh` `[3, H]` and the scales `[3, H]`.
fn unpack(format: usize, hidden: usize, packed: &[f32]) -> [Vec<f64>; 3] {
    let in_word = 32 / width(format);
    let words = hidden.div_ceil(in_word);
    let at = |row: usize, gate: usize, unit: usize| {
        packed[((unit / 16 * (words + 2) + row) * 3 + gate) * 16 + unit % 16].to_bits()
    };
    let weight = |gate: usize, unit: usize, k: usize| {
        let bits = at(k / in_word, gate, unit) >> (k % in_word * width(format));
        match format {
            1 => f16::from_bits(bits as u16).to_f64(),
            2 => bf16::from_bits(bits as u16).to_f64(),
            _ => (bits as i8) as f64 * f32::from_bits(at(words + 1, gate, unit)) as f64,
        }
    };
    let rows = || (0..3 * hidden).map(|row| (row / hidden, row % hidden));
    let row = |at_row: usize| rows().map(|(gate, unit)| f32::from_bits(at(at_row, gate, unit)) as f64).collect();
    let weights = rows().flat_map(|(gate, unit)| (0..hidden).map(move |k| (gate, unit, k)));
    [weights.map(|(gate, unit, k)| weight(gate, unit, k)).collect(), row(words), row(words + 1)]
}

/// Weights over many powers of two, down to f16 subnormals.
fn weights(hidden: usize) -> Vec<f32> {
    let n = 3 * hidden * hidden;
    fill(1, n, 1.0).iter().zip(fill(3, n, 14.0)).map(|(v, power)| v * (power - 13.0).exp2()).collect()
}

fn pack_low_rounds_to_the_nearest(device: &Device) {
    for hidden in [1, 3, 16, 17, 67] {
        let (u, bias) = (weights(hidden), fill(2, 3 * hidden, 1.0));
        for format in 1..4 {
            let kernel = PackLow { hidden: hidden as u32, gates: 3, direction: 0, format: format as u32 };
            let [packed] = run(device, &kernel, [&buffer(device, &u), &buffer(device, &bias)]);
            let [got, got_bias, scales] = unpack(format, hidden, &packed);
            assert_eq!(got_bias, bias.iter().map(|&v| v as f64).collect::<Vec<_>>(), "{kernel:?}");
            for (i, (&got, &want)) in got.iter().zip(&u).enumerate() {
                let want = want as f64;
                let step = match format {
                    1 => want.abs().log2().floor().max(-14.0).exp2() / 1024.0,
                    2 => want.abs().log2().floor().exp2() / 128.0,
                    _ => scales[i / hidden],
                };
                assert!((got - want).abs() <= step * (0.5 + 1e-4), "{kernel:?}: {got:e} for {want:e}");
            }
            for (row, scale) in u.chunks(hidden).zip(&scales) {
                let top = row.iter().fold(0.0f32, |top, v| top.max(v.abs())) as f64;
                let want = if format == 3 { top / 127.0 } else { 1.0 };
                assert!((scale - want).abs() <= 1e-6 * want, "{kernel:?}: scale {scale:e} for {want:e}");
            }
        }
    }
}

/// Ties, signed zeros and the limits of f16, bit for bit. Excludes int8, whose division may differ by one bit between
/// GPUs.
fn pack_low_rounds_as_the_twin_does(device: &Device) {
    let tricky = [
        0.0,
        -0.0,
        65504.0,
        -65519.0,
        1.0,
        1.000_488_3,
        1.001_464_8,
        -1.003_906_3,
        1.011_718_8,
        6.1e-5,
        6.103_515_6e-5,
        5.96e-8,
        2.98e-8,
        -8.9e-8,
        1e-9,
        3.3e-39,
        0.333_333_34,
    ];
    let hidden = 17;
    let u: Vec<f32> = (0..3 * hidden).flat_map(|row| (0..hidden).map(move |k| tricky[(k + row) % 17])).collect();
    let bias = fill(2, 3 * hidden, 1.0);
    for format in [1, 2] {
        let kernel = PackLow { hidden: hidden as u32, gates: 3, direction: 0, format };
        let [got, want] = [device, &twin()].map(|device| {
            let [packed] = run(device, &kernel, [&buffer(device, &u), &buffer(device, &bias)]);
            bits(&packed)
        });
        assert_eq!(got, want, "{kernel:?}");
    }
}

fn pack_low_writes_its_direction_only(device: &Device) {
    let hidden = 17;
    let (u, bias) = (fill(1, 3 * hidden * hidden, 1.0), fill(2, 3 * hidden, 1.0));
    for format in 1..4 {
        let at = |direction: u32| PackLow { hidden: hidden as u32, gates: 3, direction, format };
        let reads = [&buffer(device, &u), &buffer(device, &bias)];
        let [want] = run(device, &at(0), reads);
        let start = vec![f32::NAN; 3 * want.len()];
        let [packed] = update(device, &at(1), reads, [&start]);
        let parts: Vec<&[f32]> = packed.chunks(want.len()).collect();
        assert_eq!(bits(parts[1]), bits(&want));
        assert!([parts[0], parts[2]].iter().all(|part| part.iter().all(|v| v.is_nan())));
    }
}

fn pack_low_writes_nan_for_rows_that_the_format_cannot_hold(device: &Device) {
    let hidden = 5;
    for format in 1..4 {
        for (value, spoils) in
            [(f32::NAN, true), (f32::INFINITY, true), (65520.0, format == 1), (-70000.0, format == 1), (65519.0, false)]
        {
            let mut u = fill(1, 3 * hidden * hidden, 1.0);
            u[7 * hidden + 3] = value;
            let kernel = PackLow { hidden: hidden as u32, gates: 3, direction: 0, format };
            let [packed] = run(device, &kernel, [&buffer(device, &u), &buffer(device, &fill(2, 3 * hidden, 1.0))]);
            let [_, _, scales] = unpack(format as usize, hidden, &packed);
            let spoiled: Vec<usize> = (0..3 * hidden).filter(|&row| scales[row].is_nan()).collect();
            assert_eq!(spoiled, if spoils { vec![7] } else { vec![] }, "{kernel:?}: {value}");
        }
    }
}

/// Packs the weights of a case on the device. Returns them, and the case's data with the weights as rounded.
fn packed<W: WeightDtype>(device: &Device, case: &Case) -> (Tensor, Data) {
    let (hidden, mut data) = (case.p.hidden as usize, case.data());
    let p = Fused { ..case.p };
    let len = p.packed_len([W::depth(hidden), 3]);
    let tensor = poison(device, len);
    for (d, (u, bias)) in data.u.iter().zip(&data.bias).enumerate() {
        let reads = [&buffer(device, u), &buffer(device, bias)];
        device.run(&PackLow::new::<W>(hidden, 3, d), reads, [&tensor]).expect("packed");
    }
    let words = read(&tensor);
    for (d, u) in data.u.iter_mut().enumerate() {
        let [rounded, ..] = unpack(W::FORMAT, hidden, &words[d * len / p.directions as usize..]);
        *u = rounded.iter().map(|&v| v as f32).collect();
    }
    (tensor, data)
}

fn matches_f64<W: WeightDtype>(device: &Device) {
    for case in cases() {
        let (packed, data) = packed::<W>(device, &case);
        let want = case.want(&data);
        for whole in [false, true] {
            let what = format!("format {}, whole {whole}, {case:?}", W::FORMAT);
            let [state, y, saved] = case.forward_by::<W>(device, &data, &packed, whole);
            assert_known(&format!("state, {what}"), &state, &want.state, GRU);
            assert_known(&format!("y, {what}"), &y, &want.y, GRU);
            assert_known(&format!("saved, {what}"), &saved, &want.saved, GRU);
        }
    }
}

fn low_precision_gru_matches_f64_on_rounded_weights(device: &Device) {
    matches_f64::<f16>(device);
    matches_f64::<bf16>(device);
    matches_f64::<i8>(device);
}

/// Negative control: the comparison detects the rounding.
fn low_precision_gru_differs_from_the_f32_gru(device: &Device) {
    fn error<W: WeightDtype>(device: &Device, case: &Case) -> f64 {
        let [_, y, _] = case.forward_by::<W>(device, &case.data(), &packed::<W>(device, case).0, false);
        relative_error(&y, &case.want(&case.data()).y)
    }
    for case in cases().into_iter().filter(|case| case.p.hidden > 16) {
        for error in [error::<f16>(device, &case), error::<bf16>(device, &case), error::<i8>(device, &case)] {
            assert!(error > 10.0 * GRU && error < 0.1, "{case:?}: {error:e}");
        }
    }
}
