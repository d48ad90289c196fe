//! The layers of a stream, shared by its clones, and their working memory.

use super::rate::{Kept, Past};
use super::{NonFinite, StreamOptions, values};
use crate::cell::Cell;
use crate::cpu::{
    Inputs, Isa, LANES, Lines, Matrices, Packed, SmallHead, SmallStack, StepScratch, StepWeights, ThreadPool,
};
use crate::error::Result;
use crate::nn::{Linear, Recurrent, RecurrentConfig};
use crate::ops::recurrent::Weights;
use crate::precision::Precision;

/// Maximum number of frames that a layer processes before the next layer runs, so that the states in between stay in
/// the cache.
pub(super) const CHUNK: usize = 32;
/// States below this become 0 from time to time. Otherwise they would decay until products are subnormal numbers, with
/// which many processors are slow.
const TINY: f32 = 1e-30;

/// Weights and threads.
pub(super) struct Model {
    pub cell: Cell,
    pub input: usize,
    pub hidden: usize,
    pub layers: usize,
    pub head: Option<Head>,
    /// Initial states `[parts, layers, H]`.
    first: Vec<f32>,
    kind: Kind,
    isa: Isa,
    pool: ThreadPool,
}

/// How the layers are computed.
enum Kind {
    /// One sequence through layers of few units, in f32.
    Small(SmallStack),
    /// All others, in blocks of sixteen units.
    Blocks(Vec<StepWeights>),
}

/// The linear layer after the last recurrent layer.
pub(super) enum Head {
    Small(SmallHead),
    Packed { w: Packed, bias: Vec<f32> },
}

impl Head {
    pub fn new(linear: &Linear, options: StreamOptions) -> Result<Self> {
        let (weight, op) = (linear.weight(), "Stream::then");
        let (units, w) = (weight.dims()[0], values(op, weight)?);
        let bias = match linear.bias() {
            Some(bias) => values(op, bias)?,
            None => vec![0.0; units],
        };
        let weights = options.weights.in_stream(weight.dims()[1]);
        if weights == Precision::F32 && SmallHead::suits(units, weight.dims()[1]) {
            return Ok(Self::Small(SmallHead::new(Isa::detect(), &w, bias)));
        }
        Ok(Self::Packed { w: Packed::new(&w, 1, units, weights)?, bias })
    }

    /// Number of outputs.
    pub fn units(&self) -> usize {
        match self {
            Self::Small(head) => head.outputs(),
            Self::Packed { bias, .. } => bias.len(),
        }
    }

    fn work(&self, batch: usize) -> HeadWork {
        match self {
            Self::Small(_) => HeadWork::default(),
            Self::Packed { w, .. } => {
                HeadWork { sums: vec![0.0; w.blocks() * w.block_len(batch)], inputs: Some(w.inputs(batch)) }
            }
        }
    }

    /// `out = W·h + b` for `rows` rows of `h` `[rows, H]`.
    #[inline]
    fn run(&self, isa: Isa, h: &[f32], rows: usize, work: &mut HeadWork, out: &mut [f32]) {
        match (self, &mut work.inputs) {
            (Self::Small(head), _) => head.run(h, rows, out),
            (Self::Packed { w, bias }, Some(inputs)) => {
                w.prepare(isa, h, rows, inputs);
                w.product(isa, h, rows, inputs, &(0..w.blocks()).into(), &mut work.sums);
                for (row, out) in out.chunks_exact_mut(w.units).enumerate().take(rows) {
                    for (unit, (out, bias)) in out.iter_mut().zip(bias).enumerate() {
                        *out = work.sums[(unit / LANES * rows + row) * LANES + unit % LANES] + bias;
                    }
                }
            }
            _ => unreachable!("the working memory is that of this layer"),
        }
    }

    /// As [`run`](Self::run), with the same bits for every number of rows.
    fn run_each(&self, isa: Isa, h: &[f32], hidden: usize, work: &mut HeadWork, out: &mut [f32]) {
        match self {
            Self::Small(head) => head.run(h, h.len() / hidden, out),
            Self::Packed { .. } => {
                for (h, out) in h.chunks_exact(hidden).zip(out.chunks_exact_mut(self.units())) {
                    self.run(isa, h, 1, work, out);
                }
            }
        }
    }
}

/// Working memory of a stream.
#[derive(Clone)]
pub(super) struct Work {
    blocks: Vec<StepScratch>,
    /// Intermediate values of a small layer.
    small: Lines,
    /// `[CHUNK, H]`, twice: states of small layers after each step.
    rows: [Lines; 2],
    head: HeadWork,
}

/// Working memory for the product of the linear layer.
#[derive(Clone, Default)]
struct HeadWork {
    sums: Vec<f32>,
    inputs: Option<Inputs>,
}

/// States `[parts, layers, B, H]`: `h`, for an LSTM `h` and `c`.
#[derive(Clone)]
pub(super) struct States {
    /// The states before a step and after it, in two halves that start at cache lines. A load soon after a store that
    /// touches two lines takes long.
    both: Lines,
    /// Number of states in a half.
    len: usize,
    /// The half before the step.
    half: usize,
    /// Index of `h` of the last layer in a half.
    last: usize,
    /// The states of earlier steps, if the next step continues from them.
    past: Kept,
}

impl States {
    /// The last layer has `last` values of `h`.
    fn new(now: Vec<f32>, parts: usize, last: usize, options: StreamOptions) -> Self {
        let len = now.len();
        let mut both = Lines::zeros(2 * len.next_multiple_of(LANES));
        both[..len].copy_from_slice(&now);
        Self { both, len, half: 0, last: len / parts - last, past: Kept::new(&now, options) }
    }

    /// Index of the states before a step.
    #[inline(always)]
    fn at(&self) -> usize {
        if self.half == 0 { 0 } else { self.both.len() / 2 }
    }

    /// `h` of the last layer, and what follows it.
    #[inline(always)]
    pub fn last(&self) -> &[f32] {
        &self.both[self.at() + self.last..]
    }

    /// The states after the last step.
    fn now(&self) -> &[f32] {
        &self.both[self.at()..][..self.len]
    }

    /// The states after the last step, and after the earlier steps that are kept.
    pub fn all(&self) -> &[f32] {
        self.past.get().map_or(self.now(), Past::all)
    }

    /// Continues from these states, in the layout of [`all`](Self::all).
    pub fn set(&mut self, all: &[f32]) {
        let now = self.halves().0;
        now.copy_from_slice(&all[..now.len()]);
        if let Some(past) = self.past.get_mut() {
            past.set(all);
        }
    }

    /// Iterates over the states after each step that is kept, with the number of steps since. The same step may occur
    /// several times.
    pub fn each_mut(&mut self) -> impl Iterator<Item = (usize, &mut [f32])> {
        let (at, len) = (self.at(), self.len);
        let now = &mut self.both[at..][..len];
        std::iter::once((0, now)).chain(self.past.get_mut().into_iter().flat_map(Past::slots_mut))
    }

    /// Called before a step: replaces the current states by those of `rate_ratio` steps ago.
    #[inline]
    fn recall(&mut self) {
        let (at, len) = (self.at(), self.len);
        if let Some(past) = self.past.get() {
            past.read(&mut self.both[at..][..len]);
        }
    }

    /// Called after a step: stores its states among those of earlier steps.
    #[inline]
    pub fn keep(&mut self) {
        let (at, len) = (self.at(), self.len);
        if let Some(past) = self.past.get_mut() {
            past.push(&self.both[at..][..len]);
        }
    }

    /// The states after the last step, which are not stored yet, and after the previous step.
    fn last_two(&mut self) -> (&mut [f32], &[f32]) {
        let len = self.len;
        let (first, second) = split(&mut self.both, len);
        let (now, other) = if self.half == 0 { (first, second) } else { (second, first) };
        (now, self.past.get().map_or(other, |past| &past.all()[..len]))
    }

    /// The states before and after a step.
    fn halves(&mut self) -> (&mut [f32], &mut [f32]) {
        let (first, second) = split(&mut self.both, self.len);
        if self.half == 0 { (first, second) } else { (second, first) }
    }

    /// Replaces tiny numbers by 0.
    #[cold]
    pub fn flush(&mut self) {
        for (_, states) in self.each_mut() {
            states.iter_mut().for_each(|v| *v = if v.abs() < TINY { 0.0 } else { *v });
        }
    }
}

/// The states of both halves.
#[inline]
fn split(both: &mut Lines, len: usize) -> (&mut [f32], &mut [f32]) {
    let middle = both.len() / 2;
    let (first, second) = both.split_at_mut(middle);
    (&mut first[..len], &mut second[..len])
}

impl Model {
    /// Whether the layers are small ones. Threads would not help them, and results do not depend on their number.
    pub fn is_small(c: &RecurrentConfig, options: StreamOptions) -> bool {
        let is_plain = c.activations.is_empty();
        let weights = options.weights.in_stream(c.hidden);
        SmallStack::suits(c.cell, c.hidden) && is_plain && options.batch == 1 && weights == Precision::F32
    }

    pub fn new(layer: &Recurrent, cell: Cell, options: StreamOptions) -> Result<Self> {
        let (c, isa, pool) = (layer.config(), Isa::detect(), ThreadPool::new(options.threads));
        let weights = layer.weights.iter().flatten();
        let kind = if Self::is_small(c, options) {
            let values = weights.map(read).collect::<Result<Vec<_>>>()?;
            let matrices: Vec<_> = values.iter().map(Values::borrow).collect();
            Kind::Small(SmallStack::new(isa, cell, c.hidden, &matrices, options.fast_activations))
        } else {
            let activations = (!c.activations.is_empty()).then(|| c.five_activations());
            let precision = options.weights.in_stream(c.hidden);
            let blocks = |w| read(w).and_then(|w| StepWeights::new(cell, activations, w.borrow(), precision));
            Kind::Blocks(weights.map(blocks).collect::<Result<_>>()?)
        };
        let mut first = Vec::with_capacity(cell.states() * c.layers * c.hidden);
        for (_, state) in &layer.first {
            first.extend(values("Stream", state)?);
        }
        first.resize(cell.states() * c.layers * c.hidden, 0.0);
        _ = pool.start();
        let (input, hidden, layers) = (c.input, c.hidden, c.layers);
        Ok(Self { cell, input, hidden, layers, head: None, first, kind, isa, pool })
    }

    /// Number of outputs per sequence.
    pub fn width(&self) -> usize {
        self.head.as_ref().map_or(self.hidden, Head::units)
    }

    /// Allocates the initial states of all sequences.
    pub fn states(&self, options: StreamOptions) -> States {
        let batch = options.batch;
        let now: Vec<f32> = self.first.chunks_exact(self.hidden).flat_map(|layer| layer.repeat(batch)).collect();
        States::new(now, self.cell.states(), batch * self.hidden, options)
    }

    /// Sets the states of one sequence of a batch to the initial ones.
    pub fn reset(&self, states: &mut States, batch: usize, row: usize) {
        for (_, states) in states.each_mut() {
            for (layer, first) in self.first.chunks_exact(self.hidden).enumerate() {
                states[(layer * batch + row) * self.hidden..][..self.hidden].copy_from_slice(first);
            }
        }
    }

    /// Allocates working memory for `batch` sequences.
    pub fn work(&self, batch: usize) -> Work {
        let (blocks, small, rows) = match &self.kind {
            Kind::Blocks(layers) => (layers.iter().map(|layer| layer.scratch(batch)).collect(), 0, 0),
            Kind::Small(stack) => (vec![], stack.scratch(CHUNK), CHUNK * self.hidden),
        };
        let head = self.head.as_ref().map(|head| head.work(batch)).unwrap_or_default();
        Work { blocks, small: Lines::zeros(small), rows: [rows; 2].map(Lines::zeros), head }
    }

    /// Runs one step of the first `rows` of `batch` sequences.
    #[inline]
    pub fn step(&self, work: &mut Work, states: &mut States, frame: &[f32], [rows, batch]: [usize; 2]) {
        states.recall();
        match &self.kind {
            Kind::Small(stack) => stack.step(frame, &mut states.both, states.half, &mut work.small),
            Kind::Blocks(layers) => self.step_blocks(layers, &mut work.blocks, states, frame, [rows, batch]),
        }
        states.half ^= 1;
    }

    #[inline(never)]
    fn step_blocks(
        &self,
        layers: &[StepWeights],
        work: &mut [StepScratch],
        states: &mut States,
        frame: &[f32],
        [rows, batch]: [usize; 2],
    ) {
        let (h, len) = (self.hidden, batch * self.hidden);
        let (now, next) = states.halves();
        let ((old_h, old_c), (new_h, new_c)) = (now.split_at(self.layers * len), next.split_at_mut(self.layers * len));
        for (l, (layer, scratch)) in layers.iter().zip(work).enumerate() {
            let (before, after) = new_h.split_at_mut(l * len);
            let x = if l == 0 { frame } else { &before[(l - 1) * len..] };
            let cells = if old_c.is_empty() { 0..0 } else { l * len..l * len + rows * h };
            let old = [&old_h[l * len..][..rows * h], &old_c[cells.clone()]];
            layer.step((self.isa, &self.pool), scratch, x, old, [&mut after[..rows * h], &mut new_c[cells]]);
        }
    }

    /// Runs the linear layer, if there is one, on the state of the last layer.
    #[inline]
    pub fn finish(&self, work: &mut Work, states: &States, out: &mut [f32], rows: usize) {
        if let Some(head) = &self.head {
            head.run(self.isa, states.last(), rows, &mut work.head, out);
        }
    }

    /// Steps one sequence through all frames of `x`, up to [`CHUNK`], and writes the outputs. Returns false, with the
    /// states unchanged, if the caller must step the frames one by one. This is the case if the layers are not small,
    /// if they do not continue from their last states, or if a state that `policy` must replace became NaN or infinite.
    pub fn process(&self, work: &mut Work, states: &mut States, policy: NonFinite, x: &[f32], out: &mut [f32]) -> bool {
        let (Kind::Small(stack), None) = (&self.kind, states.past.get()) else { return false };
        // Infinity becomes 0 if the next step multiplies it by a negative weight.
        if self.cell == Cell::RnnRelu && policy != NonFinite::Propagate {
            return false;
        }
        let (h, all, steps) = (self.hidden, self.layers * self.hidden, x.len() / self.input);
        let (now, next) = states.halves();
        let ((old_h, old_c), (new_h, new_c)) = (now.split_at(all), next.split_at_mut(all));
        let [mut from, mut to] = work.rows.each_mut().map(|rows| &mut rows[..steps * h]);
        for l in 0..stack.len() {
            let x = if l == 0 { x } else { &*from };
            let rows = if l + 1 == stack.len() && self.head.is_none() { &mut *out } else { &mut *to };
            let c = if old_c.is_empty() { 0..0 } else { l * h..(l + 1) * h };
            let c = (&old_c[c.clone()], &mut new_c[c]);
            stack.run(l, x, &old_h[l * h..][..h], c, &mut work.small, rows);
            new_h[l * h..][..h].copy_from_slice(&rows[(steps - 1) * h..]);
            std::mem::swap(&mut from, &mut to);
        }
        // A state that is not finite stays so, because each unit depends on all units of the step before.
        if policy != NonFinite::Propagate && !is_finite(next) {
            return false;
        }
        states.half ^= 1;
        if let Some(head) = &self.head {
            head.run_each(self.isa, from, h, &mut work.head, out);
        }
        true
    }

    /// Replaces states that are NaN or infinite after a step of the first `rows` of `batch` sequences.
    pub fn mend(&self, states: &mut States, policy: NonFinite, [rows, batch]: [usize; 2]) {
        let h = self.hidden;
        for row in 0..rows {
            let (now, before) = states.last_two();
            let parts = (row * h..now.len()).step_by(batch * h).map(|at| at..at + h);
            if parts.clone().all(|part| is_finite(&now[part])) {
                continue;
            }
            if policy == NonFinite::Hold && parts.clone().all(|part| is_finite(&before[part])) {
                parts.for_each(|part| now[part.clone()].copy_from_slice(&before[part]));
            } else {
                self.reset(states, batch, row);
            }
        }
    }
}

/// Whether no value is NaN or infinite. Reads all values without an early exit, so that the loop is vectorized.
fn is_finite(values: &[f32]) -> bool {
    values.iter().fold(true, |all, v| all & v.is_finite())
}

/// The values of the weights of one layer.
struct Values([Vec<f32>; 4]);

impl Values {
    fn borrow(&self) -> Matrices<'_> {
        let [w_ih, w_hh, b_ih, b_hh] = &self.0;
        Matrices { w_ih, w_hh, b_ih, b_hh }
    }
}

fn read(w: &Weights) -> Result<Values> {
    let get = |tensor| values("Stream", tensor);
    let [b_ih, b_hh] = match &w.bias {
        Some((ih, hh)) => [get(ih)?, get(hh)?],
        None => [(); 2].map(|()| vec![0.0; w.w_ih.dims()[0]]),
    };
    Ok(Values([get(&w.w_ih)?, get(&w.w_hh)?, b_ih, b_hh]))
}
