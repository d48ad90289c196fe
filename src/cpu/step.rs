//! One step of any plain cell for a few rows, computed in blocks of 16 units.
#![allow(unsafe_code, reason = "SIMD intrinsics on raw pointers")]

use std::ops::Range;

use super::equations::{Units, gru, gru_candidate, gru_gates, lstm, rnn};
use super::lines::Lines;
use super::packed::{Inputs, Packed};
use super::simd::{Exact, Isa, LANES, Lanes, for_each_isa, load_part, sigmoid, store_part, tanh};
use super::sweep::Sweep;
use super::thread_pool::{Parts, ThreadPool};
use crate::cell::Cell;
use crate::error::Result;
use crate::math::Activation;
use crate::precision::Precision;

/// The weights of one layer: `w_ih` `[G·H, I]`, `w_hh` `[G·H, H]` and the biases `[G·H]`, with gates in PyTorch's order.
#[derive(Clone, Copy)]
pub(crate) struct Matrices<'a> {
    pub w_ih: &'a [f32],
    pub w_hh: &'a [f32],
    pub b_ih: &'a [f32],
    pub b_hh: &'a [f32],
}

/// Packed weights of one layer.
pub(crate) struct StepWeights {
    cell: Cell,
    w: Packed,
    /// `U`, without `U_n` if the reset gate acts before the product.
    u: Packed,
    /// `U_n`, if the reset gate acts before the product.
    u_n: Option<Packed>,
    /// `[blocks, parts, 16]`: `b + d` of each gate. A GRU keeps `b_n` and `d_n` separate, in the last two parts.
    bias: Lines,
    /// Of each part, if they are not the cell's own.
    activations: Option<Activations>,
}

/// Activations of the parts of a cell, in the order of [`Cell::activation_names`].
type Activations = [Activation; 5];

/// Working memory for the steps of one layer.
#[derive(Clone)]
pub(crate) struct StepScratch {
    x: Lines,
    rec: Lines,
    /// `r⊙h`, if the reset gate acts before the product.
    kept: Vec<f32>,
    z: Vec<f32>,
    /// Inputs of the products with x, h and r⊙h.
    inputs: [Inputs; 3],
    /// Whether the last step read the weights from end to start.
    is_back: bool,
}

/// Returns the number of parts of the bias.
fn bias_parts(cell: Cell) -> usize {
    if cell.is_gru() { 4 } else { cell.gates() }
}

impl StepWeights {
    pub fn new(cell: Cell, activations: Option<Activations>, m: Matrices<'_>, precision: Precision) -> Result<Self> {
        let (Matrices { w_ih, w_hh, b_ih, b_hh }, gates) = (m, cell.gates());
        let (h, parts) = (b_ih.len() / gates, bias_parts(cell));
        let mut bias = Lines::zeros(h.div_ceil(LANES) * parts * LANES);
        for unit in 0..h {
            for part in 0..parts {
                let [b, d] = [b_ih, b_hh].map(|b| b[part.min(gates - 1) * h + unit]);
                let v = match part {
                    2 if cell.is_gru() => b,
                    3 if cell.is_gru() => d,
                    _ => b + d,
                };
                bias[(unit / LANES * parts + part) * LANES + unit % LANES] = v;
            }
        }
        let w = Packed::new(w_ih, gates, h, precision)?;
        let (u, u_n) = if cell == Cell::GruResetBefore {
            let (gates, candidate) = w_hh.split_at(2 * h * h);
            (Packed::new(gates, 2, h, precision)?, Some(Packed::new(candidate, 1, h, precision)?))
        } else {
            (Packed::new(w_hh, gates, h, precision)?, None)
        };
        Ok(Self { cell, w, u, u_n, bias, activations })
    }

    /// Allocates working memory for `batch` rows.
    pub fn scratch(&self, batch: usize) -> StepScratch {
        let (blocks, h) = (self.w.blocks(), self.w.units);
        let n = self.u_n.as_ref().unwrap_or(&self.u);
        let kept = if self.u_n.is_some() { batch * h } else { 0 };
        StepScratch {
            x: Lines::zeros(blocks * self.w.block_len(batch)),
            rec: Lines::zeros(blocks * self.u.block_len(batch)),
            kept: vec![0.0; kept],
            z: vec![0.0; kept],
            inputs: [self.w.inputs(batch), self.u.inputs(batch), n.inputs(batch)],
            is_back: true,
        }
    }

    /// Computes the states `new` `[rows, H]` from `old` and the frame `x` `[rows, I]`. The states of an LSTM are `h`
    /// and `c`; of other cells `h` and an empty slice.
    pub fn step(
        &self,
        (isa, pool): (Isa, &ThreadPool),
        s: &mut StepScratch,
        x: &[f32],
        old: [&[f32]; 2],
        new: [&mut [f32]; 2],
    ) {
        let (blocks, h) = (self.w.blocks(), self.w.units);
        let rows = old[0].len() / h;
        s.is_back = !s.is_back;
        let is_back = s.is_back;
        let [in_w, in_u, in_n] = &mut s.inputs;
        self.w.prepare(isa, x, rows, in_w);
        self.u.prepare(isa, old[0], rows, in_u);
        let (in_w, in_u) = (&*in_w, &*in_u);
        let (x_len, rec_len) = (self.w.block_len(rows), self.u.block_len(rows));
        let (wx, uh) = (Parts::new(&mut s.x), Parts::new(&mut s.rec));
        let [new, new_cell] = new.map(Parts::new);
        let (kept, z) = (Parts::new(&mut s.kept), Parts::new(&mut s.z));
        let work = self.w.bytes() + self.u.bytes();
        let activations = self.activations.as_ref();
        let gates =
            Gates { cell: self.cell, activations, x: wx, rec: uh, bias: &self.bias, old, batch: rows, hidden: h };
        pool.share(blocks, work, &|range: Range<usize>| {
            // SAFETY: no other thread has these blocks.
            let (wx, uh) = unsafe {
                (wx.get(range.start * x_len..range.end * x_len), uh.get(range.start * rec_len..range.end * rec_len))
            };
            let sweep = Sweep { blocks: range.clone(), is_back };
            if is_back {
                self.u.product(isa, old[0], rows, in_u, &sweep, uh);
            }
            self.w.product(isa, x, rows, in_w, &sweep, wx);
            if !is_back {
                self.u.product(isa, old[0], rows, in_u, &sweep, uh);
            }
            match self.cell {
                Cell::Gru => gates.run(isa, Half::ResetAfter, range, [new, new]),
                Cell::GruResetBefore => gates.run(isa, Half::ResetBefore, range, [kept, z]),
                Cell::Lstm => gates.run(isa, Half::Lstm, range, [new, new_cell]),
                Cell::Rnn => gates.run(isa, Half::Rnn, range, [new, new]),
                Cell::RnnRelu => gates.run(isa, Half::RnnRelu, range, [new, new]),
            }
        });
        let Some(u_n) = &self.u_n else { return };
        let reset = &s.kept[..rows * h];
        u_n.prepare(isa, reset, rows, in_n);
        let (in_n, rec_len) = (&*in_n, u_n.block_len(rows));
        pool.share(blocks, u_n.bytes(), &|range: Range<usize>| {
            // SAFETY: as above.
            let rec = unsafe { uh.get(range.start * rec_len..range.end * rec_len) };
            u_n.product(isa, reset, rows, in_n, &Sweep { blocks: range.clone(), is_back }, rec);
            gates.run(isa, Half::Candidate, range, [new, z]);
        });
    }
}

/// The element-wise part of a step, after the products.
#[derive(Clone, Copy)]
enum Half {
    /// Writes `h'` to the first output.
    ResetAfter,
    /// Writes `r⊙h` and `z` to the outputs.
    ResetBefore,
    /// Second half of a GRU whose reset gate acts before the product: reads `U_n·(r⊙h)` as `rec` and `z` from the
    /// second output, and writes `h'` to the first.
    Candidate,
    /// Writes `h'` and `c'` to the outputs.
    Lstm,
    /// Writes `h'` to the first output.
    Rnn,
    /// As `Rnn`, with ReLU instead of tanh.
    RnnRelu,
}

impl Half {
    /// Number of gates of the recurrent product.
    fn gates(self) -> usize {
        match self {
            Half::ResetAfter => 3,
            Half::ResetBefore => 2,
            Half::Lstm => 4,
            Half::Candidate | Half::Rnn | Half::RnnRelu => 1,
        }
    }
}

/// Inputs of the element-wise part of a step. Products are `[blocks, batch, gates, 16]`, states `[batch, H]`.
#[derive(Clone, Copy)]
struct Gates<'a> {
    cell: Cell,
    activations: Option<&'a Activations>,
    /// `W·x`
    x: Parts,
    /// `U·h`
    rec: Parts,
    bias: &'a [f32],
    old: [&'a [f32]; 2],
    batch: usize,
    hidden: usize,
}

#[derive(Clone, Copy)]
struct Raw<'a> {
    activations: Option<&'a Activations>,
    x: *const f32,
    rec: *const f32,
    bias: *const f32,
    old: [*const f32; 2],
    out: [*mut f32; 2],
    batch: usize,
    hidden: usize,
    x_gates: usize,
    rec_gates: usize,
    bias_parts: usize,
    first: usize,
    end: usize,
}

impl Gates<'_> {
    fn run(&self, isa: Isa, half: Half, range: Range<usize>, out: [Parts; 2]) {
        let (batch, hidden, blocks) = (self.batch, self.hidden, self.hidden.div_ceil(LANES));
        let (x_gates, rec_gates, bias_parts) = (self.cell.gates(), half.gates(), bias_parts(self.cell));
        assert!(self.x.len() >= batch * blocks * x_gates * LANES);
        assert!(self.rec.len() >= batch * blocks * rec_gates * LANES && range.end <= blocks);
        assert!(self.bias.len() >= blocks * bias_parts * LANES);
        assert!(self.old[..self.cell.states()].iter().all(|old| old.len() >= batch * hidden));
        assert!(out.iter().all(|out| out.len() >= batch * hidden));
        let p = Raw {
            activations: self.activations,
            x: self.x.as_ptr(),
            rec: self.rec.as_ptr(),
            bias: self.bias.as_ptr(),
            old: self.old.map(<[f32]>::as_ptr),
            out: out.map(Parts::as_ptr),
            batch,
            hidden,
            x_gates,
            rec_gates,
            bias_parts,
            first: range.start,
            end: range.end,
        };
        for_each_isa!(isa, units::<_>(p: Raw<'_>, half: Half));
    }
}

#[inline(always)]
unsafe fn units<V: Lanes>(p: Raw<'_>, half: Half) {
    // SAFETY: guaranteed by the caller.
    unsafe {
        match p.activations {
            None => apply::<V, false>(&p, half),
            Some(_) => apply::<V, true>(&p, half),
        }
    }
}

#[inline(always)]
unsafe fn apply<V: Lanes, const OTHER: bool>(p: &Raw<'_>, half: Half) {
    for block in p.first..p.end {
        for row in 0..p.batch {
            let offset = row * p.hidden + block * LANES;
            let u = At::<OTHER> { p, half, block, row, offset, count: LANES.min(p.hidden - block * LANES) };
            // SAFETY: `Gates::run` checked the lengths; no other thread writes these blocks.
            unsafe {
                match half {
                    Half::ResetAfter => gru::<V>(&u),
                    Half::ResetBefore => gru_gates::<V>(&u),
                    Half::Candidate => gru_candidate::<V>(&u),
                    Half::Lstm => lstm::<V>(&u),
                    Half::Rnn => rnn::<V>(&u, false),
                    Half::RnnRelu => rnn::<V>(&u, true),
                }
            }
        }
    }
}

/// The units of one block in one row. `OTHER`: with the activations of the layer instead of those of the cell.
struct At<'a, const OTHER: bool> {
    p: &'a Raw<'a>,
    half: Half,
    block: usize,
    row: usize,
    /// Index of the first unit in a state.
    offset: usize,
    /// Number of units, at most 16.
    count: usize,
}

impl<const OTHER: bool> At<'_, OTHER> {
    #[inline(always)]
    unsafe fn bias<V: Lanes>(&self, part: usize) -> V {
        // SAFETY: the bias holds [blocks, parts, 16].
        unsafe { V::load(self.p.bias.add((self.block * self.p.bias_parts + part) * LANES)) }
    }

    /// Applies the layer's activation of a part: as vectors for those that trained models have, else lane by lane.
    #[cfg_attr(not(target_arch = "wasm32"), inline(always))]
    #[cfg_attr(target_arch = "wasm32", inline(never))]
    unsafe fn activate<V: Lanes>(&self, part: usize, v: V) -> V {
        let activation = self.p.activations.map_or(Activation::Tanh, |all| all[part]);
        // SAFETY: guaranteed by the caller.
        unsafe {
            match activation {
                Activation::Sigmoid => sigmoid(v),
                Activation::Tanh => tanh(v),
                Activation::Relu => v.at_least(V::splat(0.0)),
                Activation::HardSigmoid { alpha, beta } => {
                    v.fma(V::splat(alpha), V::splat(beta)).at_least(V::splat(0.0)).at_most(V::splat(1.0))
                }
                other => {
                    let mut lanes = [0.0; LANES];
                    v.store(lanes.as_mut_ptr());
                    V::load(lanes.map(|v| other.apply(v)).as_ptr())
                }
            }
        }
    }
}

// SAFETY: products hold [blocks, batch, gates, 16], states [batch, H].
unsafe impl<V: Lanes, const OTHER: bool> Units<V> for At<'_, OTHER> {
    type Activations = Exact;

    #[inline(always)]
    unsafe fn sigmoid(&self, part: usize, v: V) -> V {
        // SAFETY: guaranteed by the caller.
        unsafe { if OTHER { self.activate(part, v) } else { sigmoid(v) } }
    }

    #[inline(always)]
    unsafe fn tanh(&self, part: usize, v: V) -> V {
        // SAFETY: guaranteed by the caller.
        unsafe { if OTHER { self.activate(part, v) } else { tanh(v) } }
    }

    /// Includes the bias.
    #[inline(always)]
    unsafe fn x(&self, gate: usize) -> V {
        let p = self.p;
        // SAFETY: as above.
        unsafe {
            let x: V = V::load(p.x.add(((self.block * p.batch + self.row) * p.x_gates + gate) * LANES));
            x.add(self.bias(gate))
        }
    }

    /// Includes the bias only for a GRU's candidate, which keeps `d_n` separate. In [`Half::Candidate`] it is the only
    /// gate.
    #[inline(always)]
    unsafe fn a(&self, gate: usize) -> V {
        let (p, is_candidate) = (self.p, matches!(self.half, Half::Candidate));
        let at = if is_candidate { 0 } else { gate };
        // SAFETY: as above.
        unsafe {
            let a: V = V::load(p.rec.add(((self.block * p.batch + self.row) * p.rec_gates + at) * LANES));
            match gate {
                2 if is_candidate || matches!(self.half, Half::ResetAfter) => a.add(self.bias(3)),
                _ => a,
            }
        }
    }

    #[inline(always)]
    unsafe fn old(&self, part: usize) -> V {
        // SAFETY: as above.
        unsafe { load_part(self.p.old[part].add(self.offset), self.count) }
    }

    #[inline(always)]
    unsafe fn put(&self, part: usize, v: V) {
        // SAFETY: as above.
        unsafe { store_part(v, self.p.out[part].add(self.offset), self.count) }
    }

    #[inline(always)]
    unsafe fn keep(&self, reset: V, z: V) {
        // SAFETY: as above.
        unsafe {
            self.put(0, reset);
            self.put(1, z);
        }
    }

    #[inline(always)]
    unsafe fn kept(&self) -> V {
        // SAFETY: as above.
        unsafe { load_part(self.p.out[1].add(self.offset), self.count) }
    }
}
