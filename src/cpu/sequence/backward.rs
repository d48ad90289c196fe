//! Backward pass over all steps.

use std::ops::Range;

use super::{StepThreads, Weights, blocks, by_groups, covers, over_rows, product};
use crate::cell::Cell;
use crate::cpu::simd::{Isa, Lanes, for_each_isa, load_part, store_part, unrolled, zeros};
use crate::cpu::thread_pool::ThreadPool;
use crate::kernel::words;
use crate::kernels::Fused;
use crate::kernels::fused::{BLOCK, GRU_ROW};
use crate::kernels::marks::{REPEAT, RESET, TO_FIRST, VALID, has};

/// The buffers of a run.
#[derive(Clone, Copy)]
struct Run {
    p: Fused,
    packed: *const f32,
    marks: *const u32,
    state: *const f32,
    saved: *const f32,
    dy: *const f32,
    d_gates: *mut f32,
    carry: *mut f32,
}

// SAFETY: threads take disjoint rows or units of one direction and touch nothing else.
unsafe impl Sync for Run {}

/// Runs [`RecurrentSequenceBackward`](crate::kernels::RecurrentSequenceBackward).
pub fn backward(isa: Isa, pool: &ThreadPool, p: Fused, reads: [&[f32]; 5], [d_gates, carry]: [&mut [f32]; 2]) {
    let (needed, written) = p.backward_lens();
    assert!(covers(reads, needed) && covers([&*d_gates, &*carry], written));
    let [packed, marks, state, saved, dy] = reads;
    let run = Run {
        p,
        packed: packed.as_ptr(),
        marks: words(marks).as_ptr(),
        state: state.as_ptr(),
        saved: saved.as_ptr(),
        dy: dy.as_ptr(),
        d_gates: d_gates.as_mut_ptr(),
        carry: carry.as_mut_ptr(),
    };
    over_rows(pool, &p, |d, range, threads| rows(isa, run, d, range, threads));
}

/// Runs all steps of some rows of direction `d`, last step first.
fn rows(isa: Isa, run: Run, d: usize, rows: Range<usize>, threads: StepThreads) {
    let (p, h) = (&run.p, run.p.hidden as usize);
    // `work` is the number of multiplications per unit and gate.
    let (work, gates) = (rows.len() * h, p.cell().gates());
    for step in p.range(d, p.count as usize).rev() {
        let s = Step { run, d, step, t: p.time_of(d, step), row: rows.start, count: rows.len() };
        threads.share(h, 16 * rows.len(), |units| for_each_isa!(isa, gates_of_rows::<_>(s: Step, units: Range<usize>)));
        if p.is_reset_before() {
            threads.share(h, work, |units| for_each_isa!(isa, resets_of_rows::<_>(s: Step, units: Range<usize>)));
        }
        threads.share(h, gates * work, |units| for_each_isa!(isa, states_of_rows::<_>(s: Step, units: Range<usize>)));
    }
}

/// One backward step of some rows.
#[derive(Clone, Copy)]
struct Step {
    run: Run,
    d: usize,
    step: usize,
    t: usize,
    row: usize,
    count: usize,
}

#[inline(always)]
unsafe fn resets_of_rows<V: Lanes>(s: Step, units: Range<usize>) {
    for unit in blocks(units, s.step) {
        // SAFETY: the rows and units belong to this call.
        unsafe { by_groups!(s.count, 1, [8 4 2 1], |done| reset_gradients::<V>(&s, done, unit)) };
    }
}

#[inline(always)]
unsafe fn states_of_rows<V: Lanes>(s: Step, units: Range<usize>) {
    for unit in blocks(units, s.step) {
        // SAFETY: the rows and units belong to this call.
        unsafe { by_groups!(s.count, 1, [8 4 2 1], |done| state_gradients::<V>(&s, done, unit)) };
    }
}

/// Computes the gate gradients of some rows and units, and the element-wise part of the carry.
#[inline(always)]
unsafe fn gates_of_rows<V: Lanes>(s: Step, units: Range<usize>) {
    let h = s.run.p.hidden as usize;
    for row in s.row..s.row + s.count {
        for unit in units.clone().step_by(BLOCK) {
            let at = At { s: &s, row, unit, count: BLOCK.min(h - unit) };
            // SAFETY: the rows and units belong to this call.
            unsafe {
                match s.run.p.cell() {
                    Cell::Gru | Cell::GruResetBefore => at.gru::<V>(),
                    Cell::Lstm => at.lstm::<V>(),
                    Cell::Rnn => at.rnn::<V>(false),
                    Cell::RnnRelu => at.rnn::<V>(true),
                }
            }
        }
    }
}

/// Gradients below this become 0. Over hundreds of steps they vanish into subnormal numbers, with which processors are
/// ten times as slow.
const TINY: f32 = 1e-30;

/// Returns `v`, or 0 where it is tiny. NaN stays NaN.
#[inline(always)]
unsafe fn flushed<V: Lanes>(v: V) -> V {
    // SAFETY: as the functions'.
    unsafe { v.abs().where_below(V::splat(TINY), V::splat(0.0), v) }
}

/// The units of one block in one row. Offsets are those of the kernel contract.
#[derive(Clone, Copy)]
struct At<'a> {
    s: &'a Step,
    row: usize,
    unit: usize,
    count: usize,
}

impl At<'_> {
    #[inline(always)]
    unsafe fn mark(self) -> u32 {
        let p = &self.s.run.p;
        // SAFETY: marks hold [T, B].
        unsafe { *self.s.run.marks.add(self.s.t * p.batch as usize + self.row) }
    }

    /// Returns where the carry of state `part` is.
    #[inline(always)]
    unsafe fn carry(self, part: usize) -> *mut f32 {
        let p = &self.s.run.p;
        let at = (self.s.d * p.batch as usize + self.row) * p.width() + part * p.hidden as usize + self.unit;
        // SAFETY: carry holds [2, D, B, width].
        unsafe { self.s.run.carry.add(at) }
    }

    /// Returns the gradient of state `part` after the step. At a reset it is 0; if the reset is to the initial state,
    /// the gradient moves to the carry of the initial state.
    #[inline(always)]
    unsafe fn take<V: Lanes>(self, part: usize) -> V {
        let p = &self.s.run.p;
        // SAFETY: offsets of the kernel's contract.
        unsafe {
            let (mark, from) = (self.mark(), self.carry(part));
            let v = load_part::<V>(from, self.count);
            if !has(mark, RESET, p.is_reverse(self.s.d)) {
                return v;
            }
            if mark & TO_FIRST != 0 {
                let passed = from.add(p.carry_len() / 2);
                store_part(load_part::<V>(passed, self.count).add(v), passed, self.count);
            }
            V::splat(0.0)
        }
    }

    /// Returns the gradient of `h`, plus that of the output if the step has one.
    #[inline(always)]
    unsafe fn take_shown<V: Lanes>(self) -> V {
        let (s, p) = (self.s, &self.s.run.p);
        // SAFETY: offsets of the kernel's contract.
        unsafe {
            let (v, mark) = (self.take::<V>(0), self.mark());
            if mark & VALID == 0 && !has(mark, REPEAT, p.is_reverse(s.d)) {
                return v;
            }
            v.add(load_part(s.run.dy.add(p.output_at(s.d, s.t, self.row) + self.unit), self.count))
        }
    }

    #[inline(always)]
    unsafe fn put_carry<V: Lanes>(self, part: usize, v: V) {
        // SAFETY: offsets of the kernel's contract.
        unsafe { store_part(flushed(v), self.carry(part), self.count) }
    }

    #[inline(always)]
    unsafe fn put_gates<V: Lanes, const N: usize>(self, gates: [V; N]) {
        let (s, p) = (self.s, &self.s.run.p);
        let at = p.gates_at(s.d, s.t, self.row, p.cell().gradients()) + self.unit;
        // SAFETY: offsets of the kernel's contract.
        unrolled!(gate < N, {
            unsafe { store_part(flushed(gates[gate]), s.run.d_gates.add(at + gate * p.hidden as usize), self.count) }
        });
    }

    /// Returns the values that the forward pass saved.
    #[inline(always)]
    unsafe fn saved<V: Lanes, const N: usize>(self) -> [V; N] {
        let (s, p) = (self.s, &self.s.run.p);
        let at = p.gates_at(s.d, s.t, self.row, p.cell().saved()) + self.unit;
        // SAFETY: offsets of the kernel's contract.
        unsafe {
            let mut saved: [V; N] = zeros();
            unrolled!(i < N, { saved[i] = load_part(s.run.saved.add(at + i * p.hidden as usize), self.count) });
            saved
        }
    }

    /// Returns state `part` before the step.
    #[inline(always)]
    unsafe fn old<V: Lanes>(self, part: usize) -> V {
        let (s, p) = (self.s, &self.s.run.p);
        let at = p.state_at(s.d, p.before(s.d, s.t), self.row) + part * p.hidden as usize + self.unit;
        // SAFETY: offsets of the kernel's contract.
        unsafe { load_part(s.run.state.add(at), self.count) }
    }

    /// `δr, δz, δn, δn⊙r`, and `v = dh⊙z`.
    #[inline(always)]
    unsafe fn gru<V: Lanes>(self) {
        // SAFETY: as the functions'.
        unsafe {
            let (dh, one) = (self.take_shown::<V>(), V::splat(1.0));
            if self.mark() & VALID == 0 {
                self.put_gates(zeros::<[V; 4]>());
                return self.put_carry(0, dh);
            }
            let [r, z, n, c] = self.saved::<V, 4>();
            let dn = dh.mul(one.sub(z)).mul(one.sub(n.mul(n)));
            let dr = dn.mul(c).mul(r).mul(one.sub(r));
            let dz = dh.mul(self.old::<V>(0).sub(n)).mul(z).mul(one.sub(z));
            self.put_gates([dr, dz, dn, dn.mul(r)]);
            self.put_carry(0, dh.mul(z));
        }
    }

    /// `δi, δf, δg, δo`, `v = 0` and `v_c = dc⊙f`.
    #[inline(always)]
    unsafe fn lstm<V: Lanes>(self) {
        // SAFETY: as the functions'.
        unsafe {
            let (dh, dc, one) = (self.take_shown::<V>(), self.take::<V>(1), V::splat(1.0));
            if self.mark() & VALID == 0 {
                self.put_gates(zeros::<[V; 4]>());
                self.put_carry(0, dh);
                return self.put_carry(1, dc);
            }
            let [i, f, g, o, s] = self.saved::<V, 5>();
            let dc = dc.add(dh.mul(o).mul(one.sub(s.mul(s))));
            self.put_gates([
                dc.mul(g).mul(i).mul(one.sub(i)),
                dc.mul(self.old(1)).mul(f).mul(one.sub(f)),
                dc.mul(i).mul(one.sub(g.mul(g))),
                dh.mul(s).mul(o).mul(one.sub(o)),
            ]);
            self.put_carry(0, V::splat(0.0));
            self.put_carry(1, dc.mul(f));
        }
    }

    /// `δ`, and `v = 0`.
    #[inline(always)]
    unsafe fn rnn<V: Lanes>(self, is_relu: bool) {
        // SAFETY: as the functions'.
        unsafe {
            let (dh, zero, one) = (self.take_shown::<V>(), V::splat(0.0), V::splat(1.0));
            if self.mark() & VALID == 0 {
                self.put_gates([zero]);
                return self.put_carry(0, dh);
            }
            let [y] = self.saved::<V, 1>();
            // For NaN, `y·0` keeps the slope NaN.
            let slope = if is_relu { zero.where_below(y, one, y.mul(zero)) } else { one.sub(y.mul(y)) };
            self.put_gates([dh.mul(slope)]);
            self.put_carry(0, zero);
        }
    }
}

/// For reset before: `q = U_nᵀ·δn`, `δr = q⊙h⊙r⊙(1 − r)`, `v += q⊙r`.
#[inline(always)]
unsafe fn reset_gradients<V: Lanes, const M: usize>(s: &Step, done: usize, unit: usize) {
    let (run, p, d, t, row) = (&s.run, &s.run.p, s.d, s.t, s.row + done);
    let h = p.hidden as usize;
    // SAFETY: offsets of the kernel's contract, for rows row..row + M.
    unsafe {
        let at = |m: usize| p.gates_at(d, t, row + m, 4);
        let dn: [*const f32; M] = std::array::from_fn(|m| run.d_gates.add(at(m) + 2 * h).cast_const());
        let n = BLOCK.min(h - unit);
        let weights = run.packed.add(p.packed_at(d, unit, p.extent(true)) + 2 * BLOCK);
        let [q] = product::<V, 1, M>(Weights { at: weights, row: GRU_ROW, depth: h, bias: false }, dn);
        for (m, &q) in q.iter().enumerate() {
            if *run.marks.add(t * p.batch as usize + row + m) & VALID == 0 {
                continue;
            }
            let r = load_part::<V>(run.saved.add(at(m) + unit), n);
            let old = load_part::<V>(run.state.add(p.state_at(d, p.before(d, t), row + m) + unit), n);
            let dr = q.mul(old).mul(r).mul(V::splat(1.0).sub(r));
            let carry = run.carry.add((d * p.batch as usize + row + m) * h + unit);
            store_part(dr, run.d_gates.add(at(m) + unit), n);
            store_part(load_part::<V>(carry, n).add(q.mul(r)), carry, n);
        }
    }
}

/// `v += Σ_g U_gᵀ·δ_g` of `M` rows.
#[inline(always)]
unsafe fn state_gradients<V: Lanes, const M: usize>(s: &Step, done: usize, unit: usize) {
    let (run, p, d, t, row) = (&s.run, &s.run.p, s.d, s.t, s.row + done);
    let h = p.hidden as usize;
    let [depth, gates] = p.extent(true);
    // SAFETY: offsets of the kernel's contract, for rows row..row + M.
    unsafe {
        let gradients = |gate: usize| -> [*const f32; M] {
            let at = |m: usize| p.gates_at(d, t, row + m, p.cell().gradients()) + gate * h;
            std::array::from_fn(|m| run.d_gates.add(at(m)).cast_const())
        };
        let n = BLOCK.min(h - unit);
        let weights = Weights {
            at: run.packed.add(p.packed_at(d, unit, [depth, gates])),
            row: gates * BLOCK,
            depth,
            bias: false,
        };
        let of_gate = |gate: usize| Weights { at: weights.at.add(gate * BLOCK), ..weights };
        let [mut sum] = product::<V, 1, M>(weights, gradients(0));
        if gates == 3 {
            let [z] = product::<V, 1, M>(of_gate(1), gradients(1));
            sum = std::array::from_fn(|m| sum[m].add(z[m]));
        }
        if p.cell() == Cell::Gru {
            let [c] = product::<V, 1, M>(of_gate(2), gradients(3));
            sum = std::array::from_fn(|m| sum[m].add(c[m]));
        }
        for (m, &sum) in sum.iter().enumerate() {
            let carry = run.carry.add((d * p.batch as usize + row + m) * p.width() + unit);
            store_part(load_part::<V>(carry, n).add(sum), carry, n);
        }
    }
}
