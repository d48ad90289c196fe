//! Lanes as a plain array, for processors without a dedicated variant.

use super::{LANES, Lanes, Vector, unrolled};

/// Lanes as an array, which the compiler vectorizes where it can.
#[derive(Clone, Copy)]
pub struct Portable<const N: usize>([f32; N]);

/// Builds a [`Portable`] from `$value` for each lane. A plain loop, because builds optimized for size would
/// not inline closures.
macro_rules! lanes {
    ($i:ident => $value:expr) => {{
        let mut out = [0.0; N];
        for $i in 0..N {
            out[$i] = $value;
        }
        Portable(out)
    }};
}

// SAFETY: plain Rust; accesses `N` floats behind each pointer, as the contract states.
unsafe impl<const N: usize> Vector for Portable<N> {
    const WIDTH: usize = N;
    const REGISTERS: usize = N.div_ceil(4);
    const FUSES: bool = false;
    const CALLS: bool = true;
    #[inline(always)]
    unsafe fn splat(v: f32) -> Self {
        Self([v; N])
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: valid for `N` floats.
        Self(unsafe { from.cast::<[f32; N]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: valid for `N` floats.
        unsafe { to.cast::<[f32; N]>().write_unaligned(self.0) }
    }
    #[inline(always)]
    unsafe fn fma(self, a: Self, b: Self) -> Self {
        // Rounds twice: without the instruction, a fused multiply-add is a slow call.
        lanes!(i => self.0[i] * a.0[i] + b.0[i])
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
    unsafe fn at_most(self, high: Self) -> Self {
        lanes!(i => if self.0[i] > high.0[i] { high.0[i] } else { self.0[i] })
    }
    #[inline(always)]
    unsafe fn power(self) -> Self {
        lanes!(i => f32::from_bits(self.0[i].to_bits() << 23))
    }
    #[inline(always)]
    unsafe fn where_below(self, limit: Self, a: Self, b: Self) -> Self {
        lanes!(i => if self.0[i] < limit.0[i] { a.0[i] } else { b.0[i] })
    }
}

// SAFETY: as above, for sixteen floats.
unsafe impl Lanes for Portable<LANES> {
    type Wide = Portable<8>;
    type Rest = Portable<4>;
    type Four = Portable<4>;
    const ROOM: usize = 12;
    const TWO: bool = !cfg!(target_arch = "wasm32");
    // Browser builds are optimized for size, which keeps arrays in memory.
    const SUMS: usize = if cfg!(target_arch = "wasm32") { 1 } else { 6 };
    #[inline(always)]
    unsafe fn load_low_halves(from: *const f32) -> Self {
        // SAFETY: valid for sixteen words.
        let words = unsafe { from.cast::<[u32; LANES]>().read_unaligned() };
        Self(words.map(|word| f32::from_bits(word << 16)))
    }
    #[inline(always)]
    unsafe fn add_products<const M: usize>(sums: &mut [Self; M], from: *const f32, v: [f32; M]) {
        for i in 0..LANES {
            // SAFETY: valid for sixteen floats.
            let w = unsafe { *from.add(i) };
            unrolled!(m < M, { sums[m].0[i] += w * v[m] });
        }
    }
}
