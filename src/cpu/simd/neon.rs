//! NEON.

use super::Lanes;
use super::Vector;
use super::pair::Pair;
use std::arch::aarch64::*;

/// One NEON register.
#[derive(Clone, Copy)]
pub struct Quad(float32x4_t);

/// Four NEON registers.
pub type Neon = Pair<Pair<Quad>>;

// SAFETY: every function requires NEON, which the trait's contract requires of the caller.
unsafe impl Vector for Quad {
    const WIDTH: usize = 4;
    const REGISTERS: usize = 1;
    const FUSES: bool = true;
    #[inline(always)]
    unsafe fn splat(v: f32) -> Self {
        Self(unsafe { vdupq_n_f32(v) })
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        Self(unsafe { vld1q_f32(from) })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { vst1q_f32(to, self.0) }
    }
    #[inline(always)]
    unsafe fn fma(self, a: Self, b: Self) -> Self {
        Self(unsafe { vfmaq_f32(b.0, self.0, a.0) })
    }
    #[inline(always)]
    unsafe fn add(self, a: Self) -> Self {
        Self(unsafe { vaddq_f32(self.0, a.0) })
    }
    #[inline(always)]
    unsafe fn sub(self, a: Self) -> Self {
        Self(unsafe { vsubq_f32(self.0, a.0) })
    }
    #[inline(always)]
    unsafe fn mul(self, a: Self) -> Self {
        Self(unsafe { vmulq_f32(self.0, a.0) })
    }
    #[inline(always)]
    unsafe fn div(self, a: Self) -> Self {
        Self(unsafe { vdivq_f32(self.0, a.0) })
    }
    #[inline(always)]
    unsafe fn at_least(self, low: Self) -> Self {
        Self(unsafe { vmaxq_f32(self.0, low.0) })
    }
    #[inline(always)]
    unsafe fn at_most(self, high: Self) -> Self {
        Self(unsafe { vminq_f32(self.0, high.0) })
    }
    #[inline(always)]
    unsafe fn power(self) -> Self {
        Self(unsafe { vreinterpretq_f32_u32(vshlq_n_u32::<23>(vreinterpretq_u32_f32(self.0))) })
    }
    #[inline(always)]
    unsafe fn abs(self) -> Self {
        Self(unsafe { vabsq_f32(self.0) })
    }
    #[inline(always)]
    unsafe fn with_sign_of(self, v: Self) -> Self {
        Self(unsafe { vbslq_f32(vdupq_n_u32(1 << 31), v.0, self.0) })
    }
    #[inline(always)]
    unsafe fn where_below(self, limit: Self, a: Self, b: Self) -> Self {
        Self(unsafe { vbslq_f32(vcltq_f32(self.0, limit.0), a.0, b.0) })
    }
}

// SAFETY: as above.
unsafe impl Lanes for Neon {
    type Wide = Pair<Quad>;
    type Rest = Quad;
    type Four = Quad;
    const ROOM: usize = 24;
    #[inline(always)]
    unsafe fn load_low_halves(from: *const f32) -> Self {
        let four = |i: usize| unsafe {
            Quad(vreinterpretq_f32_u32(vshlq_n_u32::<16>(vld1q_u32(from.cast::<u32>().add(4 * i)))))
        };
        Pair(Pair(four(0), four(1)), Pair(four(2), four(3)))
    }
}
