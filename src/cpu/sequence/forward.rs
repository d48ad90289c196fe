//! Forward pass over all steps.

use std::ops::Range;

use super::{StepThreads, Weights, blocks, by_groups, covers, over_rows, product};
use crate::cell::Cell;
use crate::cpu::equations::{Units, gru, gru_candidate, gru_gates, lstm, rnn};
use crate::cpu::scratch;
use crate::cpu::simd::{Exact, Isa, Lanes, for_each_isa, load_part, store_part};
use crate::cpu::thread_pool::{Parts, ThreadPool};
use crate::kernel::words;
use crate::kernels::Fused;
use crate::kernels::fused::{BLOCK, GRU_ROW};
use crate::kernels::marks::{REPEAT, RESET, TO_FIRST, VALID, has};

/// The buffers of a run.
#[derive(Clone, Copy)]
struct Run {
    p: Fused,
    x: *const f32,
    packed: *const f32,
    marks: *const u32,
    state: *mut f32,
    y: *mut f32,
    saved: *mut f32,
}

// SAFETY: threads take disjoint rows or units of one direction and touch nothing else.
unsafe impl Sync for Run {}

/// Runs [`RecurrentSequence`](crate::kernels::RecurrentSequence) with `f32` weights.
pub fn forward(
    isa: Isa,
    pool: &ThreadPool,
    p: Fused,
    [x, packed, marks]: [&[f32]; 3],
    [state, y, saved]: [&mut [f32]; 3],
) {
    let (reads, writes) = p.forward_lens(p.hidden as usize + 1);
    assert!(covers([x, packed, marks], reads) && covers([&*state, &*y, &*saved], writes));
    let run = Run {
        p,
        x: x.as_ptr(),
        packed: packed.as_ptr(),
        marks: words(marks).as_ptr(),
        state: state.as_mut_ptr(),
        y: y.as_mut_ptr(),
        saved: saved.as_mut_ptr(),
    };
    over_rows(pool, &p, |d, range, threads| rows(isa, run, d, range, threads));
}

/// Runs all steps of some rows of direction `d`.
fn rows(isa: Isa, run: Run, d: usize, rows: Range<usize>, threads: StepThreads) {
    let len = if run.p.is_reset_before() { 2 * rows.len() * run.p.hidden as usize } else { 0 };
    scratch::with(len, |kept| steps_of_rows(isa, run, d, rows, threads, Parts::new(kept)));
}

/// [`rows`], with memory that is kept from one part of a step to the next.
fn steps_of_rows(isa: Isa, run: Run, d: usize, rows: Range<usize>, threads: StepThreads, kept: Parts) {
    let (p, h) = (&run.p, run.p.hidden as usize);
    // `work` is the number of multiplications per unit and gate.
    let (work, gates) = (rows.len() * h, p.cell().gates() - p.is_reset_before() as usize);
    for step in p.range(d, p.count as usize) {
        let s = Step { run, d, step, t: p.time_of(d, step), row: rows.start, count: rows.len(), kept };
        threads.share(h, gates * work, |units| match p.cell() {
            Cell::Gru => for_each_isa!(isa, units_of_gru::<_>(s: Step, units: Range<usize>)),
            Cell::GruResetBefore => for_each_isa!(isa, gates_of_gru::<_>(s: Step, units: Range<usize>)),
            Cell::Lstm => for_each_isa!(isa, units_of_lstm::<_>(s: Step, units: Range<usize>)),
            Cell::Rnn | Cell::RnnRelu => for_each_isa!(isa, units_of_rnn::<_>(s: Step, units: Range<usize>)),
        });
        if p.is_reset_before() {
            threads.share(h, work, |units| for_each_isa!(isa, candidates_of_gru::<_>(s: Step, units: Range<usize>)));
        }
    }
}

/// One step of some rows.
#[derive(Clone, Copy)]
struct Step {
    run: Run,
    d: usize,
    step: usize,
    t: usize,
    row: usize,
    count: usize,
    /// `r⊙h` and `z` `[rows, 2, H]`, if the reset gate acts before the product. Threads write disjoint units.
    kept: Parts,
}

/// Declares functions that run a part of one step of some rows, by groups of rows. Each block of units handles all rows,
/// so its weights come from memory only once.
///
/// A function for all cells would need megabytes of stack in builds without optimizations, where every inlined value has
/// a place of its own.
macro_rules! of_rows {
    ($($name:ident: $gates:literal, [$($size:literal)*], $group:ident;)+) => {$(
        #[inline(always)]
        unsafe fn $name<V: Lanes>(s: Step, units: Range<usize>) {
            for unit in blocks(units, s.step) {
                // SAFETY: the rows and units belong to this call.
                unsafe { by_groups!(s.count, $gates, [$($size)*], |done| $group::<V>(&s, done, unit)) };
            }
        }
    )+};
}
of_rows! {
    units_of_gru: 3, [8 4 2 1], gru_rows;
    gates_of_gru: 3, [8 4 2 1], gates_rows;
    candidates_of_gru: 1, [8 4 2 1], candidate_rows;
    units_of_lstm: 4, [4 2 1], lstm_rows;
    units_of_rnn: 1, [8 4 2 1], rnn_rows;
}

/// Sixteen units of `M` rows in one step. Offsets are those of the kernel contract.
struct Group<'a, const M: usize> {
    s: &'a Step,
    /// First row.
    row: usize,
    unit: usize,
    /// State of each row before the step.
    old: [*const f32; M],
    /// Input projection of each row.
    x: [*const f32; M],
}

impl<'a, const M: usize> Group<'a, M> {
    #[inline(always)]
    unsafe fn new(s: &'a Step, done: usize, unit: usize) -> Self {
        let (run, d, t, row) = (&s.run, s.d, s.t, s.row + done);
        let p = &run.p;
        // SAFETY: rows row..row + M are within the batch.
        unsafe {
            let old = std::array::from_fn(|m| run.state.add(p.state_at(d, p.before(d, t), row + m)).cast_const());
            let x = std::array::from_fn(|m| run.x.add(p.gates_at(d, t, row + m, p.cell().gates())));
            Self { s, row, unit, old, x }
        }
    }

    /// Returns the weights of these units, with `row` floats per `k`.
    #[inline(always)]
    unsafe fn weights(&self, row: usize) -> Weights {
        let (p, h) = (&self.s.run.p, self.s.run.p.hidden as usize);
        // SAFETY: unit is within the matrix.
        let at = unsafe { self.s.run.packed.add(p.packed_at(self.s.d, self.unit, [h + 1, row / BLOCK])) };
        Weights { at, row, depth: h, bias: true }
    }

    /// Prefetches the input projection before the product. The hardware prefetcher does not follow so many distant
    /// streams.
    #[inline(always)]
    unsafe fn expect_inputs<V: Lanes>(&self, gates: usize) {
        let h = self.s.run.p.hidden as usize;
        for x in self.x {
            // SAFETY: gates·H floats a row.
            (0..gates).for_each(|gate| unsafe { V::expect(x.add(gate * h + self.unit)) });
        }
    }

    /// Returns where `r⊙h` and `z` of row `m` are kept.
    #[inline(always)]
    unsafe fn kept(&self, m: usize) -> *mut f32 {
        // SAFETY: `kept` has room for the rows of the step.
        unsafe { self.s.kept.as_ptr().add(2 * (self.row + m - self.s.row) * self.s.run.p.hidden as usize) }
    }

    /// Returns row `m` with its products `sums`, the first of which belongs to gate `first`.
    #[inline(always)]
    fn row<'g, V: Lanes, const G: usize>(&'g self, m: usize, first: usize, sums: &'g [[V; M]; G]) -> Row<'g, V, G, M> {
        Row { group: self, m, first, sums, count: BLOCK.min(self.s.run.p.hidden as usize - self.unit) }
    }
}

/// One row of a [`Group`], with its recurrent products.
struct Row<'g, V, const G: usize, const M: usize> {
    group: &'g Group<'g, M>,
    m: usize,
    first: usize,
    sums: &'g [[V; M]; G],
    count: usize,
}

// SAFETY: the group's rows and units belong to its caller.
unsafe impl<V: Lanes, const G: usize, const M: usize> Units<V> for Row<'_, V, G, M> {
    type Activations = Exact;
    #[inline(always)]
    unsafe fn x(&self, gate: usize) -> V {
        let (g, h) = (self.group, self.group.s.run.p.hidden as usize);
        // SAFETY: gates·H floats a row.
        unsafe { load_part(g.x[self.m].add(gate * h + g.unit), self.count) }
    }

    #[inline(always)]
    unsafe fn a(&self, gate: usize) -> V {
        self.sums[gate - self.first][self.m]
    }

    #[inline(always)]
    unsafe fn old(&self, part: usize) -> V {
        let (g, h) = (self.group, self.group.s.run.p.hidden as usize);
        // SAFETY: states·H floats a row.
        unsafe { load_part(g.old[self.m].add(part * h + g.unit), self.count) }
    }

    /// Also writes the output for state 0. An invalid step copies the state; its output is 0.
    #[cfg_attr(not(target_arch = "wasm32"), inline(always))]
    #[cfg_attr(target_arch = "wasm32", inline(never))]
    unsafe fn put(&self, part: usize, fresh: V) {
        let (Step { run, d, t, .. }, row) = (self.group.s, self.group.row + self.m);
        let (p, d, t, count) = (&run.p, *d, *t, self.count);
        let at = part * p.hidden as usize + self.group.unit;
        // SAFETY: offsets of the kernel's contract.
        unsafe {
            let (mark, reverse) = (*run.marks.add(t * p.batch as usize + row), p.is_reverse(d));
            let is_valid = mark & VALID != 0;
            let fresh = if is_valid { fresh } else { self.old(part) };
            if part == 0 {
                let out = if is_valid || has(mark, REPEAT, reverse) { fresh } else { V::splat(0.0) };
                store_part(out, run.y.add(p.output_at(d, t, row) + self.group.unit), count);
            }
            let next = match has(mark, RESET, reverse) {
                false => fresh,
                true if mark & TO_FIRST == 0 => V::splat(0.0),
                true => load_part(run.state.add(p.state_at(d, p.before(d, p.time_of(d, 0)), row) + at), count),
            };
            store_part(next, run.state.add(p.state_at(d, p.after(d, t), row) + at), count);
        }
    }

    #[inline(always)]
    unsafe fn keep(&self, reset: V, z: V) {
        let (h, unit) = (self.group.s.run.p.hidden as usize, self.group.unit);
        // SAFETY: there is room for two vectors per row.
        unsafe {
            let kept = self.group.kept(self.m);
            store_part(reset, kept.add(unit), self.count);
            store_part(z, kept.add(h + unit), self.count);
        }
    }

    #[inline(always)]
    unsafe fn kept(&self) -> V {
        let h = self.group.s.run.p.hidden as usize;
        // SAFETY: as `keep`.
        unsafe { load_part(self.group.kept(self.m).add(h + self.group.unit), self.count) }
    }

    #[cfg_attr(not(target_arch = "wasm32"), inline(always))]
    #[cfg_attr(target_arch = "wasm32", inline(never))]
    unsafe fn save<const N: usize>(&self, parts: [(usize, V); N]) {
        let (s, p) = (self.group.s, &self.group.s.run.p);
        if p.save == 0 {
            return;
        }
        let at = p.gates_at(s.d, s.t, self.group.row + self.m, p.cell().saved()) + self.group.unit;
        for (part, v) in parts {
            // SAFETY: offsets of the kernel's contract.
            unsafe { store_part(v, s.run.saved.add(at + part * p.hidden as usize), self.count) };
        }
    }
}

#[inline(always)]
unsafe fn gru_rows<V: Lanes, const M: usize>(s: &Step, done: usize, unit: usize) {
    // SAFETY: the rows and units belong to this call.
    unsafe {
        let g = Group::<M>::new(s, done, unit);
        g.expect_inputs::<V>(3);
        let sums = product::<V, 3, M>(g.weights(GRU_ROW), g.old);
        for m in 0..M {
            gru(&g.row(m, 0, &sums));
        }
    }
}

#[inline(always)]
unsafe fn gates_rows<V: Lanes, const M: usize>(s: &Step, done: usize, unit: usize) {
    // SAFETY: the rows and units belong to this call.
    unsafe {
        let g = Group::<M>::new(s, done, unit);
        g.expect_inputs::<V>(3);
        let sums = product::<V, 2, M>(g.weights(GRU_ROW), g.old);
        for m in 0..M {
            gru_gates(&g.row(m, 0, &sums));
        }
    }
}

#[inline(always)]
unsafe fn candidate_rows<V: Lanes, const M: usize>(s: &Step, done: usize, unit: usize) {
    // SAFETY: the rows and units belong to this call.
    unsafe {
        let g = Group::<M>::new(s, done, unit);
        let mut weights = g.weights(GRU_ROW);
        weights.at = weights.at.add(2 * BLOCK);
        let reset: [*const f32; M] = std::array::from_fn(|m| g.kept(m).cast_const());
        let sums = product::<V, 1, M>(weights, reset);
        for m in 0..M {
            gru_candidate(&g.row(m, 2, &sums));
        }
    }
}

#[inline(always)]
unsafe fn lstm_rows<V: Lanes, const M: usize>(s: &Step, done: usize, unit: usize) {
    // SAFETY: the rows and units belong to this call.
    unsafe {
        let g = Group::<M>::new(s, done, unit);
        g.expect_inputs::<V>(4);
        let sums = product::<V, 4, M>(g.weights(4 * BLOCK), g.old);
        for m in 0..M {
            lstm(&g.row(m, 0, &sums));
        }
    }
}

#[inline(always)]
unsafe fn rnn_rows<V: Lanes, const M: usize>(s: &Step, done: usize, unit: usize) {
    let is_relu = s.run.p.cell() == Cell::RnnRelu;
    // SAFETY: the rows and units belong to this call.
    unsafe {
        let g = Group::<M>::new(s, done, unit);
        g.expect_inputs::<V>(1);
        let sums = product::<V, 1, M>(g.weights(BLOCK), g.old);
        for m in 0..M {
            rnn(&g.row(m, 0, &sums), is_relu);
        }
    }
}
