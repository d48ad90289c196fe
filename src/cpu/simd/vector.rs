//! The operations that every vector has.

/// A vector of [`WIDTH`](Self::WIDTH) f32 lanes.
///
/// # Safety
/// The processor must support the implementor's instructions, and pointers must be valid for `WIDTH` floats.
pub unsafe trait Vector: Copy {
    /// Number of lanes.
    const WIDTH: usize;
    /// Number of registers.
    const REGISTERS: usize;
    /// Whether [`fma`](Self::fma) rounds once.
    const FUSES: bool;
    /// Whether [`sigmoid`](super::sigmoid) and [`tanh`](super::tanh) are function calls: inlined, they would cost more
    /// code size than they save time.
    const CALLS: bool = false;
    /// Whether [`load_first`](Self::load_first) and [`store_first`](Self::store_first) take about as long as whole loads and
    /// stores.
    const MASKS: bool = false;
    /// The same value in every lane.
    unsafe fn splat(v: f32) -> Self;
    /// Loads `WIDTH` floats.
    unsafe fn load(from: *const f32) -> Self;
    /// Stores `WIDTH` floats.
    unsafe fn store(self, to: *mut f32);
    /// Loads the first `count` lanes, at most `WIDTH`; the others are 0.
    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> Self {
        let mut lanes = [0.0f32; 16];
        // SAFETY: valid for `count` floats; a vector has at most sixteen lanes.
        unsafe {
            std::ptr::copy_nonoverlapping(from, lanes.as_mut_ptr(), count);
            Self::load(lanes.as_ptr())
        }
    }
    /// Stores the first `count` lanes, at most `WIDTH`.
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, count: usize) {
        let mut lanes = [0.0f32; 16];
        // SAFETY: as above.
        unsafe {
            self.store(lanes.as_mut_ptr());
            std::ptr::copy_nonoverlapping(lanes.as_ptr(), to, count);
        }
    }
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
    /// `min(self, high)`; NaN stays NaN
    unsafe fn at_most(self, high: Self) -> Self;
    /// `2^n`, where the lowest eight bits are `n + 127` and the next one is 0
    unsafe fn power(self) -> Self;
    /// `self`, or 0 where `v < limit`
    #[inline(always)]
    unsafe fn zero_below(self, v: Self, limit: Self) -> Self {
        // SAFETY: guaranteed by the caller.
        unsafe { v.where_below(limit, Self::splat(0.0), self) }
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
}
