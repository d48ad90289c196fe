//! Elementwise functions, arithmetic, and dropout.

use wgru::kernels::{BinaryOp, Dropout, Fill, Map, MapOp, UnaryOp, Zip, ZipOp};
use wgru::{Result, Tensor};

use super::{EXACT, FEW, run_kernel};
use crate::reference::elementwise::{broadcast, threefry, unary};
use crate::reference::wide;
use crate::run::{Run, Stop, fill, input};

/// Elements: past a workgroup of 64, and not a multiple of it.
const LEN: usize = 335;

type Stopped = std::result::Result<(), Stop>;

pub async fn all(run: &mut Run<'_>) -> Stopped {
    functions(run).await?;
    arithmetic(run).await?;
    maps(run).await?;
    zips(run).await?;
    let fill = Fill { len: LEN as u32, value: 0.375 };
    let got = run_kernel(run, &fill, []).map(|[out]| out);
    run.compare("fill", EXACT, got, &[0.375; LEN]).await?;
    dropout(run).await
}

async fn functions(run: &mut Run<'_>) -> Stopped {
    type Method = fn(&Tensor) -> Result<Tensor>;
    let cases: [(&str, UnaryOp, f64, Method); 14] = [
        ("scale", UnaryOp::Scale, 1.75, |x| x.scale(1.75)),
        ("add_scalar", UnaryOp::AddScalar, 1.75, |x| x.add_scalar(1.75)),
        ("relu", UnaryOp::Relu, 0.0, Tensor::relu),
        ("sigmoid", UnaryOp::Sigmoid, 0.0, Tensor::sigmoid),
        ("tanh", UnaryOp::Tanh, 0.0, Tensor::tanh),
        ("square", UnaryOp::Square, 0.0, Tensor::square),
        ("sqrt", UnaryOp::Sqrt, 0.0, Tensor::sqrt),
        ("abs", UnaryOp::Abs, 0.0, Tensor::abs),
        ("clamp_max", UnaryOp::Min, 0.5, |x| x.clamp_max(0.5)),
        ("exp", UnaryOp::Exp, 0.0, Tensor::exp),
        ("log", UnaryOp::Log, 0.0, Tensor::log),
        ("elu", UnaryOp::Elu, 1.5, |x| x.elu(1.5)),
        ("softplus", UnaryOp::Softplus, 0.0, Tensor::softplus),
        ("softsign", UnaryOp::Softsign, 0.0, Tensor::softsign),
    ];
    for (name, op, alpha, method) in cases {
        let (mut x, dims) = input(1, &[LEN], 3.0);
        if matches!(op, UnaryOp::Sqrt | UnaryOp::Log) {
            x.iter_mut().for_each(|v| *v = v.abs() + 0.1);
        }
        let reference = |x: &[Vec<f64>]| x[0].iter().map(|&v| unary(op, alpha, v)).collect();
        run.check(name, FEW, &[(x, dims)], |x| method(&x[0]), reference).await?;
    }
    Ok(())
}

async fn arithmetic(run: &mut Run<'_>) -> Stopped {
    type Method = fn(&Tensor, &Tensor) -> Result<Tensor>;
    let cases: [(&str, BinaryOp, Method); 5] = [
        ("add", BinaryOp::Add, Tensor::add),
        ("sub", BinaryOp::Sub, Tensor::sub),
        ("mul", BinaryOp::Mul, Tensor::mul),
        ("div", BinaryOp::Div, Tensor::div),
        ("mask", BinaryOp::Mask, Tensor::mask),
    ];
    for (name, op, method) in cases {
        let (da, db) = ([3, 5, 7], [5, 1]);
        let a = input(2, &da, 1.0);
        let (mut b, dims) = input(3, &db, 1.0);
        // Away from 0, for the quotients.
        b.iter_mut().for_each(|v| *v += 1f32.copysign(*v));
        if op == BinaryOp::Mask {
            let factors = wide(&b);
            let device = run.device.clone();
            let f = |x: &[Tensor]| method(&x[0], &Tensor::from_slice(&device, &b, &dims)?);
            run.check(name, FEW, &[a], f, |x| broadcast(op, (&x[0], &da), (&factors, &db))).await?;
        } else {
            let reference = |x: &[Vec<f64>]| broadcast(op, (&x[0], &da), (&x[1], &db));
            run.check(name, FEW, &[a, (b, dims)], |x| method(&x[0], &x[1]), reference).await?;
        }
    }
    Ok(())
}

/// The error function by its Taylor series.
fn erf(x: f64) -> f64 {
    let (mut term, mut sum) = (x, x);
    for n in 1..80 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * std::f64::consts::FRAC_2_SQRT_PI
}

/// Rounds to a format with so many bits after the leading one, and this exponent of its smallest normal number.
fn rounded(x: f64, bits: i32, smallest: i32) -> f64 {
    let exponent = x.abs().log2().floor().max(smallest.into());
    let step = (exponent - f64::from(bits)).exp2();
    (x / step).round_ties_even() * step
}

async fn maps(run: &mut Run<'_>) -> Stopped {
    let of = |op: MapOp, x: f64| match op {
        MapOp::Floor => x.floor(),
        MapOp::Ceil => x.ceil(),
        MapOp::Round => x.round_ties_even(),
        MapOp::Trunc => x.trunc(),
        MapOp::Sign => x.partial_cmp(&0.0).map_or(f64::NAN, |order| f64::from(order as i8)),
        MapOp::Erf => erf(x),
        MapOp::Sin => x.sin(),
        MapOp::Cos => x.cos(),
        MapOp::Half => rounded(x, 10, -14),
        MapOp::Brain => rounded(x, 7, -126),
        MapOp::IsZero => f64::from(x == 0.0),
        MapOp::IsNotZero => f64::from(x != 0.0),
        MapOp::IsNan => f64::from(x.is_nan()),
        MapOp::IsInf => f64::from(x.is_infinite()),
        MapOp::Atan => x.atan(),
    };
    for op in MapOp::ALL {
        let mut x = fill(4, LEN, 3.0);
        x[..4].copy_from_slice(&[0.0, 2.5, -1.5, 0.5]);
        if matches!(op, MapOp::IsNan | MapOp::IsInf) {
            x[4..7].copy_from_slice(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY]);
        }
        let want: Vec<f64> = x.iter().map(|&v| of(op, v.into())).collect();
        let kernel = Map { len: LEN as u32, op: op as u32 };
        let got = Tensor::from_slice(&run.device, &x, &[LEN]).and_then(|x| run_kernel(run, &kernel, [&x]));
        let tolerance =
            if matches!(op, MapOp::Erf | MapOp::Sin | MapOp::Cos | MapOp::Atan) { FEW.forward } else { EXACT };
        run.compare(&format!("map {op:?}"), tolerance, got.map(|[y]| y), &want).await?;
    }
    Ok(())
}

async fn zips(run: &mut Run<'_>) -> Stopped {
    let of = |op: ZipOp, a: f64, b: f64| match op {
        ZipOp::Equal => f64::from(a == b),
        ZipOp::Less => f64::from(a < b),
        ZipOp::LessOrEqual => f64::from(a <= b),
        ZipOp::And => f64::from(a != 0.0 && b != 0.0),
        ZipOp::Or => f64::from(a != 0.0 || b != 0.0),
        ZipOp::Xor => f64::from((a != 0.0) != (b != 0.0)),
        ZipOp::Min => a.min(b),
        ZipOp::Max => a.max(b),
        ZipOp::Mod => a - b * (a / b).floor(),
        ZipOp::Rem => a - b * (a / b).trunc(),
        ZipOp::Quotient => (a / b).trunc(),
        ZipOp::Pow => a.powf(b),
    };
    for op in ZipOp::ALL {
        // Whole numbers, for comparisons and divisions; a power takes positive ones and real exponents.
        let whole = |stream: u64, n: usize| fill(stream, n, 4.0).iter().map(|v| v.round()).collect::<Vec<f32>>();
        let (mut a, mut b) = (whole(5, 35), whole(6, 7));
        match op {
            ZipOp::Pow => (a, b) = (a.iter().map(|v| v.abs() + 0.5).collect(), fill(6, 7, 2.0)),
            ZipOp::Mod | ZipOp::Rem | ZipOp::Quotient => b.iter_mut().for_each(|v| *v += 5.0),
            _ => {}
        }
        let want: Vec<f64> = (0..35).map(|i| of(op, a[i].into(), b[i % 7].into())).collect();
        let (a_strides, b_strides) = ([0, 0, 7, 1], [0, 0, 0, 1]);
        let kernel = Zip { dims: [1, 1, 5, 7], a_strides, b_strides, op: op as u32 };
        let got = Tensor::from_slice(&run.device, &a, &[35])
            .and_then(|a| Ok((a, Tensor::from_slice(&run.device, &b, &[7])?)))
            .and_then(|(a, b)| run_kernel(run, &kernel, [&a, &b]));
        // `exp2` and `log2` of WGSL lose a few digits.
        let tolerance = if op == ZipOp::Pow { 2e-5 } else { EXACT };
        run.compare(&format!("zip {op:?}"), tolerance, got.map(|[y]| y), &want).await?;
    }
    Ok(())
}

async fn dropout(run: &mut Run<'_>) -> Stopped {
    let (key, x) = ([7, 11], fill(7, LEN, 1.0));
    let share = |i: usize| f64::from(threefry(key, [i as u32, 0])) / 4_294_967_296.0;
    let want: Vec<f64> = (0..LEN).map(|i| if share(i) < 0.25 { 0.0 } else { f64::from(x[i]) * 2.0 }).collect();
    let kernel = Dropout { len: LEN as u32, key_low: key[0], key_high: key[1], threshold: 1 << 30, scale: 2.0 };
    let got = Tensor::from_slice(&run.device, &x, &[LEN]).and_then(|x| run_kernel(run, &kernel, [&x]));
    run.compare("dropout", EXACT, got.map(|[y]| y), &want).await
}
