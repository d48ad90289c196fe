//! Results at the edges of their ranges stay within the errors that WGSL allows. Each function is evaluated as its
//! shader does it, on numbers that carry a bound of their error. The bounds of single operations are those of the
//! specification, "Accuracy of Concrete Floating Point Expressions", so every tolerance is derived and none is chosen.
//! `docs/accuracy.md` lists the largest ones. To print them: `cargo test --test kernels accuracy -- --nocapture`.

use std::ops::{Add, Div, Mul, Neg, Sub};

use wgru::Device;
use wgru::kernels::{Binary, BinaryOp, LayerNorm, Softmax, Unary, UnaryOp};

use crate::reference::elementwise as reference;
use crate::{buffer, on_every_backend, run};

on_every_backend![
    unary_stays_within_the_errors_that_wgsl_allows,
    quotients_stay_within_the_errors_that_wgsl_allows,
    rows_stay_within_the_errors_that_wgsl_allows,
];

/// A result that a device may have: at most `error` away from `value`.
#[derive(Clone, Copy, Debug)]
struct Near {
    value: f64,
    error: f64,
}

/// Devices may take smaller arguments for 0.
const SMALLEST: f64 = f32::MIN_POSITIVE as f64;

/// Devices may flush smaller results to 0: e^−87, from which on the exponential of the CPU's SIMD paths is 0, a little
/// above the smallest normal float.
const SMALLEST_RESULT: f64 = 1.6459e-38;

/// Distance between neighboring floats at `v`.
fn ulp(v: f64) -> f64 {
    2f64.powi(v.abs().max(SMALLEST).log2().floor() as i32 - 23)
}

fn exact(value: f32) -> Near {
    let value = f64::from(value);
    Near { value, error: if value.abs() < SMALLEST { value.abs() } else { 0.0 } }
}

impl Near {
    /// Adds the error of one operation, in ulp of its result.
    fn rounded(self, ulps: f64) -> Self {
        let largest = self.value.abs() + self.error;
        let flushed =
            if largest > 0.0 && self.value.abs() - self.error < SMALLEST_RESULT { SMALLEST_RESULT } else { 0.0 };
        Self { error: self.error + ulps * ulp(largest) + flushed, ..self }
    }

    /// Multiplies by a power of two.
    fn scaled(self, factor: f64) -> Self {
        Self { value: self.value * factor, error: self.error * factor.abs() }
    }

    fn exp(self) -> Self {
        let value = self.value.exp();
        Self { value, error: value * self.error.exp_m1() }.rounded(3.0 + 2.0 * (self.value.abs() + self.error))
    }

    fn ln(self) -> Self {
        let near = Self { value: self.value.ln(), error: -(-self.error / self.value).ln_1p() };
        if (0.5 - self.error..=2.0 + self.error).contains(&self.value) {
            Self { error: near.error + 2f64.powi(-21), ..near }
        } else {
            near.rounded(3.0)
        }
    }

    /// 1 / inverseSqrt(v), by which WGSL defines the accuracy of a square root.
    fn sqrt(self) -> Self {
        let value = 1.0 / self.value.sqrt();
        let error = value * ((1.0 - self.error / self.value).sqrt().recip() - 1.0);
        exact(1.0) / Self { value, error }.rounded(2.0)
    }
}

impl Neg for Near {
    type Output = Self;

    fn neg(self) -> Self {
        self.scaled(-1.0)
    }
}

impl Add for Near {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { value: self.value + other.value, error: self.error + other.error }.rounded(1.0)
    }
}

impl Sub for Near {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self + -other
    }
}

impl Mul for Near {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        let error = self.error * other.value.abs() + other.error * (self.value.abs() + self.error);
        Self { value: self.value * other.value, error }.rounded(1.0)
    }
}

impl Div for Near {
    type Output = Self;

    fn div(self, other: Self) -> Self {
        let value = self.value / other.value;
        let error = (self.error + value.abs() * other.error) / (other.value.abs() - other.error);
        Self { value, error }.rounded(2.5)
    }
}

/// Collects bounds and errors of one function, and checks each result.
struct Check {
    what: String,
    bound: f64,
    error: f64,
}

impl Check {
    fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), bound: 0.0, error: 0.0 }
    }

    #[track_caller]
    fn check(&mut self, input: f32, got: f32, near: Near, want: f64) {
        // What the formula itself differs from the function, computed exactly.
        let formula = (near.value - want).abs();
        let is_exact = !near.value.is_finite() || formula <= near.error.max(SMALLEST_RESULT);
        assert!(is_exact, "{} of {input:e}: the formula is {formula:.2e} off, more than {:.2e}", self.what, near.error);
        let bound = near.error + formula;
        let error = (f64::from(got) - want).abs();
        // Also true if the bound itself overflows.
        let largest = want.abs() + bound;
        let may_overflow = largest.is_nan() || largest > f64::from(f32::MAX);
        let is_right = error <= bound || may_overflow && got.is_infinite() && (got > 0.0) == (want > 0.0);
        assert!(is_right, "{} of {input:e} is {got:e}, not {want:e} ± {bound:.2e}", self.what);
        if !may_overflow {
            let scale = want.abs().max(1.0);
            self.bound = self.bound.max(bound / scale);
            self.error = self.error.max(error / scale);
        }
    }
}

impl Drop for Check {
    fn drop(&mut self) {
        println!("{}: allowed {:.1e}, measured {:.1e}", self.what, self.bound, self.error);
    }
}

/// A function as `shaders/common/activation.wgsl` computes it, for an ELU with α = 1.
fn unary(op: UnaryOp, v: f32) -> Near {
    let (x, size, one) = (exact(v), exact(v.abs()), exact(1.0));
    match op {
        UnaryOp::Sigmoid => {
            let e = (-size).exp();
            (if v >= 0.0 { one } else { e }) / (one + e)
        }
        UnaryOp::Tanh if v.abs() < 0.25 => {
            let s = x * x;
            let factors = [62.0 / 2835.0, -17.0 / 315.0, 2.0 / 15.0, -1.0 / 3.0, 1.0];
            x * factors.into_iter().map(exact).reduce(|sum, factor| factor + s * sum).expect("factors")
        }
        UnaryOp::Tanh => {
            let e = size.scaled(-2.0).exp();
            ((one - e) / (one + e)).scaled(f64::from(v.signum()))
        }
        UnaryOp::Softplus => exact(v.max(0.0)) + (one + (-size).exp()).ln(),
        UnaryOp::Exp if v > 0.0 => {
            let root = one / size.scaled(-0.5).exp();
            root * root
        }
        UnaryOp::Exp => (-size).exp(),
        UnaryOp::Elu if v > 0.0 => x,
        UnaryOp::Elu => (-size).exp() - one,
        UnaryOp::Softsign => x / (one + size),
        UnaryOp::Log => x.ln(),
        UnaryOp::Sqrt => x.sqrt(),
        _ => unreachable!("not checked"),
    }
}

/// Both signs of the edges of every function and of the floats, and points between them.
fn edges() -> Vec<f32> {
    let points = [0.25, 0.5, 1.0, 2.0, 8.0, 9.0, 20.0, 44.0, 86.9, 87.0, 88.7, 100.0, 1e4, 1e30, 1e37];
    let small = [0.0, f32::MIN_POSITIVE, 1e-30, 1e-7, 1e-3, 0.1];
    let around = points.into_iter().flat_map(|v: f32| [v.next_down(), v, v.next_up()]);
    let between = (1..400).map(|i| i as f32 * 0.0625);
    small.into_iter().chain(around).chain(between).flat_map(|v| [v, -v]).collect()
}

fn unary_stays_within_the_errors_that_wgsl_allows(device: &Device) {
    let ops = [
        UnaryOp::Sigmoid,
        UnaryOp::Tanh,
        UnaryOp::Softplus,
        UnaryOp::Exp,
        UnaryOp::Elu,
        UnaryOp::Softsign,
        UnaryOp::Log,
        UnaryOp::Sqrt,
    ];
    for op in ops {
        let mut x = edges();
        if matches!(op, UnaryOp::Log | UnaryOp::Sqrt) {
            x.retain(|v| *v > 0.0);
        }
        let [y] = run(device, &Unary { len: x.len() as u32, op: op as u32, alpha: 1.0 }, [&buffer(device, &x)]);
        let mut check = Check::new(format!("{op:?}"));
        for (&x, &y) in x.iter().zip(&y) {
            // Below −87 the sigmoid is 0 by definition.
            let is_cut = op == UnaryOp::Sigmoid && x < -87.0;
            let near = if is_cut { exact(0.0).rounded(0.0) } else { unary(op, x) };
            check.check(x, y, near, reference::unary(op, 1.0, x.into()));
        }
    }
}

fn quotients_stay_within_the_errors_that_wgsl_allows(device: &Device) {
    // WGSL bounds the error for divisors from 2⁻¹²⁶ to 2¹²⁶.
    let a: Vec<f32> = edges();
    let b: Vec<f32> = a.iter().rev().copied().filter(|v| v.abs() > 0.0).collect();
    let len = a.len().min(b.len());
    let strides = [0, 0, 0, 1];
    let kernel =
        Binary { dims: [1, 1, 1, len as u32], a_strides: strides, b_strides: strides, op: BinaryOp::Div as u32 };
    let [y] = run(device, &kernel, [&buffer(device, &a), &buffer(device, &b)]);
    let mut check = Check::new("division");
    for ((&a, &b), &y) in a.iter().zip(&b).zip(&y) {
        check.check(b, y, exact(a) / exact(b), f64::from(a) / f64::from(b));
    }
}

fn rows_stay_within_the_errors_that_wgsl_allows(device: &Device) {
    let gaps: Vec<f32> = edges().into_iter().filter(|v| (0.0..=1e30).contains(v)).collect();
    let rows = gaps.len() as u32;
    // The elements of a row are 0 and −gap.
    let x: Vec<f32> = gaps.iter().flat_map(|gap| [0.0, -gap]).collect();
    for log in [0, 1] {
        let [y] = run(device, &Softmax { rows, width: 2, log }, [&buffer(device, &x)]);
        let mut check = Check::new(["softmax", "log-softmax"][log as usize]);
        for (&gap, y) in gaps.iter().zip(y.chunks(2)) {
            let wide = f64::from(gap);
            let e = exact(-gap).exp();
            let total = exact(0.0).exp() + e;
            let (near, want) = if log == 1 {
                ([exact(0.0) - total.ln(), exact(-gap) - total.ln()], [-(-wide).exp().ln_1p(); 2])
            } else {
                ([exact(0.0).exp() / total, e / total], [1.0 / (1.0 + (-wide).exp()); 2])
            };
            let last = if log == 1 { want[1] - wide } else { (-wide).exp() * want[1] };
            check.check(gap, y[0], near[0], want[0]);
            check.check(gap, y[1], near[1], last);
        }
    }

    // A row of a and −a has the mean 0 and the variance a².
    let sizes: Vec<f32> = gaps.into_iter().filter(|v| *v <= 1e15).collect();
    let x: Vec<f32> = sizes.iter().flat_map(|v| [*v, -v]).collect();
    let eps = 1e-5;
    let kernel = LayerNorm { rows: sizes.len() as u32, width: 2, groups: 1, eps };
    let [weight, bias] = [[1.0; 2], [0.0; 2]].map(|v| buffer(device, &v));
    let [y, _] = run(device, &kernel, [&buffer(device, &x), &weight, &bias]);
    let mut check = Check::new("layer_norm");
    for (&v, y) in sizes.iter().zip(y.chunks(2)) {
        let (wide, size) = (f64::from(v), exact(v));
        let variance = (size * size + size * size) / exact(2.0);
        let near = size * (exact(1.0) / (variance + exact(eps)).sqrt());
        let want = wide / (wide * wide + f64::from(eps)).sqrt();
        check.check(v, y[0], near, want);
        check.check(-v, y[1], -near, -want);
    }
}
