//! Kernel parameters at the 16-, 31- and 32-bit edges: either `check` refuses them, or every value computed from them
//! fits and the twin runs on buffers of exactly the lengths that the kernel asks for.

#[cfg(wgru_jspi)]
#[macro_use]
extern crate browser_tests;

use half::{bf16, f16};
use wgru::Error;
use wgru::kernel::{Kernel, Params};
use wgru::kernels::fused::{GRU, GRU_RESET_BEFORE, LSTM, RNN};
use wgru::kernels::*;

/// Values tried in every field.
const EDGES: [u32; 24] = [
    0,
    1,
    2,
    3,
    7,
    16,
    17,
    63,
    255,
    1 << 14,
    (1 << 14) + 1,
    (1 << 15) - 1,
    (1 << 16) - 1,
    1 << 16,
    (1 << 16) + 1,
    1 << 20,
    1 << 24,
    (1 << 30) + 1,
    (1 << 31) - 1,
    1 << 31,
    (1 << 31) + 1,
    u32::MAX - 15,
    u32::MAX - 1,
    u32::MAX,
];
/// Parameter blocks tried per start.
const ROUNDS: usize = 10_000;
/// Maximum number of words, workgroups and loop iterations for which the twin is run.
const SMALL: u64 = 1 << 12;

/// SplitMix64
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }
}

/// Indices of the words of the parameter block that hold a `u32`.
fn whole_numbers<K: Params>() -> Vec<usize> {
    let (mut word, mut out) = (0, Vec::new());
    for (_, wgsl) in K::FIELDS {
        let count = if wgsl.starts_with("vec4") { 4 } else { 1 };
        if wgsl.contains("u32") {
            out.extend(word..word + count);
        }
        word += count;
    }
    out
}

/// Tries `starts` with some fields replaced by edge values. `largest` returns values that the shader computes and that
/// no buffer length bounds.
fn holds<const R: usize, const W: usize, K: Kernel<R, W>>(starts: &[K], largest: impl Fn(&K) -> Vec<u128>) {
    let (fields, mut random) = (whole_numbers::<K>(), Random(7));
    let (mut refused, mut taken, mut run) = (0, 0, 0);
    for start in starts {
        start.check().unwrap_or_else(|error| panic!("{}: the start values must be accepted: {error}", K::NAME));
        for _ in 0..ROUNDS {
            let mut kernel = *start;
            let words: &mut [u32] = bytemuck::cast_slice_mut(std::slice::from_mut(&mut kernel));
            for _ in 0..1 + random.below(4) {
                words[fields[random.below(fields.len())]] = EDGES[random.below(EDGES.len())];
            }
            let what = || format!("{} {:?}", K::NAME, bytemuck::cast_slice::<K, u32>(std::slice::from_ref(&kernel)));
            match kernel.check() {
                Ok(()) => taken += 1,
                Err(Error::Value { .. } | Error::Limit { .. }) => {
                    refused += 1;
                    continue;
                }
                Err(other) => panic!("{}: {other}", what()),
            }
            _ = kernel.check_shader();
            assert!(kernel.groups().iter().all(|&n| n > 0), "{}", what());
            let (reads, writes) = kernel.lens();
            let all: Vec<usize> = reads.into_iter().chain(writes).collect();
            let most = all.iter().map(|&n| n as u128).chain(largest(&kernel)).max().unwrap_or(0);
            assert!(most <= u32::MAX.into(), "{}: {most}", what());
            let words = all.iter().map(|&n| n as u64).sum();
            let threads = kernel.groups().iter().map(|&n| u64::from(n)).product();
            if [kernel.work(), kernel.loops(), words, threads].iter().all(|&n| n <= SMALL) {
                twin(&kernel, &all);
                run += 1;
            }
        }
    }
    assert!(taken > 0 && run > 0 && (refused > 0 || fields.is_empty()), "{}: {refused} {taken} {run}", K::NAME);
}

/// Runs the twin on buffers filled with the integer 1: marks, lengths and indices of 1, and floats near 0.
fn twin<const R: usize, const W: usize, K: Kernel<R, W>>(kernel: &K, lens: &[usize]) {
    let one = |len: &usize| vec![f32::from_bits(1); *len];
    let reads: Vec<Vec<f32>> = lens[..R].iter().map(one).collect();
    let mut writes: Vec<Vec<f32>> = lens[R..].iter().map(one).collect();
    let mut writes = writes.iter_mut();
    kernel.run(
        std::array::from_fn(|i| &reads[i][..]),
        std::array::from_fn(|_| &mut writes.next().expect("as many as the kernel has")[..]),
    );
}

/// No values besides the lengths.
fn lens_alone<K>(_: &K) -> Vec<u128> {
    Vec::new()
}

fn wide<const N: usize>(values: [u32; N]) -> [u128; N] {
    values.map(u128::from)
}

#[test]
fn kernels_of_one_length_hold_at_the_edges() {
    holds(&[Unary { len: 5, op: 2, alpha: 1.0 }], lens_alone);
    holds(&[Map { len: 5, op: 2 }], lens_alone);
    holds(&[UnaryBackward { len: 5, op: 2, alpha: 1.0 }], lens_alone);
    holds(&[Loss { len: 5, kind: 0, delta: 1.0 }], lens_alone);
    holds(&[LossBackward { len: 5, kind: 0, delta: 1.0 }], lens_alone);
}

#[test]
fn copies_and_broadcasts_hold_at_the_edges() {
    let (dims, strides) = ([2, 3, 1, 4], [12, 4, 0, 1]);
    holds(&[Copy { dims, src_strides: strides, dst_strides: strides, src_offset: 2, dst_offset: 3 }], lens_alone);
    holds(&[Binary { dims, a_strides: strides, b_strides: [0, 4, 0, 1], op: 1 }], lens_alone);
    holds(&[Zip { dims, a_strides: strides, b_strides: [0, 4, 0, 1], op: 1 }], lens_alone);
    holds(&[Gather { rows: 3, width: 4, table_rows: 5 }], lens_alone);
    holds(&[ScatterAdd { rows: 3, width: 4, table_rows: 5 }], lens_alone);
}

#[test]
fn sums_and_scans_hold_at_the_edges() {
    let sum = Sum { outer: 2, axis: 5, inner: 3, chunk: 2, scale: 1.0, ..Sum::default() };
    holds(&[sum, Sum { outer: 1, inner: 1, ..sum }], |p| {
        let [outer, axis, inner, chunk, offset] = wide([p.outer, p.axis, p.inner, p.chunk, p.offset]);
        let chunks = (axis - 1) / chunk + 1;
        let first = (chunks - 1) * chunk;
        vec![outer * axis * inner, offset + outer * chunks * inner, first + chunk.min(axis - first)]
    });
    let extreme = Extreme { outer: 2, axis: 5, inner: 3, chunk: 2, least: 1, mapped: 1 };
    holds(&[extreme, Extreme { outer: 1, inner: 1, mapped: 0, ..extreme }], |p| {
        let [outer, axis, inner, chunk] = wide([p.outer, p.axis, p.inner, p.chunk]);
        let chunks = (axis - 1) / chunk + 1;
        let first = (chunks - 1) * chunk;
        vec![outer * axis * inner, outer * chunks * inner, first + chunk.min(axis - first)]
    });
    holds(&[ExtremeBackward { outer: 2, axis: 5, inner: 3 }], lens_alone);
    holds(&[Scan { steps: 5, width: 3, log: 1 }], lens_alone);
    let gru = MinGruSequence { steps: 5, batch: 2, hidden: 3, directions: 2, reverse: 0, log: 1, chunk: 2 };
    let ends = |p: &MinGruSequence| vec![u128::from(p.steps - 1) + u128::from(p.chunk)];
    holds(&[gru], ends);
    holds(&[MinGruChunks(gru)], |p| ends(&p.0));
    holds(&[MinGruSequenceBackward(gru)], |p| ends(&p.0));
    holds(&[MinGruChunksBackward(gru)], |p| ends(&p.0));
}

#[test]
fn rows_hold_at_the_edges() {
    holds(&[Softmax { rows: 3, width: 4, log: 1 }], lens_alone);
    holds(&[SoftmaxBackward { rows: 3, width: 4, log: 1 }], lens_alone);
    holds(&[MaskedSoftmax { batch: 2, rows: 3, width: 4 }], |p| {
        vec![wide([p.batch, p.rows, p.width]).iter().product(), u128::from(p.batch) * u128::from(p.rows)]
    });
    holds(&[LayerNorm { rows: 3, width: 4, groups: 3, eps: 1e-5 }], lens_alone);
    holds(&[LayerNormBackward { rows: 3, width: 4, groups: 3 }], lens_alone);
    holds(&[CrossEntropy { rows: 3, classes: 4, ignored: 9, smoothing: 0.1 }], lens_alone);
    holds(&[CrossEntropyBackward { rows: 3, classes: 4, ignored: 9, smoothing: 0.1 }], lens_alone);
}

#[test]
fn windows_hold_at_the_edges() {
    let p =
        Unfold { steps: 9, outputs: 4, batch: 2, channels: 6, groups: 3, taps: 3, stride: 2, padding: 1, dilation: 2 };
    let largest = |p: &Unfold| {
        let [steps, outputs, stride, taps] = wide([p.steps, p.outputs, p.stride, p.taps]);
        let [padding, dilation, batch, channels] = wide([p.padding, p.dilation, p.batch, p.channels]);
        let last = padding + (outputs - 1) * stride + (taps - 1) * dilation;
        vec![last, steps + padding, outputs * batch * channels * taps, steps * batch * channels]
    };
    let one = Unfold { outputs: 1, batch: 1, groups: 1, ..p };
    holds(&[p, one], largest);
    holds(&[Fold(p), Fold(one)], |p| largest(&p.0));
}

#[test]
fn products_hold_at_the_edges() {
    let plain = MatMul::new(3, 5, 4);
    let batched = MatMul { batch: 2, a_batch: 12, b_batch: 20, c_batch: 15, ..plain };
    let split =
        MatMul { m: 4, n: 4, k: 4, batch: 2, k_all: 7, a_batch: 4, b_batch: 4, c_batch: 16, ..MatMul::new(4, 4, 4) };
    // Tiles are at most 128 wide and 64 deep.
    let largest = |p: &MatMul| {
        let [m, n, k, batch] = wide([p.m, p.n, p.k, p.batch]);
        vec![m + 128, n + 128, k + 64, (batch - 1) * k]
    };
    let still = MatMul { a_col: 0, b_row: 0, ..plain };
    holds(&[plain, batched, split, still], largest);
    holds(&[MatMulTiled(batched)], |p| largest(&p.0));
    holds(&[MatMulOuter(split)], |p| largest(&p.0));
}

#[test]
fn ctc_holds_at_the_edges() {
    let p = Ctc { steps: 3, batch: 2, classes: 4, labels: 2, blank: 0, zero_infinity: 1 };
    holds(&[CtcAlpha(p)], |p| vec![2 * u128::from(p.0.labels) + 1 + 64]);
    holds(&[CtcBeta(p)], |p| vec![2 * u128::from(p.0.labels) + 1 + 64]);
    holds(&[CtcGradient(p)], lens_alone);
}

#[test]
fn packing_holds_at_the_edges() {
    let p = Pack { hidden: 17, gates: 3, depth: 5, direction: 1, transposed: 0 };
    holds(&[p, Pack { transposed: 1, ..p }], lens_alone);
    holds(&[PackLow { hidden: 17, gates: 3, direction: 1, format: 3 }], lens_alone);
}

/// Largest values of step counters, rows of four, and indices.
fn largest_of(p: &Fused) -> Vec<u128> {
    let [step, count, lag, directions] = wide([p.step, p.count, p.lag, p.directions]);
    let [steps, batch, hidden] = wide([p.steps, p.batch, p.hidden]);
    let rows = directions * (steps + 1) * batch;
    // Split sums round the units up to a part.
    let values = [step + count, (directions - 1) * lag, batch + 3, rows * 5 * hidden, hidden + 255];
    [&values[..], &[2 * directions * batch * 2 * hidden]].concat()
}

#[test]
fn fused_kernels_hold_at_the_edges() {
    let gru = Fused { steps: 3, batch: 2, hidden: 5, directions: 2, count: 2, save: 1, ..Fused::default() };
    let layers = Fused { directions: 3, reverse: 2, lag: 1, count: 1, ..gru };
    let before = Fused { cell: 1, ..gru };
    let lstm = Fused { cell: 2, ..gru };
    let simple = Fused { cell: 3, ..layers };
    let split = |p: Fused| Fused { shader: Fused::SPLIT, ..p };
    holds(&[RecurrentStep::<GRU>::new(gru), RecurrentStep::new(layers)], |p| largest_of(&p.0));
    holds(&[RecurrentStep::<GRU>::new(split(layers))], |p| largest_of(&p.0));
    holds(&[RecurrentSequence::<LSTM, i8>::from(split(lstm))], |p| largest_of(&p.0));
    holds(&[RecurrentStepBackward::<LSTM>(split(lstm))], |p| largest_of(&p.0));
    holds(&[RecurrentSequenceBackward::<GRU_RESET_BEFORE>(split(before))], |p| largest_of(&p.0));
    holds(&[RecurrentStep::<GRU, i8>::from(layers)], |p| largest_of(&p.0));
    holds(&[RecurrentStep::<GRU_RESET_BEFORE, bf16>::from(Fused { half: 1, ..before })], |p| largest_of(&p.0));
    holds(&[RecurrentStep::<LSTM>::new(lstm)], |p| largest_of(&p.0));
    holds(&[RecurrentStep::<RNN, i8>::from(simple)], |p| largest_of(&p.0));
    holds(&[RecurrentSequence::<GRU, f16>::from(gru)], |p| largest_of(&p.0));
    holds(&[RecurrentSequence::<LSTM>::new(lstm)], |p| largest_of(&p.0));
    holds(&[RecurrentSequence::<GRU_RESET_BEFORE>::new(before)], |p| largest_of(&p.0));
    holds(&[RecurrentSequence::<RNN>::new(simple)], |p| largest_of(&p.0));
    holds(&[RecurrentStepBackward::<GRU>(gru)], |p| largest_of(&p.0));
    holds(&[RecurrentStepBackward::<GRU_RESET_BEFORE>(Fused { half: 1, ..before })], |p| largest_of(&p.0));
    holds(&[RecurrentStepBackward::<LSTM>(lstm)], |p| largest_of(&p.0));
    holds(&[RecurrentSequenceBackward::<GRU>(gru)], |p| largest_of(&p.0));
    holds(&[RecurrentSequenceBackward::<LSTM>(lstm)], |p| largest_of(&p.0));
    let simple = Fused { cell: 3, ..gru };
    holds(&[RecurrentStepBackward::<RNN>(simple)], |p| largest_of(&p.0));
    holds(&[RecurrentSequenceBackward::<GRU_RESET_BEFORE>(before)], |p| largest_of(&p.0));
    holds(&[RecurrentSequenceBackward::<RNN>(simple)], |p| largest_of(&p.0));
}

#[test]
fn cells_hold_at_the_edges() {
    let cell = |gates: u32, saved: u32| CellStep {
        steps: 3,
        batch: 2,
        hidden: 3,
        directions: 2,
        out: 3,
        width: 6,
        saved_row: 3 * saved,
        gates_row: 3 * gates,
        save: 1,
        d_out_row: 3,
        ..CellStep::default()
    };
    let largest = |p: &CellStep| {
        let [directions, batch, steps, row] = wide([p.directions, p.batch, p.steps, p.d_out_row]);
        let [saved, gates, width] = wide([p.saved_row, p.gates_row, p.width]);
        let rows = directions * (steps + 1) * batch;
        vec![directions * batch * row, rows * saved, rows * gates, rows * width]
    };
    holds(&[RnnCell(cell(1, 2))], |p| largest(&p.0));
    holds(&[RnnCellBackward(cell(1, 2))], |p| largest(&p.0));
    holds(&[GruCell(cell(4, 7))], |p| largest(&p.0));
    holds(&[GruCellBackward(cell(4, 7))], |p| largest(&p.0));
    holds(&[LstmCell(cell(7, 11))], |p| largest(&p.0));
    let one = CellStep { steps: 1, directions: 1, ..cell(7, 11) };
    holds(&[LstmCellBackward(cell(7, 11)), LstmCellBackward(one)], |p| largest(&p.0));
    let update =
        StateUpdate { steps: 3, batch: 2, out: 3, width: 6, directions: 2, drops: 1, ..StateUpdate::default() };
    let slots = |p: &StateUpdate| {
        let [directions, steps, batch, width] = wide([p.directions, p.steps, p.batch, p.width]);
        vec![directions * (steps + 1) * batch * width]
    };
    holds(&[update], slots);
    holds(&[StateUpdateBackward(update)], |p| slots(&p.0));
}

#[track_caller]
fn refused<const R: usize, const W: usize, K: Kernel<R, W>>(kernel: K, arg: &str) {
    let error = kernel.check().expect_err("refused").to_string();
    assert!(error.starts_with(K::NAME) && error.contains(arg), "{error}");
}

/// Regressions: `check` saturated a product at 2³² − 1 and accepted it after multiplying by 1, or ignored a field.
#[test]
fn parameters_that_check_once_accepted_are_refused() {
    refused(MaskedSoftmax { batch: 1 << 16, rows: (1 << 16) + 1, width: 1 }, "rows");
    let p = Unfold {
        steps: 9,
        outputs: 1,
        batch: 1,
        channels: 1 << 16,
        groups: 1,
        taps: (1 << 16) + 5,
        stride: 1,
        padding: 0,
        dilation: 1,
    };
    refused(p, "outputs");
    refused(Fold(p), "outputs");
    refused(Pack { hidden: 1 << 14, gates: 4, depth: 1 << 16, direction: 0, transposed: 1 }, "depth");
    refused(Pack { hidden: 1 << 14, gates: 3, depth: 1 << 14, direction: 63, transposed: 0 }, "direction");
    refused(PackLow { hidden: 1 << 14, gates: 3, direction: 63, format: 1 }, "direction");
    let many = Fused { steps: 1, batch: 1, hidden: 1 << 14, directions: 64, reverse: 2, ..Fused::default() };
    refused(RecurrentStep::<GRU>::new(many), "hidden");
    refused(RecurrentSequence::<LSTM>::new(Fused { cell: 2, ..many }), "hidden");
    // With strides of 0 every buffer is short, but the loop is long.
    refused(MatMul { a_col: 0, b_row: 0, ..MatMul::new(1, 1, u32::MAX as usize) }, "k");
    refused(MatMulTiled(MatMul { a_col: 0, b_row: 0, ..MatMul::new(1, 1, u32::MAX as usize - 7) }), "k");
    let rows = CellStep {
        steps: 1,
        batch: 1 << 20,
        hidden: 1,
        directions: 1,
        out: 1,
        width: 2,
        saved_row: 11,
        gates_row: 4,
        d_out_row: 1 << 15,
        ..CellStep::default()
    };
    refused(LstmCellBackward(rows), "steps");
}
