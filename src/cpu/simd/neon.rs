//! NEON.

use super::Lanes;
use std::arch::aarch64::*;

/// Four NEON registers.
#[derive(Clone, Copy)]
pub struct Neon([float32x4_t; 4]);

impl Neon {
    #[inline(always)]
    fn zip(self, a: Self, f: impl Fn(float32x4_t, float32x4_t) -> float32x4_t) -> Self {
        Self(std::array::from_fn(|i| f(self.0[i], a.0[i])))
    }
}

// SAFETY: every function requires NEON, which the trait's contract requires of the caller.
unsafe impl Lanes for Neon {
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
