//! WebAssembly's 128-bit vectors.

use super::Vector;
use super::pair::Pair;
use super::{Lanes, ROOT_HALF, unrolled, zeros};
use std::arch::wasm32::*;

/// One WebAssembly vector.
#[derive(Clone, Copy)]
pub struct Quad(v128);

/// Four WebAssembly vectors.
pub type Simd128 = Pair<Pair<Quad>>;

/// Applies `f` to each of the four vectors of its argument. Written out, because builds optimized for size would not
/// inline closures.
macro_rules! each {
    ($f:ident, $v:expr) => {
        Pair(Pair(Quad($f($v.0.0.0)), Quad($f($v.0.1.0))), Pair(Quad($f($v.1.0.0)), Quad($f($v.1.1.0))))
    };
}

#[inline(always)]
fn multiply_add(a: v128, b: v128, c: v128) -> v128 {
    #[cfg(target_feature = "relaxed-simd")]
    return f32x4_relaxed_madd(a, b, c);
    #[cfg(not(target_feature = "relaxed-simd"))]
    f32x4_add(f32x4_mul(a, b), c)
}

#[inline(always)]
fn low_half(v: v128) -> v128 {
    i32x4_shl(v, 16)
}

#[inline(always)]
fn whole_part(v: v128) -> v128 {
    i32x4_shr(i32x4_sub(v, i32x4_splat(ROOT_HALF)), 23)
}

#[inline(always)]
fn mantissa(v: v128) -> v128 {
    i32x4_sub(v, i32x4_shl(whole_part(v), 23))
}

#[inline(always)]
fn exponent(v: v128) -> v128 {
    f32x4_convert_i32x4(whole_part(v))
}

/// Converts four f16 in the low halves of words.
#[inline(always)]
fn half_to_single(v: v128) -> v128 {
    let sign = i32x4_shl(v128_and(v, i32x4_splat(0x8000)), 16);
    let size = i32x4_shl(v128_and(v, i32x4_splat(0x7fff)), 13);
    // The difference of the exponent biases is 112; multiplying by 2^112 is also correct for subnormals.
    let number = f32x4_mul(size, f32x4_splat(f32::from_bits(0x7780_0000)));
    let is_number = i32x4_lt(size, i32x4_splat(0x0f80_0000));
    v128_or(sign, v128_bitselect(number, v128_or(size, i32x4_splat(0x7f80_0000)), is_number))
}

// SAFETY: accesses four floats behind each pointer, as the contract states.
unsafe impl Vector for Quad {
    const WIDTH: usize = 4;
    const REGISTERS: usize = 1;
    const FUSES: bool = false;
    const CALLS: bool = true;
    #[inline(always)]
    unsafe fn splat(v: f32) -> Self {
        Self(f32x4_splat(v))
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: valid for four floats.
        Self(unsafe { v128_load(from.cast()) })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: valid for four floats.
        unsafe { v128_store(to.cast(), self.0) }
    }
    #[inline(always)]
    unsafe fn fma(self, a: Self, b: Self) -> Self {
        Self(multiply_add(self.0, a.0, b.0))
    }
    #[inline(always)]
    unsafe fn add(self, a: Self) -> Self {
        Self(f32x4_add(self.0, a.0))
    }
    #[inline(always)]
    unsafe fn sub(self, a: Self) -> Self {
        Self(f32x4_sub(self.0, a.0))
    }
    #[inline(always)]
    unsafe fn mul(self, a: Self) -> Self {
        Self(f32x4_mul(self.0, a.0))
    }
    #[inline(always)]
    unsafe fn div(self, a: Self) -> Self {
        Self(f32x4_div(self.0, a.0))
    }
    #[inline(always)]
    unsafe fn at_least(self, low: Self) -> Self {
        // `self < low ? low : self`, so that NaN stays. With relaxed SIMD, the compiler may turn `pmax` into
        // `relaxed_max`, which need not keep NaN.
        #[cfg(target_feature = "relaxed-simd")]
        return Self(i32x4_relaxed_laneselect(low.0, self.0, f32x4_lt(self.0, low.0)));
        #[cfg(not(target_feature = "relaxed-simd"))]
        Self(f32x4_pmax(self.0, low.0))
    }
    #[inline(always)]
    unsafe fn at_most(self, high: Self) -> Self {
        // `high < self ? high : self`
        #[cfg(target_feature = "relaxed-simd")]
        return Self(i32x4_relaxed_laneselect(high.0, self.0, f32x4_lt(high.0, self.0)));
        #[cfg(not(target_feature = "relaxed-simd"))]
        Self(f32x4_pmin(self.0, high.0))
    }
    #[inline(always)]
    unsafe fn power(self) -> Self {
        Self(i32x4_shl(self.0, 23))
    }
    #[inline(always)]
    unsafe fn abs(self) -> Self {
        Self(f32x4_abs(self.0))
    }
    #[inline(always)]
    unsafe fn with_sign_of(self, v: Self) -> Self {
        Self(v128_or(self.0, v128_and(v.0, f32x4_splat(-0.0))))
    }
    #[inline(always)]
    unsafe fn where_below(self, limit: Self, a: Self, b: Self) -> Self {
        Self(v128_bitselect(a.0, b.0, f32x4_lt(self.0, limit.0)))
    }
}

// SAFETY: as above, for sixteen floats.
unsafe impl Lanes for Simd128 {
    type Wide = Pair<Quad>;
    type Rest = Quad;
    type Four = Quad;
    const ROOM: usize = 12;
    const TWO: bool = false;
    // On x86-64, browsers use sixteen registers of this width.
    const SUMS: usize = 3;
    #[inline(always)]
    unsafe fn load_half(from: *const u16) -> Self {
        // SAFETY: valid for sixteen half words.
        let (a, b) = unsafe { (v128_load(from.cast()), v128_load(from.cast::<v128>().add(1))) };
        let v = Pair(
            Pair(Quad(u32x4_extend_low_u16x8(a)), Quad(u32x4_extend_high_u16x8(a))),
            Pair(Quad(u32x4_extend_low_u16x8(b)), Quad(u32x4_extend_high_u16x8(b))),
        );
        each!(half_to_single, v)
    }
    #[inline(always)]
    unsafe fn load_low_halves(from: *const f32) -> Self {
        // SAFETY: valid for sixteen words.
        let v = unsafe { Self::load(from) };
        each!(low_half, v)
    }
    // Processes one vector at a time, because browser compilers keep the order of instructions and have 15 registers.
    #[inline(always)]
    unsafe fn add_products<const M: usize>(sums: &mut [Self; M], from: *const f32, v: [f32; M]) {
        let mut s: [v128; M] = unsafe { zeros() };
        unrolled!(m < M, { s[m] = f32x4_splat(v[m]) });
        macro_rules! part {
            ($i:literal: $half:tt $quad:tt) => {
                // SAFETY: valid for sixteen floats.
                let w = unsafe { v128_load(from.cast::<v128>().add($i)) };
                unrolled!(m < M, {
                    let sum = &mut sums[m].$half.$quad.0;
                    *sum = multiply_add(w, s[m], *sum);
                });
            };
        }
        part!(0: 0 0);
        part!(1: 0 1);
        part!(2: 1 0);
        part!(3: 1 1);
    }
    #[inline(always)]
    unsafe fn exponent(self) -> (Self, Self) {
        (each!(exponent, self), each!(mantissa, self))
    }
}
