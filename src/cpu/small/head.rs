//! A linear layer of few outputs after a layer of few units.

use super::MOST_UNITS;
use crate::cpu::lines::Lines;
use crate::cpu::simd::{Isa, Lanes, Vector, function_of_isa};

/// `W` `[O, H]` and `b` `[O]`, for one instruction set.
pub(crate) struct SmallHead {
    weights: Lines,
    bias: Vec<f32>,
    hidden: usize,
    run: unsafe fn(&SmallHead, &[f32], &mut [f32]),
}

impl SmallHead {
    /// Whether sums over the units of one output at a time are the fastest. From more outputs on, it is faster to compute
    /// sixteen at a time.
    pub fn suits(outputs: usize, hidden: usize) -> bool {
        outputs <= 4 && hidden <= MOST_UNITS
    }

    pub fn new(isa: Isa, weights: &[f32], bias: Vec<f32>) -> Self {
        let mut lines = Lines::zeros(weights.len());
        lines.copy_from_slice(weights);
        let run = function_of_isa!(isa, rows::<_>(head: &SmallHead, h: &[f32], out: &mut [f32]));
        Self { hidden: weights.len() / bias.len(), weights: lines, bias, run }
    }

    /// Number of outputs.
    pub fn outputs(&self) -> usize {
        self.bias.len()
    }

    /// `out = W·h + b` for the first `rows` rows of `h` `[rows, H]`.
    #[inline]
    pub fn run(&self, h: &[f32], rows: usize, out: &mut [f32]) {
        // SAFETY: the instruction set was detected.
        unsafe { (self.run)(self, &h[..rows * self.hidden], out) }
    }
}

#[inline(always)]
unsafe fn rows<V: Lanes>(head: &SmallHead, h: &[f32], out: &mut [f32]) {
    let hidden = head.hidden;
    let mut places = out.iter_mut();
    let mut at = 0;
    while at < h.len() {
        let h = &h[at..at + hidden];
        at += hidden;
        for ((weights, bias), out) in head.weights.chunks_exact(hidden).zip(&head.bias).zip(&mut places) {
            // SAFETY: guaranteed by the caller.
            *out = unsafe { bias + dot::<V>(weights, h) };
        }
    }
}

/// The sum of the products of two slices of the same length.
#[inline(always)]
unsafe fn dot<V: Lanes>(w: &[f32], h: &[f32]) -> f32 {
    let (w, h, count) = (w.as_ptr(), h.as_ptr(), w.len().min(h.len()));
    let mut lanes = [0.0f32; 16];
    let mut k = 0;
    // SAFETY: the vectors are within `count` floats, and `Wide` has at most sixteen lanes.
    unsafe {
        let mut sum = V::Wide::splat(0.0);
        while k + V::Wide::WIDTH <= count {
            sum = V::Wide::load(w.add(k)).fma(V::Wide::load(h.add(k)), sum);
            k += V::Wide::WIDTH;
        }
        sum.store(lanes.as_mut_ptr());
        while k + 4 <= count {
            let sum = V::Four::load(w.add(k)).fma(V::Four::load(h.add(k)), V::Four::load(lanes.as_ptr()));
            sum.store(lanes.as_mut_ptr());
            k += 4;
        }
        while k < count {
            lanes[0] += *w.add(k) * *h.add(k);
            k += 1;
        }
    }
    // In pairs, which is faster than one after the other.
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            lanes[i] += lanes[i + half];
        }
    }
    lanes[0]
}
