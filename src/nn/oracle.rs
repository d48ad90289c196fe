//! Recurrent layers in f64 on the host, as a reference for all devices.
//!
//! Follows the equations in plain loops over vectors, one sequence at a time, and shares no code with the kernels.

use super::Padding;
use super::{Recurrent, RecurrentConfig};
use crate::cell::Cell;
use crate::error::{Error, Result};
use crate::ops::recurrent::Weights;
use crate::rng::Rng;
use crate::tensor::Tensor;

/// Input of a run on the host. The optional fields are those of [`RunOptions`](super::RunOptions).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HostInput {
    /// The sequences, in the layout of the layer.
    pub x: Vec<f32>,
    /// Shape of `x`: `[T, B, I]`, or `[B, T, I]` for a `batch_first` layer.
    pub dims: [usize; 3],
    /// `[layers·D, B, H]` (or the projection's width)
    pub h0: Option<Vec<f32>>,
    /// `[layers·D, B, H]`, for an LSTM
    pub c0: Option<Vec<f32>>,
    /// `[B]`
    pub lengths: Option<Vec<usize>>,
    /// `[T, B]` or `[B, T]`
    pub mask: Option<Vec<bool>>,
    /// `[T, B]` or `[B, T]`
    pub resets: Option<Vec<bool>>,
    /// A new sequence begins with the run's initial state instead of 0.
    pub reset_to_h0: bool,
}

/// Result of a run on the host, in f64.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HostOutput {
    /// `[T, B, D·H]` or `[B, T, D·H]` (or the projection's width)
    pub output: Vec<f64>,
    /// `[layers·D, B, H]` (or the projection's width)
    pub h_n: Vec<f64>,
    /// `[layers·D, B, H]`; empty for a layer without a cell state.
    pub c_n: Vec<f64>,
    /// Gates `[T, B, D·H]`, by layer, then gate in PyTorch's order; 0 at invalid steps.
    pub gates: Vec<Vec<Vec<f64>>>,
}

impl HostInput {
    /// Returns a random input on which wrong weights give wrong results: the sequences have different lengths, and the
    /// initial states are not 0. This takes a `batch` of at least 2 and at least 3 `steps`.
    pub fn random(layer: &Recurrent, steps: usize, batch: usize, rng: &mut Rng) -> Self {
        let c = layer.config();
        let dims = if c.batch_first { [batch, steps, c.input] } else { [steps, batch, c.input] };
        let mut uniform = |n: usize| (0..n).map(|_| rng.uniform(-1.0, 1.0)).collect::<Vec<f32>>();
        let rows = c.layers * c.directions() * batch;
        Self {
            x: uniform(steps * batch * c.input),
            dims,
            h0: Some(uniform(rows * c.out())),
            c0: (c.cell == Cell::Lstm).then(|| uniform(rows * c.hidden)),
            lengths: Some((0..batch).map(|row| steps.saturating_sub(row).max(1).min(steps)).collect()),
            ..Self::default()
        }
    }

    /// Checks all shapes for a layer with configuration `c`, and returns steps and batch.
    pub(crate) fn extents(&self, c: &RecurrentConfig) -> Result<[usize; 2]> {
        let [a, b, features] = self.dims;
        let (steps, batch) = if c.batch_first { (b, a) } else { (a, b) };
        let counted = |counts: &[usize]| counts.iter().try_fold(1usize, |n, &m| n.checked_mul(m));
        let wrong = |arg, expected: String, len: usize| Err(Error::shape(c.op(), arg, expected, &[len]));
        if steps == 0 || batch == 0 || features != c.input || counted(&self.dims) != Some(self.x.len()) {
            return wrong("x", format!("{} values, {} features per step", self.x.len(), c.input), features);
        }
        let rows = c.layers * c.directions();
        for (arg, state, width) in [("h0", &self.h0, c.out()), ("c0", &self.c0, c.width() - c.out())] {
            let Some(state) = state else { continue };
            if width == 0 || counted(&[rows, batch, width]) != Some(state.len()) {
                return wrong(arg, format!("[{rows}, {batch}, {width}]"), state.len());
            }
        }
        if let Some(lengths) = &self.lengths
            && (lengths.len() != batch || lengths.iter().any(|&l| l > steps))
        {
            return wrong("lengths", format!("{batch} lengths of at most {steps}"), lengths.len());
        }
        for (arg, flags) in [("mask", &self.mask), ("resets", &self.resets)] {
            if let Some(flags) = flags
                && flags.len() != steps * batch
            {
                return wrong(arg, format!("{} flags, one per step", steps * batch), flags.len());
            }
        }
        Ok([steps, batch])
    }

    /// Returns the index of step `t` of sequence `row` among the steps of `x`, of the flags and of the output.
    pub(crate) fn at(&self, c: &RecurrentConfig, t: usize, row: usize) -> usize {
        if c.batch_first { row * self.dims[1] + t } else { t * self.dims[1] + row }
    }

    /// Whether a step is valid.
    pub(crate) fn counts(&self, c: &RecurrentConfig, t: usize, row: usize) -> bool {
        self.lengths.as_ref().is_none_or(|l| t < l[row]) && self.mask.as_ref().is_none_or(|m| m[self.at(c, t, row)])
    }

    fn begins(&self, c: &RecurrentConfig, t: usize, row: usize) -> bool {
        self.resets.as_ref().is_some_and(|r| r[self.at(c, t, row)])
    }
}

/// Parameters of one direction.
struct Matrices {
    w_ih: Vec<f64>,
    w_hh: Vec<f64>,
    /// `b_ih` and `b_hh`; zeros if the layer has none.
    bias: [Vec<f64>; 2],
    w_hr: Option<Vec<f64>>,
    peephole: Option<Vec<f64>>,
}

/// Reads the values of a tensor as f64.
pub(crate) async fn read(tensor: &Tensor) -> Result<Vec<f64>> {
    Ok(tensor.read().await?.into_iter().map(f64::from).collect())
}

/// Returns `M·v`.
fn times(m: &[f64], v: &[f64]) -> Vec<f64> {
    m.chunks_exact(v.len()).map(|row| row.iter().zip(v).map(|(a, b)| a * b).sum()).collect()
}

fn add(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

impl Matrices {
    async fn of(w: &Weights, c: &RecurrentConfig) -> Result<Self> {
        let zeros = || vec![0.0; c.cell.gates() * c.hidden];
        let bias = match &w.bias {
            Some((ih, hh)) => [read(ih).await?, read(hh).await?],
            None => [zeros(), zeros()],
        };
        let w_hr = match &w.w_hr {
            Some(w_hr) => Some(read(w_hr).await?),
            None => None,
        };
        let peephole = match &w.peephole {
            Some(peephole) => Some(read(peephole).await?),
            None => None,
        };
        Ok(Self { w_ih: read(&w.w_ih).await?, w_hh: read(&w.w_hh).await?, bias, w_hr, peephole })
    }

    /// Computes one step from `state` (h, for the LSTM h and c). Returns the next state and the gates.
    fn step(&self, c: &RecurrentConfig, x: &[f64], state: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let (n, (h, cell)) = (c.hidden, state.split_at(c.out()));
        let a = add(&times(&self.w_ih, x), &self.bias[0]);
        let u = add(&times(&self.w_hh, h), &self.bias[1]);
        let gate = |g: usize, v: f64| {
            let bound = c.options.clip.map_or(f64::INFINITY, f64::from);
            c.activations()[g].apply_f64(v.clamp(-bound, bound))
        };
        let each = |f: &dyn Fn(usize) -> f64| (0..n).map(f).collect::<Vec<f64>>();
        let plain = |g: usize| each(&|j| gate(g, a[g * n + j] + u[g * n + j]));
        match c.cell {
            Cell::Rnn | Cell::RnnRelu => (plain(0), plain(0)),
            Cell::Gru | Cell::GruResetBefore => {
                let (r, z) = (plain(0), plain(1));
                let inner = if c.cell == Cell::Gru {
                    each(&|j| r[j] * u[2 * n + j])
                } else {
                    let kept: Vec<f64> = r.iter().zip(h).map(|(r, h)| r * h).collect();
                    add(&times(&self.w_hh[2 * n * n..], &kept), &self.bias[1][2 * n..])
                };
                let candidate = each(&|j| gate(2, a[2 * n + j] + inner[j]));
                let next = each(&|j| candidate[j] + z[j] * (h[j] - candidate[j]));
                (next, [r, z, candidate].concat())
            }
            Cell::Lstm => {
                let with_peephole = |g: usize, p: usize, cell: &[f64]| {
                    let peep = |j: usize| self.peephole.as_ref().map_or(0.0, |w| w[p * n + j] * cell[j]);
                    each(&|j| gate(g, a[g * n + j] + u[g * n + j] + peep(j)))
                };
                let (i, g) = (with_peephole(0, 0, cell), plain(2));
                let f = if c.input_forget { each(&|j| 1.0 - i[j]) } else { with_peephole(1, 1, cell) };
                let cell = each(&|j| f[j] * cell[j] + i[j] * g[j]);
                let o = with_peephole(3, 2, &cell);
                let shown = each(&|j| o[j] * c.activations()[4].apply_f64(cell[j]));
                let h = self.w_hr.as_ref().map_or(shown.clone(), |w_hr| times(w_hr, &shown));
                ([h, cell].concat(), [i, f, g, o].concat())
            }
        }
    }
}

/// Runs a layer in evaluation mode, in f64 on the host.
///
/// ```
/// use wgru::{Device, Rng, nn::{RecurrentConfig, HostInput, run_f64}};
/// let mut rng = Rng::new(0);
/// let gru = RecurrentConfig { input: 4, hidden: 8, ..Default::default() }.build(&Device::cpu(), &mut rng)?;
/// let run = pollster::block_on(run_f64(&gru, &HostInput::random(&gru, 5, 2, &mut rng)))?;
/// assert_eq!((run.output.len(), run.gates[0].len()), (5 * 2 * 8, 3));
/// # Ok::<(), wgru::Error>(())
/// ```
///
/// # Errors
/// [`Error::Shape`] for an input that does not fit the layer; any error from reading the weights back.
pub async fn run_f64(layer: &Recurrent, input: &HostInput) -> Result<HostOutput> {
    let c = layer.config();
    let [steps, batch] = input.extents(c)?;
    let (directions, width) = (c.directions(), c.width());
    let walk = Walk { c, input, steps, batch };
    let states = first_states(layer, input, batch).await?;
    let mut done = HostOutput::default();
    // The input of each layer in turn, [T, B, features].
    let mut y = Vec::with_capacity(input.x.len());
    for (t, row) in walk.places() {
        y.extend(input.x[input.at(c, t, row) * c.input..][..c.input].iter().map(|&v| f64::from(v)));
    }
    for (index, weights) in layer.weights.iter().enumerate() {
        let mut out = vec![0.0; steps * batch * directions * c.out()];
        let mut gates = vec![vec![0.0; steps * batch * directions * c.hidden]; c.cell.gates()];
        for (d, w) in weights.iter().enumerate() {
            let w = Matrices::of(w, c).await?;
            for row in 0..batch {
                let first = &states[((index * directions + d) * batch + row) * width..][..width];
                let last = walk.sequence(&w, &y, first, [d, row], &mut out, &mut gates);
                done.h_n.extend(&last[..c.out()]);
                done.c_n.extend(&last[c.out()..]);
            }
        }
        done.gates.push(gates);
        y = out;
    }
    done.output = y.clone();
    let wide = directions * c.out();
    for (t, row) in walk.places() {
        let from = (t * batch + row) * wide;
        done.output[input.at(c, t, row) * wide..][..wide].copy_from_slice(&y[from..from + wide]);
    }
    Ok(done)
}

/// A run, with its extents.
struct Walk<'a> {
    c: &'a RecurrentConfig,
    input: &'a HostInput,
    steps: usize,
    batch: usize,
}

impl Walk<'_> {
    /// Iterates over steps and sequences, time-first.
    fn places(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let batch = self.batch;
        (0..self.steps).flat_map(move |t| (0..batch).map(move |row| (t, row)))
    }

    /// Runs direction `d` of a layer over sequence `row` of `y`. Fills its part of `out` and `gates`, and returns the
    /// state after the last step.
    fn sequence(
        &self,
        w: &Matrices,
        y: &[f64],
        first: &[f64],
        [d, row]: [usize; 2],
        out: &mut [f64],
        gates: &mut [Vec<f64>],
    ) -> Vec<f64> {
        let Self { c, input, steps, batch } = *self;
        let features = y.len() / steps / batch;
        let (mut state, mut seen, backwards) = (first.to_vec(), false, c.reverse || d == 1);
        for step in 0..steps {
            let t = if backwards { steps - 1 - step } else { step };
            // In reverse, a part starts at its last step, which is the one before the next part begins.
            let edge = if backwards { t + 1 } else { t };
            if edge < steps && input.begins(c, edge, row) {
                state = if input.reset_to_h0 { first.to_vec() } else { vec![0.0; state.len()] };
                seen = false;
            }
            let (counts, place) = (input.counts(c, t, row), (t * batch + row) * c.directions() + d);
            if counts {
                let (fresh, values) = w.step(c, &y[(t * batch + row) * features..][..features], &state);
                state = zoned(c, &state, &fresh);
                for (gate, values) in gates.iter_mut().zip(values.chunks_exact(c.hidden)) {
                    gate[place * c.hidden..][..c.hidden].copy_from_slice(values);
                }
            }
            seen |= counts;
            if counts || (seen && c.options.padding == Padding::RepeatLast) {
                out[place * c.out()..][..c.out()].copy_from_slice(&state[..c.out()]);
            }
        }
        state
    }
}

/// Returns the initial states `[layers·D, B, width]`: given, learned, or zeros.
async fn first_states(layer: &Recurrent, input: &HostInput, batch: usize) -> Result<Vec<f64>> {
    let c = layer.config();
    let rows = c.layers * c.directions() * batch;
    let mut parts = Vec::new();
    for (name, given, width) in [("h0", &input.h0, c.out()), ("c0", &input.c0, c.width() - c.out())] {
        let learned = layer.first.iter().find(|(n, _)| *n == name);
        let part = match (given, learned) {
            (Some(given), _) => given.iter().map(|&v| f64::from(v)).collect(),
            (None, Some((_, learned))) => {
                let one = read(learned).await?;
                (0..rows).flat_map(|i| one[i / batch * width..][..width].to_vec()).collect()
            }
            (None, None) => vec![0.0; rows * width],
        };
        parts.push((part, width));
    }
    Ok((0..rows)
        .flat_map(|i| parts.iter().flat_map(move |(part, width)| part[i * width..][..*width].to_vec()))
        .collect())
}

/// Returns the expected state under zoneout: `h + (1 − p)·(h̃ − h)`.
fn zoned(c: &RecurrentConfig, old: &[f64], fresh: &[f64]) -> Vec<f64> {
    let share = |j: usize| f64::from(if j < c.out() { c.options.zoneout } else { c.options.zoneout_cell });
    let mixed = |(j, (&old, &fresh)): (usize, (&f64, &f64))| match share(j) {
        0.0 => fresh,
        p => old + (1.0 - p) * (fresh - old),
    };
    old.iter().zip(fresh).enumerate().map(mixed).collect()
}
