//! The units of one or two vectors, from the bias to the new state.

use std::marker::PhantomData;

use crate::cell::Cell;
use crate::cpu::equations::{self, Units};
use crate::cpu::simd::{Activations, Lanes, Vector, unrolled};

use super::{Layer, Places};

/// The equations of a pass.
trait Equations {
    /// Whether the last gate keeps the products with the input and with the state apart.
    const IS_APART: bool;
    unsafe fn apply<V: Vector>(u: &impl Units<V>);
}

/// Defines the equations of a pass by name.
macro_rules! equations {
    ($($name:ident $is_apart:literal $u:ident => $call:expr;)*) => {$(
        struct $name;
        impl Equations for $name {
            const IS_APART: bool = $is_apart;
            #[inline(always)]
            unsafe fn apply<V: Vector>($u: &impl Units<V>) {
                // SAFETY: guaranteed by the caller.
                unsafe { $call }
            }
        }
    )*};
}

equations! {
    ResetAfter true u => equations::gru(u);
    ResetGates false u => equations::gru_gates(u);
    Candidate false u => equations::gru_candidate(u);
    Lstm false u => equations::lstm(u);
    Tanh false u => equations::rnn(u, false);
    Relu false u => equations::rnn(u, true);
}

/// Runs steps of a layer.
///
/// # Safety
/// The places must have the lengths stated there, and the words must be packed for `V`.
#[inline(always)]
pub(super) unsafe fn run<V: Lanes, A: Activations>(layer: &Layer, places: &Places) {
    // SAFETY: guaranteed by the caller.
    unsafe {
        match layer.cell {
            Cell::Gru => steps::<V, A, ResetAfter, 3>(layer, places),
            Cell::GruResetBefore => steps::<V, A, ResetGates, 2>(layer, places),
            Cell::Lstm => steps::<V, A, Lstm, 4>(layer, places),
            Cell::Rnn => steps::<V, A, Tanh, 1>(layer, places),
            Cell::RnnRelu => steps::<V, A, Relu, 1>(layer, places),
        }
    }
}

#[inline(always)]
unsafe fn steps<V: Lanes, A: Activations, E: Equations, const G: usize>(layer: &Layer, places: &Places) {
    let words = [layer.words[0].as_ptr(), layer.words[1].as_ptr()];
    let mut step = Step { input: layer.input, hidden: layer.hidden, places: *places };
    let mut left = places.steps;
    while left > 0 {
        // SAFETY: guaranteed by the caller.
        unsafe {
            pass::<V, A, E, G>(&step, words[0], step.places.before[0]);
            if G == 2 {
                pass::<V, A, Candidate, 1>(&step, words[1], places.scratch);
            }
            step.places.before = [step.places.out, places.c];
            step.places.x = step.places.x.add(step.input);
            step.places.out = step.places.out.add(step.hidden);
        }
        left -= 1;
    }
}

/// One step. Holds copies, so that the compiler keeps them in registers.
struct Step {
    input: usize,
    hidden: usize,
    places: Places,
}

/// The lanes of the next block of a pass over `gates` gates, if `left` units are left.
///
/// With masks, a vector that is mostly empty is faster than smaller ones, of which each computes its own activations.
#[inline(always)]
pub(super) fn lanes<V: Lanes>(gates: usize, left: usize) -> usize {
    let wide = V::Wide::WIDTH;
    let needs = |vectors: usize| if V::Wide::MASKS { (vectors - 1) * wide + 1 } else { vectors * wide };
    match left {
        _ if left >= needs(2) && has_room::<V>(gates) => 2 * wide,
        _ if left >= needs(1) => wide,
        _ => 4,
    }
}

/// Whether the sums of two wide vectors fit in registers.
const fn has_room<V: Lanes>(gates: usize) -> bool {
    V::TWO && 2 * gates * V::Wide::REGISTERS <= V::ROOM
}

/// Computes `G` gates of all units, as functions of `x` and `from` `[H]`.
#[inline(always)]
unsafe fn pass<V: Lanes, A: Activations, E: Equations, const G: usize>(
    p: &Step,
    mut words: *const f32,
    from: *const f32,
) {
    let (mut unit, mut left) = (0, p.hidden);
    // SAFETY: guaranteed by the caller.
    unsafe {
        while left > 0 {
            let lanes = lanes::<V>(G, left);
            words = match lanes {
                4 if const { !V::Wide::MASKS } => chains::<V, V::Four, A, E, G, 1>(p, words, from, unit),
                _ if const { has_room::<V>(G) } && lanes > V::Wide::WIDTH => {
                    chains::<V, V::Wide, A, E, G, 2>(p, words, from, unit)
                }
                _ => chains::<V, V::Wide, A, E, G, 1>(p, words, from, unit),
            };
            unit += lanes;
            left = left.saturating_sub(lanes);
        }
    }
}

/// Chooses the number of sums per gate, which hide the latency of the multiply-adds.
#[inline(always)]
unsafe fn chains<V: Lanes, W: Vector, A: Activations, E: Equations, const G: usize, const M: usize>(
    p: &Step,
    words: *const f32,
    from: *const f32,
    unit: usize,
) -> *const f32 {
    // SAFETY: guaranteed by the caller.
    unsafe {
        match const { V::ROOM / (G * M * W::REGISTERS) } {
            0 | 1 => block::<W, A, E, G, M, 1>(p, words, from, unit),
            2 | 3 => block::<W, A, E, G, M, 2>(p, words, from, unit),
            _ => block::<W, A, E, G, M, 4>(p, words, from, unit),
        }
    }
}

/// Computes the units from `unit` on. Returns the words of the next block.
#[cfg_attr(not(target_arch = "wasm32"), inline(always))]
#[cfg_attr(target_arch = "wasm32", inline(never))]
unsafe fn block<W: Vector, A: Activations, E: Equations, const G: usize, const M: usize, const C: usize>(
    p: &Step,
    words: *const f32,
    from: *const f32,
    unit: usize,
) -> *const f32 {
    // SAFETY: guaranteed by the caller.
    unsafe {
        let zero = W::splat(0.0);
        let mut x = [[[zero; M]; G]; 1];
        let mut words = words;
        unrolled!(g < G, { unrolled!(m < M, { x[0][g][m] = W::load(words.add((g * M + m) * W::WIDTH)) }) });
        words = words.add(G * M * W::WIDTH);
        let mut sums = [[[zero; M]; G]; C];
        if E::IS_APART {
            unrolled!(m < M, { sums[0][G - 1][m] = W::load(words.add(m * W::WIDTH)) });
            words = words.add(M * W::WIDTH);
        }
        words = add_products(&mut x, words, p.places.x, p.input);
        unrolled!(g < G, {
            if !E::IS_APART || g + 1 < G {
                sums[0][g] = x[0][g];
            }
        });
        words = add_products(&mut sums, words, from, p.hidden);
        unrolled!(g < G, {
            unrolled!(m < M, {
                // In pairs, which is faster than one after the other.
                if C == 4 {
                    sums[0][g][m] = sums[0][g][m].add(sums[1][g][m]).add(sums[2 % C][g][m].add(sums[3 % C][g][m]));
                }
                if C == 2 {
                    sums[0][g][m] = sums[0][g][m].add(sums[1 % C][g][m]);
                }
            });
        });
        unrolled!(m < M, {
            let unit = unit + m * W::WIDTH;
            let mut here = [zero; G];
            unrolled!(g < G, { here[g] = sums[0][g][m] });
            E::apply(&At::<W, A, G> {
                activations: PhantomData,
                p,
                sums: here,
                x: x[0][G - 1][m],
                unit,
                count: W::WIDTH.min(p.hidden - unit),
            });
        });
        words
    }
}

/// Adds the products of `depth` rows of words with `from`, in turn to each of the `C` sums. Returns the words that
/// follow.
#[inline(always)]
unsafe fn add_products<W: Vector, const G: usize, const M: usize, const C: usize>(
    sums: &mut [[[W; M]; G]; C],
    mut words: *const f32,
    from: *const f32,
    depth: usize,
) -> *const f32 {
    let mut k = 0;
    // SAFETY: guaranteed by the caller.
    unsafe {
        macro_rules! row {
            ($c:expr) => {
                let v = W::splat(*from.add(k));
                unrolled!(g < G, {
                    unrolled!(m < M, {
                        sums[$c][g][m] = W::load(words.add((g * M + m) * W::WIDTH)).fma(v, sums[$c][g][m]);
                    });
                });
                words = words.add(G * M * W::WIDTH);
                k += 1;
            };
        }
        while C > 1 && k + C <= depth {
            unrolled!(c < C, {
                row!(c);
            });
        }
        while k < depth {
            row!(0);
        }
    }
    words
}

/// Inputs and outputs of the equations for the units of one vector.
struct At<'a, W, A, const G: usize> {
    activations: PhantomData<A>,
    p: &'a Step,
    sums: [W; G],
    /// The product of the last gate with the input, if it is kept apart.
    x: W,
    unit: usize,
    /// Number of units, at most the lanes.
    count: usize,
}

impl<W: Vector, A, const G: usize> At<'_, W, A, G> {
    #[inline(always)]
    unsafe fn load(&self, from: *const f32) -> W {
        // SAFETY: `from` is a state of H floats.
        unsafe {
            let from = from.add(self.unit);
            if self.count == W::WIDTH { W::load(from) } else { W::load_first(from, self.count) }
        }
    }

    #[inline(always)]
    unsafe fn store(&self, v: W, to: *mut f32) {
        // SAFETY: as above.
        unsafe {
            let to = to.add(self.unit);
            if self.count == W::WIDTH { v.store(to) } else { v.store_first(to, self.count) }
        }
    }
}

// SAFETY: states have H floats, of which these units are `count`.
unsafe impl<W: Vector, A: Activations, const G: usize> Units<W> for At<'_, W, A, G> {
    type Activations = A;

    #[inline(always)]
    unsafe fn sum(&self, gate: usize) -> W {
        self.sums[gate % G]
    }

    #[inline(always)]
    unsafe fn x(&self, _gate: usize) -> W {
        self.x
    }

    #[inline(always)]
    unsafe fn a(&self, gate: usize) -> W {
        self.sums[gate]
    }

    #[inline(always)]
    unsafe fn old(&self, part: usize) -> W {
        // SAFETY: as above.
        unsafe { self.load(self.p.places.before[part]) }
    }

    #[inline(always)]
    unsafe fn put(&self, part: usize, v: W) {
        // SAFETY: as above.
        unsafe { self.store(v, if part == 0 { self.p.places.out } else { self.p.places.c }) }
    }

    #[inline(always)]
    unsafe fn keep(&self, reset: W, z: W) {
        // SAFETY: the scratch has 2·H floats.
        unsafe {
            self.store(reset, self.p.places.scratch);
            self.store(z, self.p.places.scratch.add(self.p.hidden));
        }
    }

    #[inline(always)]
    unsafe fn kept(&self) -> W {
        // SAFETY: as above.
        unsafe { self.load(self.p.places.scratch.add(self.p.hidden)) }
    }
}
