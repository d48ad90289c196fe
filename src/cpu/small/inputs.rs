//! The input terms of all gates for many steps, as one product that reads each weight once for several frames.

use crate::cpu::simd::{Lanes, Vector, unrolled, zeros};

use super::blocks::{Block, has_room};
use super::{Layer, Part};

/// Whether a block of steps takes this product. It saves time if the weights of a step exceed an L1 cache of 32 KiB, and
/// inputs have a share in that. Browser builds leave it out, because of the code size.
pub(super) fn suits(steps: usize, layer: &Layer) -> bool {
    let words: usize = layer.parts.iter().map(|part| part.words.len()).sum();
    cfg!(not(target_arch = "wasm32")) && steps > 1 && layer.input >= 8 && words > 8192
}

/// Writes `W·x + b` for every step of `x` `[steps, I]` to `out` `[steps, part.sums]`, with the same bits as single steps.
///
/// # Safety
/// V's instructions must be available, `part` must have the words of `G` gates and `input` inputs, and the buffers these
/// lengths.
#[inline(always)]
pub(super) unsafe fn project<V: Lanes, const G: usize>(
    part: &Part,
    is_apart: bool,
    (x, out): (*const f32, *mut f32),
    [steps, input]: [usize; 2],
) {
    // SAFETY: guaranteed by the caller.
    unsafe {
        for &Block { lanes, words, sums, .. } in &part.blocks {
            let (words, out) = (part.words.as_ptr().add(words), out.add(sums));
            let to = Rows { words, x, out, row: part.sums, input, skipped: is_apart as usize };
            match lanes {
                _ if lanes == V::Rest::WIDTH => frames::<V, V::Rest, G, 1>(to, steps),
                _ if const { has_room::<V>(G) } && lanes > V::Wide::WIDTH => frames::<V, V::Wide, G, 2>(to, steps),
                _ => frames::<V, V::Wide, G, 1>(to, steps),
            }
        }
    }
}

/// The weights of a block, and the frames of its inputs and outputs.
#[derive(Clone, Copy)]
struct Rows {
    /// Biases, then the weights `[I, gates, lanes]`.
    words: *const f32,
    x: *const f32,
    out: *mut f32,
    /// Number of outputs of all blocks per frame.
    row: usize,
    input: usize,
    /// Vectors between biases and weights, per vector of units.
    skipped: usize,
}

#[inline(always)]
unsafe fn frames<V: Lanes, W: Vector, const G: usize, const M: usize>(mut rows: Rows, mut steps: usize) {
    // SAFETY: guaranteed by the caller.
    unsafe {
        while steps > 0 {
            let count = match steps {
                4.. if const { 4 * G * M * W::REGISTERS <= V::ROOM } => few::<W, G, M, 4>(rows),
                2.. => few::<W, G, M, 2>(rows),
                _ => few::<W, G, M, 1>(rows),
            };
            rows.x = rows.x.add(count * rows.input);
            rows.out = rows.out.add(count * rows.row);
            steps -= count;
        }
    }
}

/// Computes `N` frames, and returns `N`.
#[inline(always)]
unsafe fn few<W: Vector, const G: usize, const M: usize, const N: usize>(rows: Rows) -> usize {
    // SAFETY: guaranteed by the caller.
    unsafe {
        let mut sums: [[[W; M]; G]; N] = zeros();
        unrolled!(g < G, {
            unrolled!(m < M, {
                let bias = W::load(rows.words.add((g * M + m) * W::WIDTH));
                unrolled!(n < N, { sums[n][g][m] = bias });
            });
        });
        let mut words = rows.words.add((G + rows.skipped) * M * W::WIDTH);
        for k in 0..rows.input {
            let mut x: [W; N] = zeros();
            unrolled!(n < N, { x[n] = W::splat(*rows.x.add(n * rows.input + k)) });
            unrolled!(g < G, {
                unrolled!(m < M, {
                    let w = W::load(words.add((g * M + m) * W::WIDTH));
                    unrolled!(n < N, { sums[n][g][m] = w.fma(x[n], sums[n][g][m]) });
                });
            });
            words = words.add(G * M * W::WIDTH);
        }
        unrolled!(n < N, {
            unrolled!(g < G, {
                unrolled!(m < M, { sums[n][g][m].store(rows.out.add(n * rows.row + (g * M + m) * W::WIDTH)) });
            });
        });
        N
    }
}
