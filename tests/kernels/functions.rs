//! map and zip: functions without a gradient.

use wgru::Device;
use wgru::kernels::{Map, MapOp, Zip, ZipOp};

use crate::common::{assert_close, fill};
use crate::{LENGTHS, bits, buffer, on_every_backend, run};

/// A polynomial, or `exp` within the 3 ulp that WGSL allows.
const FUNCTION: f64 = 4e-7;
/// `exp2` and `log2` of WGSL, with an exponent of up to 3.
const POWER: f64 = 4e-6;

on_every_backend![
    map_matches_f64,
    map_answers_questions,
    map_rounds_to_half_precision,
    map_rounds_every_tie_to_even,
    zip_matches_f64,
    zip_divides_whole_numbers_exactly,
    zip_treats_nan_as_documented,
];

/// The error function by its Taylor series, which is accurate to 1e-11 up to 3.
fn erf(x: f64) -> f64 {
    let (mut term, mut sum) = (x, x);
    for n in 1..80 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * 2.0 / std::f64::consts::PI.sqrt()
}

fn of(op: MapOp, x: f64) -> f64 {
    match op {
        MapOp::Floor => x.floor(),
        MapOp::Ceil => x.ceil(),
        MapOp::Round => x.round_ties_even(),
        MapOp::Trunc => x.trunc(),
        MapOp::Sign if x == 0.0 => 0.0,
        MapOp::Sign => x.signum(),
        MapOp::Erf => erf(x),
        MapOp::Sin => x.sin(),
        MapOp::Cos => x.cos(),
        MapOp::Atan => x.atan(),
        MapOp::IsZero => (x == 0.0).into(),
        MapOp::IsNotZero => (x != 0.0).into(),
        MapOp::IsNan => x.is_nan().into(),
        MapOp::IsInf => x.is_infinite().into(),
        MapOp::Half => nearest(x, 10, -14),
        MapOp::Brain => nearest(x, 7, -126),
    }
}

/// The nearest float with this many fraction bits and this smallest normal exponent, the even one of two, or infinity.
/// The largest exponent is `1 − smallest`. Not by `half`: its conversions from f64 drop bits before they round.
fn nearest(x: f64, fraction: i32, smallest: i32) -> f64 {
    if x == 0.0 || !x.is_finite() {
        return x;
    }
    let exponent = (x.to_bits() >> 52 & 0x7ff) as i32 - 1023;
    let step = 2f64.powi(exponent.max(smallest) - fraction);
    let y = (x / step).round_ties_even() * step;
    if y.abs() >= 2f64.powi(2 - smallest) { f64::INFINITY.copysign(x) } else { y }
}

fn map(device: &Device, op: MapOp, x: &[f32]) -> Vec<f32> {
    let [y] = run(device, &Map { len: x.len() as u32, op: op as u32 }, [&buffer(device, x)]);
    y
}

fn map_matches_f64(device: &Device) {
    for op in MapOp::ALL {
        for len in LENGTHS {
            let mut x = fill(op as u32, len, 3.0);
            x[0] = [0.5, -2.5, 0.0][len % 3];
            let want: Vec<f64> = x.iter().map(|&v| of(op, v.into())).collect();
            assert_close(&format!("{op:?} of {len}"), &map(device, op, &x), &want, FUNCTION);
        }
    }
    let far: Vec<f32> = (0..500).map(|i| i as f32 * 3.7 - 900.0).collect();
    for op in [MapOp::Sin, MapOp::Cos] {
        let want: Vec<f64> = far.iter().map(|&v| of(op, v.into())).collect();
        assert_close(&format!("{op:?} far from 0"), &map(device, op, &far), &want, FUNCTION);
    }
    assert_eq!(map(device, MapOp::Atan, &[f32::INFINITY, -1e30]), [1.570_796_4, -1.570_796_4]);
    assert_eq!(map(device, MapOp::Erf, &[f32::INFINITY, f32::NEG_INFINITY, 50.0]), [1.0, -1.0, 1.0]);
    for op in [MapOp::Floor, MapOp::Round, MapOp::Erf, MapOp::Sin, MapOp::Half, MapOp::Brain, MapOp::Sign] {
        assert!(map(device, op, &[f32::NAN])[0].is_nan(), "{op:?}");
    }
}

fn map_answers_questions(device: &Device) {
    let x = [0.0, -0.0, 1e-30, -3.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
    for (op, want) in [
        (MapOp::IsZero, [1, 1, 0, 0, 0, 0, 0]),
        (MapOp::IsNotZero, [0, 0, 1, 1, 1, 1, 1]),
        (MapOp::IsNan, [0, 0, 0, 0, 1, 0, 0]),
        (MapOp::IsInf, [0, 0, 0, 0, 0, 1, 1]),
    ] {
        assert_eq!(map(device, op, &x), want.map(|v| v as f32), "{op:?}");
    }
}

fn map_rounds_to_half_precision(device: &Device) {
    // Ties, subnormals, the largest values, and what exceeds them.
    let mut x =
        vec![0.0, -0.0, 1.0 + 1.0 / 2048.0, 1.0 + 3.0 / 2048.0, 65504.0, 65519.0, 65520.0, -1e30, f32::INFINITY];
    x.extend([6.1e-5, 6.0e-5, 5.96e-8, 2.98e-8, 3e-8, 8.9e-8, -1.2e-7, 1.0 + 1.0 / 256.0, 1.0 + 3.0 / 256.0]);
    x.extend(fill(5, 200, 1e-6).iter().chain(&fill(6, 200, 1e4)));
    for op in [MapOp::Half, MapOp::Brain] {
        let want: Vec<f32> = x.iter().map(|&v| of(op, v.into()) as f32).collect();
        assert_eq!(bits(&map(device, op, &x)), bits(&want), "{op:?}");
    }
}

/// Every number halfway between two neighbors, up to infinity, and the f32 below and above it.
fn map_rounds_every_tie_to_even(device: &Device) {
    for op in [MapOp::Half, MapOp::Brain] {
        // The bits of infinity, and the number that would be in its place.
        let (infinity, beyond) = if op == MapOp::Half { (0x7c00u16, 65536.0) } else { (0x7f80, 2f64.powi(128)) };
        let value = |bits: u16| match op {
            _ if bits == infinity => beyond,
            MapOp::Half => half::f16::from_bits(bits).to_f64(),
            _ => half::bf16::from_bits(bits).to_f64(),
        };
        let ties = (0..infinity).map(|bits| 0.5 * (value(bits) + value(bits + 1)));
        let mut x: Vec<f32> =
            ties.flat_map(|tie| [tie as f32, (tie as f32).next_down(), (tie as f32).next_up()]).collect();
        assert!(x.iter().step_by(3).all(|tie| tie.is_finite()) && x.len() == 3 * usize::from(infinity));
        // A GPU may take subnormal numbers for 0.
        x.retain(|v| !device.is_gpu() || v.abs() >= f32::MIN_POSITIVE);
        x.extend(x.clone().iter().map(|v| -v));
        let want: Vec<f32> = x.iter().map(|&v| of(op, v.into()) as f32).collect();
        let got = map(device, op, &x);
        let wrong = (0..x.len()).find(|&i| got[i].to_bits() != want[i].to_bits());
        assert!(wrong.is_none(), "{op:?}: {:?}", wrong.map(|i| (x[i], got[i], want[i])));
        // The reference itself, without its arithmetic: ties go to the even bits.
        for (bits, got) in got.iter().step_by(3).enumerate().take(if device.is_gpu() { 0 } else { infinity.into() }) {
            let even = value(bits as u16 + (bits as u16 & 1));
            assert_eq!(f64::from(*got), if even == beyond { f64::INFINITY } else { even }, "{op:?} {bits:#x}");
        }
    }
}

fn zip(device: &Device, op: ZipOp, a: &[f32], b: &[f32]) -> Vec<f32> {
    let strides = [0, 0, 0, 1];
    let kernel = Zip { dims: [1, 1, 1, a.len() as u32], a_strides: strides, b_strides: strides, op: op as u32 };
    let [y] = run(device, &kernel, [&buffer(device, a), &buffer(device, b)]);
    y
}

fn zip_matches_f64(device: &Device) {
    let a: Vec<f32> = fill(1, 300, 3.0).iter().map(|v| (v * 4.0).round() / 4.0).collect();
    let b: Vec<f32> = fill(2, 300, 3.0).iter().map(|v| (v * 4.0).round() / 4.0 + 0.125).collect();
    let b: Vec<f32> = b.iter().enumerate().map(|(i, &v)| if i % 3 == 0 { a[i] } else { v }).collect();
    let truth = |is: bool| f64::from(u8::from(is));
    for op in ZipOp::ALL {
        let (a, b) = match op {
            ZipOp::Pow => (a.iter().map(|v| v.abs() + 0.25).collect(), b.clone()),
            ZipOp::Mod | ZipOp::Rem | ZipOp::Quotient => (a.clone(), b.iter().map(|v| v + 10.0).collect()),
            _ => (a.clone(), b.clone()),
        };
        let want = |(&a, &b): (&f32, &f32)| {
            let (a, b) = (f64::from(a), f64::from(b));
            match op {
                ZipOp::Equal => truth(a == b),
                ZipOp::Less => truth(a < b),
                ZipOp::LessOrEqual => truth(a <= b),
                ZipOp::And => truth(a != 0.0 && b != 0.0),
                ZipOp::Or => truth(a != 0.0 || b != 0.0),
                ZipOp::Xor => truth((a != 0.0) != (b != 0.0)),
                ZipOp::Min => a.min(b),
                ZipOp::Max => a.max(b),
                ZipOp::Mod => a.rem_euclid(b),
                ZipOp::Rem => a % b,
                ZipOp::Quotient => (a / b).trunc(),
                ZipOp::Pow => a.powf(b),
            }
        };
        let want: Vec<f64> = a.iter().zip(&b).map(want).collect();
        assert_close(&format!("{op:?}"), &zip(device, op, &a, &b), &want, POWER);
    }
    let of = |a: &[f32], b: &[f32]| zip(device, ZipOp::Pow, a, b);
    assert_eq!(of(&[0.0, 0.0, 1.0, 0.0], &[0.0, 2.0, 9.0, -1.0]), [1.0, 0.0, 1.0, f32::INFINITY]);
    assert_close("(-2)^3", &of(&[-2.0, -2.0], &[3.0, 2.0]), &[-8.0, 4.0], POWER);
    assert!(of(&[-2.0], &[0.5])[0].is_nan());
}

/// A device may round a quotient to just below a whole number.
fn zip_divides_whole_numbers_exactly(device: &Device) {
    let pairs: Vec<(i64, i64)> = (-60..60).flat_map(|a| [-7, -3, -1, 1, 2, 5, 49].map(|b| (a * 3, b))).collect();
    let pairs: Vec<(i64, i64)> =
        pairs.into_iter().chain([(16_777_215, 4097), (-16_777_216, 3), (9_999_999, 3)]).collect();
    let [a, b] =
        [|p: &(i64, i64)| p.0 as f32, |p: &(i64, i64)| p.1 as f32].map(|f| pairs.iter().map(f).collect::<Vec<_>>());
    let all = |f: fn(i64, i64) -> i64| pairs.iter().map(|&(a, b)| f(a, b) as f32).collect::<Vec<_>>();
    assert_eq!(zip(device, ZipOp::Quotient, &a, &b), all(|a, b| a / b));
    assert_eq!(zip(device, ZipOp::Rem, &a, &b), all(|a, b| a % b));
    assert_eq!(zip(device, ZipOp::Mod, &a, &b), all(|a, b| (a % b + b) % b));
    let infinite = [f32::INFINITY; 2];
    assert_eq!(zip(device, ZipOp::Rem, &[2.5, -2.5], &infinite), [2.5, -2.5]);
    assert_eq!(zip(device, ZipOp::Mod, &[2.5, -2.5], &infinite), [2.5, f32::INFINITY]);
}

fn zip_treats_nan_as_documented(device: &Device) {
    let (a, b) = ([f32::NAN, 1.0, f32::NAN], [1.0, f32::NAN, f32::NAN]);
    for op in ZipOp::ALL {
        let y = zip(device, op, &a, &b);
        match op {
            ZipOp::Equal | ZipOp::Less | ZipOp::LessOrEqual => assert_eq!(y, [0.0; 3], "{op:?}"),
            ZipOp::And | ZipOp::Or => assert_eq!(y, [1.0; 3], "{op:?}"),
            ZipOp::Xor => assert_eq!(y, [0.0; 3], "{op:?}"),
            ZipOp::Pow => assert!(y[0].is_nan() && y[1] == 1.0 && y[2].is_nan(), "{y:?}"),
            _ => assert!(y.iter().all(|v| v.is_nan()), "{op:?}: {y:?}"),
        }
    }
}
