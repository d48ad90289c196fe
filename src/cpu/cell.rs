//! SIMD versions of the cells of the *steps* plan and of the state update. They cover the common options; the twins
//! handle the rest.
#![allow(unsafe_code, reason = "SIMD intrinsics on raw pointers")]

use super::simd::{Isa, LANES, Lanes, for_each_isa, load_part, sigmoid, store_part, tanh};
use crate::kernel::{Kernel, words};
use crate::kernels::marks::{REPEAT, RESET, TO_FIRST, VALID, has};
use crate::kernels::{CellStep, LstmCell, LstmCellBackward, RnnCell, StateUpdate, StateUpdateBackward};

/// Whether every activation is a sigmoid or a tanh, and nothing is clipped.
fn is_usual(p: &CellStep, gates: usize) -> bool {
    p.clip == 0.0 && p.out_kind < 2 && p.kinds[..gates].iter().all(|&kind| kind < 2)
}

fn covers<const N: usize>(has: [usize; N], needs: [usize; N]) -> bool {
    has.iter().zip(needs).all(|(has, need)| *has >= need)
}

#[inline(always)]
unsafe fn activate<V: Lanes>(kind: u32, v: V) -> V {
    // SAFETY: guaranteed by the caller.
    unsafe { if kind == 0 { sigmoid(v) } else { tanh(v) } }
}

/// Slope of an activation, from its value `y`.
#[inline(always)]
unsafe fn slope<V: Lanes>(kind: u32, y: V) -> V {
    // SAFETY: guaranteed by the caller.
    unsafe {
        let one = V::splat(1.0);
        if kind == 0 { y.mul(one.sub(y)) } else { one.sub(y.mul(y)) }
    }
}

#[derive(Clone, Copy)]
struct Rnn {
    p: CellStep,
    x: *const f32,
    rec: *const f32,
    fresh: *mut f32,
    saved: *mut f32,
}

/// Runs [`RnnCell`]. Returns false, without running it, for uncommon options.
pub fn rnn(isa: Isa, kernel: &RnnCell, [x, rec]: [&[f32]; 2], [fresh, saved]: [&mut [f32]; 2]) -> bool {
    let (reads, writes) = kernel.lens();
    if !is_usual(&kernel.0, 1) {
        return false;
    }
    assert!(covers([x.len(), rec.len()], reads) && covers([fresh.len(), saved.len()], writes));
    let run =
        Rnn { p: kernel.0, x: x.as_ptr(), rec: rec.as_ptr(), fresh: fresh.as_mut_ptr(), saved: saved.as_mut_ptr() };
    for_each_isa!(isa, rnn_rows::<_>(run: Rnn));
    true
}

#[inline(always)]
unsafe fn rnn_rows<V: Lanes>(run: Rnn) {
    let (p, h) = (&run.p, run.p.hidden as usize);
    for i in 0..p.rows() {
        let (d, row) = (i / p.batch as usize, i % p.batch as usize);
        let t = p.order().time_of(d, p.step as usize);
        let at_x = ((d * p.steps as usize + t) * p.batch as usize + row) * h;
        for unit in (0..h).step_by(LANES) {
            let n = LANES.min(h - unit);
            // SAFETY: the kernel's contract bounds these offsets, and the buffer lengths were checked.
            unsafe {
                let at = run.saved.add(p.saved_at(d, t, row) + unit);
                let v = load_part::<V>(run.x.add(at_x + unit), n).add(load_part(run.rec.add(i * h + unit), n));
                let y = activate(p.kinds[0], v);
                store_part(y, run.fresh.add(i * h + unit), n);
                if p.save == 1 {
                    store_part(y, at, n);
                    store_part(slope(p.kinds[0], y), at.add(h), n);
                }
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Lstm {
    p: CellStep,
    x: *const f32,
    rec: *const f32,
    state: *const f32,
    peephole: *const f32,
    fresh: *mut f32,
    saved: *mut f32,
}

/// Runs [`LstmCell`]. Returns false, without running it, for uncommon options.
pub fn lstm(
    isa: Isa,
    kernel: &LstmCell,
    [x, rec, state, peephole]: [&[f32]; 4],
    [fresh, saved]: [&mut [f32]; 2],
) -> bool {
    let (reads, writes) = kernel.lens();
    if !is_usual(&kernel.0, 4) {
        return false;
    }
    assert!(covers([x.len(), rec.len(), state.len(), peephole.len()], reads));
    assert!(covers([fresh.len(), saved.len()], writes));
    let [x, rec, state, peephole] = [x, rec, state, peephole].map(<[f32]>::as_ptr);
    let run = Lstm { p: kernel.0, x, rec, state, peephole, fresh: fresh.as_mut_ptr(), saved: saved.as_mut_ptr() };
    for_each_isa!(isa, lstm_rows::<_>(run: Lstm));
    true
}

/// `v + p⊙c`, or `v` without peepholes.
#[inline(always)]
unsafe fn peep<V: Lanes>(p: &CellStep, weights: *const f32, n: usize, c: V, v: V) -> V {
    // SAFETY: with peepholes, `weights` is valid for `n` floats.
    unsafe { if p.peephole == 1 { c.fma(load_part(weights, n), v) } else { v } }
}

#[inline(always)]
unsafe fn lstm_rows<V: Lanes>(run: Lstm) {
    let (p, h, out) = (&run.p, run.p.hidden as usize, run.p.out as usize);
    for index in 0..p.rows() {
        let (d, row) = (index / p.batch as usize, index % p.batch as usize);
        let t = p.order().time_of(d, p.step as usize);
        let at_x = ((d * p.steps as usize + t) * p.batch as usize + row) * 4 * h;
        let at_c = p.state_at(d, p.order().before(d, t), row) + out;
        for unit in (0..h).step_by(LANES) {
            let n = LANES.min(h - unit);
            // SAFETY: the kernel's contract bounds these offsets, and the buffer lengths were checked.
            unsafe {
                let (x, rec) = (run.x.add(at_x + unit), run.rec.add(index * 4 * h + unit));
                let old = load_part::<V>(run.state.add(at_c + unit), n);
                let peephole = run.peephole.wrapping_add(d * 3 * h + unit);
                let mut v = [V::splat(0.0); 4];
                for (gate, v) in v.iter_mut().enumerate() {
                    *v = load_part::<V>(x.add(gate * h), n).add(load_part(rec.add(gate * h), n));
                }
                let i = activate(p.kinds[0], peep(p, peephole, n, old, v[0]));
                let f = match p.coupled {
                    1 => V::splat(1.0).sub(i),
                    _ => activate(p.kinds[1], peep(p, peephole.wrapping_add(h), n, old, v[1])),
                };
                let g = activate(p.kinds[2], v[2]);
                let c = f.fma(old, i.mul(g));
                let o = activate(p.kinds[3], peep(p, peephole.wrapping_add(2 * h), n, c, v[3]));
                let s = activate(p.out_kind, c);
                let m = o.mul(s);
                let saved = run.saved.add(p.saved_at(d, t, row) + unit);
                if p.save == 1 {
                    for (part, y) in [i, f, g, o].into_iter().enumerate() {
                        store_part(y, saved.add(part * h), n);
                        store_part(slope(p.kinds[part], y), saved.add((part + 5) * h), n);
                    }
                    store_part(s, saved.add(4 * h), n);
                    store_part(slope(p.out_kind, s), saved.add(9 * h), n);
                }
                store_part(m, saved.add(10 * h), n);
                let fresh = run.fresh.add(index * p.width as usize + unit);
                store_part(c, fresh.add(out), n);
                if out == h {
                    store_part(m, fresh, n);
                }
            }
        }
    }
}

#[derive(Clone, Copy)]
struct LstmBack {
    p: CellStep,
    marks: *const u32,
    state: *const f32,
    saved: *const f32,
    d_fresh: *const f32,
    d_out: *const f32,
    d_gates: *mut f32,
    carry: *mut f32,
}

/// Runs [`LstmCellBackward`]. Returns false, without running it, with peepholes or coupled gates.
pub fn lstm_backward(
    isa: Isa,
    kernel: &LstmCellBackward,
    [marks, state, saved, peephole, d_fresh, d_out]: [&[f32]; 6],
    [d_gates, carry]: [&mut [f32]; 2],
) -> bool {
    let p = kernel.0;
    if p.peephole == 1 || p.coupled == 1 {
        return false;
    }
    let (reads, writes) = kernel.lens();
    let lens = [marks, state, saved, peephole, d_fresh, d_out].map(<[f32]>::len);
    assert!(covers(lens, reads) && covers([d_gates.len(), carry.len()], writes));
    let [state, saved, d_fresh, d_out] = [state, saved, d_fresh, d_out].map(<[f32]>::as_ptr);
    let marks = words(marks).as_ptr();
    let run =
        LstmBack { p, marks, state, saved, d_fresh, d_out, d_gates: d_gates.as_mut_ptr(), carry: carry.as_mut_ptr() };
    for_each_isa!(isa, lstm_rows_back::<_>(run: LstmBack));
    true
}

#[inline(always)]
unsafe fn lstm_rows_back<V: Lanes>(run: LstmBack) {
    let (p, h, out) = (&run.p, run.p.hidden as usize, run.p.out as usize);
    for index in 0..p.rows() {
        let (d, row) = (index / p.batch as usize, index % p.batch as usize);
        let t = p.order().time_of(d, (p.steps - 1 - p.step) as usize);
        // SAFETY: `marks` holds [T, B].
        let is_valid = unsafe { *run.marks.add(t * p.batch as usize + row) } & VALID != 0;
        for unit in (0..h).step_by(LANES) {
            let n = LANES.min(h - unit);
            // SAFETY: the kernel's contract bounds these offsets, and the buffer lengths were checked.
            unsafe {
                let d_gates = run.d_gates.add(p.d_gates_at(d, t, row) + unit);
                if !is_valid {
                    for gate in 0..4 {
                        store_part(V::splat(0.0), d_gates.add(gate * h), n);
                    }
                    continue;
                }
                let saved = run.saved.add(p.saved_at(d, t, row) + unit);
                let mut v = [V::splat(0.0); 10];
                for (part, v) in v.iter_mut().enumerate() {
                    *v = load_part(saved.add(part * h), n);
                }
                let [i, f, g, o, s, si, sf, sg, so, ss] = v;
                let old = load_part::<V>(run.state.add(p.state_at(d, p.order().before(d, t), row) + out + unit), n);
                let at_c = index * p.width as usize + out + unit;
                let dm = load_part::<V>(run.d_out.add(index * p.d_out_row as usize + unit), n);
                let dc = dm.mul(o).fma(ss, load_part(run.d_fresh.add(at_c), n));
                store_part(dc.mul(g).mul(si), d_gates, n);
                store_part(dc.mul(old).mul(sf), d_gates.add(h), n);
                store_part(dc.mul(i).mul(sg), d_gates.add(2 * h), n);
                store_part(dm.mul(s).mul(so), d_gates.add(3 * h), n);
                store_part(dc.fma(f, load_part(run.carry.add(at_c), n)), run.carry.add(at_c), n);
            }
        }
    }
}

/// Without noise, all elements of a row are updated in the same way, so rows can be copied.
fn is_quiet(p: &StateUpdate) -> bool {
    p.zone_h == 0.0 && p.zone_c == 0.0 && p.drops == 0
}

/// Runs [`StateUpdate`]. Returns false, without running it, with zoneout or dropout.
pub fn update(p: &StateUpdate, [marks, fresh]: [&[f32]; 2], [state, y]: [&mut [f32]; 2]) -> bool {
    if !is_quiet(p) {
        return false;
    }
    let (batch, width, out, order) = (p.batch as usize, p.width as usize, p.out as usize, p.order());
    for i in 0..p.directions as usize * batch {
        let (d, row) = (i / batch, i % batch);
        let (t, reverse) = (order.time_of(d, p.step as usize), order.is_reverse(d));
        let slot = |slot: usize| ((d * (p.steps as usize + 1) + slot) * batch + row) * width;
        let (before, after, first) =
            (slot(order.before(d, t)), slot(order.after(d, t)), slot(order.before(d, order.time_of(d, 0))));
        let mark = words(marks)[t * batch + row];
        let shown = &mut y[p.output_at(d, t, row)..][..out];
        if mark & VALID != 0 {
            state[after..after + width].copy_from_slice(&fresh[i * width..][..width]);
        } else {
            state.copy_within(before..before + width, after);
        }
        if mark & VALID != 0 || has(mark, REPEAT, reverse) {
            shown.copy_from_slice(&state[after..][..out]);
        } else {
            shown.fill(0.0);
        }
        if !has(mark, RESET, reverse) {
            continue;
        }
        if mark & TO_FIRST != 0 {
            state.copy_within(first..first + width, after);
        } else {
            state[after..after + width].fill(0.0);
        }
    }
    true
}

/// Runs [`StateUpdateBackward`]. Returns false, without running it, with zoneout or dropout.
pub fn update_backward(
    kernel: &StateUpdateBackward,
    [marks, dy, q]: [&[f32]; 3],
    [d_fresh, carry]: [&mut [f32]; 2],
) -> bool {
    let p = &kernel.0;
    if !is_quiet(p) {
        return false;
    }
    let (batch, width, out, order) = (p.batch as usize, p.width as usize, p.out as usize, p.order());
    let (carry, passed) = carry.split_at_mut(p.one());
    for i in 0..p.directions as usize * batch {
        let (d, row) = (i / batch, i % batch);
        let carry = &mut carry[i * width..][..width];
        if p.step > 0 {
            carry[..out].iter_mut().zip(&q[i * out..]).for_each(|(v, q)| *v += q);
        }
        if p.step == p.steps {
            continue;
        }
        let (t, reverse) = (order.time_of(d, (p.steps - 1 - p.step) as usize), order.is_reverse(d));
        let mark = words(marks)[t * batch + row];
        if has(mark, RESET, reverse) {
            if mark & TO_FIRST != 0 {
                passed[i * width..].iter_mut().zip(&*carry).for_each(|(sum, v)| *sum += v);
            }
            carry.fill(0.0);
        }
        if mark & VALID != 0 || has(mark, REPEAT, reverse) {
            carry[..out].iter_mut().zip(&dy[p.output_at(d, t, row)..]).for_each(|(v, dy)| *v += dy);
        }
        let d_fresh = &mut d_fresh[i * width..][..width];
        if mark & VALID == 0 {
            d_fresh.fill(0.0);
        } else {
            d_fresh.copy_from_slice(carry);
            carry.fill(0.0);
        }
    }
    true
}
