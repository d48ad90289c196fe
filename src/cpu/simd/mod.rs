//! Vectors of f32 on any instruction set, mostly of sixteen lanes.
//!
//! A fast function is written once, generic over [`Lanes`] or [`Vector`] and `#[inline(always)]`. It is compiled once per
//! instruction set, inside a function that enables that set; [`Isa::detect`] selects one at run time.
#![allow(unsafe_code, reason = "SIMD intrinsics")]

mod functions;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_feature = "simd128"))]
mod pair;
#[cfg(not(target_feature = "simd128"))]
mod portable;
#[cfg(test)]
mod tests;
mod vector;
#[cfg(target_feature = "simd128")]
mod wasm;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use functions::{Activations, Exact, Fast, exp, sigmoid, tanh};
#[cfg(target_arch = "aarch64")]
pub use neon::Neon;
#[cfg(not(target_feature = "simd128"))]
pub use portable::Portable;
#[cfg(target_feature = "simd128")]
pub use wasm::Simd128;
#[cfg(target_arch = "x86_64")]
pub use x86::{Avx2, Avx512};

pub use vector::Vector;

/// Number of lanes of a [`Lanes`] value.
pub const LANES: usize = 16;

/// Factor of the strides of tests over many numbers. Miri is about a thousand times as slow.
#[cfg(test)]
pub const COARSER: usize = if cfg!(miri) { 997 } else { 1 };

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

/// Returns arrays of vectors, all zeros. The compiler fills `[V::splat(0.0); N]` in a loop, which would keep the array in
/// memory in browser builds.
///
/// # Safety
/// `T` must be a vector, or nested arrays of vectors.
#[inline(always)]
pub unsafe fn zeros<T: Copy>() -> T {
    // SAFETY: 0.0 has no bits set.
    unsafe { std::mem::zeroed() }
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

/// Sixteen f32 lanes, with the operations for products of packed weights and for logarithms.
///
/// # Safety
/// As for [`Vector`].
pub unsafe trait Lanes: Vector {
    /// The vector in which layers of few units are computed.
    type Wide: Vector;
    /// The vector of the last units of such layers, if they do not fill a [`Wide`](Self::Wide).
    type Rest: Vector;
    /// Four lanes.
    type Four: Vector;
    /// Number of registers for the sums of layers of few units.
    const ROOM: usize;
    /// Whether layers of few units compute two wide vectors at a time. Browser builds do not, because of the code size.
    const TWO: bool = true;
    /// Number of accumulators that fit in registers next to the operands.
    const SUMS: usize = 6;
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

/// Compiles a generic function once per instruction set, and returns the variant for `isa`. Other types may follow the
/// lanes.
macro_rules! function_of_isa {
    ($isa:expr, $function:ident $(:: $name:ident)?::<_ $(, $other:ty)*>($($arg:ident: $type:ty),* $(,)?)) => {{
        use $crate::cpu::simd;
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f,fma")]
        unsafe fn avx512($($arg: $type),*) {
            // SAFETY: the features are enabled here.
            unsafe { $function$(::$name)?::<simd::Avx512 $(, $other)*>($($arg),*) }
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma,f16c")]
        unsafe fn avx2($($arg: $type),*) {
            // SAFETY: the features are enabled here.
            unsafe { $function$(::$name)?::<simd::Avx2 $(, $other)*>($($arg),*) }
        }
        #[cfg(target_arch = "aarch64")]
        #[target_feature(enable = "neon")]
        unsafe fn neon($($arg: $type),*) {
            // SAFETY: the feature is enabled here.
            unsafe { $function$(::$name)?::<simd::Neon $(, $other)*>($($arg),*) }
        }
        let function: unsafe fn($($type),*) = match $isa {
            #[cfg(target_arch = "x86_64")]
            simd::Isa::Avx512 => avx512,
            #[cfg(target_arch = "x86_64")]
            simd::Isa::Avx2 => avx2,
            #[cfg(target_arch = "aarch64")]
            simd::Isa::Neon => neon,
            #[cfg(target_feature = "simd128")]
            simd::Isa::Simd128 => $function$(::$name)?::<simd::Simd128 $(, $other)*>,
            #[cfg(not(target_feature = "simd128"))]
            simd::Isa::Portable => $function$(::$name)?::<simd::Portable<{ simd::LANES }> $(, $other)*>,
        };
        function
    }};
}
pub(crate) use function_of_isa;

/// Calls the variant of a generic function for `isa`: see [`function_of_isa`].
macro_rules! for_each_isa {
    ($isa:expr, $function:ident $(:: $name:ident)?::<_ $(, $other:ty)*>($($arg:ident: $type:ty),* $(,)?)) => {{
        let function = $crate::cpu::simd::function_of_isa!($isa, $function $(:: $name)?::<_ $(, $other)*>($($arg: $type),*));
        // SAFETY: `isa` was detected on this processor; the other conditions are those of the function.
        unsafe { function($($arg),*) }
    }};
}
pub(crate) use for_each_isa;
