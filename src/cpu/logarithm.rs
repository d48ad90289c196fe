//! Logarithms over sixteen lanes, for the kernels that compute in log space.
#![allow(unsafe_code, reason = "SIMD intrinsics")]

use super::simd::{Lanes, exp, unrolled};

/// `log v` of positive normal numbers, within 1 ulp (Cephes' polynomial); infinity and NaN are returned unchanged.
#[inline(always)]
pub unsafe fn log<V: Lanes>(v: V) -> V {
    // SAFETY: the caller guarantees that V's instructions are available.
    unsafe {
        const P: [f32; 8] = [
            -1.151_461e-1,
            1.167_699_9e-1,
            -1.242_014_1e-1,
            1.424_932_3e-1,
            -1.666_805_8e-1,
            2.000_071_5e-1,
            -2.499_999_4e-1,
            3.333_333e-1,
        ];
        let c = V::splat;
        let (n, m) = v.exponent();
        let x = m.sub(c(1.0));
        let square = x.mul(x);
        let mut p = c(7.037_683_6e-2);
        unrolled!(i in [0 1 2 3 4 5 6 7], { p = p.fma(x, c(P[i])) });
        // log 2 in two parts; the product of n and the first part is exact.
        let rest = n.fma(c(-2.121_944_4e-4), p.mul(x).mul(square));
        let out = n.fma(c(0.693_359_4), x.add(square.fma(c(-0.5), rest)));
        v.where_below(c(f32::INFINITY), out, v)
    }
}

/// `log(1 + e)` for `e` in `[0, 1]`, like the twins: uses the series where `1 + e` would round `e` away.
#[inline(always)]
pub unsafe fn log_1p<V: Lanes>(e: V) -> V {
    // SAFETY: guaranteed by the caller.
    unsafe {
        let c = V::splat;
        let mut p = c(-1.0 / 6.0);
        unrolled!(i in [0 1 2 3 4], { p = p.fma(e, c([0.2, -0.25, 1.0 / 3.0, -0.5, 1.0][i])) });
        e.where_below(c(0.0625), e.mul(p), log(e.add(c(1.0))))
    }
}

/// `log(e^x + e^y)`
#[inline(always)]
pub unsafe fn log_add<V: Lanes>(x: V, y: V) -> V {
    // SAFETY: guaranteed by the caller.
    unsafe {
        let one = V::splat(1.0);
        x.at_least(y).add(log(one.add(exp(V::splat(0.0).sub(x.sub(y).abs())))))
    }
}

/// `e^v`, like `math::exp_stable`: 0 below −87.
#[inline(always)]
pub unsafe fn exp_stable<V: Lanes>(v: V) -> V {
    // SAFETY: guaranteed by the caller.
    unsafe {
        let (zero, one) = (V::splat(0.0), V::splat(1.0));
        // Above 0, the square of the root does not overflow on the way.
        let e = exp(zero.where_below(v, v.mul(V::splat(-0.5)), v));
        let root = one.div(e);
        zero.where_below(v, root.mul(root), v.where_below(V::splat(-87.0), zero, e))
    }
}

#[cfg(test)]
mod tests {
    use super::super::simd::{COARSER, Isa, LANES, for_each_isa};
    use super::*;

    unsafe fn logarithm<V: Lanes>(from: *const f32, to: *mut f32) {
        // SAFETY: sixteen floats in, sixteen out.
        unsafe { log(V::load(from)).store(to) }
    }

    unsafe fn logarithm_1p<V: Lanes>(from: *const f32, to: *mut f32) {
        // SAFETY: as above.
        unsafe { log_1p(V::load(from)).store(to) }
    }

    unsafe fn exponential<V: Lanes>(from: *const f32, to: *mut f32) {
        // SAFETY: as above.
        unsafe { exp_stable(V::load(from)).store(to) }
    }

    /// Error of `got` in ulp of `want`.
    fn ulps(got: f32, want: f64) -> f64 {
        let near = want as f32;
        let unit = f64::from(near.abs().next_up()) - f64::from(near.abs());
        (f64::from(got) - want).abs() / unit
    }

    fn of(bits: u32, step: u32) -> [f32; LANES] {
        std::array::from_fn(|i| f32::from_bits(bits + i as u32 * step))
    }

    /// Returns the worst error over normal numbers whose bits are `step` apart; a step of 1 covers all of them.
    fn worst_logarithm(isa: Isa, step: u32) -> f64 {
        let mut worst = 0.0f64;
        let last = f32::MAX.to_bits() - LANES as u32 * step;
        for bits in (f32::MIN_POSITIVE.to_bits()..last).step_by(LANES * step as usize) {
            let (v, mut out) = (of(bits, step), [f32::NAN; LANES]);
            let (from, to) = (v.as_ptr(), out.as_mut_ptr());
            for_each_isa!(isa, logarithm::<_>(from: *const f32, to: *mut f32));
            for (v, got) in v.into_iter().zip(out) {
                let off = ulps(got, f64::from(v).ln());
                assert!(off <= 1.0, "{isa:?}: log {v:e} = {got:e}, off by {off} ulp");
                worst = worst.max(off);
            }
        }
        worst
    }

    #[test]
    fn logarithms_are_within_one_unit_on_every_isa() {
        for isa in Isa::available() {
            worst_logarithm(isa, 997 * COARSER as u32);
        }
    }

    /// Covers every positive normal number; takes two minutes per instruction set.
    #[test]
    #[ignore = "takes minutes: cargo test --release --lib logarithm -- --ignored --nocapture"]
    fn logarithms_of_all_numbers_are_within_one_unit_on_every_isa() {
        for isa in Isa::available() {
            println!("{isa:?}: worst error {:.3} ulp", worst_logarithm(isa, 1));
        }
    }

    #[test]
    fn logarithms_keep_infinity_and_nan_on_every_isa() {
        for isa in Isa::available() {
            let mut v = [f32::NAN; LANES];
            (v[0], v[1], v[2]) = (f32::INFINITY, 1.0, f32::MAX);
            let mut out = [0.0; LANES];
            let (from, to) = (v.as_ptr(), out.as_mut_ptr());
            for_each_isa!(isa, logarithm::<_>(from: *const f32, to: *mut f32));
            // The last is ln of the largest number. Miri adds random errors to `f32::ln`.
            assert_eq!(out[..3], [f32::INFINITY, 0.0, 88.722_84], "{isa:?}");
            assert!(out[3..].iter().all(|v| v.is_nan()), "{isa:?}: {out:?}");
        }
    }

    #[test]
    fn log_1p_and_exp_stable_are_close_to_f64_on_every_isa() {
        for isa in Isa::available() {
            for bits in (0..1.0f32.to_bits() - 16 * 641).step_by(16 * 641 * COARSER) {
                let (v, mut out) = (of(bits, 641), [f32::NAN; LANES]);
                let (from, to) = (v.as_ptr(), out.as_mut_ptr());
                for_each_isa!(isa, logarithm_1p::<_>(from: *const f32, to: *mut f32));
                for (v, got) in v.into_iter().zip(out) {
                    let off = (f64::from(got) - f64::from(v).ln_1p()).abs();
                    assert!(off <= 1.2e-6 * f64::from(v) + 1e-45, "{isa:?}: log(1 + {v:e}) = {got:e}");
                }
            }
            for start in (-8800..880).step_by(COARSER) {
                let v: [f32; LANES] = std::array::from_fn(|i| start as f32 / 10.0 + i as f32 / 160.0);
                let mut out = [f32::NAN; LANES];
                let (from, to) = (v.as_ptr(), out.as_mut_ptr());
                for_each_isa!(isa, exponential::<_>(from: *const f32, to: *mut f32));
                for (v, got) in v.into_iter().zip(out) {
                    let want = f64::from(v).exp();
                    assert!((f64::from(got) - want).abs() <= 8e-7 * want + 2e-38, "{isa:?}: e^{v} = {got:e}");
                }
            }
        }
    }
}
