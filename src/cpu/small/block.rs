//! The units of one or two vectors, from the bias to the new state.

use std::marker::PhantomData;
use std::ops::Range;

use crate::cell::Cell;
use crate::cpu::equations::{self, Units};
use crate::cpu::simd::{Activations, Lanes, Vector, unrolled, zeros};
use crate::kernel::IS_LEAN;

use super::blocks::{Block, early, has_room};
use super::{Layer, Part, Places, inputs};

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
            Cell::Lstm => steps::<V, A, Lstm, 4>(layer, places),
            // `SmallStack::suits` excludes the other cells.
            _ if IS_LEAN => {}
            Cell::GruResetBefore => steps::<V, A, ResetGates, 2>(layer, places),
            Cell::Rnn => steps::<V, A, Tanh, 1>(layer, places),
            Cell::RnnRelu => steps::<V, A, Relu, 1>(layer, places),
        }
    }
}

#[inline(always)]
unsafe fn steps<V: Lanes, A: Activations, E: Equations, const G: usize>(layer: &Layer, places: &Places) {
    let Layer { input, hidden, ref parts, .. } = *layer;
    let has_terms = !places.terms.is_null();
    let mut step = Step { input, hidden, has_terms, places: *places };
    let mut terms = [places.terms, places.terms.wrapping_add(places.steps * parts[0].sums)];
    if has_terms {
        let size = [places.steps, input];
        // SAFETY: guaranteed by the caller.
        unsafe {
            inputs::project::<V, G>(&parts[0], E::IS_APART, (places.x, terms[0]), size);
            if G == 2 {
                inputs::project::<V, 1>(&parts[1], false, (places.x, terms[1]), size);
            }
        }
    }
    let mut left = places.steps;
    while left > 0 {
        // SAFETY: guaranteed by the caller.
        unsafe {
            pass::<V, A, E, G>(&step, &parts[0], terms[0], step.places.before[0]);
            if G == 2 {
                pass::<V, A, Candidate, 1>(&step, &parts[1], terms[1], places.scratch);
            }
            terms = [0, 1].map(|i| terms[i].wrapping_add(parts[i].sums));
            step.places.before = [step.places.out, places.c];
            step.places.x = step.places.x.add(step.input);
            step.places.out = step.places.out.add(step.hidden);
            step.places.is_back = !step.places.is_back;
        }
        left -= 1;
    }
}

/// One step. Holds copies, so that the compiler keeps them in registers.
struct Step {
    input: usize,
    hidden: usize,
    /// Whether the input terms were computed.
    has_terms: bool,
    places: Places,
}

/// Computes `G` gates of all units, as functions of `x` and `from` `[H]`.
///
/// Every other step goes back through the blocks, so that it begins with the weights that the step before used last. If
/// the weights of a layer exceed the nearest cache, these are still there. In the same order, each step would evict what
/// the next one needs.
#[inline(always)]
unsafe fn pass<V: Lanes, A: Activations, E: Equations, const G: usize>(
    p: &Step,
    part: &Part,
    terms: *const f32,
    from: *const f32,
) {
    let count = part.blocks.len();
    // SAFETY: guaranteed by the caller.
    unsafe {
        let (first, words) = (part.blocks.as_ptr(), part.words.as_ptr());
        let (mut block, by) = if p.places.is_back { (first.add(count - 1), -1) } else { (first, 1) };
        for _ in 0..count {
            let Block { unit, lanes, words: at, sums, .. } = *block;
            let at = [words.add(at), terms.wrapping_add(sums), from];
            match lanes {
                _ if lanes == V::Rest::WIDTH => chains::<V, V::Rest, A, E, G, 1>(p, at, unit),
                _ if const { has_room::<V>(G) } && lanes > V::Wide::WIDTH => {
                    chains::<V, V::Wide, A, E, G, 2>(p, at, unit);
                }
                _ => chains::<V, V::Wide, A, E, G, 1>(p, at, unit),
            }
            block = block.wrapping_offset(by);
        }
    }
}

/// Chooses the number of sums per gate, which hide the latency of the multiply-adds.
#[inline(always)]
unsafe fn chains<V: Lanes, W: Vector, A: Activations, E: Equations, const G: usize, const M: usize>(
    p: &Step,
    at: [*const f32; 3],
    unit: usize,
) {
    // SAFETY: guaranteed by the caller.
    unsafe {
        match const { V::ROOM / (G * M * W::REGISTERS) } {
            0 | 1 => block::<W, A, E, G, M, 1>(p, at, unit),
            2 | 3 => block::<W, A, E, G, M, 2>(p, at, unit),
            _ => block::<W, A, E, G, M, 4>(p, at, unit),
        }
    }
}

/// Computes the units from `unit` on: from their words, their input terms, and `from` `[H]`.
#[cfg_attr(not(target_arch = "wasm32"), inline(always))]
#[cfg_attr(target_arch = "wasm32", inline(never))]
unsafe fn block<W: Vector, A: Activations, E: Equations, const G: usize, const M: usize, const C: usize>(
    p: &Step,
    [mut words, terms, from]: [*const f32; 3],
    unit: usize,
) {
    // SAFETY: guaranteed by the caller.
    unsafe {
        let mut x: [[[W; M]; G]; 1] = zeros();
        let first = if p.has_terms { terms } else { words };
        unrolled!(g < G, { unrolled!(m < M, { x[0][g][m] = W::load(first.add((g * M + m) * W::WIDTH)) }) });
        words = words.add(G * M * W::WIDTH);
        let mut sums: [[[W; M]; G]; C] = zeros();
        if E::IS_APART {
            unrolled!(m < M, { sums[0][G - 1][m] = W::load(words.add(m * W::WIDTH)) });
            words = words.add(M * W::WIDTH);
        }
        if p.has_terms {
            words = words.add(p.input * G * M * W::WIDTH);
        } else {
            words = add_products(&mut x, 0..G, words, p.places.x, p.input);
        }
        unrolled!(g < G, {
            if !E::IS_APART || g + 1 < G {
                sums[0][g] = x[0][g];
            }
        });
        if early(G, M) > 0 {
            words = add_products(&mut sums, 0..early(G, M), words, from, p.hidden);
            unrolled!(g < G, {
                if g < early(G, M) {
                    unrolled!(m < M, {
                        sums[0][g][m] = A::sigmoid(sum_of(&sums, g, m));
                    });
                }
            });
        }
        add_products(&mut sums, early(G, M)..G, words, from, p.hidden);
        unrolled!(m < M, {
            let unit = unit + m * W::WIDTH;
            let mut here: [W; G] = zeros();
            unrolled!(g < G, { here[g] = if g < early(G, M) { sums[0][g][m] } else { sum_of(&sums, g, m) } });
            E::apply(&At::<W, A, G, M> {
                activations: PhantomData,
                p,
                sums: here,
                x: x[0][G - 1][m],
                unit,
                count: W::WIDTH.min(p.hidden - unit),
            });
        });
    }
}

/// Adds the `C` sums of a gate, in pairs, which is faster than one after the other.
#[inline(always)]
unsafe fn sum_of<W: Vector, const G: usize, const M: usize, const C: usize>(
    sums: &[[[W; M]; G]; C],
    g: usize,
    m: usize,
) -> W {
    // SAFETY: guaranteed by the caller.
    unsafe {
        match C {
            4 => sums[0][g][m].add(sums[1 % C][g][m]).add(sums[2 % C][g][m].add(sums[3 % C][g][m])),
            2 => sums[0][g][m].add(sums[1 % C][g][m]),
            _ => sums[0][g][m],
        }
    }
}

/// Adds the products of `depth` rows of words with `from` to the sums of these gates, in turn to each of the `C` sums.
/// Returns the words that follow.
#[inline(always)]
unsafe fn add_products<W: Vector, const G: usize, const M: usize, const C: usize>(
    sums: &mut [[[W; M]; G]; C],
    gates: Range<usize>,
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
                    if g >= gates.start && g < gates.end {
                        unrolled!(m < M, {
                            let at = ((g - gates.start) * M + m) * W::WIDTH;
                            sums[$c][g][m] = W::load(words.add(at)).fma(v, sums[$c][g][m]);
                        });
                    }
                });
                words = words.add(gates.len() * M * W::WIDTH);
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
struct At<'a, W, A, const G: usize, const M: usize> {
    activations: PhantomData<A>,
    p: &'a Step,
    sums: [W; G],
    /// The product of the last gate with the input, if it is kept apart.
    x: W,
    unit: usize,
    /// Number of units, at most the lanes.
    count: usize,
}

impl<W: Vector, A, const G: usize, const M: usize> At<'_, W, A, G, M> {
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
unsafe impl<W: Vector, A: Activations, const G: usize, const M: usize> Units<W> for At<'_, W, A, G, M> {
    type Activations = A;

    #[inline(always)]
    unsafe fn sum(&self, gate: usize) -> W {
        self.sums[gate % G]
    }

    #[inline(always)]
    unsafe fn sigmoid(&self, gate: usize, v: W) -> W {
        // SAFETY: as below.
        unsafe { if gate < early(G, M) { v } else { A::sigmoid(v) } }
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
