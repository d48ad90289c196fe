//! com.microsoft's DynamicQuantizeLSTM: an LSTM with weights in 8 bits, which quantizes its input and its hidden state
//! by their range before each product.
//!
//! The products of quantized values equal f32 products of the values that they stand for, up to rounding. So the node
//! runs as an f32 LSTM, one step at a time, on an input and a hidden state that were rounded to 8 bits.

use super::quantize::{Dynamic, PASSES};
use super::recurrent::{Recurrent, Sources, Spec};
use super::{Args, Builder, Function, Op, Operator, copied, host};
use crate::cell::Cell;
use crate::error::{Error, Result};
use crate::io::onnx::meter::Cost;
use crate::io::onnx::value::Value;
use crate::tensor::Tensor;

pub const MICROSOFT: &[Operator] = &[Operator::new("DynamicQuantizeLSTM", 12..=12, build).outputs(3).omits()];

struct QuantizedLstm {
    /// One node for each direction; those in reverse are run from the end.
    nodes: Vec<Recurrent>,
    reverse: bool,
}

fn build(b: &mut Builder) -> Result<Op> {
    let spec = Spec::of(b, Cell::Lstm)?;
    let w = weights(b, 1, 8, 9)?;
    let r = weights(b, 2, 10, 11)?;
    let constant = |b: &Builder, i: usize| match (b.has(i), b.constant(i)) {
        (false, _) => Ok(None),
        (true, Some(value)) => Ok(Some(value.as_tensor()?.clone())),
        (true, None) => Err(b.refuse("weights that are computed")),
    };
    let (bias, peephole) = (constant(b, 3)?, constant(b, 7)?);
    let mut nodes = Vec::new();
    for (d, spec) in spec.by_direction().into_iter().enumerate() {
        let own = |x: &Tensor| x.slice(0, d..d + 1);
        let (w, r) = (own(&w)?, own(&r)?);
        let (bias, peephole) = (bias.as_ref().map(own).transpose()?, peephole.as_ref().map(own).transpose()?);
        let sources = Sources { w: &w, r: &r, bias: bias.as_ref(), peephole: peephole.as_ref() };
        b.charge(sources.cost())?;
        nodes.push(Recurrent::with_weights(spec, sources, false)?);
    }
    b.absorbed.extend([1, 2, 3, 7, 8, 9, 10, 11]);
    Ok(Op::Function(Box::new(QuantizedLstm { nodes, reverse: spec.reverse })))
}

/// Returns constant weights `[D, K, 4·H]` as floats `[D, 4·H, K]`.
fn weights(b: &mut Builder, i: usize, scale: usize, zero: usize) -> Result<Tensor> {
    let (Some(w), Some(scale)) = (b.constant(i), b.constant(scale)) else {
        return Err(b.refuse("weights or scales that are computed or missing"));
    };
    let &[directions, _, _] = w.dims() else { return Err(Error::shape("onnx", "W", "three axes", w.dims())) };
    b.charge(Cost::floats(w.count()).times(4))?;
    // A number for each direction, or for each column.
    let shaped = |x: Tensor| x.reshape(&[directions, 1, x.len() / directions]);
    let mut floats = w.to_floats(b.host)?;
    if let Some(zero) = b.constant(zero) {
        floats = floats.sub(&shaped(zero.to_floats(b.host)?)?)?;
    }
    floats.mul(&shaped(scale.to_floats(b.host)?)?)?.permute(&[0, 2, 1])
}

impl Function for QuantizedLstm {
    fn cost(&self, args: &Args) -> Result<Cost> {
        let nodes: Cost = self.nodes.iter().map(|node| node.cost(args)).sum::<Result<Cost>>()?;
        // Every step runs on its own.
        Ok(nodes.times(3) + copied(args)?.times(PASSES))
    }

    fn run(&self, args: &Args) -> Result<Vec<Value>> {
        let x = args.tensor(0)?;
        let &[steps, batch, _] = x.dims() else { return Err(Error::shape("onnx", "X", "three axes", x.dims())) };
        if let Some(lengths) = host::optional(args, 4)?
            && lengths.iter().any(|&length| length != steps as i64)
        {
            return Err(Error::value("onnx", "sequence_lens", format!("{steps} for each sequence"), "others"));
        }
        let x = Dynamic::of(x, false)?.floats()?;
        let (mut outputs, mut states) = (Vec::new(), [Vec::new(), Vec::new()]);
        for (d, node) in self.nodes.iter().enumerate() {
            let first = |i: usize| match args.optional(i)? {
                Some(state) => state.slice(0, d..d + 1),
                None => Tensor::zeros(x.device(), &[1, batch, node.hidden()]),
            };
            let (mut h, mut c) = (first(5)?, first(6)?);
            let reverse = self.reverse || d == 1;
            let mut own = Vec::with_capacity(steps);
            for at in 0..steps {
                let at = if reverse { steps - 1 - at } else { at };
                let rounded = Dynamic::of(&h, BY_ROWS)?.floats()?;
                let state = super::State { h: rounded, c: Some(c) };
                let step = Value::from(x.slice(0, at..at + 1)?);
                let inputs = [Some(&step)];
                let (_, next) =
                    node.run(&Args { device: args.device, inputs: &inputs, waits: args.waits }, Some(&state))?;
                h = next.h;
                c = next.c.ok_or_else(|| Error::value("onnx", "LSTM", "a cell state", "none"))?;
                own.push(h.clone());
            }
            if reverse {
                own.reverse();
            }
            let all = Tensor::concat(&own.iter().collect::<Vec<_>>(), 0)?;
            outputs.push(all.reshape(&[steps, 1, batch, node.hidden()])?);
            states[0].push(h);
            states[1].push(c);
        }
        let join = |parts: &[Tensor], axis| Tensor::concat(&parts.iter().collect::<Vec<_>>(), axis);
        Ok(vec![join(&outputs, 1)?.into(), join(&states[0], 0)?.into(), join(&states[1], 0)?.into()])
    }
}

/// Whether each sequence has its own scale of the hidden state. ONNX Runtime shares it among the sequences of a thread,
/// so that its results depend on the number of threads; these are those of one thread.
const BY_ROWS: bool = false;
