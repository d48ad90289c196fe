//! The CPU's fast paths against the twins, on every instruction set of this machine, at odd sizes.

use wgru::kernel::Kernel;
use wgru::kernels::{
    Binary, BinaryOp, CellStep, CrossEntropy, CrossEntropyBackward, Dropout, Fused, LayerNorm, LayerNormBackward,
    LstmCell, LstmCellBackward, MatMul, MinGruSequence, MinGruSequenceBackward, Pack, RecurrentSequence,
    RecurrentSequenceBackward, RnnCell, Softmax, StateUpdate, StateUpdateBackward, Unary, UnaryBackward, UnaryOp,
};
use wgru::{Cell, CpuOptions, Device, Tensor};

use crate::by_kind;
use crate::common::{assert_close, fill, twin};

/// The same sum in a different order, and fused instead of separate roundings. Worst measured: 4e-7.
const ORDER: f64 = 1.5e-6;

fn devices() -> Vec<Device> {
    let with = |isa: &str, threads| {
        Device::cpu_with(CpuOptions { isa: Some(isa.into()), threads: Some(threads), reference: false }).ok()
    };
    let isas = ["avx512", "avx2", "neon", "relaxed-simd", "simd128", "portable"];
    let all: Vec<Device> = isas.iter().flat_map(|isa| [with(isa, 1), with(isa, 2)]).flatten().collect();
    assert!(all.len() >= 2, "the portable path runs everywhere");
    all
}

/// Runs a kernel on seeded reads, and on writes that start as `initial`.
fn run<const R: usize, const W: usize, K: Kernel<R, W>>(
    device: &Device,
    kernel: &K,
    reads: &[Vec<f32>; R],
    initial: &[Vec<f32>; W],
) -> [Vec<f32>; W] {
    let tensor = |values: &Vec<f32>| Tensor::from_slice(device, values, &[values.len().max(1)]).expect("tensor");
    let reads = reads.each_ref().map(tensor);
    let writes = initial.each_ref().map(tensor);
    device.run(kernel, reads.each_ref(), writes.each_ref()).expect("run");
    writes.map(|t| t.read_blocking().expect("read"))
}

fn compare<const R: usize, const W: usize, K: Kernel<R, W>>(
    what: &str,
    kernel: &K,
    reads: &[Vec<f32>; R],
    initial: &[Vec<f32>; W],
) {
    let want = run(&twin(), kernel, reads, initial);
    for device in devices() {
        let got = run(&device, kernel, reads, initial);
        for ((got, want), name) in got.iter().zip(&want).zip(K::WRITES) {
            // Unwritten elements stay NaN, and must be the same ones in both.
            let untouched = |v: &[f32]| v.iter().map(|x| x.is_nan()).collect::<Vec<_>>();
            assert_eq!(untouched(got), untouched(want), "{what}: {name}: which elements were written");
            let number = |v: &f32| if v.is_nan() { 0.0 } else { *v };
            let got: Vec<f32> = got.iter().map(number).chain([1.0]).collect();
            let want: Vec<f64> = want.iter().map(|v| number(v) as f64).chain([1.0]).collect();
            assert_close(&format!("{what}: {name} on {}", device.info().name), &got, &want, ORDER);
        }
    }
}

#[test]
fn matmul_equals_its_twin_on_every_isa() {
    let sizes =
        [(1, 1, 1), (3, 5, 7), (4, 96, 300), (5, 33, 65), (8, 32, 16), (67, 129, 257), (130, 1040, 40), (200, 40, 600)];
    for (m, n, k) in sizes {
        let plain = MatMul::new(m, n, k);
        let forms = [plain, plain.a_transposed(), plain.b_transposed(), plain.a_transposed().b_transposed()];
        for (i, form) in forms.into_iter().enumerate() {
            for (bias, accumulate) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
                // Offsets, and gaps between the rows of c, whose content must not change.
                let kernel =
                    MatMul { bias, accumulate, a_offset: 3, b_offset: 2, c_offset: 5, c_row: n as u32 + 1, ..form };
                let ([a, b, c], [out]) = kernel.lens();
                let reads = [fill(1, a, 1.0), fill(2, b, 1.0), fill(3, c.max(1), 1.0)];
                let mut initial = vec![f32::NAN; out + 3];
                if accumulate == 1 {
                    let values = fill(4, out, 1.0);
                    for row in 0..m {
                        let at = 5 + row * (n + 1);
                        initial[at..at + n].copy_from_slice(&values[row * n..row * n + n]);
                    }
                }
                compare(&format!("matmul {m}x{n}x{k} form {i}"), &kernel, &reads, &[initial]);
            }
        }
    }
}

#[test]
fn split_and_batched_matmul_equal_their_twin() {
    let batched = MatMul { batch: 3, a_batch: 35, b_batch: 77, c_batch: 55, ..MatMul::new(5, 11, 7) };
    let split =
        MatMul { k: 30, batch: 4, k_all: 100, a_batch: 30, b_batch: 30 * 11, c_batch: 55, ..MatMul::new(5, 11, 100) };
    for kernel in [batched, split] {
        let ([a, b, _], [out]) = kernel.lens();
        let reads = [fill(1, a, 1.0), fill(2, b, 1.0), vec![0.0]];
        compare("batched matmul", &kernel, &reads, &[vec![f32::NAN; out]]);
    }
}

/// Few rows, but enough work that threads share the units of each step.
const SHARED: (u32, u32, u32) = (24, 3, 173);

/// Every combination that selects a different code path: row remainders of 8, unit remainders of 16, all cells, both
/// directions.
fn shapes() -> Vec<Fused> {
    let mut out = Vec::new();
    for (steps, batch, hidden) in [(1, 1, 1), (3, 2, 16), (5, 7, 19), (4, 13, 35), (3, 41, 67), (2, 3, 130), SHARED] {
        for (directions, reverse) in [(1, 0), (1, 1), (2, 0)] {
            for (cell, save) in Cell::ALL.into_iter().flat_map(|cell| [(cell, 0), (cell, 1)]) {
                out.push(Fused {
                    steps,
                    batch,
                    hidden,
                    directions,
                    reverse,
                    count: steps,
                    cell: cell as u32,
                    save,
                    ..Fused::default()
                });
            }
        }
    }
    out
}

#[test]
fn pack_equals_its_twin_on_every_number_of_threads() {
    for (hidden, gates, depth) in [(1, 1, 1), (16, 3, 16), (19, 4, 5), (40, 1, 33), (130, 3, 130), (67, 1, 268)] {
        for (direction, transposed) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
            let kernel = Pack { hidden, gates, depth, direction, transposed };
            let ([u, bias], [packed]) = kernel.lens();
            let reads = [fill(1, u, 1.0), fill(2, bias.max(1), 1.0)];
            compare(&format!("{kernel:?}"), &kernel, &reads, &[vec![f32::NAN; packed]]);
        }
    }
}

/// Every combination of bits: valid and masked steps, repeated outputs, and resets.
fn marks(p: &Fused) -> Vec<f32> {
    (0..p.steps * p.batch).map(|i| f32::from_bits(crate::common::mix(i) % 64)).collect()
}

/// A packed matrix whose padding units are 0, as the packer leaves them.
fn packed(p: &Fused, stream: u32, transposed: bool) -> Vec<f32> {
    let mut values = fill(stream, p.packed_len(p.extent(transposed)), 1.0 / (p.hidden as f32).sqrt());
    let (blocks, [depth, gates]) = (p.blocks(), p.extent(transposed));
    for (i, v) in values.iter_mut().enumerate() {
        let unit = i / (depth * gates * 16) % blocks * 16 + i % 16;
        if unit >= p.hidden as usize {
            *v = 0.0;
        }
    }
    values
}

fn sequence<K: Kernel<3, 3>>(p: &Fused, kernel: &K) {
    let ([x, _, _], [state, y, saved]) = kernel.lens();
    let reads = [fill(1, x, 1.0), packed(p, 2, false), marks(p)];
    let mut start = vec![f32::NAN; state];
    for d in 0..p.directions as usize {
        let first = p.state_at(d, p.before(d, p.time_of(d, 0)), 0);
        let len = p.batch as usize * p.width();
        start[first..first + len].copy_from_slice(&fill(9, len, 0.5));
    }
    compare(&format!("{p:?}"), kernel, &reads, &[start, vec![f32::NAN; y], vec![f32::NAN; saved.max(1)]]);
}

fn sequence_backward<K: Kernel<5, 2>>(p: &Fused, kernel: &K) {
    let ([_, _, state, saved, dy], [d_gates, carry]) = kernel.lens();
    let gates: Vec<f32> = fill(3, saved, 0.9).iter().map(|v| v.abs()).collect();
    let reads = [packed(p, 2, true), marks(p), fill(5, state, 0.5), gates, fill(6, dy, 1.0)];
    compare(&format!("{p:?}"), kernel, &reads, &[vec![f32::NAN; d_gates], fill(7, carry, 1.0)]);
}

#[test]
fn recurrent_sequence_equals_its_twin_on_every_isa() {
    for p in shapes() {
        by_kind!(p.cell, C => sequence(&p, &RecurrentSequence::<C>::new(p)));
    }
}

#[test]
fn recurrent_sequence_backward_equals_its_twin_on_every_isa() {
    for p in shapes().into_iter().filter(|p| p.save == 1) {
        by_kind!(p.cell, C => sequence_backward(&p, &RecurrentSequenceBackward::<C>(p)));
    }
}

/// Cells of the *steps* plan: common options, which have a fast path, and one without a fast path.
fn cells(gates: u32, saved: u32) -> Vec<CellStep> {
    let mut out = Vec::new();
    for (steps, batch, hidden) in [(1, 1, 1), (3, 2, 16), (2, 5, 19), (3, 3, 67)] {
        for (directions, reverse, step) in [(1, 0, 0), (1, 1, steps - 1), (2, 0, 0)] {
            for (save, kind, peephole, coupled) in
                [(0, 0, 0, 0), (1, 1, 0, 0), (1, 0, 1, 0), (1, 0, 0, 1), (1, 2, 0, 0)]
            {
                let tanh = [1, 1, 1, 1];
                let kinds = if gates == 1 { tanh.map(|k| k * kind) } else { [0, kind, 1, 0] };
                let is_lstm = gates == 4;
                out.push(CellStep {
                    kinds,
                    out_kind: 1,
                    steps,
                    batch,
                    hidden,
                    directions,
                    reverse,
                    step,
                    out: hidden,
                    width: if is_lstm { 2 * hidden } else { hidden },
                    saved_row: saved * hidden,
                    gates_row: (gates + 3 * peephole) * hidden,
                    save,
                    coupled: coupled * is_lstm as u32,
                    peephole: peephole * is_lstm as u32,
                    d_out_row: 2 * hidden,
                    ..CellStep::default()
                });
            }
        }
    }
    out
}

#[test]
fn rnn_cell_equals_its_twin_on_every_isa() {
    for p in cells(1, 2) {
        let kernel = RnnCell(p);
        let ([x, rec], [fresh, saved]) = kernel.lens();
        compare(
            &format!("{p:?}"),
            &kernel,
            &[fill(1, x, 1.0), fill(2, rec, 1.0)],
            &[vec![f32::NAN; fresh], vec![f32::NAN; saved]],
        );
    }
}

#[test]
fn lstm_cells_equal_their_twins_on_every_isa() {
    for p in cells(4, 11) {
        let kernel = LstmCell(p);
        let ([x, rec, state, peephole], [fresh, saved]) = kernel.lens();
        let reads = [fill(1, x, 1.0), fill(2, rec, 1.0), fill(3, state, 1.0), fill(4, peephole.max(1), 1.0)];
        compare(&format!("{p:?}"), &kernel, &reads, &[vec![f32::NAN; fresh], vec![f32::NAN; saved]]);

        let kernel = LstmCellBackward(CellStep { save: 1, ..p });
        let ([m, state, saved, peephole, d_fresh, d_out], [d_gates, carry]) = kernel.lens();
        let marks = (0..m as u32).map(|i| f32::from_bits(crate::common::mix(i) % 64)).collect();
        let lens = [state, saved, peephole.max(1), d_fresh, d_out];
        let [a, b, c, d, e] = std::array::from_fn(|i| fill(5 + i as u32, lens[i], 0.9));
        let reads = [marks, a, b, c, d, e];
        compare(&format!("{p:?}"), &kernel, &reads, &[vec![f32::NAN; d_gates], fill(11, carry, 1.0)]);
    }
}

#[test]
fn state_updates_equal_their_twins_on_the_cpu() {
    for (steps, batch, out, width) in [(1, 1, 1, 1), (4, 3, 5, 5), (3, 4, 3, 8), (2, 33, 17, 36)] {
        for (directions, reverse) in [(1, 0), (1, 1), (2, 0)] {
            for (zone_h, drops) in [(0.0, 0), (0.25, 0), (0.0, 1)] {
                for step in 0..=steps {
                    let p = StateUpdate {
                        steps,
                        batch,
                        out,
                        width,
                        directions,
                        reverse,
                        step: step.min(steps - 1),
                        zone_h,
                        drops,
                        drop_below: 1 << 30,
                        drop_scale: 1.5,
                        ..StateUpdate::default()
                    };
                    let ([m, fresh], lens) = p.lens();
                    let marks: Vec<f32> =
                        (0..m as u32).map(|i| f32::from_bits(crate::common::mix(i + 9) % 64)).collect();
                    let [state, y, dropped] = lens;
                    let writes = [fill(2, state, 1.0), vec![f32::NAN; y], vec![f32::NAN; dropped.max(1)]];
                    compare(&format!("{p:?}"), &p, &[marks.clone(), fill(1, fresh, 1.0)], &writes);

                    let back = StateUpdateBackward(StateUpdate { step, ..p });
                    let ([_, dy, q], [d_fresh, carry]) = back.lens();
                    let reads = [marks, fill(3, dy, 1.0), fill(4, q.max(1), 1.0)];
                    compare(&format!("{back:?}"), &back, &reads, &[fill(5, d_fresh, 1.0), fill(6, carry, 1.0)]);
                }
            }
        }
    }
}

/// On a GPU, a long sum with few outputs is split; the bias must still be added once.
#[test]
fn a_long_linear_layer_keeps_its_bias_on_every_device() {
    for device in [Some(Device::cpu()), crate::common::gpu()].into_iter().flatten() {
        for (rows, k, out) in [(1, 1024, 10), (7, 2048, 10), (33, 3000, 5)] {
            let tensor = |stream, dims: &[usize]| {
                Tensor::from_slice(&device, &fill(stream, dims.iter().product(), 1.0), dims).expect("tensor")
            };
            let (x, w, b) = (tensor(1, &[rows, k]), tensor(2, &[out, k]), tensor(3, &[out]));
            let got = x.linear(&w, Some(&b)).and_then(|y| y.read_blocking()).expect("linear");
            let (x, w, b) = (fill(1, rows * k, 1.0), fill(2, out * k, 1.0), fill(3, out, 1.0));
            let dot = |r: usize, o: usize| -> f64 { (0..k).map(|i| x[r * k + i] as f64 * w[o * k + i] as f64).sum() };
            let want: Vec<f64> = (0..rows * out).map(|i| dot(i / out, i % out) + b[i % out] as f64).collect();
            assert_close(&format!("{rows}x{k}x{out} on {}", device.info().name), &got, &want, ORDER);
        }
    }
}

/// Like [`compare`], but relative to each value (at least 1), since values in log space differ in size. Also requires
/// the same bits with one thread and with two.
fn compare_each<const R: usize, const W: usize, K: Kernel<R, W>>(
    what: &str,
    kernel: &K,
    reads: &[Vec<f32>; R],
    near: f64,
) {
    let initial = kernel.lens().1.map(|len| vec![f32::NAN; len]);
    let want = run(&twin(), kernel, reads, &initial);
    let got: Vec<_> = devices().iter().map(|device| run(device, kernel, reads, &initial)).collect();
    for pair in got.chunks_exact(2) {
        let bits = |all: &[Vec<f32>; W]| all.each_ref().map(|v| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>());
        assert_eq!(bits(&pair[0]), bits(&pair[1]), "{what}: one thread and two threads differ");
    }
    for (device, got) in devices().iter().zip(&got) {
        for ((got, want), name) in got.iter().zip(&want).zip(K::WRITES) {
            for (i, (&got, &want)) in got.iter().zip(want).enumerate() {
                let (g, w) = (f64::from(got), f64::from(want));
                let is_same = got.is_nan() && want.is_nan() || g == w || (g - w).abs() <= near * w.abs().max(1.0);
                assert!(is_same, "{what}: {name}[{i}] on {}: {got:e} for {want:e}", device.info().name);
            }
        }
    }
}

/// Values of all sizes, with NaN, infinities and values far beyond any gate's range at the front.
fn gates_of_all_sizes(stream: u32, len: usize) -> Vec<f32> {
    let mut values = fill(stream, len, 12.0);
    let edges = [f32::NAN, 0.0, -0.0, 95.0, -95.0, 1e30, -1e30, f32::INFINITY, f32::NEG_INFINITY, 1e-30];
    values.iter_mut().skip(stream as usize).step_by(7).zip(edges).for_each(|(v, edge)| *v = edge);
    values
}

#[test]
fn min_gru_equals_its_twin_on_every_isa() {
    // The last size is split among threads.
    for [steps, batch, hidden] in [[1, 1, 1], [5, 3, 19], [7, 2, 16], [3, 4, 67], [60, 1, 8], [9, 40, 3], [131, 5, 203]]
    {
        for (directions, reverse) in [(1, 2), (1, 1), (2, 0)] {
            for log in [0, 1] {
                let p = MinGruSequence { steps, batch, hidden, directions, reverse, log, chunk: steps };
                for ragged in [false, true] {
                    compare_min_gru(&p, ragged);
                }
            }
        }
    }
}

fn compare_min_gru(p: &MinGruSequence, ragged: bool) {
    // Logarithms up to 50: exponentiation magnifies their rounding error accordingly.
    let near = if p.log == 1 { 3e-5 } else { 1e-5 };
    let length = |b: u32| if ragged { (p.steps + 1 - b % 3).saturating_sub(b * b) } else { p.steps };
    let lengths: Vec<f32> = (0..p.batch).map(|b| f32::from_bits(length(b))).collect();
    let ([kv_len, _, width], [all, _]) = p.lens();
    let mut kv = gates_of_all_sizes(1, kv_len);
    // Clamps the candidates, so that they do not dominate all other terms.
    for (i, v) in kv.iter_mut().enumerate() {
        let is_candidate = i / (all / p.directions as usize) % 2 == 1;
        if is_candidate && v.is_finite() {
            *v = v.clamp(-50.0, 50.0);
        }
    }
    let mut h0 = fill(3, width, 1.0);
    if p.log == 1 {
        h0.iter_mut().for_each(|v| *v = v.abs());
    }
    h0[0] = 0.0;
    let what = format!("{p:?} {ragged}");
    compare_each(&what, p, &[kv.clone(), lengths.clone(), h0.clone()], near);
    let [y, dy, d_last] = [fill(4, all, 1.0), fill(5, all, 1.0), fill(6, width, 1.0)];
    compare_each(&what, &MinGruSequenceBackward(*p), &[kv, lengths, h0, y, dy, d_last], near);
}

#[test]
fn functions_of_elements_equal_their_twins_on_every_isa() {
    for len in [1, 19, 300] {
        let [x, y, dy] = [gates_of_all_sizes(1, len), fill(2, len, 1.0), fill(3, len, 1.0)];
        for op in UnaryOp::ALL {
            let p = Unary { len: len as u32, op: op as u32, alpha: 0.7 };
            compare_each(&format!("{op:?}"), &p, std::array::from_ref(&x), 2e-6);
            let p = UnaryBackward { len: len as u32, op: op as u32, alpha: 0.7 };
            compare_each(&format!("{op:?} backwards"), &p, &[x.clone(), y.clone(), dy.clone()], 2e-6);
        }
    }
    for op in BinaryOp::ALL {
        let dims = [2, 3, 4, 19];
        for (a_strides, b_strides) in [
            ([228, 76, 19, 1], [228, 76, 19, 1]),
            ([228, 76, 19, 1], [0, 4, 1, 0]),
            ([0, 0, 0, 1], [12, 4, 1, 0]),
            ([1, 2, 6, 24], [0, 0, 0, 0]),
        ] {
            let p = Binary { dims, a_strides, b_strides, op: op as u32 };
            let reads = p.lens().0;
            compare_each(
                &format!("{p:?}"),
                &p,
                &[gates_of_all_sizes(4, reads[0]), gates_of_all_sizes(3, reads[1])],
                0.0,
            );
        }
    }
}

#[test]
fn dropout_equals_its_twin_on_every_isa() {
    for len in [1, 19, 300] {
        for threshold in [0, 1 << 30, u32::MAX] {
            let p = Dropout { len: len as u32, key_low: 0x1234_5678, key_high: 9, threshold, scale: 1.25 };
            compare_each(&format!("{p:?}"), &p, &[fill(1, len, 1.0)], 0.0);
        }
    }
}

#[test]
fn rows_equal_their_twins_on_every_isa() {
    for (rows, width) in [(1, 1), (3, 7), (5, 16), (4, 45), (2, 333)] {
        let [r, w] = [rows, width].map(|n: usize| n as u32);
        let mut x = fill(1, rows * width, 60.0);
        if rows > 1 {
            (x[width - 1], x[2 * width - 1]) = (-1e30, f32::NAN);
        }
        for log in [0, 1] {
            let p = Softmax { rows: r, width: w, log };
            compare_each(&format!("{p:?}"), &p, &[x.clone()], 2e-6);
        }
        let targets: Vec<f32> = (0..r).map(|row| f32::from_bits(if row == 2 { 9999 } else { row * 7 % w })).collect();
        for (smoothing, ignored) in [(0.0, 9999), (0.1, 0), (0.0, 77), (0.4, 77)] {
            let p = CrossEntropy { rows: r, classes: w, ignored, smoothing };
            compare_each(&format!("{p:?}"), &p, &[x.clone(), targets.clone()], 5e-6);
            let p = CrossEntropyBackward { rows: r, classes: w, ignored, smoothing };
            compare_each(&format!("{p:?}"), &p, &[x.clone(), targets.clone(), fill(4, rows, 1.0)], 2e-6);
        }
        let x: Vec<f32> = fill(5, rows * width, 2.0).iter().map(|v| v + 3.0).collect();
        for groups in [1, r] {
            let [weight, bias] = [6, 7].map(|stream| fill(stream, groups as usize * width, 1.0));
            let p = LayerNorm { rows: r, width: w, groups, eps: 1e-3 };
            compare_each(&format!("{p:?}"), &p, &[x.clone(), weight.clone(), bias], 1e-5);
            let p = LayerNormBackward { rows: r, width: w, groups };
            let stats: Vec<f32> = (0..rows).flat_map(|_| [3.1, 0.8]).collect();
            compare_each(&format!("{p:?}"), &p, &[x.clone(), weight, stats, fill(8, rows * width, 1.0)], 1e-5);
        }
    }
}
