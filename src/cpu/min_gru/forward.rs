//! Forward pass over all steps.

use super::{COLUMNS, Kind, Part, Stretches, gate, over_columns};
use crate::cpu::logarithm::{exp_stable, log, log_1p, log_add};
use crate::cpu::simd::{Isa, LANES, Lanes, exp, for_each_isa, load_part, store_part};
use crate::cpu::thread_pool::{Parts, ThreadPool};
use crate::kernel::{Kernel, words};
use crate::kernels::MinGruSequence;
use crate::math::LOW;

#[derive(Clone, Copy)]
struct Run<'a> {
    p: &'a MinGruSequence,
    lengths: &'a [u32],
    kv: &'a [f32],
    h0: &'a [f32],
    y: *mut f32,
    h_n: *mut f32,
}

/// Runs [`MinGruSequence`]. Returns false, without running it, if it is split into chunks.
pub fn forward(
    isa: Isa,
    pool: &ThreadPool,
    p: &MinGruSequence,
    [kv, lengths, h0]: [&[f32]; 3],
    [y, h_n]: [&mut [f32]; 2],
) -> bool {
    if p.chunks() > 1 {
        return false;
    }
    let (reads, writes) = p.lens();
    assert!(kv.len() >= reads[0] && lengths.len() >= reads[1] && h0.len() >= reads[2]);
    assert!(y.len() >= writes[0] && h_n.len() >= writes[1]);
    let (y, h_n, lengths) = (Parts::new(y), Parts::new(h_n), words(lengths));
    over_columns(pool, p, |part| {
        let run = Run { p, lengths, kv, h0, y: y.as_ptr(), h_n: h_n.as_ptr() };
        // The buffer lengths were checked above, and no other call has these columns.
        for_each_isa!(isa, states_of::<_>(run: Run<'_>, part: Part));
    });
    true
}

#[inline(always)]
unsafe fn states_of<V: Lanes>(run: Run, part: Part) {
    let Run { p, lengths, kv, h0, y, h_n } = run;
    let [steps, slot] = [p.steps as usize, p.batch as usize * p.hidden as usize];
    let (start, is_log, order) = (part.columns.start, p.log == 1, p.order());
    let mut states = [0.0f32; COLUMNS];
    for (state, &v) in states.iter_mut().zip(&h0[part.d * slot..][part.columns.clone()]) {
        *state = p.arithmetic().first_state(v);
    }
    for step in 0..steps {
        let t = order.time_of(part.d, step);
        let [k, v] = [0, 1].map(|gate| ((2 * part.d + gate) * steps + t) * slot);
        for stretch in Stretches::new(p, lengths, &part, t) {
            for at in stretch.columns.clone().step_by(LANES) {
                let n = LANES.min(stretch.columns.end - at);
                // SAFETY: the offsets stay within the kernel's buffer lengths, and no other call has these columns.
                unsafe {
                    let to = y.add(stretch.output + at - stretch.columns.start);
                    if stretch.kind == Kind::Past {
                        store_part(V::splat(0.0), to, n);
                        continue;
                    }
                    let kept = states.as_mut_ptr().add(at - start);
                    let old = load_part::<V>(kept, n);
                    let (k, v) = (load_part::<V>(kv.as_ptr().add(k + at), n), load_part(kv.as_ptr().add(v + at), n));
                    let (state, shown) = if is_log { next_logarithm(old, k, v) } else { next(old, k, v) };
                    store_part(state, kept, n);
                    store_part(shown, to, n);
                }
            }
        }
    }
    for at in part.columns.clone().step_by(LANES) {
        let n = LANES.min(part.columns.end - at);
        // SAFETY: as above.
        unsafe {
            let state = load_part::<V>(states.as_ptr().add(at - start), n);
            store_part(if is_log { exp_stable(state) } else { state }, h_n.add(part.d * slot + at), n);
        }
    }
}

/// Returns the state after a step, to carry on and to output. Both are the same.
#[inline(always)]
unsafe fn next<V: Lanes>(old: V, k: V, v: V) -> (V, V) {
    // SAFETY: the caller makes sure that the CPU supports V's instructions.
    unsafe {
        let (z, a) = gate(k);
        let state = a.fma(old, z.mul(v));
        (state, state)
    }
}

/// Returns the state after a step: its logarithm to carry on, and the state itself to output.
#[inline(always)]
unsafe fn next_logarithm<V: Lanes>(old: V, k: V, v: V) -> (V, V) {
    // SAFETY: as above.
    unsafe {
        let (zero, low) = (V::splat(0.0), V::splat(LOW));
        let minus = zero.sub(k);
        let (of_k, of_v) = (log_1p(exp(zero.sub(k.abs()))), log_1p(exp(zero.sub(v.abs()))));
        let log_g = v.where_below(zero, v.sub(of_v), log(v.add(V::splat(0.5))));
        let a = minus.where_below(zero, minus, zero).sub(of_k).at_least(low);
        let b = k.where_below(zero, k, zero).sub(of_k).add(log_g).at_least(low);
        let state = log_add(a.add(old).at_least(low), b);
        (state, exp_stable(state))
    }
}
