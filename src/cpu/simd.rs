//! Sixteen lanes of f32, on whatever the processor has.
//!
//! A fast function is written once, generic over [`Lanes`] and `#[inline(always)]`, and compiled once for each
//! instruction set inside a function that enables it; [`Isa::detect`] picks at run time.
#![allow(unsafe_code, reason = "vector instructions")]

use crate::math::SIGMOID_LOW;

/// Lanes of one [`Lanes`] value.
pub const LANES: usize = 16;

/// The bits of `√½`: where [`Lanes::exponent`] cuts.
const ROOT_HALF: i32 = std::f32::consts::FRAC_1_SQRT_2.to_bits() as i32;

/// Instruction sets with a compiled variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// AVX-512 F
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// AVX2, FMA and F16C
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// NEON
    #[cfg(target_arch = "aarch64")]
    Neon,
    /// SIMD of 128 bits in WebAssembly: known when it is compiled.
    #[cfg(target_feature = "simd128")]
    Simd128,
    /// What the compiler makes of plain arrays.
    #[cfg(not(target_feature = "simd128"))]
    Portable,
}

impl Isa {
    /// The name, as [`CpuOptions`](super::CpuOptions) takes it.
    pub fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => "avx2",
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => "neon",
            #[cfg(target_feature = "simd128")]
            Isa::Simd128 => {
                if cfg!(target_feature = "relaxed-simd") {
                    "relaxed-simd"
                } else {
                    "simd128"
                }
            }
            #[cfg(not(target_feature = "simd128"))]
            Isa::Portable => "portable",
        }
    }

    /// The best that this processor has.
    pub fn detect() -> Self {
        Self::available()[0]
    }

    /// All that this processor has, best first.
    pub fn available() -> Vec<Self> {
        let mut out = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("fma") {
                out.push(Isa::Avx512);
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c") {
                out.push(Isa::Avx2);
            }
        }
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("neon") {
            out.push(Isa::Neon);
        }
        #[cfg(target_feature = "simd128")]
        out.push(Isa::Simd128);
        #[cfg(not(target_feature = "simd128"))]
        out.push(Isa::Portable);
        out
    }
}

/// Writes a loop of these, or of up to eight, turns out. What it indexes lives in registers then, however little the
/// compiler is asked to unroll: browsers' builds are made for size.
macro_rules! unrolled {
    ($i:ident in [$($turn:literal)*], $body:block) => {
        $({
            let $i: usize = $turn;
            $body
        })*
    };
    ($i:ident < $count:expr, $body:block) => {{
        const { assert!($count <= 8, "turns that are written out") };
        $crate::cpu::simd::unrolled!(@ $i, $count, $body, 0 1 2 3 4 5 6 7);
    }};
    (@ $i:ident, $count:expr, $body:block, $($turn:literal)*) => {
        $(if const { $turn < $count } {
            let $i: usize = $turn;
            $body
        })*
    };
}
pub(crate) use unrolled;

/// Sixteen f32 lanes.
///
/// # Safety
/// Callers must run where the implementor's instructions exist; pointers must be valid for sixteen floats.
pub unsafe trait Lanes: Copy {
    /// Sums that fit in registers beside what is multiplied.
    const SUMS: usize = 6;
    /// The same value in every lane.
    unsafe fn splat(v: f32) -> Self;
    /// Sixteen floats from memory.
    unsafe fn load(from: *const f32) -> Self;
    /// Sixteen f16 from memory.
    #[inline(always)]
    unsafe fn load_half(from: *const u16) -> Self {
        // SAFETY: valid for sixteen words.
        unsafe {
            let lanes: [f32; LANES] = std::array::from_fn(|i| half::f16::from_bits(*from.add(i)).to_f32());
            Self::load(lanes.as_ptr())
        }
    }
    /// The low halves of sixteen words from memory, as bf16.
    unsafe fn load_low_halves(from: *const f32) -> Self;
    /// Sixteen floats to memory.
    unsafe fn store(self, to: *mut f32);
    /// `self·a + b`
    unsafe fn fma(self, a: Self, b: Self) -> Self;
    /// `self + a`
    unsafe fn add(self, a: Self) -> Self;
    /// `self − a`
    unsafe fn sub(self, a: Self) -> Self;
    /// `self·a`
    unsafe fn mul(self, a: Self) -> Self;
    /// `self / a`
    unsafe fn div(self, a: Self) -> Self;
    /// `max(self, low)`; NaN stays NaN
    unsafe fn at_least(self, low: Self) -> Self;
    /// `2^n` of whole numbers `n` from −126 to 127; of any other number, any value
    unsafe fn exp2_whole(self) -> Self;
    /// `self·2^n`, for these `n`
    #[inline(always)]
    unsafe fn times_exp2(self, n: Self) -> Self {
        // SAFETY: as the caller's.
        unsafe { self.mul(n.exp2_whole()) }
    }
    /// `n` and `m` with `self = m·2^n` and `√½ ≤ m < √2`, for positive normal numbers; of others, any values
    #[inline(always)]
    unsafe fn exponent(self) -> (Self, Self) {
        let (mut n, mut m) = ([0.0f32; LANES], [0.0f32; LANES]);
        // SAFETY: sixteen floats each.
        unsafe {
            self.store(m.as_mut_ptr());
            for (n, m) in n.iter_mut().zip(&mut m) {
                let bits = m.to_bits() as i32;
                let whole = bits.wrapping_sub(ROOT_HALF) >> 23;
                *n = whole as f32;
                *m = f32::from_bits(bits.wrapping_sub(whole << 23) as u32);
            }
            (Self::load(n.as_ptr()), Self::load(m.as_ptr()))
        }
    }
    /// `|self|`
    #[inline(always)]
    unsafe fn abs(self) -> Self {
        // SAFETY: as the caller's.
        unsafe { self.at_least(Self::splat(0.0).sub(self)) }
    }
    /// `self`, negative where `v` is; `self` is not
    #[inline(always)]
    unsafe fn with_sign_of(self, v: Self) -> Self {
        // SAFETY: as the caller's.
        unsafe {
            let zero = Self::splat(0.0);
            v.where_below(zero, zero.sub(self), self)
        }
    }
    /// `a` where `self < limit`, else `b`
    unsafe fn where_below(self, limit: Self, a: Self, b: Self) -> Self;
    /// Says that these floats will be asked for, where the processor can be told.
    #[inline(always)]
    unsafe fn expect(_from: *const f32) {}
    /// `sums[m] += w·v[m]`, `w` sixteen floats from memory.
    #[inline(always)]
    unsafe fn add_products<const M: usize>(sums: &mut [Self; M], from: *const f32, v: [f32; M]) {
        // SAFETY: valid for sixteen floats; the instructions exist, as the caller promises.
        unsafe {
            let w = Self::load(from);
            unrolled!(m < M, { sums[m] = w.fma(Self::splat(v[m]), sums[m]) });
        }
    }
    /// Sixteen rows of sixteen floats, `step` apart, become columns: `to[j·to_step + i] = from[i·step + j]`.
    #[inline(always)]
    unsafe fn transpose(from: *const f32, step: usize, to: *mut f32, to_step: usize) {
        for i in 0..LANES {
            for j in 0..LANES {
                // SAFETY: valid for these rows, as the caller promises.
                unsafe { *to.add(j * to_step + i) = *from.add(i * step + j) };
            }
        }
    }
}

/// `e^v` from −87 to 87 within 2 ulp (Cephes' polynomial); below, `e^−87`; above, any value.
#[inline(always)]
pub unsafe fn exp<V: Lanes>(v: V) -> V {
    // SAFETY: the caller runs where V's instructions exist.
    unsafe {
        const P: [f32; 5] = [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];
        let c = V::splat;
        let v = v.at_least(c(-87.0));
        // Adding and taking off 1.5·2²³ rounds to a whole number.
        let magic = c(12_582_912.0);
        let n = v.fma(c(std::f32::consts::LOG2_E), magic).sub(magic);
        let r = n.fma(c(-0.693_359_4), v);
        let r = n.fma(c(2.121_944_4e-4), r);
        let mut p = c(1.987_569_1e-4);
        unrolled!(i in [0 1 2 3 4], { p = p.fma(r, c(P[i])) });
        p.fma(r, c(1.0)).fma(r, c(1.0)).times_exp2(n)
    }
}

/// `σ(v)`, as `math::sigmoid`: exactly 0 below [`SIGMOID_LOW`].
#[cfg_attr(not(target_arch = "wasm32"), inline(always))]
#[cfg_attr(target_arch = "wasm32", inline(never))]
pub unsafe fn sigmoid<V: Lanes>(v: V) -> V {
    // SAFETY: as the caller's.
    unsafe {
        let (zero, one) = (V::splat(0.0), V::splat(1.0));
        v.where_below(V::splat(SIGMOID_LOW), zero, one.div(one.add(exp(zero.sub(v)))))
    }
}

/// `tanh(v)`, as `math::tanh_stable`.
#[cfg_attr(not(target_arch = "wasm32"), inline(always))]
#[cfg_attr(target_arch = "wasm32", inline(never))]
pub unsafe fn tanh<V: Lanes>(v: V) -> V {
    // SAFETY: as the caller's.
    unsafe {
        let one = V::splat(1.0);
        let s = v.mul(v);
        let mut p = V::splat(62.0 / 2835.0);
        unrolled!(i in [0 1 2], { p = p.fma(s, V::splat([-17.0 / 315.0, 2.0 / 15.0, -1.0 / 3.0][i])) });
        let series = p.mul(s).fma(v, v);
        let a = v.abs();
        let e = exp(a.mul(V::splat(-2.0)));
        let exact = one.sub(e).div(one.add(e));
        a.where_below(V::splat(0.25), series, exact.with_sign_of(v))
    }
}

/// Up to sixteen floats; the other lanes are 0.
#[inline(always)]
pub unsafe fn load_part<V: Lanes>(from: *const f32, count: usize) -> V {
    // SAFETY: `from` is valid for `count` floats, and only these are read.
    unsafe {
        if count >= LANES {
            return V::load(from);
        }
        let mut lanes = [0.0f32; LANES];
        copy_part(from, lanes.as_mut_ptr(), count);
        V::load(lanes.as_ptr())
    }
}

/// A function of its own: what is rare, and stands in many places, is small there.
#[inline(never)]
unsafe fn copy_part(from: *const f32, to: *mut f32, count: usize) {
    // SAFETY: as the callers'.
    unsafe { std::ptr::copy_nonoverlapping(from, to, count) }
}

/// Stores the first `count` lanes.
#[inline(always)]
pub unsafe fn store_part<V: Lanes>(v: V, to: *mut f32, count: usize) {
    // SAFETY: `to` is valid for `count` floats, and only these are written.
    unsafe {
        if count >= LANES {
            return v.store(to);
        }
        let mut lanes = [0.0f32; LANES];
        v.store(lanes.as_mut_ptr());
        copy_part(lanes.as_ptr(), to, count);
    }
}

/// Sixteen lanes as an array: the compiler vectorises what it can.
#[cfg(not(target_feature = "simd128"))]
#[derive(Clone, Copy)]
pub struct Array([f32; LANES]);

/// An [`Array`] of what `$value` is for each lane. A plain loop: where size counts, closures would stay calls.
#[cfg(not(target_feature = "simd128"))]
macro_rules! lanes {
    ($i:ident => $value:expr) => {{
        let mut out = [0.0; LANES];
        for $i in 0..LANES {
            out[$i] = $value;
        }
        Array(out)
    }};
}

// SAFETY: plain Rust; the pointers are read and written as sixteen floats, as the contract says.
#[cfg(not(target_feature = "simd128"))]
unsafe impl Lanes for Array {
    // Browsers' builds are made for size: arrays stay in memory there.
    const SUMS: usize = if cfg!(target_arch = "wasm32") { 1 } else { 6 };
    #[inline(always)]
    unsafe fn splat(v: f32) -> Self {
        Self([v; LANES])
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: valid for sixteen floats.
        Self(unsafe { from.cast::<[f32; LANES]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn load_low_halves(from: *const f32) -> Self {
        // SAFETY: valid for sixteen words.
        let words = unsafe { from.cast::<[u32; LANES]>().read_unaligned() };
        lanes!(i => f32::from_bits(words[i] << 16))
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: valid for sixteen floats.
        unsafe { to.cast::<[f32; LANES]>().write_unaligned(self.0) }
    }
    #[inline(always)]
    unsafe fn fma(self, a: Self, b: Self) -> Self {
        // Two roundings: without the instruction, a fused one is a slow call.
        lanes!(i => self.0[i] * a.0[i] + b.0[i])
    }
    #[inline(always)]
    unsafe fn add_products<const M: usize>(sums: &mut [Self; M], from: *const f32, v: [f32; M]) {
        for i in 0..LANES {
            // SAFETY: valid for sixteen floats.
            let w = unsafe { *from.add(i) };
            unrolled!(m < M, { sums[m].0[i] += w * v[m] });
        }
    }
    #[inline(always)]
    unsafe fn add(self, a: Self) -> Self {
        lanes!(i => self.0[i] + a.0[i])
    }
    #[inline(always)]
    unsafe fn sub(self, a: Self) -> Self {
        lanes!(i => self.0[i] - a.0[i])
    }
    #[inline(always)]
    unsafe fn mul(self, a: Self) -> Self {
        lanes!(i => self.0[i] * a.0[i])
    }
    #[inline(always)]
    unsafe fn div(self, a: Self) -> Self {
        lanes!(i => self.0[i] / a.0[i])
    }
    #[inline(always)]
    unsafe fn at_least(self, low: Self) -> Self {
        lanes!(i => if self.0[i] < low.0[i] { low.0[i] } else { self.0[i] })
    }
    #[inline(always)]
    unsafe fn exp2_whole(self) -> Self {
        lanes!(i => f32::from_bits(((self.0[i] as i32).wrapping_add(127) << 23) as u32))
    }
    #[inline(always)]
    unsafe fn where_below(self, limit: Self, a: Self, b: Self) -> Self {
        lanes!(i => if self.0[i] < limit.0[i] { a.0[i] } else { b.0[i] })
    }
}

#[cfg(target_arch = "x86_64")]
pub use x86::{Y, Z};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{LANES, Lanes, ROOT_HALF};
    use std::arch::x86_64::*;

    /// One AVX-512 register.
    #[derive(Clone, Copy)]
    pub struct Z(__m512);

    // SAFETY: every function needs AVX-512 F, which the trait's contract asks of the caller.
    unsafe impl Lanes for Z {
        const SUMS: usize = 24;
        #[inline(always)]
        unsafe fn splat(v: f32) -> Self {
            Self(unsafe { _mm512_set1_ps(v) })
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            Self(unsafe { _mm512_loadu_ps(from) })
        }
        #[inline(always)]
        unsafe fn load_half(from: *const u16) -> Self {
            Self(unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.cast())) })
        }
        #[inline(always)]
        unsafe fn load_low_halves(from: *const f32) -> Self {
            Self(unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_loadu_si512(from.cast()))) })
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            unsafe { _mm512_storeu_ps(to, self.0) }
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
        unsafe fn exp2_whole(self) -> Self {
            unsafe {
                let n = _mm512_add_epi32(_mm512_cvtps_epi32(self.0), _mm512_set1_epi32(127));
                Self(_mm512_castsi512_ps(_mm512_slli_epi32::<23>(n)))
            }
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
        unsafe fn times_exp2(self, n: Self) -> Self {
            Self(unsafe { _mm512_scalef_ps(self.0, n.0) })
        }
        #[inline(always)]
        unsafe fn abs(self) -> Self {
            Self(unsafe { _mm512_abs_ps(self.0) })
        }
        #[inline(always)]
        unsafe fn with_sign_of(self, v: Self) -> Self {
            // Bits of `self`, but for those of −0, which come from `v`.
            let (bits, sign) = unsafe { (_mm512_castps_si512(self.0), _mm512_castps_si512(v.0)) };
            Self(unsafe {
                _mm512_castsi512_ps(_mm512_ternarylogic_epi32::<0xd8>(bits, sign, _mm512_set1_epi32(i32::MIN)))
            })
        }
        #[inline(always)]
        unsafe fn transpose(from: *const f32, step: usize, to: *mut f32, to_step: usize) {
            unsafe {
                let row: [__m512; LANES] = std::array::from_fn(|i| _mm512_loadu_ps(from.add(i * step)));
                // Columns of four rows, in each quarter of a register.
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
        #[inline(always)]
        unsafe fn where_below(self, limit: Self, a: Self, b: Self) -> Self {
            unsafe {
                let mask = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(self.0, limit.0);
                Self(_mm512_mask_blend_ps(mask, b.0, a.0))
            }
        }
    }

    /// Two AVX registers.
    #[derive(Clone, Copy)]
    pub struct Y(__m256, __m256);

    macro_rules! both {
        ($f:ident, $a:expr, $b:expr) => {
            Self(unsafe { $f($a.0, $b.0) }, unsafe { $f($a.1, $b.1) })
        };
    }

    // SAFETY: every function needs AVX2, FMA and F16C, which the trait's contract asks of the caller.
    unsafe impl Lanes for Y {
        #[inline(always)]
        unsafe fn splat(v: f32) -> Self {
            let v = unsafe { _mm256_set1_ps(v) };
            Self(v, v)
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            unsafe { Self(_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))) }
        }
        #[inline(always)]
        unsafe fn load_half(from: *const u16) -> Self {
            unsafe {
                let half = |i: usize| _mm256_cvtph_ps(_mm_loadu_si128(from.add(8 * i).cast()));
                Self(half(0), half(1))
            }
        }
        #[inline(always)]
        unsafe fn load_low_halves(from: *const f32) -> Self {
            unsafe {
                let half =
                    |i: usize| _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_loadu_si256(from.add(8 * i).cast())));
                Self(half(0), half(1))
            }
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            unsafe {
                _mm256_storeu_ps(to, self.0);
                _mm256_storeu_ps(to.add(8), self.1);
            }
        }
        #[inline(always)]
        unsafe fn fma(self, a: Self, b: Self) -> Self {
            unsafe { Self(_mm256_fmadd_ps(self.0, a.0, b.0), _mm256_fmadd_ps(self.1, a.1, b.1)) }
        }
        #[inline(always)]
        unsafe fn add(self, a: Self) -> Self {
            both!(_mm256_add_ps, self, a)
        }
        #[inline(always)]
        unsafe fn sub(self, a: Self) -> Self {
            both!(_mm256_sub_ps, self, a)
        }
        #[inline(always)]
        unsafe fn mul(self, a: Self) -> Self {
            both!(_mm256_mul_ps, self, a)
        }
        #[inline(always)]
        unsafe fn div(self, a: Self) -> Self {
            both!(_mm256_div_ps, self, a)
        }
        #[inline(always)]
        unsafe fn at_least(self, low: Self) -> Self {
            both!(_mm256_max_ps, low, self)
        }
        #[inline(always)]
        unsafe fn exp2_whole(self) -> Self {
            let half = |n: __m256| unsafe {
                let n = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
                _mm256_castsi256_ps(_mm256_slli_epi32::<23>(n))
            };
            Self(half(self.0), half(self.1))
        }
        #[inline(always)]
        unsafe fn exponent(self) -> (Self, Self) {
            let half = |v: __m256| unsafe {
                let bits = _mm256_castps_si256(v);
                let n = _mm256_srai_epi32::<23>(_mm256_sub_epi32(bits, _mm256_set1_epi32(ROOT_HALF)));
                let m = _mm256_sub_epi32(bits, _mm256_slli_epi32::<23>(n));
                (_mm256_cvtepi32_ps(n), _mm256_castsi256_ps(m))
            };
            let ((n, m), (n2, m2)) = (half(self.0), half(self.1));
            (Self(n, n2), Self(m, m2))
        }
        #[inline(always)]
        unsafe fn where_below(self, limit: Self, a: Self, b: Self) -> Self {
            let half = |v, l, a, b| unsafe { _mm256_blendv_ps(b, a, _mm256_cmp_ps::<_CMP_LT_OQ>(v, l)) };
            Self(half(self.0, limit.0, a.0, b.0), half(self.1, limit.1, a.1, b.1))
        }
    }
}

#[cfg(target_arch = "aarch64")]
pub use arm::Q;

#[cfg(target_arch = "aarch64")]
mod arm {
    use super::Lanes;
    use std::arch::aarch64::*;

    /// Four NEON registers.
    #[derive(Clone, Copy)]
    pub struct Q([float32x4_t; 4]);

    impl Q {
        #[inline(always)]
        fn zip(self, a: Self, f: impl Fn(float32x4_t, float32x4_t) -> float32x4_t) -> Self {
            Self(std::array::from_fn(|i| f(self.0[i], a.0[i])))
        }
    }

    // SAFETY: every function needs NEON, which the trait's contract asks of the caller.
    unsafe impl Lanes for Q {
        #[inline(always)]
        unsafe fn splat(v: f32) -> Self {
            Self([unsafe { vdupq_n_f32(v) }; 4])
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            Self(std::array::from_fn(|i| unsafe { vld1q_f32(from.add(4 * i)) }))
        }
        #[inline(always)]
        unsafe fn load_low_halves(from: *const f32) -> Self {
            Self(std::array::from_fn(|i| unsafe {
                vreinterpretq_f32_u32(vshlq_n_u32::<16>(vld1q_u32(from.cast::<u32>().add(4 * i))))
            }))
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            for (i, v) in self.0.into_iter().enumerate() {
                unsafe { vst1q_f32(to.add(4 * i), v) }
            }
        }
        #[inline(always)]
        unsafe fn fma(self, a: Self, b: Self) -> Self {
            Self(std::array::from_fn(|i| unsafe { vfmaq_f32(b.0[i], self.0[i], a.0[i]) }))
        }
        #[inline(always)]
        unsafe fn add(self, a: Self) -> Self {
            self.zip(a, |x, y| unsafe { vaddq_f32(x, y) })
        }
        #[inline(always)]
        unsafe fn sub(self, a: Self) -> Self {
            self.zip(a, |x, y| unsafe { vsubq_f32(x, y) })
        }
        #[inline(always)]
        unsafe fn mul(self, a: Self) -> Self {
            self.zip(a, |x, y| unsafe { vmulq_f32(x, y) })
        }
        #[inline(always)]
        unsafe fn div(self, a: Self) -> Self {
            self.zip(a, |x, y| unsafe { vdivq_f32(x, y) })
        }
        #[inline(always)]
        unsafe fn at_least(self, low: Self) -> Self {
            self.zip(low, |x, y| unsafe { vmaxq_f32(x, y) })
        }
        #[inline(always)]
        unsafe fn exp2_whole(self) -> Self {
            Self(self.0.map(|n| unsafe {
                let n = vaddq_s32(vcvtnq_s32_f32(n), vdupq_n_s32(127));
                vreinterpretq_f32_s32(vshlq_n_s32::<23>(n))
            }))
        }
        #[inline(always)]
        unsafe fn where_below(self, limit: Self, a: Self, b: Self) -> Self {
            Self(std::array::from_fn(|i| unsafe { vbslq_f32(vcltq_f32(self.0[i], limit.0[i]), a.0[i], b.0[i]) }))
        }
    }
}

#[cfg(target_feature = "simd128")]
pub use wasm::W;

#[cfg(target_feature = "simd128")]
mod wasm {
    use super::{Lanes, ROOT_HALF};
    use std::arch::wasm32::*;

    /// Four vectors of WebAssembly. Written out: where size counts, closures would stay calls.
    #[derive(Clone, Copy)]
    pub struct W(v128, v128, v128, v128);

    /// `f` of each of the four vectors of the arguments.
    macro_rules! each {
        ($f:ident, $($v:expr),+) => { W($f($($v.0),+), $f($($v.1),+), $f($($v.2),+), $f($($v.3),+)) };
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

    /// Four f16 in the low halves of words.
    #[inline(always)]
    fn half_to_single(v: v128) -> v128 {
        let sign = i32x4_shl(v128_and(v, i32x4_splat(0x8000)), 16);
        let size = i32x4_shl(v128_and(v, i32x4_splat(0x7fff)), 13);
        // 2^112 between the exponents' biases makes numbers below the smallest normal ones right too.
        let number = f32x4_mul(size, f32x4_splat(f32::from_bits(0x7780_0000)));
        let is_number = i32x4_lt(size, i32x4_splat(0x0f80_0000));
        v128_or(sign, v128_bitselect(number, v128_or(size, i32x4_splat(0x7f80_0000)), is_number))
    }

    // SAFETY: the pointers are read and written as sixteen floats, as the contract says.
    unsafe impl Lanes for W {
        // Browsers on x86-64 have sixteen registers of this width.
        const SUMS: usize = 3;
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
        // A vector after the other: compilers of browsers keep the order, and have 15 registers.
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
            // `self < low ? low : self`, so that NaN stays. Where it may, the compiler makes `relaxed_max` of `pmax`, which
            // need not keep it.
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
}

/// Compiles a generic function once for each instruction set, and calls the one for `isa`.
macro_rules! for_each_isa {
    ($isa:expr, $function:ident::<_>($($arg:ident: $type:ty),* $(,)?)) => {{
        use $crate::cpu::simd;
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f,fma")]
        unsafe fn avx512($($arg: $type),*) {
            // SAFETY: the features are enabled here.
            unsafe { $function::<simd::Z>($($arg),*) }
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma,f16c")]
        unsafe fn avx2($($arg: $type),*) {
            // SAFETY: the features are enabled here.
            unsafe { $function::<simd::Y>($($arg),*) }
        }
        #[cfg(target_arch = "aarch64")]
        #[target_feature(enable = "neon")]
        unsafe fn neon($($arg: $type),*) {
            // SAFETY: the feature is enabled here.
            unsafe { $function::<simd::Q>($($arg),*) }
        }
        // SAFETY: `isa` was detected on this processor; the other conditions are those of the function.
        unsafe {
            match $isa {
                #[cfg(target_arch = "x86_64")]
                simd::Isa::Avx512 => avx512($($arg),*),
                #[cfg(target_arch = "x86_64")]
                simd::Isa::Avx2 => avx2($($arg),*),
                #[cfg(target_arch = "aarch64")]
                simd::Isa::Neon => neon($($arg),*),
                #[cfg(target_feature = "simd128")]
                simd::Isa::Simd128 => $function::<simd::W>($($arg),*),
                #[cfg(not(target_feature = "simd128"))]
                simd::Isa::Portable => $function::<simd::Array>($($arg),*),
            }
        }
    }};
}
pub(crate) use for_each_isa;

#[cfg(test)]
mod tests {
    use super::*;

    unsafe fn both<V: Lanes>(from: *const f32, to: *mut f32) {
        // SAFETY: sixteen floats in, thirty-two out.
        unsafe {
            sigmoid(V::load(from)).store(to);
            tanh(V::load(from)).store(to.add(LANES));
        }
    }

    unsafe fn halves<V: Lanes>(from: *const u16, to: *mut f32) {
        // SAFETY: sixteen in, sixteen out.
        unsafe { V::load_half(from).store(to) }
    }

    #[test]
    fn every_f16_becomes_the_f32_that_it_is_on_every_isa() {
        for isa in Isa::available() {
            for first in (0..=u16::MAX).step_by(LANES) {
                let from: [u16; LANES] = std::array::from_fn(|i| first + i as u16);
                let mut out = [0.0f32; LANES];
                let (at, to) = (from.as_ptr(), out.as_mut_ptr());
                for_each_isa!(isa, halves::<_>(at: *const u16, to: *mut f32));
                for (bits, got) in from.into_iter().zip(out) {
                    let want = half::f16::from_bits(bits).to_f32();
                    assert!(
                        got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan(),
                        "{isa:?} {bits:#x}: {got}"
                    );
                }
            }
        }
    }

    unsafe fn columns<V: Lanes>(from: *const f32, to: *mut f32) {
        // SAFETY: sixteen rows of 19 in, sixteen of 17 out.
        unsafe { V::transpose(from, 19, to, 17) }
    }

    #[test]
    fn rows_become_columns_on_every_isa() {
        for isa in Isa::available() {
            let from: Vec<f32> = (0..16 * 19).map(|i| i as f32).collect();
            let mut out = vec![f32::NAN; 16 * 17];
            let (from, to) = (from.as_ptr(), out.as_mut_ptr());
            for_each_isa!(isa, columns::<_>(from: *const f32, to: *mut f32));
            for (i, v) in out.iter().enumerate() {
                let (row, col) = (i / 17, i % 17);
                assert!(if col < 16 { *v == (col * 19 + row) as f32 } else { v.is_nan() }, "{isa:?}: {row} {col}: {v}");
            }
        }
    }

    fn activations(isa: Isa, v: [f32; LANES]) -> [f32; 2 * LANES] {
        let mut out = [f32::NAN; 2 * LANES];
        let (from, to) = (v.as_ptr(), out.as_mut_ptr());
        for_each_isa!(isa, both::<_>(from: *const f32, to: *mut f32));
        out
    }

    #[test]
    fn activations_are_close_to_f64_and_keep_nan_on_every_isa() {
        for isa in Isa::available() {
            let mut worst = 0.0f64;
            for start in -1000..1000 {
                let v: [f32; LANES] = std::array::from_fn(|i| (start * 16 + i as i32) as f32 / 800.0);
                let got = activations(isa, v);
                for (i, &v) in v.iter().enumerate() {
                    let x = v as f64;
                    worst = worst.max((got[i] as f64 - 1.0 / (1.0 + (-x).exp())).abs());
                    worst = worst.max((got[LANES + i] as f64 - x.tanh()).abs());
                }
            }
            assert!(worst <= 1.5e-7, "{isa:?}: {worst:e}");
            let big = [f32::MAX, 1e30, 100.0, 88.0, f32::INFINITY, -f32::MAX, -1e30, -100.0, -88.0, -f32::INFINITY];
            let mut v = [f32::NAN; LANES];
            v[..10].copy_from_slice(&big);
            let got = activations(isa, v);
            assert_eq!(
                (&got[..5], &got[LANES..LANES + 10]),
                (&[1.0; 5][..], &[1.0, 1.0, 1.0, 1.0, 1.0, -1.0, -1.0, -1.0, -1.0, -1.0][..]),
                "{isa:?}"
            );
            assert_eq!(got[5..10], [0.0; 5], "{isa:?}");
            let edge = activations(isa, [SIGMOID_LOW; LANES])[0] as f64;
            assert!((edge * 87f64.exp() - 1.0).abs() <= 1e-5, "{isa:?}: {edge:e}");
            assert!(got[10..16].iter().chain(&got[LANES + 10..]).all(|v| v.is_nan()), "{isa:?}");
        }
    }
}
