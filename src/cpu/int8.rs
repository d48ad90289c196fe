//! Products with int8 weights: quantized inputs, i32 sums, and one scale per row of weights and per row of inputs.
//!
//! Inputs are stored as `q + 128` in u8, because the instruction that multiplies four at a time (VNNI's `vpdpbusd`)
//! multiplies unsigned by signed; `128·Σ w` is subtracted from each sum.
#![allow(unsafe_code, reason = "SIMD intrinsics on raw pointers")]

use super::lines::Lines;
use super::simd::{Isa, LANES};
use super::sweep::Sweep;

/// Inputs multiplied per instruction.
const QUAD: usize = 4;

/// `[blocks, ⌈K/4⌉, G, 16, 4]` int8 weights, with a scale and `128·Σ w` for each row `[blocks, G, 16]`.
pub struct Weights {
    /// The weights as bytes, aligned to cache lines.
    words: Lines,
    scales: Vec<f32>,
    offsets: Vec<i32>,
    quads: usize,
    gates: usize,
}

/// Rows of inputs as `q + 128`, padded with zeros to whole quads, and their scales.
#[derive(Clone)]
pub struct Quantized {
    words: Vec<u8>,
    scales: Vec<f32>,
    depth: usize,
}

impl Weights {
    /// Quantizes weights packed as `[blocks, depth, gates, 16]`.
    pub fn new(packed: &[f32], [blocks, depth, gates]: [usize; 3]) -> Self {
        let quads = depth.div_ceil(QUAD);
        let mut out = Self {
            words: Lines::zeros(blocks * quads * gates * LANES),
            scales: vec![0.0; blocks * gates * LANES],
            offsets: vec![0; blocks * gates * LANES],
            quads,
            gates,
        };
        let words: &mut [i8] = bytemuck::cast_slice_mut(&mut out.words);
        for block in 0..blocks {
            for lane in 0..gates * LANES {
                let row = |k: usize| packed[(block * depth + k) * gates * LANES + lane];
                let top = (0..depth).fold(0.0f32, |top, k| top.max(row(k).abs()));
                // A NaN or infinite weight makes the scale of its row NaN, so that the error is visible in the output.
                let spoiled: f32 = (0..depth).map(|k| row(k) * 0.0).sum();
                let at = block * gates * LANES + lane;
                out.scales[at] = top / 127.0 + spoiled;
                for k in 0..depth {
                    let q = if top > 0.0 { (row(k) / top * 127.0).round() as i8 } else { 0 };
                    words[((block * quads + k / QUAD) * gates * LANES + lane) * QUAD + k % QUAD] = q;
                    out.offsets[at] += 128 * q as i32;
                }
            }
        }
        out
    }

    /// Computes `out[block, row, gate, 16]` for the blocks of `sweep`.
    pub fn product(&self, isa: Isa, inputs: &Quantized, batch: usize, sweep: &Sweep, out: &mut [f32]) {
        #[cfg(target_arch = "x86_64")]
        if isa == Isa::Avx512 && is_x86_feature_detected!("avx512vnni") {
            // SAFETY: the CPU supports the instructions, and the fields have the lengths that `new` gave them.
            return unsafe {
                match self.gates {
                    1 => self.blocks_vnni::<1>(inputs, batch, sweep, out),
                    2 => self.blocks_vnni::<2>(inputs, batch, sweep, out),
                    3 => self.blocks_vnni::<3>(inputs, batch, sweep, out),
                    _ => self.blocks_vnni::<4>(inputs, batch, sweep, out),
                }
            };
        }
        #[cfg(target_arch = "aarch64")]
        if isa == Isa::Neon {
            // SAFETY: the CPU supports the instructions, and the fields have the lengths that `new` gave them.
            return unsafe { self.blocks_neon(inputs, batch, sweep, out) };
        }
        #[cfg(target_feature = "simd128")]
        if isa == Isa::Simd128 {
            return self.blocks_wasm(inputs, batch, sweep, out);
        }
        let _ = isa;
        let lanes = self.gates * LANES;
        for (block, out) in sweep.over(out, batch * lanes) {
            for (row, out) in out.chunks_exact_mut(lanes).enumerate() {
                self.block_portable(inputs.row(row), inputs.scales[row], block, out);
            }
        }
    }

    fn block_portable(&self, x: &[u8], scale: f32, block: usize, out: &mut [f32]) {
        let lanes = self.gates * LANES;
        let words: &[i8] = bytemuck::cast_slice(&self.words[block * self.quads * lanes..][..self.quads * lanes]);
        for (group, out) in out.chunks_exact_mut(LANES).enumerate() {
            let mut sums = [0i32; LANES];
            for (quad, x) in x.chunks_exact(QUAD).enumerate() {
                let words = &words[(quad * lanes + group * LANES) * QUAD..][..LANES * QUAD];
                for (sum, w) in sums.iter_mut().zip(words.chunks_exact(QUAD)) {
                    *sum += (0..QUAD).map(|i| x[i] as i32 * w[i] as i32).sum::<i32>();
                }
            }
            for (lane, (out, sum)) in out.iter_mut().zip(sums).enumerate() {
                let at = block * lanes + group * LANES + lane;
                *out = (sum - self.offsets[at]) as f32 * (self.scales[at] * scale);
            }
        }
    }

    /// Avoids the dot product instruction, whose intrinsic is not stable. A sum of two int8 products fits in 16 bits.
    #[cfg(target_arch = "aarch64")]
    #[target_feature(enable = "neon")]
    unsafe fn blocks_neon(&self, inputs: &Quantized, batch: usize, sweep: &Sweep, out: &mut [f32]) {
        use std::arch::aarch64::*;
        let lanes = self.gates * LANES;
        for (block, out) in sweep.over(out, batch * lanes) {
            for (row, out) in out.chunks_exact_mut(lanes).enumerate() {
                let (x, scale) = (inputs.row(row), inputs.scales[row]);
                for (group, out) in out.chunks_exact_mut(LANES).enumerate() {
                    let words = self.words[(block * self.quads * lanes + group * LANES)..].as_ptr();
                    let at = block * lanes + group * LANES;
                    // SAFETY: words hold [blocks, quads, lanes, 4], x quads of 4, the others [blocks, lanes].
                    unsafe {
                        let mut sums = [vdupq_n_s32(0); 4];
                        for (quad, x) in x.chunks_exact(QUAD).enumerate() {
                            let x = u32::from_ne_bytes([x[0], x[1], x[2], x[3]]) ^ 0x8080_8080;
                            let x = vreinterpretq_s8_u32(vdupq_n_u32(x));
                            for (i, sum) in sums.iter_mut().enumerate() {
                                let w = vld1q_s8(words.add(quad * lanes).cast::<i8>().add(16 * i));
                                let low = vmull_s8(vget_low_s8(w), vget_low_s8(x));
                                let pairs = vpaddq_s16(low, vmull_high_s8(w, x));
                                *sum = vpadalq_s16(*sum, pairs);
                            }
                        }
                        for (i, sum) in sums.into_iter().enumerate() {
                            let scales = vmulq_n_f32(vld1q_f32(self.scales.as_ptr().add(at + 4 * i)), scale);
                            vst1q_f32(out.as_mut_ptr().add(4 * i), vmulq_f32(vcvtq_f32_s32(sum), scales));
                        }
                    }
                }
            }
        }
    }

    /// Uses dot products of pairs of 16-bit integers, with two sums per lane until the end.
    #[cfg(target_feature = "simd128")]
    fn blocks_wasm(&self, inputs: &Quantized, batch: usize, sweep: &Sweep, out: &mut [f32]) {
        use super::simd::unrolled;
        use std::arch::wasm32::*;
        let lanes = self.gates * LANES;
        for (block, out) in sweep.over(out, batch * lanes) {
            for (row, out) in out.chunks_exact_mut(lanes).enumerate() {
                let (x, scale) = (inputs.row(row), f32x4_splat(inputs.scales[row]));
                for (group, out) in out.chunks_exact_mut(LANES).enumerate() {
                    let words = self.words[(block * self.quads * lanes + group * LANES)..].as_ptr();
                    let at = block * lanes + group * LANES;
                    // SAFETY: words hold [blocks, quads, lanes, 4], x quads of 4, the others [blocks, lanes].
                    unsafe {
                        let mut sums = [[i32x4_splat(0); 2]; 4];
                        for (quad, x) in x.chunks_exact(QUAD).enumerate() {
                            let x = u32::from_ne_bytes([x[0], x[1], x[2], x[3]]) ^ 0x8080_8080;
                            let x = i16x8_extend_low_i8x16(u32x4_splat(x));
                            unrolled!(i in [0 1 2 3], {
                                let w = v128_load(words.add(quad * lanes).cast::<v128>().add(i));
                                sums[i][0] = i32x4_add(sums[i][0], i32x4_dot_i16x8(i16x8_extend_low_i8x16(w), x));
                                sums[i][1] = i32x4_add(sums[i][1], i32x4_dot_i16x8(i16x8_extend_high_i8x16(w), x));
                            });
                        }
                        for (i, [low, high]) in sums.into_iter().enumerate() {
                            let (even, odd) =
                                (i32x4_shuffle::<0, 2, 4, 6>(low, high), i32x4_shuffle::<1, 3, 5, 7>(low, high));
                            let sum = f32x4_convert_i32x4(i32x4_add(even, odd));
                            let scales = f32x4_mul(v128_load(self.scales.as_ptr().add(at + 4 * i).cast()), scale);
                            v128_store(out.as_mut_ptr().add(4 * i).cast(), f32x4_mul(sum, scales));
                        }
                    }
                }
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512vnni")]
    unsafe fn blocks_vnni<const G: usize>(&self, inputs: &Quantized, batch: usize, sweep: &Sweep, out: &mut [f32]) {
        for (block, out) in sweep.over(out, batch * G * LANES) {
            for (row, out) in out.chunks_exact_mut(G * LANES).enumerate() {
                // SAFETY: guaranteed by the caller.
                unsafe { self.gates_vnni::<G>(inputs.row(row), inputs.scales[row], block, out) };
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx512f,avx512vnni")]
    unsafe fn gates_vnni<const G: usize>(&self, x: &[u8], scale: f32, block: usize, out: &mut [f32]) {
        use std::arch::x86_64::*;
        let x = x.as_ptr().cast::<i32>();
        // SAFETY: words hold [blocks, quads, G, 16, 4], x quads of 4, the others [blocks, G, 16].
        unsafe {
            let words = self.words.as_ptr().add(block * self.quads * G * LANES).cast::<__m512i>();
            let mut sums = [[_mm512_setzero_si512(); G]; 4];
            // Four accumulators each, to hide the latency of the multiply-adds.
            for quad in (0..self.quads).step_by(4) {
                for (u, sums) in sums.iter_mut().enumerate().take(self.quads - quad) {
                    let x = _mm512_set1_epi32(x.add(quad + u).read_unaligned());
                    for (g, sum) in sums.iter_mut().enumerate() {
                        *sum = _mm512_dpbusd_epi32(*sum, x, _mm512_loadu_si512(words.add((quad + u) * G + g)));
                    }
                }
            }
            for g in 0..G {
                let at = (block * G + g) * LANES;
                let [a, b, c, d] = sums.map(|sums| sums[g]);
                let sum = _mm512_add_epi32(_mm512_add_epi32(a, b), _mm512_add_epi32(c, d));
                let sum = _mm512_sub_epi32(sum, _mm512_loadu_si512(self.offsets.as_ptr().add(at).cast()));
                let scale = _mm512_mul_ps(_mm512_loadu_ps(self.scales.as_ptr().add(at)), _mm512_set1_ps(scale));
                let out = out.as_mut_ptr().add(g * LANES);
                _mm512_storeu_ps(out, _mm512_mul_ps(_mm512_cvtepi32_ps(sum), scale));
            }
        }
    }
}

impl Quantized {
    /// Allocates `batch` rows of `depth` inputs.
    pub fn new(batch: usize, depth: usize) -> Self {
        let row = depth.next_multiple_of(QUAD);
        Self { words: vec![128; batch * row], scales: vec![0.0; batch], depth }
    }

    fn row(&self, row: usize) -> &[u8] {
        let len = self.depth.next_multiple_of(QUAD);
        &self.words[row * len..][..len]
    }

    /// Quantizes the first `batch` rows of `x`.
    pub fn fill(&mut self, isa: Isa, x: &[f32], batch: usize) {
        let row = self.depth.next_multiple_of(QUAD);
        for i in 0..batch {
            let (x, words) = (&x[i * self.depth..][..self.depth], &mut self.words[i * row..][..self.depth]);
            self.scales[i] = quantize(isa, x, words);
        }
    }
}

/// Stores `round(127·x / max|x|) + 128`. Returns `max|x| / 127`, or NaN if an input is NaN or infinite.
fn quantize(isa: Isa, x: &[f32], words: &mut [u8]) -> f32 {
    #[cfg(target_arch = "x86_64")]
    if isa != Isa::Portable {
        // SAFETY: both vector instruction sets of x86 include AVX2.
        return unsafe { quantize_avx2(x, words) };
    }
    let _ = isa;
    quantize_any(x, words)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn quantize_avx2(x: &[f32], words: &mut [u8]) -> f32 {
    quantize_any(x, words)
}

#[inline(always)]
fn quantize_any(x: &[f32], words: &mut [u8]) -> f32 {
    // Reduces lane by lane, so that the compiler can vectorize: it must not reorder a sequential sum.
    let (mut top, mut spoiled) = ([0.0f32; LANES], [0.0f32; LANES]);
    for x in x.chunks(LANES) {
        for (i, &v) in x.iter().enumerate() {
            top[i] = if v.abs() > top[i] { v.abs() } else { top[i] };
            spoiled[i] += v * 0.0;
        }
    }
    let top = top.into_iter().fold(0.0, f32::max);
    let spoiled: f32 = spoiled.into_iter().sum();
    let inverse = if top > 0.0 { 127.0 / top } else { 0.0 };
    for (word, &v) in words.iter_mut().zip(x) {
        // Adding 1.5·2²³ rounds to an integer in the low bits; flipping bit 7 adds 128.
        *word = (v * inverse + 12_582_912.0).to_bits() as u8 ^ 128;
    }
    top / 127.0 + spoiled
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Integer sums are exact, so every instruction set gives the same bits.
    #[test]
    fn int8_products_equal_integer_arithmetic_on_every_isa() {
        for (blocks, depth, gates) in [(1, 1, 1), (2, 7, 3), (3, 64, 2), (1, 130, 3), (2, 33, 4)] {
            let value = |i: usize| ((i * 2_654_435_761) % 1000) as f32 / 500.0 - 1.0;
            let packed: Vec<f32> = (0..blocks * depth * gates * LANES).map(value).collect();
            let x: Vec<f32> = (0..2 * depth).map(|i| 3.0 * value(i + 17)).collect();
            let weights = Weights::new(&packed, [blocks, depth, gates]);
            let mut results = Isa::available().into_iter().chain([Isa::Portable]).map(|isa| {
                let mut inputs = Quantized::new(2, depth);
                inputs.fill(isa, &x, 2);
                let mut out = vec![f32::NAN; 2 * blocks * gates * LANES];
                weights.product(isa, &inputs, 2, &(0..blocks).into(), &mut out);
                out
            });
            let first = results.next().expect("an instruction set");
            assert!(results.all(|out| out == first));
            // Compared with f64: each of the `depth` products is rounded to 1/127 of the largest.
            for row in 0..2 {
                for at in 0..blocks * gates * LANES {
                    let (block, lane) = (at / (gates * LANES), at % (gates * LANES));
                    let want: f64 = (0..depth)
                        .map(|k| packed[(block * depth + k) * gates * LANES + lane] as f64 * x[row * depth + k] as f64)
                        .sum();
                    let got = first[(block * 2 + row) * gates * LANES + lane] as f64;
                    assert!((got - want).abs() <= 3.0 * depth as f64 / 127.0, "{got} {want}");
                }
            }
        }
    }

    #[test]
    fn int8_inputs_that_are_nan_make_the_product_nan() {
        let weights = Weights::new(&[0.5; 32], [1, 2, 1]);
        for bad in [f32::NAN, f32::INFINITY] {
            let mut inputs = Quantized::new(1, 2);
            inputs.fill(Isa::detect(), &[1.0, bad], 1);
            let mut out = vec![0.0; LANES];
            weights.product(Isa::detect(), &inputs, 1, &(0..1).into(), &mut out);
            assert!(out.iter().all(|v| v.is_nan()), "{out:?}");
        }
    }
}
