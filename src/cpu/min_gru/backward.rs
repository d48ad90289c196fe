//! Backward pass over all steps.

use super::{COLUMNS, Kind, Part, Stretches, gate, over_columns};
use crate::cpu::simd::{Isa, LANES, Lanes, for_each_isa, load_part, sigmoid, store_part};
use crate::cpu::thread_pool::{Parts, ThreadPool};
use crate::kernel::{Kernel, words};
use crate::kernels::{MinGruSequence, MinGruSequenceBackward};

#[derive(Clone, Copy)]
struct Back<'a> {
    p: &'a MinGruSequence,
    lengths: &'a [u32],
    kv: &'a [f32],
    h0: &'a [f32],
    y: &'a [f32],
    dy: &'a [f32],
    d_last: &'a [f32],
    d_kv: *mut f32,
    d_h0: *mut f32,
}

/// Runs [`MinGruSequenceBackward`]. Returns false, without running it, if it is split into chunks.
pub fn backward(
    isa: Isa,
    pool: &ThreadPool,
    kernel: &MinGruSequenceBackward,
    [kv, lengths, h0, y, dy, d_last]: [&[f32]; 6],
    [d_kv, d_h0]: [&mut [f32]; 2],
) -> bool {
    let p = &kernel.0;
    if p.chunks() > 1 {
        return false;
    }
    let (reads, writes) = kernel.lens();
    assert!([kv, lengths, h0, y, dy, d_last].iter().zip(reads).all(|(read, len)| read.len() >= len));
    assert!(d_kv.len() >= writes[0] && d_h0.len() >= writes[1]);
    let (d_kv, d_h0, lengths) = (Parts::new(d_kv), Parts::new(d_h0), words(lengths));
    over_columns(pool, p, |part| {
        let run = Back { p, lengths, kv, h0, y, dy, d_last, d_kv: d_kv.as_ptr(), d_h0: d_h0.as_ptr() };
        // The buffer lengths were checked above, and no other call has these columns.
        for_each_isa!(isa, gradients_of::<_>(run: Back<'_>, part: Part));
    });
    true
}

#[inline(always)]
unsafe fn gradients_of<V: Lanes>(run: Back, part: Part) {
    let p = run.p;
    let [steps, slot] = [p.steps as usize, p.batch as usize * p.hidden as usize];
    let (start, is_log, order) = (part.columns.start, p.log == 1, p.order());
    let row = p.directions as usize * slot;
    let mut carry = [0.0f32; COLUMNS];
    carry[..part.columns.len()].copy_from_slice(&run.d_last[part.d * slot..][part.columns.clone()]);
    for step in (0..steps).rev() {
        let t = order.time_of(part.d, step);
        let [k, v] = [0, 1].map(|gate| ((2 * part.d + gate) * steps + t) * slot);
        for stretch in Stretches::new(p, run.lengths, &part, t) {
            let first = stretch.columns.start;
            let before = match (stretch.kind, order.is_reverse(part.d)) {
                (Kind::Past, _) => &[],
                (Kind::First, _) => &run.h0[part.d * slot + first..],
                (Kind::Later, true) => &run.y[stretch.output + row..],
                (Kind::Later, false) => &run.y[stretch.output - row..],
            };
            for at in stretch.columns.clone().step_by(LANES) {
                let n = LANES.min(stretch.columns.end - at);
                // SAFETY: the offsets stay within the kernel's buffer lengths, and no other call has these columns.
                unsafe {
                    let [to_k, to_v] = [k, v].map(|gate| run.d_kv.add(gate + at));
                    if stretch.kind == Kind::Past {
                        store_part(V::splat(0.0), to_k, n);
                        store_part(V::splat(0.0), to_v, n);
                        continue;
                    }
                    let [k, v] = [k, v].map(|gate| run.kv.as_ptr().add(gate + at));
                    let dy = load_part::<V>(run.dy.as_ptr().add(stretch.output + at - first), n);
                    let before = load_part::<V>(before.as_ptr().add(at - first), n);
                    let kept = carry.as_mut_ptr().add(at - start);
                    let dh = dy.add(load_part(kept, n));
                    let [dk, dv, c] = slopes(is_log, load_part::<V>(k, n), load_part(v, n), before, dh);
                    store_part(dk, to_k, n);
                    store_part(dv, to_v, n);
                    store_part(c, kept, n);
                }
            }
        }
    }
    // SAFETY: as above.
    let d_h0 = unsafe { std::slice::from_raw_parts_mut(run.d_h0.add(part.d * slot + start), part.columns.len()) };
    d_h0.copy_from_slice(&carry[..part.columns.len()]);
}

/// Returns `dk`, `dv` and the gradient of the previous state, for one step.
#[inline(always)]
unsafe fn slopes<V: Lanes>(is_log: bool, k: V, v: V, before: V, dh: V) -> [V; 3] {
    // SAFETY: the caller guarantees that the CPU supports V's instructions.
    unsafe {
        let (zero, one, (z, a)) = (V::splat(0.0), V::splat(1.0), gate(k));
        let (mut candidate, mut dv) = (v, dh.mul(z));
        if is_log {
            let positive = sigmoid(v);
            candidate = v.where_below(zero, positive, v.add(V::splat(0.5)));
            // `below < v` is `v ≥ 0`, because `below` is the largest negative number. It is false for NaN, which then
            // propagates.
            let below = V::splat(-f32::from_bits(1));
            dv = dv.mul(below.where_below(v, one, positive.mul(sigmoid(zero.sub(v)))));
        }
        [dh.mul(candidate.sub(before)).mul(z).mul(a), dv, a.mul(dh)]
    }
}
