//! Elementwise functions, copies, sums, and random masks.

use wgru::kernels::{BinaryOp, UnaryOp};

/// `f(x)`
pub fn unary(op: UnaryOp, alpha: f64, x: f64) -> f64 {
    match op {
        UnaryOp::Scale => x * alpha,
        UnaryOp::AddScalar => x + alpha,
        UnaryOp::Relu => (x + x.abs()) / 2.0,
        UnaryOp::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        UnaryOp::Tanh => x.tanh(),
        UnaryOp::Square => x.powi(2),
        UnaryOp::Sqrt => x.powf(0.5),
        UnaryOp::Abs => x * x.signum(),
        UnaryOp::Min => x.min(alpha),
        UnaryOp::Exp => x.exp(),
        UnaryOp::Log => x.ln(),
        UnaryOp::Elu => x.max(0.0) + alpha * x.min(0.0).exp_m1(),
        UnaryOp::Softplus => (-x.abs()).exp().ln_1p() + x.max(0.0),
        UnaryOp::Softsign => x * (1.0 + x.abs()).recip(),
        UnaryOp::Stirling => log_gamma(x) - (x - 0.5) * x.ln() + x - 0.5 * std::f64::consts::TAU.ln(),
    }
}

/// `log Γ(x)` for `x > 0`: Lanczos' approximation with g = 7 and nine terms.
pub fn log_gamma(x: f64) -> f64 {
    const TERMS: [f64; 9] = [
        0.999_999_999_999_809_9,
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    let sum = TERMS[1..].iter().zip(0..).fold(TERMS[0], |sum, (term, i)| sum + term / (x + f64::from(i)));
    let base = x + 6.5;
    0.5 * std::f64::consts::TAU.ln() + (x - 0.5) * base.ln() - base + sum.ln()
}

/// `ψ(x) = (log Γ)'(x)` for `x > 0`: a sum of reciprocals up to a large argument.
pub fn digamma(x: f64) -> f64 {
    let steps: f64 = (0..200).map(|i| (x + f64::from(i)).recip()).sum();
    let y = x + 200.0;
    y.ln() - 0.5 / y - y.powi(-2) / 12.0 + y.powi(-4) / 120.0 - steps
}

/// `f'(x)`, as a function of `x` only.
pub fn unary_slope(op: UnaryOp, alpha: f64, x: f64) -> f64 {
    let step = |on: bool| if on { 1.0 } else { 0.0 };
    match op {
        UnaryOp::Scale => alpha,
        UnaryOp::AddScalar => 1.0,
        UnaryOp::Relu => step(x > 0.0),
        UnaryOp::Sigmoid => (x / 2.0).cosh().powi(-2) / 4.0,
        UnaryOp::Tanh => x.cosh().powi(-2),
        UnaryOp::Square => 2.0 * x,
        UnaryOp::Sqrt => x.powf(-0.5) / 2.0,
        UnaryOp::Abs => step(x > 0.0) - step(x < 0.0),
        UnaryOp::Min => step(x <= alpha),
        UnaryOp::Exp => x.exp(),
        UnaryOp::Log => x.recip(),
        UnaryOp::Elu => step(x > 0.0) + step(x <= 0.0) * alpha * x.exp(),
        UnaryOp::Softplus => (1.0 + (-x).exp()).recip(),
        UnaryOp::Softsign => (1.0 + x.abs()).powi(-2),
        UnaryOp::Stirling => digamma(x) - x.ln() + 0.5 / x,
    }
}

/// `a ∘ b`
pub fn binary(op: BinaryOp, a: f64, b: f64) -> f64 {
    match op {
        BinaryOp::Add => a + b,
        BinaryOp::Sub => -(b - a),
        BinaryOp::Mul => a * b,
        BinaryOp::Div => a * b.powi(-1),
        BinaryOp::Mask => {
            if b == 0.0 {
                0.0
            } else {
                b * a
            }
        }
    }
}

/// Every index of `dims`, the last axis fastest.
pub fn indices(dims: &[usize]) -> Vec<Vec<usize>> {
    let mut all = vec![vec![]];
    for &extent in dims {
        all = all.iter().flat_map(|head| (0..extent).map(move |i| [&head[..], &[i]].concat())).collect();
    }
    all
}

/// Flat position of an index in an array of `dims`; missing leading axes are ignored, and an extent of 1 repeats.
pub fn place(dims: &[usize], index: &[usize]) -> usize {
    let index = &index[index.len() - dims.len()..];
    dims.iter().zip(index).fold(0, |at, (&extent, &i)| at * extent + if extent == 1 { 0 } else { i })
}

/// Extents of `a ∘ b` by NumPy's rule.
pub fn broadcast_dims(a: &[usize], b: &[usize]) -> Vec<usize> {
    let rank = a.len().max(b.len());
    let extent = |dims: &[usize], axis: usize| (axis + dims.len()).checked_sub(rank).map_or(1, |i| dims[i]);
    (0..rank).map(|axis| extent(a, axis).max(extent(b, axis))).collect()
}

/// `a ∘ b` with broadcasting.
pub fn broadcast(op: BinaryOp, (a, da): (&[f64], &[usize]), (b, db): (&[f64], &[usize])) -> Vec<f64> {
    let each = |i: &Vec<usize>| binary(op, a[place(da, i)], b[place(db, i)]);
    indices(&broadcast_dims(da, db)).iter().map(each).collect()
}

/// `Σ x` over the chunks of the middle axis of `[outer, axis, inner]`: `[outer, ⌈axis / chunk⌉, inner]`.
pub fn sum(x: &[f64], [outer, axis, inner]: [usize; 3], chunk: usize, f: impl Fn(f64) -> f64) -> Vec<f64> {
    let chunks = axis.div_ceil(chunk);
    let mut out = vec![0.0; outer * chunks * inner];
    for (index, &v) in indices(&[outer, axis, inner]).iter().zip(x) {
        out[(index[0] * chunks + index[1] / chunk) * inner + index[2]] += f(v);
    }
    out
}

/// The first word of Threefry-2x32-20, as in the paper: rounds in groups of four, with a key injection after each
/// group.
pub fn threefry(key: [u32; 2], counter: [u32; 2]) -> u32 {
    const WORD: u64 = 1 << 32;
    let parity = key.iter().fold(0x1BD1_1BDA_u32, |parity, word| parity ^ word);
    let schedule = [key[0], key[1], parity].map(u64::from);
    let mut left = (counter[0] as u64 + schedule[0]) % WORD;
    let mut right = (counter[1] as u64 + schedule[1]) % WORD;
    for group in 1..=5 {
        for turn in if group % 2 == 1 { [13, 15, 26, 6] } else { [17, 29, 16, 24] } {
            left = (left + right) % WORD;
            right = ((right << turn) % WORD + (right >> (32 - turn))) ^ left;
        }
        left = (left + schedule[group % 3]) % WORD;
        right = (right + schedule[(group + 1) % 3] + group as u64) % WORD;
    }
    left as u32
}
