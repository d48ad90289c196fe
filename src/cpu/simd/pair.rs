//! A vector of two halves.

use super::Vector;

/// Two vectors as one of twice the width.
#[derive(Clone, Copy)]
pub struct Pair<V>(pub V, pub V);

/// Applies a method to both halves. Without closures, which builds optimized for size would not inline.
macro_rules! both {
    ($method:ident, $v:expr $(, $other:expr)*) => {
        // SAFETY: guaranteed by the caller.
        Pair(unsafe { $v.0.$method($($other.0),*) }, unsafe { $v.1.$method($($other.1),*) })
    };
}

// SAFETY: the halves access `V::WIDTH` floats each.
unsafe impl<V: Vector> Vector for Pair<V> {
    const WIDTH: usize = 2 * V::WIDTH;
    const REGISTERS: usize = 2 * V::REGISTERS;
    const FUSES: bool = V::FUSES;
    const CALLS: bool = V::CALLS;
    #[inline(always)]
    unsafe fn splat(v: f32) -> Self {
        // SAFETY: guaranteed by the caller, as below.
        let v = unsafe { V::splat(v) };
        Self(v, v)
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        unsafe { Self(V::load(from), V::load(from.add(V::WIDTH))) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe {
            self.0.store(to);
            self.1.store(to.add(V::WIDTH));
        }
    }
    #[inline(always)]
    unsafe fn fma(self, a: Self, b: Self) -> Self {
        both!(fma, self, a, b)
    }
    #[inline(always)]
    unsafe fn add(self, a: Self) -> Self {
        both!(add, self, a)
    }
    #[inline(always)]
    unsafe fn sub(self, a: Self) -> Self {
        both!(sub, self, a)
    }
    #[inline(always)]
    unsafe fn mul(self, a: Self) -> Self {
        both!(mul, self, a)
    }
    #[inline(always)]
    unsafe fn div(self, a: Self) -> Self {
        both!(div, self, a)
    }
    #[inline(always)]
    unsafe fn at_least(self, low: Self) -> Self {
        both!(at_least, self, low)
    }
    #[inline(always)]
    unsafe fn at_most(self, high: Self) -> Self {
        both!(at_most, self, high)
    }
    #[inline(always)]
    unsafe fn power(self) -> Self {
        both!(power, self)
    }
    #[inline(always)]
    unsafe fn zero_below(self, v: Self, limit: Self) -> Self {
        both!(zero_below, self, v, limit)
    }
    #[inline(always)]
    unsafe fn abs(self) -> Self {
        both!(abs, self)
    }
    #[inline(always)]
    unsafe fn with_sign_of(self, v: Self) -> Self {
        both!(with_sign_of, self, v)
    }
    #[inline(always)]
    unsafe fn where_below(self, limit: Self, a: Self, b: Self) -> Self {
        both!(where_below, self, limit, a, b)
    }
}
