//! Activation functions of gates: ONNX's list, with its parameters.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::math::{number, sigmoid, softplus, tanh_stable};

/// An activation function, with the names used by the ONNX operators GRU, LSTM and RNN.
///
/// ```
/// use wgru::Activation;
/// assert_eq!(Activation::LeakyRelu { alpha: 0.1 }.apply(-2.0), -0.2);
/// assert_eq!(Activation::HardSigmoid { alpha: 0.2, beta: 0.5 }.apply(9.0), 1.0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// `1 / (1 + e^(−v))`
    Sigmoid,
    /// `tanh(v)`
    Tanh,
    /// `max(v, 0)`
    Relu,
    /// `α·v + β`
    Affine {
        /// α
        alpha: f32,
        /// β
        beta: f32,
    },
    /// `v` if `v ≥ 0`, otherwise `α·v`
    LeakyRelu {
        /// α
        alpha: f32,
    },
    /// `v` if `v ≥ α`, otherwise 0
    ThresholdedRelu {
        /// α
        alpha: f32,
    },
    /// `α·tanh(β·v)`
    ScaledTanh {
        /// α
        alpha: f32,
        /// β
        beta: f32,
    },
    /// `min(max(α·v + β, 0), 1)`
    HardSigmoid {
        /// α
        alpha: f32,
        /// β
        beta: f32,
    },
    /// `v` if `v ≥ 0`, otherwise `α·(e^v − 1)`
    Elu {
        /// α
        alpha: f32,
    },
    /// `v / (1 + |v|)`
    Softsign,
    /// `log(1 + e^v)`
    Softplus,
}

impl Activation {
    /// Returns the number, `α` and `β`, as the kernels take them.
    pub(crate) fn words(self) -> (u32, f32, f32) {
        match self {
            Activation::Sigmoid => (0, 0.0, 0.0),
            Activation::Tanh => (1, 0.0, 0.0),
            Activation::Relu => (2, 0.0, 0.0),
            Activation::Affine { alpha, beta } => (3, alpha, beta),
            Activation::LeakyRelu { alpha } => (4, alpha, 0.0),
            Activation::ThresholdedRelu { alpha } => (5, alpha, 0.0),
            Activation::ScaledTanh { alpha, beta } => (6, alpha, beta),
            Activation::HardSigmoid { alpha, beta } => (7, alpha, beta),
            Activation::Elu { alpha } => (8, alpha, 0.0),
            Activation::Softsign => (9, 0.0, 0.0),
            Activation::Softplus => (10, 0.0, 0.0),
        }
    }

    /// `f(v)`. NaN gives NaN.
    pub fn apply(self, v: f32) -> f32 {
        let (kind, alpha, beta) = self.words();
        activate(kind, alpha, beta, v)
    }
}

impl Activation {
    /// `f(v)` in f64, computed by its definition. NaN gives NaN.
    pub(crate) fn apply_f64(self, v: f64) -> f64 {
        let (_, alpha, beta) = self.words();
        let (alpha, beta) = (f64::from(alpha), f64::from(beta));
        let below = |bound: f64, low: f64, high: f64| if v < bound { low } else { high };
        match self {
            Activation::Sigmoid => 1.0 / (1.0 + (-v).exp()),
            Activation::Tanh => v.tanh(),
            Activation::Relu => below(0.0, 0.0, v),
            Activation::Affine { .. } => alpha * v + beta,
            Activation::LeakyRelu { .. } => below(0.0, alpha * v, v),
            Activation::ThresholdedRelu { .. } => below(alpha, 0.0, v),
            Activation::ScaledTanh { .. } => alpha * (beta * v).tanh(),
            Activation::HardSigmoid { .. } => (alpha * v + beta).clamp(0.0, 1.0),
            Activation::Elu { .. } => below(0.0, alpha * v.exp_m1(), v),
            Activation::Softsign => v / (1.0 + v.abs()),
            Activation::Softplus => below(0.0, 0.0, v) + (-v.abs()).exp().ln_1p(),
        }
    }
}

/// ONNX's name, with the parameters in parentheses: `HardSigmoid(0.2,0.5)`. Parsing the result returns the same value.
impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, alpha, beta) = self.words();
        let (name, parameters) = NAMES[kind as usize];
        match parameters {
            0 => f.write_str(name),
            1 => write!(f, "{name}({alpha:?})"),
            _ => write!(f, "{name}({alpha:?},{beta:?})"),
        }
    }
}

/// Names and numbers of parameters, by number of the activation.
const NAMES: [(&str, usize); 11] = [
    ("Sigmoid", 0),
    ("Tanh", 0),
    ("Relu", 0),
    ("Affine", 2),
    ("LeakyRelu", 1),
    ("ThresholdedRelu", 1),
    ("ScaledTanh", 2),
    ("HardSigmoid", 2),
    ("Elu", 1),
    ("Softsign", 0),
    ("Softplus", 0),
];

impl FromStr for Activation {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = || Error::value("Activation", "text", "a name such as Sigmoid or HardSigmoid(0.2,0.5)", text);
        let (name, inside) = match text.split_once('(') {
            Some((name, rest)) => (name, rest.strip_suffix(')').ok_or_else(bad)?),
            None => (text, ""),
        };
        let numbers = inside.split(',').filter(|part| !part.is_empty()).map(|part| number(part.trim()));
        let numbers: Vec<f32> = numbers.map(|n| n.map(|n| n as f32)).collect::<Option<_>>().ok_or_else(bad)?;
        match (name, &numbers[..]) {
            ("Sigmoid", []) => Ok(Activation::Sigmoid),
            ("Tanh", []) => Ok(Activation::Tanh),
            ("Relu", []) => Ok(Activation::Relu),
            ("Affine", &[alpha, beta]) => Ok(Activation::Affine { alpha, beta }),
            ("LeakyRelu", &[alpha]) => Ok(Activation::LeakyRelu { alpha }),
            ("ThresholdedRelu", &[alpha]) => Ok(Activation::ThresholdedRelu { alpha }),
            ("ScaledTanh", &[alpha, beta]) => Ok(Activation::ScaledTanh { alpha, beta }),
            ("HardSigmoid", &[alpha, beta]) => Ok(Activation::HardSigmoid { alpha, beta }),
            ("Elu", &[alpha]) => Ok(Activation::Elu { alpha }),
            ("Softsign", []) => Ok(Activation::Softsign),
            ("Softplus", []) => Ok(Activation::Softplus),
            _ => Err(bad()),
        }
    }
}

/// `f(v)`; the twin of `activate` in `shaders/common/activate.wgsl`.
pub(crate) fn activate(kind: u32, alpha: f32, beta: f32, v: f32) -> f32 {
    match kind {
        0 => sigmoid(v),
        1 => tanh_stable(v),
        2 => {
            if v < 0.0 {
                0.0
            } else {
                v
            }
        }
        3 => alpha * v + beta,
        4 => {
            if v < 0.0 {
                alpha * v
            } else {
                v
            }
        }
        5 => {
            if v < alpha {
                0.0
            } else {
                v
            }
        }
        6 => alpha * tanh_stable(beta * v),
        7 => (alpha * v + beta).clamp(0.0, 1.0),
        8 => {
            if v < 0.0 {
                alpha * expm1(v)
            } else {
                v
            }
        }
        9 => v / (1.0 + v.abs()),
        _ => softplus(v),
    }
}

/// `f'(v)`, given `y = f(v)`; the twin of `slope` in `shaders/common/activate.wgsl`.
pub(crate) fn slope(kind: u32, alpha: f32, beta: f32, v: f32, y: f32) -> f32 {
    match kind {
        0 => y * (1.0 - y),
        1 => 1.0 - y * y,
        2 => {
            if v > 0.0 {
                1.0
            } else if v <= 0.0 {
                0.0
            } else {
                v
            }
        }
        3 => alpha,
        4 => {
            if v < 0.0 {
                alpha
            } else {
                1.0
            }
        }
        5 => {
            if v < alpha {
                0.0
            } else {
                1.0
            }
        }
        6 => {
            let t = tanh_stable(beta * v);
            alpha * beta * (1.0 - t * t)
        }
        7 => {
            if y > 0.0 && y < 1.0 {
                alpha
            } else {
                0.0
            }
        }
        8 => {
            if v < 0.0 {
                y + alpha
            } else {
                1.0
            }
        }
        9 => {
            let s = 1.0 + v.abs();
            1.0 / (s * s)
        }
        _ => sigmoid(v),
    }
}

/// `e^v − 1` for `v ≤ 0`, computed by a series where the difference would cancel.
fn expm1(v: f32) -> f32 {
    if v > -0.25 {
        return v * (1.0 + v * (0.5 + v * (1.0 / 6.0 + v * (1.0 / 24.0 + v * (1.0 / 120.0)))));
    }
    v.exp() - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Activation; 11] = [
        Activation::Sigmoid,
        Activation::Tanh,
        Activation::Relu,
        Activation::Affine { alpha: 0.7, beta: -0.2 },
        Activation::LeakyRelu { alpha: 0.1 },
        Activation::ThresholdedRelu { alpha: 0.6 },
        Activation::ScaledTanh { alpha: 1.3, beta: 0.8 },
        Activation::HardSigmoid { alpha: 0.2, beta: 0.5 },
        Activation::Elu { alpha: 0.9 },
        Activation::Softsign,
        Activation::Softplus,
    ];

    #[test]
    fn activations_match_f64_and_their_slopes_central_differences() {
        for a in ALL {
            let (kind, alpha, beta) = a.words();
            for i in -60..=60 {
                // Avoids the kinks of the piecewise functions.
                let v = i as f32 / 8.0 + 0.031;
                let y = a.apply(v);
                let want = a.apply_f64(v as f64);
                assert!((y as f64 - want).abs() <= 4e-7 * want.abs().max(1.0), "{a:?}({v})");
                let difference = (a.apply_f64(v as f64 + 1e-5) - a.apply_f64(v as f64 - 1e-5)) / 2e-5;
                assert!((slope(kind, alpha, beta, v, y) as f64 - difference).abs() <= 1e-6, "{a:?}'({v})");
            }
            assert!(a.apply(f32::NAN).is_nan() && a.apply_f64(f64::NAN).is_nan(), "{a:?}");
        }
    }

    #[test]
    fn activations_are_written_and_read_back() {
        for a in ALL {
            assert_eq!(a.to_string().parse::<Activation>().ok(), Some(a));
        }
        for bad in ["", "sigmoid", "Elu", "Elu(", "Elu(x)", "Sigmoid(1)", "Affine(1)"] {
            assert!(bad.parse::<Activation>().is_err(), "{bad}");
        }
    }
}
