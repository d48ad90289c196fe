use super::*;
use crate::math::SIGMOID_LOW;

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
fn every_f16_converts_exactly_on_every_isa() {
    for isa in Isa::available() {
        for first in (0..=u16::MAX).step_by(LANES * COARSER) {
            let from: [u16; LANES] = std::array::from_fn(|i| first + i as u16);
            let mut out = [0.0f32; LANES];
            let (at, to) = (from.as_ptr(), out.as_mut_ptr());
            for_each_isa!(isa, halves::<_>(at: *const u16, to: *mut f32));
            for (bits, got) in from.into_iter().zip(out) {
                let want = half::f16::from_bits(bits).to_f32();
                assert!(got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan(), "{isa:?} {bits:#x}: {got}");
            }
        }
    }
}

unsafe fn columns<V: Lanes>(from: *const f32, to: *mut f32) {
    // SAFETY: sixteen rows of 19 in, sixteen of 17 out.
    unsafe { V::transpose(from, 19, to, 17) }
}

#[test]
fn transpose_is_exact_on_every_isa() {
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
        for start in (-1000..1000).step_by(COARSER) {
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

unsafe fn fast<V: Lanes>(from: *const f32, to: *mut f32) {
    // SAFETY: sixteen floats in, thirty-two out.
    unsafe {
        Fast::sigmoid(V::load(from)).store(to);
        Fast::tanh(V::load(from)).store(to.add(LANES));
    }
}

/// Where the ratio of polynomials comes nearest to 1.
#[test]
fn fast_activations_never_exceed_one() {
    for isa in Isa::available() {
        for bits in (8.5f32.to_bits()..9.1f32.to_bits()).step_by(LANES * COARSER) {
            for scale in [1.0, 2.0] {
                let v: [f32; LANES] = std::array::from_fn(|i| scale * f32::from_bits(bits + i as u32));
                let mut out = [f32::NAN; 2 * LANES];
                let (from, to) = (v.as_ptr(), out.as_mut_ptr());
                for_each_isa!(isa, fast::<_>(from: *const f32, to: *mut f32));
                assert!(out.iter().all(|y| *y <= 1.0), "{isa:?}: {v:?}");
            }
        }
    }
}

/// The largest errors over every `stride`-th f32: of the exact σ and tanh in ulp of the result, and of the fast ones.
fn errors(isa: Isa, stride: usize) -> [f64; 4] {
    let mut worst = [0.0f64; 4];
    let unit = |want: f64| f64::from((want as f32).abs().next_up()) - f64::from((want as f32).abs());
    let mut bits = (0..=u32::MAX).step_by(stride).peekable();
    loop {
        let v: [f32; LANES] = std::array::from_fn(|_| f32::from_bits(bits.next().unwrap_or(0)));
        let exact = activations(isa, v);
        let mut out = [f32::NAN; 2 * LANES];
        let (from, to) = (v.as_ptr(), out.as_mut_ptr());
        for_each_isa!(isa, fast::<_>(from: *const f32, to: *mut f32));
        for (i, &v) in v.iter().enumerate() {
            let (s, t) = (exact[i], exact[LANES + i]);
            if v.is_nan() {
                assert!([s, t, out[i], out[LANES + i]].iter().all(|v| v.is_nan()), "{isa:?}: {:#x}", v.to_bits());
                continue;
            }
            let x = f64::from(v);
            let (sigmoid, tanh) = (1.0 / (1.0 + (-x).exp()), x.tanh());
            if v >= SIGMOID_LOW {
                worst[0] = worst[0].max((f64::from(s) - sigmoid).abs() / unit(sigmoid));
            } else {
                assert_eq!(s, 0.0, "{isa:?}: {v}");
            }
            worst[1] = worst[1].max((f64::from(t) - tanh).abs() / unit(tanh));
            worst[2] = worst[2].max((f64::from(out[i]) - sigmoid).abs());
            worst[3] = worst[3].max((f64::from(out[LANES + i]) - tanh).abs());
            assert!((0.0..=1.0).contains(&out[i]) && out[LANES + i].abs() <= 1.0, "{isa:?}: {v}");
        }
        if bits.peek().is_none() {
            return worst;
        }
    }
}

fn check_errors(stride: usize) {
    for isa in Isa::available() {
        let [sigmoid, tanh, fast_sigmoid, fast_tanh] = errors(isa, stride);
        println!("{isa:?}: σ {sigmoid:.2} ulp, tanh {tanh:.2} ulp; fast {fast_sigmoid:.1e}, {fast_tanh:.1e}");
        assert!(sigmoid <= 3.0 && tanh <= 3.0, "{isa:?}: {sigmoid} {tanh}");
        assert!(fast_sigmoid <= 7e-6 && fast_tanh <= 1.3e-5, "{isa:?}: {fast_sigmoid:e} {fast_tanh:e}");
    }
}

#[test]
fn activations_hold_their_bounds() {
    check_errors(4099 * COARSER);
}

/// Takes minutes.
#[test]
#[ignore = "over all f32"]
fn activations_hold_their_bounds_over_all_f32() {
    check_errors(1);
}
