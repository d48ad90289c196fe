//! [`GruSequence`](crate::kernels::GruSequence) and its backward by packed blocks: 16 units at a time, the three gates
//! of one load of `h` in registers, the gate update in the epilogue.
#![allow(unsafe_code, reason = "vector instructions on raw pointers")]

use rayon::prelude::*;

use super::simd::{Isa, LANES, Lanes, for_each_isa, load_part, sigmoid, store_part, tanh};
use crate::kernel::{Kernel, words};
use crate::kernels::gru::{BLOCK, GATES};
use crate::kernels::marks::{REPEAT, RESET, TO_FIRST, VALID, has};
use crate::kernels::{Gru, GruSequence, GruSequenceBackward};

/// Rows of the batch that one thread takes at a time; fixed, so that the work is cut alike for any number of threads.
const ROWS: usize = 8;
/// Multiplications of a whole run below which a second thread costs more than it brings.
const PARALLEL: usize = 1 << 21;

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

// SAFETY: threads take disjoint rows of one direction and touch nothing else.
unsafe impl Sync for Forward {}
// SAFETY: as above.
unsafe impl Sync for Backward {}

fn over_rows(parallel: bool, p: &Gru, task: impl Fn(usize, usize) + Sync) {
    let groups = (p.batch as usize).div_ceil(ROWS);
    let tasks = groups * p.directions as usize;
    let work = 3 * (p.hidden as usize).pow(2) * p.batch as usize * p.steps as usize * p.directions as usize;
    let run = |i: usize| task(i / groups, i % groups * ROWS);
    if parallel && tasks > 1 && work >= PARALLEL {
        (0..tasks).into_par_iter().for_each(run);
    } else {
        (0..tasks).for_each(run);
    }
}

/// All steps forward. The caller checked the lengths of the slices.
pub fn forward(
    isa: Isa,
    parallel: bool,
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
    over_rows(parallel, &p, |d, row| for_each_isa_forward(isa, run, d, row));
}

fn for_each_isa_forward(isa: Isa, run: Forward, d: usize, row: usize) {
    for_each_isa!(isa, forward_rows::<_>(run: Forward, d: usize, row: usize));
}

/// All steps of up to [`ROWS`] rows of direction `d`.
#[inline(always)]
unsafe fn forward_rows<V: Lanes>(run: Forward, d: usize, row: usize) {
    let count = ROWS.min(run.p.batch as usize - row);
    // SAFETY: rows row..row + count exist, and no other thread has them.
    unsafe {
        let mut kept = vec![0.0f32; if run.p.reset_before == 1 { 2 * ROWS * run.p.hidden as usize } else { 0 }];
        let kept = kept.as_mut_ptr();
        for step in 0..run.p.steps as usize {
            let t = run.p.time_of(d, step);
            // Groups of 4, 2 and 1 rows take what 8 leaves, so that no row is computed for nothing.
            let mut done = 0;
            for size in [8, 4, 2, 1] {
                while count - done >= size {
                    let kept = kept.wrapping_add(2 * done * run.p.hidden as usize);
                    match size {
                        8 => step_rows::<V, 8>(&run, d, t, row + done, kept),
                        4 => step_rows::<V, 4>(&run, d, t, row + done, kept),
                        2 => step_rows::<V, 2>(&run, d, t, row + done, kept),
                        _ => step_rows::<V, 1>(&run, d, t, row + done, kept),
                    }
                    done += size;
                }
            }
        }
    }
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

/// One step of `M` rows. For reset before, `kept` is room for `r⊙h` and `z`, `[M, 2, H]`.
#[inline(always)]
unsafe fn step_rows<V: Lanes, const M: usize>(run: &Forward, d: usize, t: usize, row: usize, kept: *mut f32) {
    let p = &run.p;
    let h = p.hidden as usize;
    // SAFETY: every offset is that of the kernel's contract, for rows row..row + M.
    unsafe {
        let old: [*const f32; M] =
            std::array::from_fn(|m| run.state.add(p.state_at(d, p.before(d, t), row + m)).cast_const());
        let x: [*const f32; M] = std::array::from_fn(|m| run.x.add(p.gates_at(d, t, row + m, GATES)));
        for unit in (0..h).step_by(BLOCK) {
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
        if p.reset_before == 0 {
            return;
        }
        let reset: [*const f32; M] = std::array::from_fn(|m| kept.add(2 * m * h).cast_const());
        for unit in (0..h).step_by(BLOCK) {
            let n = BLOCK.min(h - unit);
            let weights = run.packed.add(p.packed_at(d, unit, h + 1) + 2 * BLOCK);
            let [c] = product::<V, 1, M>(weights, reset, h, true);
            for m in 0..M {
                let new = tanh(load_part::<V>(x[m].add(2 * h + unit), n).add(c[m]));
                let z = load_part(reset[m].add(h + unit), n);
                finish(run, d, t, row + m, unit, new, z, load_part(old[m].add(unit), n));
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
    parallel: bool,
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
    over_rows(parallel, &p, |d, row| for_each_isa_backward(isa, run, d, row));
}

fn for_each_isa_backward(isa: Isa, run: Backward, d: usize, row: usize) {
    for_each_isa!(isa, backward_rows::<_>(run: Backward, d: usize, row: usize));
}

/// All steps backward of up to [`ROWS`] rows of direction `d`.
#[inline(always)]
unsafe fn backward_rows<V: Lanes>(run: Backward, d: usize, row: usize) {
    let p = &run.p;
    let count = ROWS.min(p.batch as usize - row);
    // SAFETY: rows row..row + count exist, and no other thread has them.
    unsafe {
        for step in (0..p.steps as usize).rev() {
            let t = p.time_of(d, step);
            for m in row..row + count {
                gate_gradients::<V>(&run, d, t, m);
            }
            let mut done = 0;
            for size in [8, 4, 2, 1] {
                while count - done >= size {
                    match size {
                        8 => state_gradients::<V, 8>(&run, d, t, row + done),
                        4 => state_gradients::<V, 4>(&run, d, t, row + done),
                        2 => state_gradients::<V, 2>(&run, d, t, row + done),
                        _ => state_gradients::<V, 1>(&run, d, t, row + done),
                    }
                    done += size;
                }
            }
        }
    }
}

/// `δr, δz, δn, δn⊙r` of one row, and `v = dh⊙z`.
#[inline(always)]
unsafe fn gate_gradients<V: Lanes>(run: &Backward, d: usize, t: usize, row: usize) {
    let p = &run.p;
    let h = p.hidden as usize;
    // SAFETY: offsets of the kernel's contract.
    unsafe {
        let (mark, reverse) = (*run.marks.add(t * p.batch as usize + row), p.is_reverse(d));
        let at = p.gates_at(d, t, row, 4);
        for unit in (0..h).step_by(BLOCK) {
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

/// `v += Σ_g U_gᵀ·∂c_g` of `M` rows; for reset before first `q = U_nᵀ·δn`, `δr = q⊙h⊙r⊙(1 − r)`, `v += q⊙r`.
#[inline(always)]
unsafe fn state_gradients<V: Lanes, const M: usize>(run: &Backward, d: usize, t: usize, row: usize) {
    let p = &run.p;
    let h = p.hidden as usize;
    // SAFETY: offsets of the kernel's contract, for rows row..row + M.
    unsafe {
        let at = |m: usize| p.gates_at(d, t, row + m, 4);
        let gate = |gate: usize| -> [*const f32; M] {
            std::array::from_fn(|m| run.d_gates.add(at(m) + gate * h).cast_const())
        };
        let carry = |m: usize, unit: usize| run.carry.add((d * p.batch as usize + row + m) * h + unit);
        if p.reset_before == 1 {
            for unit in (0..h).step_by(BLOCK) {
                let n = BLOCK.min(h - unit);
                let weights = run.packed.add(p.packed_at(d, unit, h) + 2 * BLOCK);
                let [q] = product::<V, 1, M>(weights, gate(2), h, false);
                for (m, &q) in q.iter().enumerate() {
                    if *run.marks.add(t * p.batch as usize + row + m) & VALID == 0 {
                        continue;
                    }
                    let r = load_part::<V>(run.saved.add(at(m) + unit), n);
                    let old = load_part::<V>(run.state.add(p.state_at(d, p.before(d, t), row + m) + unit), n);
                    let dr = q.mul(old).mul(r).mul(V::splat(1.0).sub(r));
                    store_part(dr, run.d_gates.add(at(m) + unit), n);
                    store_part(load_part::<V>(carry(m, unit), n).add(q.mul(r)), carry(m, unit), n);
                }
            }
        }
        for unit in (0..h).step_by(BLOCK) {
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
                store_part(load_part::<V>(carry(m, unit), n).add(sum), carry(m, unit), n);
            }
        }
    }
}

const _: () = assert!(LANES == BLOCK, "a block of packed weights is one vector of each gate");
