//! [`GruSequence`](crate::kernels::GruSequence) and its backward by packed blocks: 16 units at a time, the three gates
//! of one load of `h` in registers, the gate update in the epilogue.
#![allow(unsafe_code, reason = "vector instructions on raw pointers")]

use std::ops::Range;

use super::simd::{Isa, LANES, Lanes, for_each_isa, load_part, sigmoid, store_part, tanh};
use super::team::{Parts, Team};
use crate::kernel::{Kernel, words};
use crate::kernels::gru::{BLOCK, GATES};
use crate::kernels::marks::{REPEAT, RESET, TO_FIRST, VALID, has};
use crate::kernels::{Gru, GruSequence, GruSequenceBackward};

/// Rows of the batch that one thread takes at a time; fixed, so that the work is cut alike for any number of threads.
const ROWS: usize = 8;
/// Multiplications of a whole run below which a second thread costs more than it brings.
const PARALLEL: usize = 1 << 21;
/// Units of a step that are worth a thread.
const SHARED: usize = 48;

/// The buffers of a forward run.
#[derive(Clone, Copy)]
struct Forward {
    p: Gru,
    x: *const f32,
    packed: *const f32,
    marks: *const u32,
    state: *mut f32,
    y: *mut f32,
    saved: *mut f32,
}

/// The buffers of a backward run.
#[derive(Clone, Copy)]
struct Backward {
    p: Gru,
    packed: *const f32,
    marks: *const u32,
    state: *const f32,
    saved: *const f32,
    dy: *const f32,
    d_gates: *mut f32,
    carry: *mut f32,
}

// SAFETY: threads take disjoint rows or units of one direction and touch nothing else.
unsafe impl Sync for Forward {}
// SAFETY: as above.
unsafe impl Sync for Backward {}

/// Runs `task` of a direction and up to [`ROWS`] rows for all of them: over threads where there are several, else with
/// a team for the units of each step.
fn over_rows(team: &Team, p: &Gru, task: impl Fn(usize, usize, Crew) + Sync) {
    let groups = (p.batch as usize).div_ceil(ROWS);
    let tasks = groups * p.directions as usize;
    let work = 3 * (p.hidden as usize).pow(2) * p.batch as usize * p.steps as usize * p.directions as usize;
    let run = |i: usize, crew: Crew| task(i / groups, i % groups * ROWS, crew);
    let most = p.hidden as usize / SHARED;
    if work < PARALLEL || tasks == 1 && most < 2 {
        (0..tasks).for_each(|i| run(i, Crew(None)));
    } else if tasks == 1 {
        team.wake(most);
        run(0, Crew(Some((team, most))));
    } else {
        team.over(tasks, |i| run(i, Crew(None)));
    }
}

/// Who does one step: up to so many of a team, or this thread alone.
#[derive(Clone, Copy)]
struct Crew<'a>(Option<(&'a Team, usize)>);

impl Crew<'_> {
    /// Runs `task` for all units, in ranges of whole blocks.
    fn share(self, hidden: usize, task: impl Fn(Range<usize>) + Sync) {
        match self.0 {
            None => task(0..hidden),
            Some((team, most)) => team.share(hidden.div_ceil(BLOCK), most, &|blocks: Range<usize>| {
                task(blocks.start * BLOCK..hidden.min(blocks.end * BLOCK));
            }),
        }
    }
}

/// All steps forward. The caller checked the lengths of the slices.
pub fn forward(
    isa: Isa,
    team: &Team,
    kernel: &GruSequence,
    [x, packed, marks]: [&[f32]; 3],
    [state, y, saved]: [&mut [f32]; 3],
) {
    let p = kernel.0;
    let (reads, writes) = kernel.lens();
    assert!([x.len(), packed.len(), marks.len()].iter().zip(reads).all(|(has, need)| *has >= need));
    assert!([state.len(), y.len(), saved.len()].iter().zip(writes).all(|(has, need)| *has >= need));
    let run = Forward {
        p,
        x: x.as_ptr(),
        packed: packed.as_ptr(),
        marks: words(marks).as_ptr(),
        state: state.as_mut_ptr(),
        y: y.as_mut_ptr(),
        saved: saved.as_mut_ptr(),
    };
    over_rows(team, &p, |d, row, crew| forward_rows(isa, run, d, row, crew));
}

/// All steps of up to [`ROWS`] rows of direction `d`.
fn forward_rows(isa: Isa, run: Forward, d: usize, row: usize, crew: Crew) {
    let (p, h) = (&run.p, run.p.hidden as usize);
    let count = ROWS.min(p.batch as usize - row);
    let mut kept = vec![0.0f32; if p.reset_before == 1 { 2 * ROWS * h } else { 0 }];
    let kept = Parts::new(&mut kept);
    for step in 0..p.steps as usize {
        let t = p.time_of(d, step);
        crew.share(h, |units| step_units(isa, Step { run, d, t, row, count, kept }, units));
        if p.reset_before == 1 {
            crew.share(h, |units| step_candidate(isa, Step { run, d, t, row, count, kept }, units));
        }
    }
}

/// One step of some rows.
#[derive(Clone, Copy)]
struct Step {
    run: Forward,
    d: usize,
    t: usize,
    row: usize,
    count: usize,
    /// Room for `r⊙h` and `z` of reset before, `[ROWS, 2, H]`; threads write disjoint units.
    kept: Parts,
}

fn step_units(isa: Isa, s: Step, units: Range<usize>) {
    for_each_isa!(isa, units_of_rows::<_>(s: Step, units: Range<usize>));
}

fn step_candidate(isa: Isa, s: Step, units: Range<usize>) {
    for_each_isa!(isa, candidates_of_rows::<_>(s: Step, units: Range<usize>));
}

/// Calls `$f::<V, M>(…)` for groups of 8, 4, 2 and 1 of `count` rows, so that none is computed for nothing; the larger
/// ones where their sums fit in registers.
macro_rules! by_groups {
    ($count:expr, |$done:ident| $f:ident::<$v:ident>($($arg:expr),*)) => {{
        let mut $done = 0;
        for size in [8, 4, 2, 1] {
            while $count - $done >= size && (size <= 2 || $v::MANY) {
                match size {
                    8 => $f::<$v, 8>($($arg),*),
                    4 => $f::<$v, 4>($($arg),*),
                    2 => $f::<$v, 2>($($arg),*),
                    _ => $f::<$v, 1>($($arg),*),
                }
                $done += size;
            }
        }
    }};
}

#[inline(always)]
unsafe fn units_of_rows<V: Lanes>(s: Step, units: Range<usize>) {
    // SAFETY: the rows and units belong to this call.
    unsafe { by_groups!(s.count, |done| step_rows::<V>(&s, done, units.clone())) }
}

#[inline(always)]
unsafe fn candidates_of_rows<V: Lanes>(s: Step, units: Range<usize>) {
    // SAFETY: the rows and units belong to this call.
    unsafe { by_groups!(s.count, |done| candidate_rows::<V>(&s, done, units.clone())) }
}

/// Floats of one `k` of a packed block.
const ROW: usize = GATES * BLOCK;

/// `sum[gate][row] += weights[gate]·v[row][k]`, `weights` those of `k`.
#[inline(always)]
unsafe fn accumulate<V: Lanes, const G: usize, const M: usize>(
    sum: &mut [[V; M]; G],
    weights: *const f32,
    v: [*const f32; M],
    k: usize,
) {
    // SAFETY: as the caller's.
    unsafe {
        let mut w = [V::splat(0.0); G];
        for (g, w) in w.iter_mut().enumerate() {
            *w = V::load(weights.add(g * BLOCK));
        }
        for (m, v) in v.iter().enumerate() {
            let v = V::splat(*v.add(k));
            for (sum, w) in sum.iter_mut().zip(w) {
                sum[m] = w.fma(v, sum[m]);
            }
        }
    }
}

/// `acc[gate][row] = Σ_k weights[k, gate]·v[row][k]`, plus the row `k = depth` of the weights if `bias`.
#[inline(always)]
unsafe fn product<V: Lanes, const G: usize, const M: usize>(
    weights: *const f32,
    v: [*const f32; M],
    depth: usize,
    bias: bool,
) -> [[V; M]; G] {
    // SAFETY: weights hold [depth (+ 1), 3, 16] from the gate on, each v depth floats.
    unsafe {
        let zero = V::splat(0.0);
        let start = |g: usize| if bias { V::load(weights.add(depth * ROW + g * BLOCK)) } else { zero };
        let mut even: [[V; M]; G] = std::array::from_fn(|g| [start(g); M]);
        if M * G > 6 {
            for k in 0..depth {
                accumulate(&mut even, weights.add(k * ROW), v, k);
            }
            return even;
        }
        // Two sums where few rows would leave the multipliers waiting for one.
        let mut odd = [[zero; M]; G];
        for k in (0..depth - depth % 2).step_by(2) {
            accumulate(&mut even, weights.add(k * ROW), v, k);
            accumulate(&mut odd, weights.add((k + 1) * ROW), v, k + 1);
        }
        if depth % 2 == 1 {
            accumulate(&mut even, weights.add((depth - 1) * ROW), v, depth - 1);
        }
        std::array::from_fn(|g| std::array::from_fn(|m| even[g][m].add(odd[g][m])))
    }
}

/// One step of `M` rows and some units; for reset before the gates alone, `r⊙h` and `z` go to `kept`.
#[inline(always)]
unsafe fn step_rows<V: Lanes, const M: usize>(s: &Step, done: usize, units: Range<usize>) {
    let (run, d, t, row) = (&s.run, s.d, s.t, s.row + done);
    let p = &run.p;
    let h = p.hidden as usize;
    // SAFETY: every offset is that of the kernel's contract, for rows row..row + M.
    unsafe {
        let kept = s.kept.as_ptr().add(2 * done * p.reset_before as usize * h);
        let old: [*const f32; M] =
            std::array::from_fn(|m| run.state.add(p.state_at(d, p.before(d, t), row + m)).cast_const());
        let x: [*const f32; M] = std::array::from_fn(|m| run.x.add(p.gates_at(d, t, row + m, GATES)));
        for unit in units.step_by(BLOCK) {
            let n = BLOCK.min(h - unit);
            let weights = run.packed.add(p.packed_at(d, unit, h + 1));
            if p.reset_before == 0 {
                let [ar, az, c] = product::<V, 3, M>(weights, old, h, true);
                for m in 0..M {
                    let x = x[m].add(unit);
                    let r = sigmoid(load_part::<V>(x, n).add(ar[m]));
                    let z = sigmoid(load_part::<V>(x.add(h), n).add(az[m]));
                    let new = tanh(r.fma(c[m], load_part(x.add(2 * h), n)));
                    finish(run, d, t, row + m, unit, new, z, load_part(old[m].add(unit), n));
                    if p.save == 1 {
                        save(run, d, t, row + m, unit, [(0, r), (1, z), (2, new), (3, c[m])]);
                    }
                }
                continue;
            }
            let [ar, az] = product::<V, 2, M>(weights, old, h, true);
            for m in 0..M {
                let x = x[m].add(unit);
                let r = sigmoid(load_part::<V>(x, n).add(ar[m]));
                let z = sigmoid(load_part::<V>(x.add(h), n).add(az[m]));
                let c = r.mul(load_part(old[m].add(unit), n));
                store_part(c, kept.add(2 * m * h + unit), n);
                store_part(z, kept.add((2 * m + 1) * h + unit), n);
                if p.save == 1 {
                    save(run, d, t, row + m, unit, [(0, r), (1, z), (3, c), (3, c)]);
                }
            }
        }
    }
}

/// The second half of a step of `M` rows for reset before.
#[inline(always)]
unsafe fn candidate_rows<V: Lanes, const M: usize>(s: &Step, done: usize, units: Range<usize>) {
    let (run, d, t, row) = (&s.run, s.d, s.t, s.row + done);
    let p = &run.p;
    let h = p.hidden as usize;
    // SAFETY: every offset is that of the kernel's contract, for rows row..row + M.
    unsafe {
        let reset: [*const f32; M] = std::array::from_fn(|m| s.kept.as_ptr().add(2 * (done + m) * h).cast_const());
        for unit in units.step_by(BLOCK) {
            let n = BLOCK.min(h - unit);
            let weights = run.packed.add(p.packed_at(d, unit, h + 1) + 2 * BLOCK);
            let [c] = product::<V, 1, M>(weights, reset, h, true);
            for m in 0..M {
                let x = run.x.add(p.gates_at(d, t, row + m, GATES) + 2 * h + unit);
                let new = tanh(load_part::<V>(x, n).add(c[m]));
                let z = load_part(reset[m].add(h + unit), n);
                let old = load_part(run.state.add(p.state_at(d, p.before(d, t), row + m) + unit), n);
                finish(run, d, t, row + m, unit, new, z, old);
                if p.save == 1 {
                    save(run, d, t, row + m, unit, [(2, new); 4]);
                }
            }
        }
    }
}

/// `h' = n + z⊙(h − n)`; a step past the sequence's length keeps `h` and gives 0.
#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "where, and what")]
unsafe fn finish<V: Lanes>(run: &Forward, d: usize, t: usize, row: usize, unit: usize, new: V, z: V, old: V) {
    let p = &run.p;
    // SAFETY: offsets of the kernel's contract.
    unsafe {
        let count = BLOCK.min(p.hidden as usize - unit);
        let (mark, reverse) = (*run.marks.add(t * p.batch as usize + row), p.is_reverse(d));
        let is_valid = mark & VALID != 0;
        let fresh = if is_valid { z.fma(old.sub(new), new) } else { old };
        let out = if is_valid || has(mark, REPEAT, reverse) { fresh } else { V::splat(0.0) };
        store_part(out, run.y.add(p.output_at(d, t, row) + unit), count);
        let next = match has(mark, RESET, reverse) {
            false => fresh,
            true if mark & TO_FIRST == 0 => V::splat(0.0),
            true => load_part(run.state.add(p.state_at(d, p.before(d, p.time_of(d, 0)), row) + unit), count),
        };
        store_part(next, run.state.add(p.state_at(d, p.after(d, t), row) + unit), count);
    }
}

#[inline(always)]
unsafe fn save<V: Lanes>(run: &Forward, d: usize, t: usize, row: usize, unit: usize, gates: [(usize, V); 4]) {
    let h = run.p.hidden as usize;
    for (gate, v) in gates {
        // SAFETY: offsets of the kernel's contract.
        unsafe { store_part(v, run.saved.add(run.p.gates_at(d, t, row, 4) + gate * h + unit), BLOCK.min(h - unit)) };
    }
}

/// All steps backward. The caller checked the lengths of the slices.
pub fn backward(
    isa: Isa,
    team: &Team,
    kernel: &GruSequenceBackward,
    [packed, marks, state, saved, dy]: [&[f32]; 5],
    [d_gates, carry]: [&mut [f32]; 2],
) {
    let p = kernel.0;
    let (reads, writes) = kernel.lens();
    assert!([packed, marks, state, saved, dy].iter().zip(reads).all(|(has, need)| has.len() >= need));
    assert!([d_gates.len(), carry.len()].iter().zip(writes).all(|(has, need)| *has >= need));
    let run = Backward {
        p,
        packed: packed.as_ptr(),
        marks: words(marks).as_ptr(),
        state: state.as_ptr(),
        saved: saved.as_ptr(),
        dy: dy.as_ptr(),
        d_gates: d_gates.as_mut_ptr(),
        carry: carry.as_mut_ptr(),
    };
    over_rows(team, &p, |d, row, crew| backward_rows(isa, run, d, row, crew));
}

/// All steps backward of up to [`ROWS`] rows of direction `d`.
fn backward_rows(isa: Isa, run: Backward, d: usize, row: usize, crew: Crew) {
    let (p, h) = (&run.p, run.p.hidden as usize);
    let count = ROWS.min(p.batch as usize - row);
    for step in (0..p.steps as usize).rev() {
        let s = StepBack { run, d, t: p.time_of(d, step), row, count };
        crew.share(h, |units| step_gates(isa, s, units));
        if p.reset_before == 1 {
            crew.share(h, |units| step_reset(isa, s, units));
        }
        crew.share(h, |units| step_states(isa, s, units));
    }
}

/// One step backward of some rows.
#[derive(Clone, Copy)]
struct StepBack {
    run: Backward,
    d: usize,
    t: usize,
    row: usize,
    count: usize,
}

fn step_gates(isa: Isa, s: StepBack, units: Range<usize>) {
    for_each_isa!(isa, gate_gradients::<_>(s: StepBack, units: Range<usize>));
}

fn step_reset(isa: Isa, s: StepBack, units: Range<usize>) {
    for_each_isa!(isa, resets_of_rows::<_>(s: StepBack, units: Range<usize>));
}

fn step_states(isa: Isa, s: StepBack, units: Range<usize>) {
    for_each_isa!(isa, states_of_rows::<_>(s: StepBack, units: Range<usize>));
}

#[inline(always)]
unsafe fn resets_of_rows<V: Lanes>(s: StepBack, units: Range<usize>) {
    // SAFETY: the rows and units belong to this call.
    unsafe { by_groups!(s.count, |done| reset_gradients::<V>(&s, done, units.clone())) }
}

#[inline(always)]
unsafe fn states_of_rows<V: Lanes>(s: StepBack, units: Range<usize>) {
    // SAFETY: the rows and units belong to this call.
    unsafe { by_groups!(s.count, |done| state_gradients::<V>(&s, done, units.clone())) }
}

/// `δr, δz, δn, δn⊙r` of some rows and units, and `v = dh⊙z`.
#[inline(always)]
unsafe fn gate_gradients<V: Lanes>(s: StepBack, units: Range<usize>) {
    for row in s.row..s.row + s.count {
        // SAFETY: the rows and units belong to this call.
        unsafe { gate_gradients_of_row::<V>(&s, row, units.clone()) }
    }
}

#[inline(always)]
unsafe fn gate_gradients_of_row<V: Lanes>(s: &StepBack, row: usize, units: Range<usize>) {
    let (run, p, d, t) = (&s.run, &s.run.p, s.d, s.t);
    let h = p.hidden as usize;
    // SAFETY: offsets of the kernel's contract.
    unsafe {
        let (mark, reverse) = (*run.marks.add(t * p.batch as usize + row), p.is_reverse(d));
        let at = p.gates_at(d, t, row, 4);
        for unit in units.step_by(BLOCK) {
            let count = BLOCK.min(h - unit);
            let put = |gate: usize, v: V| store_part(v, run.d_gates.add(at + gate * h + unit), count);
            let (zero, one) = (V::splat(0.0), V::splat(1.0));
            let v = run.carry.add((d * p.batch as usize + row) * h + unit);
            let mut dh = load_part::<V>(v, count);
            if has(mark, RESET, reverse) {
                if mark & TO_FIRST != 0 {
                    let passed = v.add(p.carry_len() / 2);
                    store_part(load_part::<V>(passed, count).add(dh), passed, count);
                }
                dh = zero;
            }
            if mark & VALID != 0 || has(mark, REPEAT, reverse) {
                dh = dh.add(load_part(run.dy.add(p.output_at(d, t, row) + unit), count));
            }
            if mark & VALID == 0 {
                (0..4).for_each(|gate| put(gate, zero));
                store_part(dh, v, count);
                continue;
            }
            let [r, z, n, c] = [0, 1, 2, 3].map(|gate| load_part::<V>(run.saved.add(at + gate * h + unit), count));
            let old = load_part::<V>(run.state.add(p.state_at(d, p.before(d, t), row) + unit), count);
            let dn = dh.mul(one.sub(z)).mul(one.sub(n.mul(n)));
            put(0, dn.mul(c).mul(r).mul(one.sub(r)));
            put(1, dh.mul(old.sub(n)).mul(z).mul(one.sub(z)));
            put(2, dn);
            put(3, dn.mul(r));
            store_part(dh.mul(z), v, count);
        }
    }
}

/// For reset before: `q = U_nᵀ·δn`, `δr = q⊙h⊙r⊙(1 − r)`, `v += q⊙r`.
#[inline(always)]
unsafe fn reset_gradients<V: Lanes, const M: usize>(s: &StepBack, done: usize, units: Range<usize>) {
    let (run, p, d, t, row) = (&s.run, &s.run.p, s.d, s.t, s.row + done);
    let h = p.hidden as usize;
    // SAFETY: offsets of the kernel's contract, for rows row..row + M.
    unsafe {
        let at = |m: usize| p.gates_at(d, t, row + m, 4);
        let dn: [*const f32; M] = std::array::from_fn(|m| run.d_gates.add(at(m) + 2 * h).cast_const());
        for unit in units.step_by(BLOCK) {
            let n = BLOCK.min(h - unit);
            let weights = run.packed.add(p.packed_at(d, unit, h) + 2 * BLOCK);
            let [q] = product::<V, 1, M>(weights, dn, h, false);
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
}

/// `v += Σ_g U_gᵀ·∂c_g` of `M` rows.
#[inline(always)]
unsafe fn state_gradients<V: Lanes, const M: usize>(s: &StepBack, done: usize, units: Range<usize>) {
    let (run, p, d, t, row) = (&s.run, &s.run.p, s.d, s.t, s.row + done);
    let h = p.hidden as usize;
    // SAFETY: offsets of the kernel's contract, for rows row..row + M.
    unsafe {
        let gate = |gate: usize| -> [*const f32; M] {
            std::array::from_fn(|m| run.d_gates.add(p.gates_at(d, t, row + m, 4) + gate * h).cast_const())
        };
        for unit in units.step_by(BLOCK) {
            let n = BLOCK.min(h - unit);
            let weights = run.packed.add(p.packed_at(d, unit, h));
            let [r] = product::<V, 1, M>(weights, gate(0), h, false);
            let [z] = product::<V, 1, M>(weights.add(BLOCK), gate(1), h, false);
            let mut sum: [V; M] = std::array::from_fn(|m| r[m].add(z[m]));
            if p.reset_before == 0 {
                let [c] = product::<V, 1, M>(weights.add(2 * BLOCK), gate(3), h, false);
                sum = std::array::from_fn(|m| sum[m].add(c[m]));
            }
            for (m, &sum) in sum.iter().enumerate() {
                let carry = run.carry.add((d * p.batch as usize + row + m) * h + unit);
                store_part(load_part::<V>(carry, n).add(sum), carry, n);
            }
        }
    }
}

const _: () = assert!(LANES == BLOCK, "a block of packed weights is one vector of each gate");
