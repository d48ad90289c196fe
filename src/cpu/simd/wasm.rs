//! WebAssembly's 128-bit vectors.

use super::{Lanes, ROOT_HALF, unrolled};
use std::arch::wasm32::*;

/// Four WebAssembly vectors. Written out, because builds optimized for size would not inline closures.
#[derive(Clone, Copy)]
pub struct Simd128(v128, v128, v128, v128);

/// Applies `f` to each of the four vectors of its arguments.
macro_rules! each {
    ($f:ident, $($v:expr),+) => { Simd128($f($($v.0),+), $f($($v.1),+), $f($($v.2),+), $f($($v.3),+)) };
}

#[inline(always)]
fn multiply_add(a: v128, b: v128, c: v128) -> v128 {
    #[cfg(target_feature = "relaxed-simd")]
    return f32x4_relaxed_madd(a, b, c);
    #[cfg(not(target_feature = "relaxed-simd"))]
    f32x4_add(f32x4_mul(a, b), c)
}

#[inline(always)]
fn power(n: v128) -> v128 {
    i32x4_shl(i32x4_add(i32x4_trunc_sat_f32x4(n), i32x4_splat(127)), 23)
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
fn without(v: v128, n: v128) -> v128 {
    i32x4_sub(v, i32x4_shl(n, 23))
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

// SAFETY: accesses sixteen floats behind each pointer, as the contract states.
unsafe impl Lanes for Simd128 {
    // On x86-64, browsers use sixteen registers of this width.
    const SUMS: usize = 3;
    const CALLS: bool = true;
    #[inline(always)]
    unsafe fn splat(v: f32) -> Self {
        let v = f32x4_splat(v);
        Self(v, v, v, v)
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        let from = from.cast::<v128>();
        // SAFETY: valid for sixteen floats.
        unsafe { Self(v128_load(from), v128_load(from.add(1)), v128_load(from.add(2)), v128_load(from.add(3))) }
    }
    #[inline(always)]
    unsafe fn load_half(from: *const u16) -> Self {
        // SAFETY: valid for sixteen half words.
        let (a, b) = unsafe { (v128_load(from.cast()), v128_load(from.cast::<v128>().add(1))) };
        let v = Self(
            u32x4_extend_low_u16x8(a),
            u32x4_extend_high_u16x8(a),
            u32x4_extend_low_u16x8(b),
            u32x4_extend_high_u16x8(b),
        );
        each!(half_to_single, v)
    }
    #[inline(always)]
    unsafe fn load_low_halves(from: *const f32) -> Self {
        // SAFETY: valid for sixteen words.
        let v = unsafe { Self::load(from) };
        each!(low_half, v)
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        let to = to.cast::<v128>();
        // SAFETY: valid for sixteen floats.
        unsafe {
            v128_store(to, self.0);
            v128_store(to.add(1), self.1);
            v128_store(to.add(2), self.2);
            v128_store(to.add(3), self.3);
        }
    }
    #[inline(always)]
    unsafe fn fma(self, a: Self, b: Self) -> Self {
        each!(multiply_add, self, a, b)
    }
    // Processes one vector at a time, because browser compilers keep the order of instructions and have 15 registers.
    #[inline(always)]
    unsafe fn add_products<const M: usize>(sums: &mut [Self; M], from: *const f32, v: [f32; M]) {
        let mut s = [f32x4_splat(0.0); M];
        unrolled!(m < M, { s[m] = f32x4_splat(v[m]) });
        macro_rules! part {
            ($i:tt) => {
                // SAFETY: valid for sixteen floats.
                let w = unsafe { v128_load(from.cast::<v128>().add($i)) };
                unrolled!(m < M, { sums[m].$i = multiply_add(w, s[m], sums[m].$i) });
            };
        }
        part!(0);
        part!(1);
        part!(2);
        part!(3);
    }
    #[inline(always)]
    unsafe fn add(self, a: Self) -> Self {
        each!(f32x4_add, self, a)
    }
    #[inline(always)]
    unsafe fn sub(self, a: Self) -> Self {
        each!(f32x4_sub, self, a)
    }
    #[inline(always)]
    unsafe fn mul(self, a: Self) -> Self {
        each!(f32x4_mul, self, a)
    }
    #[inline(always)]
    unsafe fn div(self, a: Self) -> Self {
        each!(f32x4_div, self, a)
    }
    #[inline(always)]
    unsafe fn at_least(self, low: Self) -> Self {
        // `self < low ? low : self`, so that NaN stays. With relaxed SIMD, the compiler may turn `pmax` into
        // `relaxed_max`, which need not keep NaN.
        #[cfg(target_feature = "relaxed-simd")]
        {
            let below = each!(f32x4_lt, self, low);
            each!(i32x4_relaxed_laneselect, low, self, below)
        }
        #[cfg(not(target_feature = "relaxed-simd"))]
        each!(f32x4_pmax, self, low)
    }
    #[inline(always)]
    unsafe fn exp2_whole(self) -> Self {
        each!(power, self)
    }
    #[inline(always)]
    unsafe fn exponent(self) -> (Self, Self) {
        let n = each!(whole_part, self);
        (each!(f32x4_convert_i32x4, n), each!(without, self, n))
    }
    #[inline(always)]
    unsafe fn where_below(self, limit: Self, a: Self, b: Self) -> Self {
        let below = each!(f32x4_lt, self, limit);
        each!(v128_bitselect, a, b, below)
    }
}
