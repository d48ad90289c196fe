//! Sixteen f32 lanes on any instruction set.
//!
//! A fast function is written once, generic over [`Lanes`] and `#[inline(always)]`. It is compiled once per instruction
//! set, inside a function that enables that set; [`Isa::detect`] selects one at run time.
#![allow(unsafe_code, reason = "SIMD intrinsics")]

#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(not(target_feature = "simd128"))]
mod portable;
#[cfg(test)]
mod tests;
#[cfg(target_feature = "simd128")]
mod wasm;
#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(target_arch = "aarch64")]
pub use neon::Neon;
#[cfg(not(target_feature = "simd128"))]
pub use portable::Portable;
#[cfg(target_feature = "simd128")]
pub use wasm::Simd128;
#[cfg(target_arch = "x86_64")]
pub use x86::{Avx2, Avx512};

use crate::math::SIGMOID_LOW;

/// Number of lanes of a [`Lanes`] value.
pub const LANES: usize = 16;

/// The bits of `√½`, the smallest mantissa of [`Lanes::exponent`].
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
    /// 128-bit SIMD in WebAssembly, enabled at compile time.
    #[cfg(target_feature = "simd128")]
    Simd128,
    /// Plain arrays, vectorized by the compiler.
    #[cfg(not(target_feature = "simd128"))]
    Portable,
}

impl Isa {
    /// Returns the name, as accepted by [`CpuOptions`](super::CpuOptions).
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

    /// Returns the best instruction set that this processor supports.
    pub fn detect() -> Self {
        Self::available()[0]
    }

    /// Returns all instruction sets that this processor supports, best first.
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

/// Unrolls a loop over the given literals, or of up to eight iterations. Arrays indexed by its constant stay in
/// registers, even in browser builds, where the compiler optimizes for size and unrolls little.
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
/// The processor must support the implementor's instructions, and pointers must be valid for sixteen floats.
pub unsafe trait Lanes: Copy {
    /// Number of accumulators that fit in registers next to the operands.
    const SUMS: usize = 6;
    /// Whether [`sigmoid`] and [`tanh`] are function calls: inlined, they would cost more code size than they save
    /// time.
    const CALLS: bool = false;
    /// The same value in every lane.
    unsafe fn splat(v: f32) -> Self;
    /// Loads sixteen floats.
    unsafe fn load(from: *const f32) -> Self;
    /// Loads sixteen f16.
    #[inline(always)]
    unsafe fn load_half(from: *const u16) -> Self {
        // SAFETY: valid for sixteen words.
        unsafe {
            let lanes: [f32; LANES] = std::array::from_fn(|i| half::f16::from_bits(*from.add(i)).to_f32());
            Self::load(lanes.as_ptr())
        }
    }
    /// Loads the low halves of sixteen words, as bf16.
    unsafe fn load_low_halves(from: *const f32) -> Self;
    /// Stores sixteen floats.
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
    /// `2^n` for whole numbers `n` from −126 to 127; unspecified for others
    unsafe fn exp2_whole(self) -> Self;
    /// `self·2^n`, for the same `n` as [`exp2_whole`](Self::exp2_whole)
    #[inline(always)]
    unsafe fn times_exp2(self, n: Self) -> Self {
        // SAFETY: guaranteed by the caller.
        unsafe { self.mul(n.exp2_whole()) }
    }
    /// `n` and `m` with `self = m·2^n` and `√½ ≤ m < √2`, for positive normal numbers; unspecified for others
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
        // SAFETY: guaranteed by the caller.
        unsafe { self.at_least(Self::splat(0.0).sub(self)) }
    }
    /// `self`, negated where `v` is negative; `self` must not be negative
    #[inline(always)]
    unsafe fn with_sign_of(self, v: Self) -> Self {
        // SAFETY: guaranteed by the caller.
        unsafe {
            let zero = Self::splat(0.0);
            v.where_below(zero, zero.sub(self), self)
        }
    }
    /// `a` where `self < limit`, else `b`
    unsafe fn where_below(self, limit: Self, a: Self, b: Self) -> Self;
    /// Prefetches `from`, if the instruction set supports it.
    #[inline(always)]
    unsafe fn expect(_from: *const f32) {}
    /// `sums[m] += w·v[m]`, `w` sixteen floats from memory.
    #[inline(always)]
    unsafe fn add_products<const M: usize>(sums: &mut [Self; M], from: *const f32, v: [f32; M]) {
        // SAFETY: guaranteed by the caller.
        unsafe {
            let w = Self::load(from);
            unrolled!(m < M, { sums[m] = w.fma(Self::splat(v[m]), sums[m]) });
        }
    }
    /// Transposes sixteen rows of sixteen floats, `step` apart: `to[j·to_step + i] = from[i·step + j]`.
    #[inline(always)]
    unsafe fn transpose(from: *const f32, step: usize, to: *mut f32, to_step: usize) {
        for i in 0..LANES {
            for j in 0..LANES {
                // SAFETY: the caller guarantees that both are valid for these rows.
                unsafe { *to.add(j * to_step + i) = *from.add(i * step + j) };
            }
        }
    }
}

/// `e^v` within 2 ulp from −87 to 87 (Cephes' polynomial); `e^−87` below, unspecified above.
#[inline(always)]
pub unsafe fn exp<V: Lanes>(v: V) -> V {
    // SAFETY: the caller guarantees that V's instructions are available.
    unsafe {
        const P: [f32; 5] = [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];
        let c = V::splat;
        let v = v.at_least(c(-87.0));
        // Adding and subtracting 1.5·2²³ rounds to an integer.
        let magic = c(12_582_912.0);
        let n = v.fma(c(std::f32::consts::LOG2_E), magic).sub(magic);
        let r = n.fma(c(-0.693_359_4), v);
        let r = n.fma(c(2.121_944_4e-4), r);
        let mut p = c(1.987_569_1e-4);
        unrolled!(i in [0 1 2 3 4], { p = p.fma(r, c(P[i])) });
        p.fma(r, c(1.0)).fma(r, c(1.0)).times_exp2(n)
    }
}

/// `σ(v)`, like `math::sigmoid`: exactly 0 below [`SIGMOID_LOW`].
#[inline(always)]
pub unsafe fn sigmoid<V: Lanes>(v: V) -> V {
    // SAFETY: guaranteed by the caller.
    unsafe { if V::CALLS { sigmoid_call(v) } else { sigmoid_inline(v) } }
}

#[inline(never)]
unsafe fn sigmoid_call<V: Lanes>(v: V) -> V {
    // SAFETY: guaranteed by the caller.
    unsafe { sigmoid_inline(v) }
}

#[inline(always)]
unsafe fn sigmoid_inline<V: Lanes>(v: V) -> V {
    // SAFETY: guaranteed by the caller.
    unsafe {
        let (zero, one) = (V::splat(0.0), V::splat(1.0));
        v.where_below(V::splat(SIGMOID_LOW), zero, one.div(one.add(exp(zero.sub(v)))))
    }
}

/// `tanh(v)`, like `math::tanh_stable`.
#[inline(always)]
pub unsafe fn tanh<V: Lanes>(v: V) -> V {
    // SAFETY: guaranteed by the caller.
    unsafe { if V::CALLS { tanh_call(v) } else { tanh_inline(v) } }
}

#[inline(never)]
unsafe fn tanh_call<V: Lanes>(v: V) -> V {
    // SAFETY: guaranteed by the caller.
    unsafe { tanh_inline(v) }
}

#[inline(always)]
unsafe fn tanh_inline<V: Lanes>(v: V) -> V {
    // SAFETY: guaranteed by the caller.
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

/// Loads up to sixteen floats; the other lanes are 0.
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

/// Not inlined: it rarely runs but has many call sites, so a call saves code size.
#[inline(never)]
unsafe fn copy_part(from: *const f32, to: *mut f32, count: usize) {
    // SAFETY: guaranteed by the callers.
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

/// Compiles a generic function once per instruction set, and calls the variant for `isa`. Other types may follow the
/// lanes.
macro_rules! for_each_isa {
    ($isa:expr, $function:ident::<_ $(, $other:ty)*>($($arg:ident: $type:ty),* $(,)?)) => {{
        use $crate::cpu::simd;
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f,fma")]
        unsafe fn avx512($($arg: $type),*) {
            // SAFETY: the features are enabled here.
            unsafe { $function::<simd::Avx512 $(, $other)*>($($arg),*) }
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma,f16c")]
        unsafe fn avx2($($arg: $type),*) {
            // SAFETY: the features are enabled here.
            unsafe { $function::<simd::Avx2 $(, $other)*>($($arg),*) }
        }
        #[cfg(target_arch = "aarch64")]
        #[target_feature(enable = "neon")]
        unsafe fn neon($($arg: $type),*) {
            // SAFETY: the feature is enabled here.
            unsafe { $function::<simd::Neon $(, $other)*>($($arg),*) }
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
                simd::Isa::Simd128 => $function::<simd::Simd128 $(, $other)*>($($arg),*),
                #[cfg(not(target_feature = "simd128"))]
                simd::Isa::Portable => $function::<simd::Portable $(, $other)*>($($arg),*),
            }
        }
    }};
}
pub(crate) use for_each_isa;
