//! The recurrent layers from plain weights: one sequence at a time, only its valid steps, with every part between
//! resets run separately.

use wgru::nn::{Padding, RecurrentConfig};
use wgru::{Activation, Cell};

use super::dot;
use super::elementwise::threefry;

use crate::common::recurrent::activations;

/// `f(v)`
pub fn activate(f: Activation, v: f64) -> f64 {
    let (above, below) = (v.max(0.0), v.min(0.0));
    match f {
        Activation::Sigmoid => 0.5 * (1.0 + (v / 2.0).tanh()),
        Activation::Tanh => v.tanh(),
        Activation::Relu => above,
        Activation::Affine { alpha, beta } => alpha as f64 * v + beta as f64,
        Activation::LeakyRelu { alpha } => above + alpha as f64 * below,
        Activation::ThresholdedRelu { alpha } => v * if v < alpha as f64 { 0.0 } else { 1.0 },
        Activation::ScaledTanh { alpha, beta } => alpha as f64 * (beta as f64 * v).tanh(),
        Activation::HardSigmoid { alpha, beta } => (alpha as f64 * v + beta as f64).clamp(0.0, 1.0),
        Activation::Elu { alpha } => above + alpha as f64 * below.exp_m1(),
        Activation::Softsign => v / (1.0 + v.abs()),
        Activation::Softplus => v.exp().ln_1p(),
    }
}

/// The parameters of one direction of one layer.
pub struct Direction<'a> {
    pub config: &'a RecurrentConfig,
    /// `[G·H, out]`
    pub u: &'a [f64],
    /// `[G·H]`, `b_hh`
    pub bias: &'a [f64],
    /// `[out, H]`
    pub w_hr: Option<&'a [f64]>,
    /// `[3H]`, for i, f, o
    pub peephole: &'a [f64],
}

impl Direction<'_> {
    fn gate(&self, g: usize, v: f64) -> f64 {
        let bound = self.config.options.clip.map_or(f64::INFINITY, f64::from);
        activate(activations(self.config)[g], v.max(-bound).min(bound))
    }

    /// `U_g·v + b_hh` of gate `g`.
    pub fn product(&self, g: usize, v: &[f64]) -> Vec<f64> {
        let row = |i: usize| g * self.config.hidden + i;
        (0..self.config.hidden).map(|i| dot(&self.u[row(i) * v.len()..][..v.len()], v) + self.bias[row(i)]).collect()
    }

    /// The state `(h, c)` after a step. `a` `[G·H]` is the input term of the pre-activations, and `seen` the `h` that
    /// enters the recurrent product.
    pub fn step(&self, a: &[f64], seen: &[f64], h: &[f64], c: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let width = self.config.hidden;
        let each = |f: &dyn Fn(usize) -> f64| (0..width).map(f).collect::<Vec<f64>>();
        let rec: Vec<Vec<f64>> = (0..self.config.cell.gates()).map(|g| self.product(g, seen)).collect();
        let sum = |g: usize, i: usize| a[g * width + i] + rec[g][i];
        match self.config.cell {
            Cell::Rnn | Cell::RnnRelu => (each(&|i| self.gate(0, sum(0, i))), Vec::new()),
            Cell::Gru | Cell::GruResetBefore => {
                let (r, z) = (each(&|i| self.gate(0, sum(0, i))), each(&|i| self.gate(1, sum(1, i))));
                let inner = if self.config.cell == Cell::GruResetBefore {
                    self.product(2, &each(&|i| r[i] * seen[i]))
                } else {
                    each(&|i| r[i] * rec[2][i])
                };
                let n = each(&|i| self.gate(2, a[2 * width + i] + inner[i]));
                (each(&|i| (1.0 - z[i]) * n[i] + z[i] * h[i]), Vec::new())
            }
            Cell::Lstm => {
                let peep = |g: usize, i: usize| self.peephole.get(g * width + i).copied().unwrap_or(0.0);
                let input = each(&|i| self.gate(0, sum(0, i) + peep(0, i) * c[i]));
                let forget = each(&|i| self.gate(1, sum(1, i) + peep(1, i) * c[i]));
                let forget = if self.config.input_forget { each(&|i| 1.0 - input[i]) } else { forget };
                let new = each(&|i| forget[i] * c[i] + input[i] * self.gate(2, sum(2, i)));
                let output = each(&|i| self.gate(3, sum(3, i) + peep(2, i) * new[i]));
                let m = each(&|i| output[i] * activate(activations(self.config)[4], new[i]));
                let h = match self.w_hr {
                    Some(w) => w.chunks(width).map(|row| dot(row, &m)).collect(),
                    None => m,
                };
                (h, new)
            }
            cell => unimplemented!("{cell}"),
        }
    }
}

/// Properties of the steps of a batch, `[T, B]`.
#[derive(Clone, Debug)]
pub struct Steps {
    pub steps: usize,
    pub batch: usize,
    /// Whether each step is valid.
    pub valid: Vec<bool>,
    /// Whether a new sequence begins before each step.
    pub resets: Vec<bool>,
    pub to_first: bool,
}

impl Steps {
    pub fn all(steps: usize, batch: usize) -> Self {
        Self { steps, batch, valid: vec![true; steps * batch], resets: vec![false; steps * batch], to_first: false }
    }

    /// The parts of a sequence: `(from, to, whether it begins with a reset)`.
    fn parts(&self, row: usize) -> Vec<(usize, usize, bool)> {
        let is_reset = |t: usize| self.resets[t * self.batch + row];
        let starts: Vec<usize> = (0..self.steps).filter(|&t| t == 0 || is_reset(t)).collect();
        let end = |k: usize| starts.get(k + 1).copied().unwrap_or(self.steps);
        (0..starts.len()).map(|k| (starts[k], end(k), is_reset(starts[k]))).collect()
    }
}

/// The noise of one layer. Empty or `None` fields are absent.
#[derive(Clone, Debug, Default)]
pub struct Noise {
    /// `[T, B, in]`: factors of the layer's input.
    pub input: Vec<f64>,
    /// Zoneout's key; without one, zoneout uses its mean.
    pub zone: Option<[u32; 2]>,
    /// Key of recurrent dropout.
    pub recurrent: Option<[u32; 2]>,
    /// Factors of `w_hh`, by direction.
    pub weights: Vec<Vec<f64>>,
}

/// Whether the draw of element `i` falls within a share.
fn falls_on(share: f32, key: [u32; 2], i: usize) -> bool {
    (threefry(key, [i as u32, 0]) as f64) < share as f64 * 4_294_967_296.0
}

/// `n` dropout factors.
pub fn factors(share: f32, key: [u32; 2], n: usize) -> Vec<f64> {
    (0..n).map(|i| if falls_on(share, key, i) { 0.0 } else { 1.0 / (1.0 - share as f64) }).collect()
}

/// Output `[T, B, D·out]`, last states `[layers·D, B, out]`, last cell states `[layers·D, B, H]` (empty if there are
/// none).
pub type Ran = (Vec<f64>, Vec<f64>, Vec<f64>);

/// Runs a stack on `x` `[T, B, I]`. `parameters` are in PyTorch's order, without initial states.
pub fn run(
    config: &RecurrentConfig,
    parameters: &[Vec<f64>],
    x: &[f64],
    first: [&[f64]; 2],
    s: &Steps,
    noise: &[Noise],
) -> Ran {
    let (h, out, directions, gates) = (config.hidden, config.out(), config.directions(), config.cell.gates());
    let is_lstm = config.cell == Cell::Lstm;
    let (mut y, mut input) = (x.to_vec(), config.input);
    let (mut h_n, mut c_n) = (first[0].to_vec(), first[1].to_vec());
    let mut parameters = parameters.iter();
    let quiet = Noise::default();
    for layer in 0..config.layers {
        let noise = noise.get(layer).unwrap_or(&quiet);
        y.iter_mut().zip(&noise.input).for_each(|(v, factor)| *v *= factor);
        let mut shown = vec![0.0; s.steps * s.batch * directions * out];
        for d in 0..directions {
            let mut next = || parameters.next().expect("a parameter").clone();
            let (w_ih, mut u) = (next(), next());
            if let Some(factors) = noise.weights.get(d) {
                u.iter_mut().zip(factors).for_each(|(v, factor)| *v *= factor);
            }
            let [b_ih, b_hh] = [0, 1].map(|_| if config.bias { next() } else { vec![0.0; gates * h] });
            let w_hr = (config.projection > 0).then(&mut next);
            let peephole = if config.peephole { next() } else { Vec::new() };
            let direction = Direction { config, u: &u, bias: &b_hh, w_hr: w_hr.as_deref(), peephole: &peephole };
            let reverse = config.reverse || d == 1;
            for row in 0..s.batch {
                let state = (layer * directions + d) * s.batch + row;
                let firsts = (
                    first[0][state * out..][..out].to_vec(),
                    match is_lstm {
                        true => first[1][state * h..][..h].to_vec(),
                        false => Vec::new(),
                    },
                );
                let zeros = (vec![0.0; out], vec![0.0; firsts.1.len()]);
                let mut parts = s.parts(row);
                if reverse {
                    parts.reverse();
                }
                let mut now = firsts.clone();
                for (k, &(from, to, cut)) in parts.iter().enumerate() {
                    // The first part starts from the run's initial state, unless it begins with a reset.
                    let is_first = k == 0 && (reverse || !cut);
                    now = if is_first || s.to_first { firsts.clone() } else { zeros.clone() };
                    let mut last = vec![0.0; out];
                    let times: Vec<usize> = if reverse { (from..to).rev().collect() } else { (from..to).collect() };
                    for t in times {
                        let place = ((t * s.batch + row) * directions + d) * out;
                        if s.valid[t * s.batch + row] {
                            let from = &y[(t * s.batch + row) * input..][..input];
                            let a: Vec<f64> = w_ih.chunks(input).zip(&b_ih).map(|(w, b)| dot(w, from) + b).collect();
                            now = one(&direction, noise, &a, now, [d, t, row], s);
                            last.clone_from(&now.0);
                            shown[place..][..out].copy_from_slice(&last);
                        } else if config.options.padding == Padding::RepeatLast {
                            shown[place..][..out].copy_from_slice(&last);
                        }
                    }
                }
                h_n[state * out..][..out].copy_from_slice(&now.0);
                if is_lstm {
                    c_n[state * h..][..h].copy_from_slice(&now.1);
                }
            }
        }
        (y, input) = (shown, directions * out);
    }
    assert!(parameters.next().is_none(), "parameters left over");
    (y, h_n, if is_lstm { c_n } else { Vec::new() })
}

/// Runs one step of direction `d` at time `t` of sequence `row`, with its noise.
fn one(
    direction: &Direction,
    noise: &Noise,
    a: &[f64],
    (h, c): (Vec<f64>, Vec<f64>),
    [d, t, row]: [usize; 3],
    s: &Steps,
) -> (Vec<f64>, Vec<f64>) {
    let (o, out) = (&direction.config.options, direction.config.out());
    let width = out + c.len();
    let seen: Vec<f64> = match noise.recurrent {
        None => h.clone(),
        Some(key) => {
            let at = (d * s.batch + row) * out;
            let factors = factors(o.recurrent_dropout, key, at + out);
            h.iter().zip(&factors[at..]).map(|(v, factor)| v * factor).collect()
        }
    };
    let (new_h, new_c) = direction.step(a, &seen, &h, &c);
    let zone = |share: f32, j: usize, old: f64, new: f64| match noise.zone {
        None => share as f64 * old + (1.0 - share as f64) * new,
        Some(key) => match falls_on(share, key, ((d * s.steps + t) * s.batch + row) * width + j) {
            true => old,
            false => new,
        },
    };
    let mix = |share: f32, from: usize, old: &[f64], new: &[f64]| {
        (0..old.len()).map(|j| zone(share, from + j, old[j], new[j])).collect()
    };
    (mix(o.zoneout, 0, &h, &new_h), mix(o.zoneout_cell, out, &c, &new_c))
}
