//! AVX-512, and AVX2 with FMA and F16C.

use super::Vector;
use super::pair::Pair;
use super::{LANES, Lanes, ROOT_HALF};
use std::arch::x86_64::*;

/// One AVX-512 register.
#[derive(Clone, Copy)]
pub struct Avx512(__m512);

/// The mask of the first `count` lanes, at most sixteen.
#[inline(always)]
fn first(count: usize) -> __mmask16 {
    ((1u32 << count) - 1) as __mmask16
}

// SAFETY: every function requires AVX-512 F, which the trait's contract requires of the caller.
unsafe impl Vector for Avx512 {
    const WIDTH: usize = 16;
    const REGISTERS: usize = 1;
    const FUSES: bool = true;
    const MASKS: bool = true;
    #[inline(always)]
    unsafe fn splat(v: f32) -> Self {
        Self(unsafe { _mm512_set1_ps(v) })
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        Self(unsafe { _mm512_loadu_ps(from) })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { _mm512_storeu_ps(to, self.0) }
    }
    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> Self {
        // As in `store_first`: a load that covers more than was stored together waits too.
        Self(unsafe {
            match count {
                4 => _mm512_zextps128_ps512(_mm_loadu_ps(from)),
                8 => _mm512_zextps256_ps512(_mm256_loadu_ps(from)),
                12 => _mm512_insertf32x4::<2>(_mm512_zextps256_ps512(_mm256_loadu_ps(from)), _mm_loadu_ps(from.add(8))),
                _ => _mm512_maskz_loadu_ps(first(count), from),
            }
        })
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, count: usize) {
        unsafe {
            // A load soon after a masked store waits until the store is done, so the usual numbers go without one.
            match count {
                4 => _mm_storeu_ps(to, _mm512_castps512_ps128(self.0)),
                8 => _mm256_storeu_ps(to, _mm512_castps512_ps256(self.0)),
                12 => {
                    _mm256_storeu_ps(to, _mm512_castps512_ps256(self.0));
                    _mm_storeu_ps(to.add(8), _mm512_extractf32x4_ps::<2>(self.0));
                }
                _ => _mm512_mask_storeu_ps(to, first(count), self.0),
            }
        }
    }
    #[inline(always)]
    unsafe fn fma(self, a: Self, b: Self) -> Self {
        Self(unsafe { _mm512_fmadd_ps(self.0, a.0, b.0) })
    }
    #[inline(always)]
    unsafe fn add(self, a: Self) -> Self {
        Self(unsafe { _mm512_add_ps(self.0, a.0) })
    }
    #[inline(always)]
    unsafe fn sub(self, a: Self) -> Self {
        Self(unsafe { _mm512_sub_ps(self.0, a.0) })
    }
    #[inline(always)]
    unsafe fn mul(self, a: Self) -> Self {
        Self(unsafe { _mm512_mul_ps(self.0, a.0) })
    }
    #[inline(always)]
    unsafe fn div(self, a: Self) -> Self {
        Self(unsafe { _mm512_div_ps(self.0, a.0) })
    }
    #[inline(always)]
    unsafe fn at_least(self, low: Self) -> Self {
        // The second operand is the result when either is NaN.
        Self(unsafe { _mm512_max_ps(low.0, self.0) })
    }
    #[inline(always)]
    unsafe fn at_most(self, high: Self) -> Self {
        Self(unsafe { _mm512_min_ps(high.0, self.0) })
    }
    #[inline(always)]
    unsafe fn power(self) -> Self {
        Self(unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<23>(_mm512_castps_si512(self.0))) })
    }
    #[inline(always)]
    unsafe fn zero_below(self, v: Self, limit: Self) -> Self {
        Self(unsafe { _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_NLT_UQ>(v.0, limit.0), self.0) })
    }
    #[inline(always)]
    unsafe fn abs(self) -> Self {
        Self(unsafe { _mm512_abs_ps(self.0) })
    }
    #[inline(always)]
    unsafe fn with_sign_of(self, v: Self) -> Self {
        // The sign bit of `v`, and the other bits of `self`.
        let (bits, sign) = unsafe { (_mm512_castps_si512(self.0), _mm512_castps_si512(v.0)) };
        Self(unsafe { _mm512_castsi512_ps(_mm512_ternarylogic_epi32::<0xd8>(bits, sign, _mm512_set1_epi32(i32::MIN))) })
    }
    #[inline(always)]
    unsafe fn where_below(self, limit: Self, a: Self, b: Self) -> Self {
        unsafe {
            let mask = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(self.0, limit.0);
            Self(_mm512_mask_blend_ps(mask, b.0, a.0))
        }
    }
}

// SAFETY: as above.
unsafe impl Lanes for Avx512 {
    type Wide = Self;
    type Rest = Avx;
    type Four = Sse;
    const ROOM: usize = 24;
    const SUMS: usize = 24;
    #[inline(always)]
    unsafe fn load_half(from: *const u16) -> Self {
        Self(unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.cast())) })
    }
    #[inline(always)]
    unsafe fn load_low_halves(from: *const f32) -> Self {
        Self(unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_loadu_si512(from.cast()))) })
    }
    #[inline(always)]
    unsafe fn exponent(self) -> (Self, Self) {
        unsafe {
            let bits = _mm512_castps_si512(self.0);
            let n = _mm512_srai_epi32::<23>(_mm512_sub_epi32(bits, _mm512_set1_epi32(ROOT_HALF)));
            let m = _mm512_sub_epi32(bits, _mm512_slli_epi32::<23>(n));
            (Self(_mm512_cvtepi32_ps(n)), Self(_mm512_castsi512_ps(m)))
        }
    }
    #[inline(always)]
    unsafe fn expect(from: *const f32) {
        unsafe { _mm_prefetch::<_MM_HINT_T0>(from.cast()) };
    }
    #[inline(always)]
    unsafe fn transpose(from: *const f32, step: usize, to: *mut f32, to_step: usize) {
        unsafe {
            let row: [__m512; LANES] = std::array::from_fn(|i| _mm512_loadu_ps(from.add(i * step)));
            // Transposes each group of four rows: every quarter of a register holds one column of the group.
            let mut four = row;
            for i in (0..LANES).step_by(4) {
                let pairs = |a: __m512, b: __m512| {
                    [_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)].map(|v| _mm512_castps_pd(v))
                };
                let [low, high] = pairs(row[i], row[i + 1]);
                let [low2, high2] = pairs(row[i + 2], row[i + 3]);
                four[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(low, low2));
                four[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low, low2));
                four[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(high, high2));
                four[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(high, high2));
            }
            for c in 0..4 {
                let even = |a, b| _mm512_shuffle_f32x4::<0x88>(a, b);
                let odd = |a, b| _mm512_shuffle_f32x4::<0xdd>(a, b);
                let (a, b) = (even(four[c], four[4 + c]), even(four[8 + c], four[12 + c]));
                let (d, e) = (odd(four[c], four[4 + c]), odd(four[8 + c], four[12 + c]));
                for (q, v) in [even(a, b), even(d, e), odd(a, b), odd(d, e)].into_iter().enumerate() {
                    _mm512_storeu_ps(to.add((4 * q + c) * to_step), v);
                }
            }
        }
    }
}

/// One AVX register.
#[derive(Clone, Copy)]
pub struct Avx(__m256);

// SAFETY: every function requires AVX2 and FMA, which the trait's contract requires of the caller.
unsafe impl Vector for Avx {
    const WIDTH: usize = 8;
    const REGISTERS: usize = 1;
    const FUSES: bool = true;
    #[inline(always)]
    unsafe fn splat(v: f32) -> Self {
        Self(unsafe { _mm256_set1_ps(v) })
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        Self(unsafe { _mm256_loadu_ps(from) })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { _mm256_storeu_ps(to, self.0) }
    }
    #[inline(always)]
    unsafe fn fma(self, a: Self, b: Self) -> Self {
        Self(unsafe { _mm256_fmadd_ps(self.0, a.0, b.0) })
    }
    #[inline(always)]
    unsafe fn add(self, a: Self) -> Self {
        Self(unsafe { _mm256_add_ps(self.0, a.0) })
    }
    #[inline(always)]
    unsafe fn sub(self, a: Self) -> Self {
        Self(unsafe { _mm256_sub_ps(self.0, a.0) })
    }
    #[inline(always)]
    unsafe fn mul(self, a: Self) -> Self {
        Self(unsafe { _mm256_mul_ps(self.0, a.0) })
    }
    #[inline(always)]
    unsafe fn div(self, a: Self) -> Self {
        Self(unsafe { _mm256_div_ps(self.0, a.0) })
    }
    #[inline(always)]
    unsafe fn at_least(self, low: Self) -> Self {
        // The second operand is the result when either is NaN.
        Self(unsafe { _mm256_max_ps(low.0, self.0) })
    }
    #[inline(always)]
    unsafe fn at_most(self, high: Self) -> Self {
        Self(unsafe { _mm256_min_ps(high.0, self.0) })
    }
    #[inline(always)]
    unsafe fn power(self) -> Self {
        Self(unsafe { _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_castps_si256(self.0))) })
    }
    #[inline(always)]
    unsafe fn zero_below(self, v: Self, limit: Self) -> Self {
        Self(unsafe { _mm256_and_ps(_mm256_cmp_ps::<_CMP_NLT_UQ>(v.0, limit.0), self.0) })
    }
    #[inline(always)]
    unsafe fn abs(self) -> Self {
        Self(unsafe { _mm256_andnot_ps(_mm256_set1_ps(-0.0), self.0) })
    }
    #[inline(always)]
    unsafe fn with_sign_of(self, v: Self) -> Self {
        Self(unsafe { _mm256_or_ps(self.0, _mm256_and_ps(_mm256_set1_ps(-0.0), v.0)) })
    }
    #[inline(always)]
    unsafe fn where_below(self, limit: Self, a: Self, b: Self) -> Self {
        Self(unsafe { _mm256_blendv_ps(b.0, a.0, _mm256_cmp_ps::<_CMP_LT_OQ>(self.0, limit.0)) })
    }
}

/// One SSE register.
#[derive(Clone, Copy)]
pub struct Sse(__m128);

// SAFETY: every function requires AVX2 and FMA, which the trait's contract requires of the caller.
unsafe impl Vector for Sse {
    const WIDTH: usize = 4;
    const REGISTERS: usize = 1;
    const FUSES: bool = true;
    #[inline(always)]
    unsafe fn splat(v: f32) -> Self {
        Self(unsafe { _mm_set1_ps(v) })
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        Self(unsafe { _mm_loadu_ps(from) })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { _mm_storeu_ps(to, self.0) }
    }
    #[inline(always)]
    unsafe fn fma(self, a: Self, b: Self) -> Self {
        Self(unsafe { _mm_fmadd_ps(self.0, a.0, b.0) })
    }
    #[inline(always)]
    unsafe fn add(self, a: Self) -> Self {
        Self(unsafe { _mm_add_ps(self.0, a.0) })
    }
    #[inline(always)]
    unsafe fn sub(self, a: Self) -> Self {
        Self(unsafe { _mm_sub_ps(self.0, a.0) })
    }
    #[inline(always)]
    unsafe fn mul(self, a: Self) -> Self {
        Self(unsafe { _mm_mul_ps(self.0, a.0) })
    }
    #[inline(always)]
    unsafe fn div(self, a: Self) -> Self {
        Self(unsafe { _mm_div_ps(self.0, a.0) })
    }
    #[inline(always)]
    unsafe fn at_least(self, low: Self) -> Self {
        // The second operand is the result when either is NaN.
        Self(unsafe { _mm_max_ps(low.0, self.0) })
    }
    #[inline(always)]
    unsafe fn at_most(self, high: Self) -> Self {
        Self(unsafe { _mm_min_ps(high.0, self.0) })
    }
    #[inline(always)]
    unsafe fn power(self) -> Self {
        Self(unsafe { _mm_castsi128_ps(_mm_slli_epi32::<23>(_mm_castps_si128(self.0))) })
    }
    #[inline(always)]
    unsafe fn zero_below(self, v: Self, limit: Self) -> Self {
        Self(unsafe { _mm_and_ps(_mm_cmp_ps::<_CMP_NLT_UQ>(v.0, limit.0), self.0) })
    }
    #[inline(always)]
    unsafe fn abs(self) -> Self {
        Self(unsafe { _mm_andnot_ps(_mm_set1_ps(-0.0), self.0) })
    }
    #[inline(always)]
    unsafe fn with_sign_of(self, v: Self) -> Self {
        Self(unsafe { _mm_or_ps(self.0, _mm_and_ps(_mm_set1_ps(-0.0), v.0)) })
    }
    #[inline(always)]
    unsafe fn where_below(self, limit: Self, a: Self, b: Self) -> Self {
        Self(unsafe { _mm_blendv_ps(b.0, a.0, _mm_cmp_ps::<_CMP_LT_OQ>(self.0, limit.0)) })
    }
}

/// Two AVX registers.
pub type Avx2 = Pair<Avx>;

// SAFETY: every function requires AVX2, FMA and F16C, which the trait's contract requires of the caller.
unsafe impl Lanes for Avx2 {
    type Wide = Avx;
    type Rest = Sse;
    type Four = Sse;
    const ROOM: usize = 12;
    #[inline(always)]
    unsafe fn load_half(from: *const u16) -> Self {
        unsafe {
            let half = |i: usize| _mm256_cvtph_ps(_mm_loadu_si128(from.add(8 * i).cast()));
            Pair(Avx(half(0)), Avx(half(1)))
        }
    }
    #[inline(always)]
    unsafe fn load_low_halves(from: *const f32) -> Self {
        unsafe {
            let half =
                |i: usize| _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_loadu_si256(from.add(8 * i).cast())));
            Pair(Avx(half(0)), Avx(half(1)))
        }
    }
    #[inline(always)]
    unsafe fn exponent(self) -> (Self, Self) {
        let half = |v: __m256| unsafe {
            let bits = _mm256_castps_si256(v);
            let n = _mm256_srai_epi32::<23>(_mm256_sub_epi32(bits, _mm256_set1_epi32(ROOT_HALF)));
            let m = _mm256_sub_epi32(bits, _mm256_slli_epi32::<23>(n));
            (_mm256_cvtepi32_ps(n), _mm256_castsi256_ps(m))
        };
        let ((n, m), (n2, m2)) = (half(self.0.0), half(self.1.0));
        (Pair(Avx(n), Avx(n2)), Pair(Avx(m), Avx(m2)))
    }
}
