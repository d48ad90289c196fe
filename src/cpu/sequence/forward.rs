//! All steps forward.

use std::ops::Range;

use super::{Crew, Weights, blocks, by_groups, covers, over_rows, product};
use crate::cell::Cell;
use crate::cpu::equations::{lstm, mix, relu};
use crate::cpu::simd::{Isa, Lanes, for_each_isa, load_part, sigmoid, store_part, tanh};
use crate::cpu::team::{Parts, Team};
use crate::kernel::{Kernel, words};
use crate::kernels::Plain;
use crate::kernels::marks::{REPEAT, RESET, TO_FIRST, VALID, has};
use crate::kernels::plain::{BLOCK, GRU_ROW};

/// The buffers of a run.
#[derive(Clone, Copy)]
struct Run {
    p: Plain,
    x: *const f32,
    packed: *const f32,
    marks: *const u32,
    state: *mut f32,
    y: *mut f32,
    saved: *mut f32,
}

// SAFETY: threads take disjoint rows or units of one direction and touch nothing else.
unsafe impl Sync for Run {}

/// A kernel of all steps, whose parameters are `p`.
pub fn forward(
    isa: Isa,
    team: &Team,
    kernel: &impl Kernel<3, 3>,
    p: Plain,
    [x, packed, marks]: [&[f32]; 3],
    [state, y, saved]: [&mut [f32]; 3],
) {
    let (reads, writes) = kernel.lens();
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
    over_rows(team, &p, |d, range, crew| rows(isa, run, d, range, crew));
}

/// All steps of some rows of direction `d`.
fn rows(isa: Isa, run: Run, d: usize, rows: Range<usize>, crew: Crew) {
    let (p, h) = (&run.p, run.p.hidden as usize);
    let mut kept = vec![0.0f32; if p.is_reset_before() { 2 * rows.len() * h } else { 0 }];
    let kept = Parts::new(&mut kept);
    // Multiplications of a unit's gate.
    let (work, gates) = (rows.len() * h, p.cell().gates() - p.is_reset_before() as usize);
    for step in p.range(d, p.count as usize) {
        let s = Step { run, d, step, t: p.time_of(d, step), row: rows.start, count: rows.len(), kept };
        crew.share(h, gates * work, |units| step_units(isa, s, units));
        if p.is_reset_before() {
            crew.share(h, work, |units| step_candidate(isa, s, units));
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
    /// Room for `r⊙h` and `z` of reset before, `[rows, 2, H]`; threads write disjoint units.
    kept: Parts,
}

fn step_units(isa: Isa, s: Step, units: Range<usize>) {
    for_each_isa!(isa, units_of_rows::<_>(s: Step, units: Range<usize>));
}

fn step_candidate(isa: Isa, s: Step, units: Range<usize>) {
    for_each_isa!(isa, candidates_of_rows::<_>(s: Step, units: Range<usize>));
}

#[inline(always)]
unsafe fn units_of_rows<V: Lanes>(s: Step, units: Range<usize>) {
    // All rows for a block: its weights are read once.
    for unit in blocks(units, s.step) {
        // SAFETY: the rows and units belong to this call.
        unsafe {
            match s.run.p.cell() {
                Cell::Gru => {
                    by_groups!(s.count, 3, [8 4 2 1], |done| reset_after::<V>(&s, done, unit));
                }
                Cell::GruResetBefore => {
                    by_groups!(s.count, 3, [8 4 2 1], |done| reset_before::<V>(&s, done, unit));
                }
                Cell::Lstm => by_groups!(s.count, 4, [4 2 1], |done| lstm_rows::<V>(&s, done, unit)),
                Cell::Rnn | Cell::RnnRelu => {
                    by_groups!(s.count, 1, [8 4 2 1], |done| rnn_rows::<V>(&s, done, unit));
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn candidates_of_rows<V: Lanes>(s: Step, units: Range<usize>) {
    for unit in blocks(units, s.step) {
        // SAFETY: the rows and units belong to this call.
        unsafe { by_groups!(s.count, 1, [8 4 2 1], |done| candidate::<V>(&s, done, unit)) };
    }
}

/// `M` rows of a step. Every offset is that of the kernel's contract.
struct Group<'a, const M: usize> {
    run: &'a Run,
    d: usize,
    t: usize,
    row: usize,
    /// The rows' states before the step, and inputs.
    old: [*const f32; M],
    x: [*const f32; M],
}

impl<'a, const M: usize> Group<'a, M> {
    #[inline(always)]
    unsafe fn new(s: &'a Step, done: usize) -> Self {
        let (run, d, t, row) = (&s.run, s.d, s.t, s.row + done);
        let p = &run.p;
        // SAFETY: rows row..row + M are within the batch.
        unsafe {
            let old = std::array::from_fn(|m| run.state.add(p.state_at(d, p.before(d, t), row + m)).cast_const());
            let x = std::array::from_fn(|m| run.x.add(p.gates_at(d, t, row + m, p.cell().gates())));
            Self { run, d, t, row, old, x }
        }
    }

    /// The block of weights that `unit` begins.
    #[inline(always)]
    unsafe fn weights(&self, unit: usize, row: usize) -> Weights {
        let (p, h) = (&self.run.p, self.run.p.hidden as usize);
        // SAFETY: unit is within the matrix.
        let at = unsafe { self.run.packed.add(p.packed_at(self.d, unit, [h + 1, row / BLOCK])) };
        Weights { at, row, depth: h, bias: true }
    }

    /// The input's part of a gate.
    #[inline(always)]
    unsafe fn input<V: Lanes>(&self, m: usize, gate: usize, unit: usize) -> V {
        let h = self.run.p.hidden as usize;
        // SAFETY: gates·H floats a row.
        unsafe { load_part(self.x[m].add(gate * h + unit), BLOCK.min(h - unit)) }
    }

    /// Has the inputs' parts of the gates come nearer while something else is computed: too many streams, and too far apart,
    /// for the processor to see them coming.
    #[inline(always)]
    unsafe fn expect_inputs<V: Lanes>(&self, gates: usize, unit: usize) {
        let h = self.run.p.hidden as usize;
        for x in self.x {
            // SAFETY: gates·H floats a row.
            (0..gates).for_each(|gate| unsafe { V::expect(x.add(gate * h + unit)) });
        }
    }

    /// What state `part` was.
    #[inline(always)]
    unsafe fn old<V: Lanes>(&self, m: usize, part: usize, unit: usize) -> V {
        let h = self.run.p.hidden as usize;
        // SAFETY: states·H floats a row.
        unsafe { load_part(self.old[m].add(part * h + unit), BLOCK.min(h - unit)) }
    }

    /// Leaves state `part`, of which the first is shown; a step that does not count keeps the state and gives 0.
    #[cfg_attr(not(target_arch = "wasm32"), inline(always))]
    #[cfg_attr(target_arch = "wasm32", inline(never))]
    unsafe fn leave<V: Lanes>(&self, m: usize, part: usize, unit: usize, fresh: V) {
        let (run, d, t, row) = (self.run, self.d, self.t, self.row + m);
        let (p, h) = (&run.p, run.p.hidden as usize);
        // SAFETY: offsets of the kernel's contract.
        unsafe {
            let (count, at) = (BLOCK.min(h - unit), part * h + unit);
            let (mark, reverse) = (*run.marks.add(t * p.batch as usize + row), p.is_reverse(d));
            let is_valid = mark & VALID != 0;
            let fresh = if is_valid { fresh } else { self.old(m, part, unit) };
            if part == 0 {
                let out = if is_valid || has(mark, REPEAT, reverse) { fresh } else { V::splat(0.0) };
                store_part(out, run.y.add(p.output_at(d, t, row) + unit), count);
            }
            let next = match has(mark, RESET, reverse) {
                false => fresh,
                true if mark & TO_FIRST == 0 => V::splat(0.0),
                true => load_part(run.state.add(p.state_at(d, p.before(d, p.time_of(d, 0)), row) + at), count),
            };
            store_part(next, run.state.add(p.state_at(d, p.after(d, t), row) + at), count);
        }
    }

    /// Keeps values for backward, if they are asked for.
    #[cfg_attr(not(target_arch = "wasm32"), inline(always))]
    #[cfg_attr(target_arch = "wasm32", inline(never))]
    unsafe fn save<V: Lanes, const N: usize>(&self, m: usize, unit: usize, parts: [(usize, V); N]) {
        let (p, h) = (&self.run.p, self.run.p.hidden as usize);
        if p.save == 0 {
            return;
        }
        let at = p.gates_at(self.d, self.t, self.row + m, p.cell().saved()) + unit;
        for (part, v) in parts {
            // SAFETY: offsets of the kernel's contract.
            unsafe { store_part(v, self.run.saved.add(at + part * h), BLOCK.min(h - unit)) };
        }
    }
}

#[inline(always)]
unsafe fn reset_after<V: Lanes, const M: usize>(s: &Step, done: usize, unit: usize) {
    // SAFETY: the rows and units belong to this call.
    unsafe {
        let g = Group::<M>::new(s, done);
        g.expect_inputs::<V>(3, unit);
        let [ar, az, c] = product::<V, 3, M>(g.weights(unit, GRU_ROW), g.old);
        for m in 0..M {
            let r = sigmoid(g.input::<V>(m, 0, unit).add(ar[m]));
            let z = sigmoid(g.input::<V>(m, 1, unit).add(az[m]));
            let n = tanh(r.fma(c[m], g.input(m, 2, unit)));
            g.leave(m, 0, unit, mix(n, z, g.old(m, 0, unit)));
            g.save(m, unit, [(0, r), (1, z), (2, n), (3, c[m])]);
        }
    }
}

/// The gates; `r⊙h` and `z` go to `kept`.
#[inline(always)]
unsafe fn reset_before<V: Lanes, const M: usize>(s: &Step, done: usize, unit: usize) {
    let h = s.run.p.hidden as usize;
    // SAFETY: the rows and units belong to this call.
    unsafe {
        let g = Group::<M>::new(s, done);
        let kept = s.kept.as_ptr().add(2 * done * h);
        let n = BLOCK.min(h - unit);
        g.expect_inputs::<V>(3, unit);
        let [ar, az] = product::<V, 2, M>(g.weights(unit, GRU_ROW), g.old);
        for m in 0..M {
            let r = sigmoid(g.input::<V>(m, 0, unit).add(ar[m]));
            let z = sigmoid(g.input::<V>(m, 1, unit).add(az[m]));
            let c = r.mul(g.old(m, 0, unit));
            store_part(c, kept.add(2 * m * h + unit), n);
            store_part(z, kept.add((2 * m + 1) * h + unit), n);
            g.save(m, unit, [(0, r), (1, z), (3, c)]);
        }
    }
}

/// The second half of reset before.
#[inline(always)]
unsafe fn candidate<V: Lanes, const M: usize>(s: &Step, done: usize, unit: usize) {
    let h = s.run.p.hidden as usize;
    // SAFETY: the rows and units belong to this call.
    unsafe {
        let g = Group::<M>::new(s, done);
        let reset: [*const f32; M] = std::array::from_fn(|m| s.kept.as_ptr().add(2 * (done + m) * h).cast_const());
        let mut weights = g.weights(unit, GRU_ROW);
        weights.at = weights.at.add(2 * BLOCK);
        let [c] = product::<V, 1, M>(weights, reset);
        for m in 0..M {
            let n = tanh(g.input::<V>(m, 2, unit).add(c[m]));
            let z = load_part(reset[m].add(h + unit), BLOCK.min(h - unit));
            g.leave(m, 0, unit, mix(n, z, g.old(m, 0, unit)));
            g.save(m, unit, [(2, n)]);
        }
    }
}

#[inline(always)]
unsafe fn lstm_rows<V: Lanes, const M: usize>(s: &Step, done: usize, unit: usize) {
    // SAFETY: the rows and units belong to this call.
    unsafe {
        let g = Group::<M>::new(s, done);
        g.expect_inputs::<V>(4, unit);
        let sums = product::<V, 4, M>(g.weights(unit, 4 * BLOCK), g.old);
        let gates = |m: usize| std::array::from_fn(|gate| g.input::<V>(m, gate, unit).add(sums[gate][m]));
        for m in 0..M {
            let new = lstm(gates(m), g.old(m, 1, unit));
            g.leave(m, 0, unit, new.h);
            g.leave(m, 1, unit, new.c);
            g.save(m, unit, [(0, new.i), (1, new.f), (2, new.g), (3, new.o), (4, new.s)]);
        }
    }
}

#[inline(always)]
unsafe fn rnn_rows<V: Lanes, const M: usize>(s: &Step, done: usize, unit: usize) {
    let is_relu = s.run.p.cell() == Cell::RnnRelu;
    // SAFETY: the rows and units belong to this call.
    unsafe {
        let g = Group::<M>::new(s, done);
        g.expect_inputs::<V>(1, unit);
        let [sum] = product::<V, 1, M>(g.weights(unit, BLOCK), g.old);
        for (m, &sum) in sum.iter().enumerate() {
            let v = g.input::<V>(m, 0, unit).add(sum);
            let new = if is_relu { relu(v) } else { tanh(v) };
            g.leave(m, 0, unit, new);
            g.save(m, unit, [(0, new)]);
        }
    }
}
