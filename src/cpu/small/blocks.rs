//! How the units of a layer are divided into blocks.

use crate::cpu::simd::{Lanes, Vector};

/// The units of one or two vectors.
#[derive(Clone, Copy)]
pub(super) struct Block {
    /// The first unit.
    pub unit: usize,
    /// The last block may have more lanes than units.
    pub lanes: usize,
    /// Index of its words.
    pub words: usize,
    /// Index of its input terms.
    pub sums: usize,
    /// How many gates are summed before the others.
    pub early: usize,
}

/// Divides the units of a pass over `gates` gates into blocks, where every lane has `depth` words.
///
/// With masks, a vector that is mostly empty is faster than several smaller ones, of which each computes its own
/// activations.
///
/// # Safety
/// V's instructions must be available.
pub(super) unsafe fn divide<V: Lanes>(gates: usize, hidden: usize, depth: usize, out: &mut Vec<Block>) {
    let (wide, rest) = (V::Wide::WIDTH, V::Rest::WIDTH);
    let needs = |vectors: usize| if V::Wide::MASKS { (vectors - 1) * wide + 1 } else { vectors * wide };
    let (mut unit, mut words) = (0, 0);
    while unit < hidden {
        let lanes = match hidden - unit {
            left if left >= needs(2) && has_room::<V>(gates) && 2 * wide * depth <= BLOCK_WORDS => 2 * wide,
            left if left >= needs(1) && !(V::Wide::MASKS && left == rest) => wide,
            _ => rest,
        };
        out.push(Block { unit, lanes, words, sums: unit * gates, early: early(gates, lanes.div_ceil(wide)) });
        unit += lanes;
        words += lanes * depth;
    }
}

/// Most words of a block of two wide vectors. Larger blocks would not stay in a cache of 32 KiB until the next step.
const BLOCK_WORDS: usize = 7168;

/// Whether the sums of two wide vectors fit in registers.
pub(super) const fn has_room<V: Lanes>(gates: usize) -> bool {
    V::TWO && 2 * gates * V::Wide::REGISTERS <= V::ROOM
}

/// How many of the first gates are activated before the sums of the others begin. A GRU's candidate waits for its reset
/// gate, whose activation is a chain of operations that wait for each other. Between these, processors compute the
/// products of the other gates. With two vectors of units, operations of one fill the gaps of the other.
pub(super) const fn early(gates: usize, vectors: usize) -> usize {
    (matches!(gates, 2 | 3) && vectors == 1 && !cfg!(target_arch = "wasm32")) as usize
}
