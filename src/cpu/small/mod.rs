//! Steps of one sequence through a layer of few units.
//!
//! Such a step is bound by latency, not by arithmetic. All values of a unit therefore stay in registers, from the bias
//! to the new state, and units are computed in vectors of sixteen, eight or four lanes. The products with the input of
//! a step do not depend on the previous step.
#![allow(unsafe_code, reason = "SIMD intrinsics on raw pointers")]

mod block;
mod blocks;
mod head;
mod inputs;

use super::lines::Lines;
use super::simd::{Exact, Fast, Isa, LANES, for_each_isa, function_of_isa};
use super::step::Matrices;
use crate::cell::Cell;
use crate::kernel::IS_LEAN;
use blocks::Block;

pub(crate) use head::SmallHead;

/// Maximum number of units of a layer that uses these steps.
const MOST_UNITS: usize = 64;
/// Whether the fast activations are compiled. Browser builds leave them out, because of the code size.
pub(crate) const HAS_FAST: bool = cfg!(not(target_arch = "wasm32"));

/// Layers that run one after another, for one instruction set.
pub(crate) struct SmallStack {
    cell: Cell,
    input: usize,
    hidden: usize,
    /// Number of states of all layers.
    states: usize,
    layers: Vec<Layer>,
    run: Run,
}

/// Runs steps of a layer.
type Run = unsafe fn(&Layer, &Places);

/// The weights of one layer, and where its states are.
struct Layer {
    cell: Cell,
    input: usize,
    hidden: usize,
    /// The weights of each pass over the units. A GRU whose reset gate acts before the product takes two passes.
    parts: [Part; 2],
    /// Index of `h`, and of the `c` of an LSTM, in the states of all layers.
    at: [usize; 2],
}

/// The blocks of units of a pass, and their weights.
struct Part {
    blocks: Vec<Block>,
    words: Lines,
    /// Number of input terms of a step.
    sums: usize,
}

/// The gates that one pass over the units computes.
#[derive(Clone, Copy)]
struct Pass {
    /// The first gate, in PyTorch's order.
    first: usize,
    gates: usize,
    /// Whether the last gate keeps the products with the input and with the state apart.
    is_apart: bool,
}

impl Pass {
    fn of(cell: Cell) -> [Self; 2] {
        let all = |gates| Pass { first: 0, gates, is_apart: false };
        match cell {
            Cell::Gru => [Pass { is_apart: true, ..all(3) }, all(0)],
            Cell::GruResetBefore => [all(2), Pass { first: 2, ..all(1) }],
            _ => [all(cell.gates()), all(0)],
        }
    }

    /// Number of vectors of biases.
    fn biases(self) -> usize {
        self.gates + self.is_apart as usize
    }
}

/// Where the steps of a layer read and write.
#[derive(Clone, Copy)]
struct Places {
    steps: usize,
    /// Whether the first step goes back through the blocks of units.
    is_back: bool,
    /// `[steps, I]`
    x: *const f32,
    /// `h` `[H]` before the first step, and `c` of an LSTM.
    before: [*const f32; 2],
    /// `[H]`: `c` after every step of an LSTM.
    c: *mut f32,
    /// `[2, H]`: `r⊙h` and `z`, if the reset gate acts before the product.
    scratch: *mut f32,
    /// `[steps, sums]` of each part: the input terms of all steps, if they are computed together; else null.
    terms: *mut f32,
    /// `[steps, H]`: `h` after each step.
    out: *mut f32,
}

impl SmallStack {
    /// Whether these steps are the fastest for layers of `hidden` units. Browser builds without training only have those
    /// of the two most common cells, and without SIMD none, because of the code size.
    pub fn suits(cell: Cell, hidden: usize) -> bool {
        let has_steps = cfg!(target_feature = "simd128") && matches!(cell, Cell::Gru | Cell::Lstm);
        hidden <= MOST_UNITS && (!IS_LEAN || has_steps)
    }

    /// Packs `layers`, which must have `hidden` units each. Their activations are the fast ones if `is_fast`.
    pub fn new(isa: Isa, cell: Cell, hidden: usize, layers: &[Matrices<'_>], is_fast: bool) -> Self {
        let of = |(l, m): (usize, &Matrices<'_>)| {
            let input = m.w_ih.len() / m.b_ih.len();
            assert!(m.b_ih.len() == cell.gates() * hidden && (l == 0 || input == hidden));
            let parts = Pass::of(cell).map(|pass| pack(isa, pass, [input, hidden], *m));
            let at = [l * hidden, ((cell.states() - 1) * layers.len() + l) * hidden];
            Layer { cell, input, hidden, parts, at }
        };
        let states = cell.states() * layers.len() * hidden;
        let layers: Vec<_> = layers.iter().enumerate().map(of).collect();
        let run = if is_fast && HAS_FAST {
            function_of_isa!(isa, block::run::<_, Fast>(layer: &Layer, places: &Places))
        } else {
            function_of_isa!(isa, block::run::<_, Exact>(layer: &Layer, places: &Places))
        };
        Self { cell, input: layers[0].input, hidden, states, layers, run }
    }

    /// Number of layers.
    pub fn len(&self) -> usize {
        self.layers.len()
    }

    /// Index of the input terms in the scratch memory.
    fn first_term(&self) -> usize {
        (2 * self.hidden).next_multiple_of(LANES)
    }

    /// Length of the scratch memory of a block of `steps`.
    pub fn scratch(&self, steps: usize) -> usize {
        let terms = |layer: &Layer| match inputs::suits(steps, layer) {
            true => steps * layer.parts.iter().map(|part| part.sums).sum::<usize>(),
            false => 0,
        };
        self.first_term() + self.layers.iter().map(terms).max().unwrap_or(0)
    }

    /// Runs one step of all layers on `x` `[I]`. Reads the states `[parts, layers, H]` from the start of one half of
    /// `states` and writes them to the other: the second if `half` is 0, the first if it is 1. `scratch` is `[2, H]`.
    #[inline]
    pub fn step(&self, x: &[f32], states: &mut [f32], half: usize, scratch: &mut [f32]) {
        let middle = states.len() / 2;
        assert!(middle >= self.states && half < 2 && x.len() >= self.input);
        assert!(scratch.len() >= 2 * self.hidden);
        let first = states.as_mut_ptr();
        let mut x = x.as_ptr();
        for layer in &self.layers {
            // SAFETY: both halves and the scratch have these lengths, and the layers' states follow each other.
            unsafe {
                let (now, next) = if half == 0 { (first, first.add(middle)) } else { (first.add(middle), first) };
                let out = next.add(layer.at[0]);
                let places = Places {
                    steps: 1,
                    is_back: half == 1,
                    x,
                    before: layer.at.map(|at| now.add(at).cast_const()),
                    c: next.add(layer.at[1]),
                    scratch: scratch.as_mut_ptr(),
                    terms: std::ptr::null_mut(),
                    out,
                };
                (self.run)(layer, &places);
                x = out;
            }
        }
    }

    /// Runs the steps of layer `l` on `x` `[steps, I]`, from the state `before` `[H]`, and writes the states after each
    /// step to `out` `[steps, H]`. An LSTM reads `c.0` `[H]` and writes `c.1`, which are empty for other cells. `scratch`
    /// has the length that [`scratch`](Self::scratch) returns for at least as many steps.
    pub fn run(
        &self,
        l: usize,
        x: &[f32],
        before: &[f32],
        c: (&[f32], &mut [f32]),
        scratch: &mut [f32],
        out: &mut [f32],
    ) {
        let (h, layer) = (self.hidden, &self.layers[l]);
        let (steps, cells) = (out.len() / h, (self.cell.states() - 1) * h);
        assert!(x.len() >= steps * layer.input && before.len() == h && scratch.len() >= self.scratch(steps));
        assert!(c.0.len() == cells && c.1.len() == cells);
        let places = Places {
            steps,
            is_back: false,
            x: x.as_ptr(),
            before: [before.as_ptr(), c.0.as_ptr()],
            c: c.1.as_mut_ptr(),
            scratch: scratch.as_mut_ptr(),
            terms: match inputs::suits(steps, layer) {
                true => scratch[self.first_term()..].as_mut_ptr(),
                false => std::ptr::null_mut(),
            },
            out: out.as_mut_ptr(),
        };
        // SAFETY: the lengths were checked.
        unsafe { (self.run)(layer, &places) }
    }
}

/// Returns the words of a pass, block by block: the biases `[gates (+ 1), lanes]`, then `W` `[I, gates, lanes]`, and `U`
/// `[H, gates, lanes]` of each group of gates. The weights of lanes past the last unit are 0.
fn pack(isa: Isa, pass: Pass, [input, hidden]: [usize; 2], m: Matrices<'_>) -> Part {
    let mut blocks = Vec::new();
    let depth = pass.biases() + pass.gates * (input + hidden);
    let (gates, out) = (pass.gates, &mut blocks);
    for_each_isa!(isa, blocks::divide::<_>(gates: usize, hidden: usize, depth: usize, out: &mut Vec<Block>));
    let lanes: usize = blocks.iter().map(|block| block.lanes).sum();
    let mut words = Lines::zeros(lanes * depth);
    for &Block { unit, lanes, words: mut at, early, .. } in &blocks {
        let units = lanes.min(hidden - unit);
        let mut put = |value: &dyn Fn(usize) -> f32| {
            words[at..at + units].iter_mut().enumerate().for_each(|(lane, word)| *word = value(unit + lane));
            at += lanes;
        };
        for gate in 0..pass.gates {
            let is_apart = pass.is_apart && gate + 1 == pass.gates;
            let row = (pass.first + gate) * hidden;
            put(&|unit| if is_apart { m.b_ih[row + unit] } else { m.b_ih[row + unit] + m.b_hh[row + unit] });
        }
        if pass.is_apart {
            put(&|unit| m.b_hh[(pass.first + pass.gates - 1) * hidden + unit]);
        }
        let (all, first, others) = (0..gates, 0..early, early..gates);
        for (matrix, depth, group) in [(m.w_ih, input, all), (m.w_hh, hidden, first), (m.w_hh, hidden, others)] {
            for k in 0..depth {
                for gate in group.clone() {
                    put(&|unit| matrix[((pass.first + gate) * hidden + unit) * depth + k]);
                }
            }
        }
    }
    Part { blocks, words, sums: lanes * gates }
}
