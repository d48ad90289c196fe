//! `Loop` and `Scan`.

mod arrays;
mod body;
mod cell;
mod symbols;

pub use cell::Looped;

use super::control::{Control, captured, overhead};
use super::index::{joined, step_of};
use super::shape::view;
use super::{Args, Builder, Op, Operator, axis_of};
use crate::error::{Error, Result};
use crate::io::onnx::ints::shown;
use crate::io::onnx::meter::Cost;
use crate::io::onnx::run::{Body, Run};
use crate::io::onnx::value::Value;

pub const TABLE: &[Operator] = &[
    Operator::new("Loop", 2..=usize::MAX, build_loop).outputs(usize::MAX).whole(usize::MAX).omits(),
    Operator::new("Scan", 1..=usize::MAX, build_scan).since(9).outputs(usize::MAX).whole(usize::MAX),
];

/// Runs the body up to a number of times, while its condition holds. Its inputs are the number of the iteration, the
/// condition and the carried values; its outputs the condition, the carried values, and values that are stacked.
pub struct Loop {
    body: Body,
    /// Number of the node's own inputs: a number of iterations, a condition, and the carried values.
    own: usize,
}

/// Runs the body once for every step of its sequences. Its inputs are the carried values and one step of each
/// sequence; its outputs the carried values, and values that are stacked.
struct Scan {
    body: Body,
    carried: usize,
    /// Axis of each sequence of the inputs, and whether it runs from the end.
    inputs: Vec<(i64, bool)>,
    /// The same for the outputs.
    outputs: Vec<(i64, bool)>,
}

/// Loads the body of a node with `first` inputs before its captures, and `outputs` outputs.
fn body(b: &mut Builder, own: usize, inputs: usize, outputs: usize) -> Result<Body> {
    let captures = b.node.captures(0)?;
    let loaded = b.subgraph("body", &captures)?;
    let (got, made) = (loaded.read.len() - captures.len(), loaded.body.outputs.len());
    if [got, made] != [inputs, outputs] {
        let expected = format!("{inputs} inputs and {outputs} outputs");
        return Err(b.refuse(format!("a body with {got} inputs and {made} outputs, not {expected}")));
    }
    b.drop_captures(&loaded.read[inputs..]);
    debug_assert_eq!(own, b.node.inputs, "the captures follow the node's own inputs");
    Ok(loaded.body)
}

fn build_loop(b: &mut Builder) -> Result<Op> {
    let (own, outputs) = (b.node.inputs, b.node.outputs);
    let found = match b.graph("body")? {
        Some(graph) => cell::find(b, &graph, own)?,
        None => None,
    };
    let body = body(b, own, own, outputs + 1)?;
    let whole = Loop { body, own };
    match found {
        Some(found) => Ok(Op::Looped(Box::new(found.build(b, whole)?))),
        None => Ok(Op::Control(Box::new(whole))),
    }
}

/// Returns the only integer of a value, moved to the host if the run may wait for it.
fn number(value: &Value, what: &'static str, run: &mut Run) -> Result<i64> {
    if matches!(value, Value::Whole(_)) && run.device.is_gpu() && !run.waits {
        let expected = "an integer on the host; a GPU computes this one, which only run_blocking waits for";
        return Err(Error::value("onnx", what, expected, "an integer on the device"));
    }
    match value.clone().on_host()?.as_ints()? {
        &[number] => Ok(number),
        other => Err(Error::value("onnx", what, "one number", format!("{} of them", other.len()))),
    }
}

/// Values that every iteration adds to, and that count until they are stacked.
struct Stacks {
    parts: Vec<Vec<Value>>,
    held: u64,
}

impl Stacks {
    fn new(count: usize) -> Self {
        Self { parts: vec![Vec::new(); count], held: 0 }
    }

    fn push(&mut self, values: impl Iterator<Item = Value>, run: &mut Run) -> Result<()> {
        for (stack, value) in self.parts.iter_mut().zip(values) {
            // A value and its place in the list.
            let bytes = value.bytes() + 256;
            run.meter.charge(Cost { bytes, work: 0 })?;
            run.meter.hold(bytes);
            self.held += bytes;
            stack.push(view(&value, &[&[1], value.dims()].concat())?);
        }
        Ok(())
    }

    /// Stacks the values along a new first axis, from the end where `reversed`.
    fn finish(self, reversed: impl Fn(usize) -> bool, run: &mut Run) -> Result<Vec<Value>> {
        let mut out = Vec::with_capacity(self.parts.len());
        for (i, mut parts) in self.parts.into_iter().enumerate() {
            if parts.is_empty() {
                let expected = "at least one iteration: without one, the extents of the stacked output are unknown";
                return Err(Error::value("onnx", "output", expected, "none"));
            }
            if reversed(i) {
                parts.reverse();
            }
            run.meter.charge(parts.iter().map(Cost::copy).sum())?;
            out.push(joined(&parts.iter().collect::<Vec<_>>(), 0)?);
        }
        run.meter.release(self.held);
        Ok(out)
    }
}

/// Replaces the carried values, and counts them while they are alive.
fn carry(carried: &mut Vec<Value>, next: Vec<Value>, held: &mut u64, run: &mut Run) {
    run.meter.release(*held);
    *held = next.iter().map(Value::bytes).sum();
    run.meter.hold(*held);
    *carried = next;
}

impl Control for Loop {
    fn run(&self, args: &Args, run: &mut Run) -> Result<Vec<Value>> {
        let most = args.get(0).map(|value| number(value, "M", run)).transpose()?.unwrap_or(i64::MAX);
        let mut condition = args.get(1).map(|value| number(value, "cond", run)).transpose()?.unwrap_or(1) != 0;
        let mut carried = (2..self.own).map(|i| args.value(i).cloned()).collect::<Result<Vec<_>>>()?;
        let mut stacks = Stacks::new(self.body.outputs.len() - 1 - carried.len());
        let (mut at, mut held) = (0, 0);
        // States in a loop belong to an iteration, not to the stream.
        let states = run.states.take();
        let result = (|| {
            while at < most && condition {
                run.meter.charge(overhead(&self.body))?;
                let state = [Value::ints(&[at], &[])?, Value::ints(&[condition.into()], &[])?];
                let first = state.into_iter().chain(carried.iter().cloned()).map(Some);
                let mut made = self.body.run(first.chain(captured(args, self.own)), run)?.into_iter();
                if let Some(next) = made.next() {
                    condition = number(&next, "cond", run)? != 0;
                }
                let next: Vec<Value> = made.by_ref().take(carried.len()).collect();
                carry(&mut carried, next, &mut held, run);
                stacks.push(made, run)?;
                at += 1;
            }
            Ok(())
        })();
        run.states = states;
        result?;
        run.meter.release(held);
        carried.extend(stacks.finish(|_| false, run)?);
        Ok(carried)
    }
}

fn build_scan(b: &mut Builder) -> Result<Op> {
    let (own, outputs) = (b.node.inputs, b.node.outputs);
    let sequences = b.int("num_scan_inputs")?.and_then(|n| usize::try_from(n).ok()).filter(|n| (1..=own).contains(n));
    let Some(sequences) = sequences else { return Err(b.refuse("no number of sequences")) };
    let carried = own - sequences;
    let Some(stacks) = outputs.checked_sub(carried) else { return Err(b.refuse("too few outputs")) };
    let mut lists = |axes, directions, count: usize| -> Result<Vec<(i64, bool)>> {
        let axes = b.ints(axes)?.unwrap_or_else(|| vec![0; count]);
        let directions = b.ints(directions)?.unwrap_or_else(|| vec![0; count]);
        match [axes.len(), directions.len()] == [count; 2] {
            true => Ok(axes.into_iter().zip(directions).map(|(axis, d)| (axis, d != 0)).collect()),
            false => Err(b.refuse(format!("axes {} and directions {}", shown(&axes), shown(&directions)))),
        }
    };
    let inputs = lists("scan_input_axes", "scan_input_directions", sequences)?;
    let stacked = lists("scan_output_axes", "scan_output_directions", stacks)?;
    let body = body(b, own, own, outputs)?;
    Ok(Op::Control(Box::new(Scan { body, carried, inputs, outputs: stacked })))
}

impl Control for Scan {
    fn run(&self, args: &Args, run: &mut Run) -> Result<Vec<Value>> {
        let own = self.carried + self.inputs.len();
        let mut carried = (0..self.carried).map(|i| args.value(i).cloned()).collect::<Result<Vec<_>>>()?;
        let (mut sequences, mut steps) = (Vec::with_capacity(self.inputs.len()), None);
        for (i, &(axis, _)) in (self.carried..).zip(&self.inputs) {
            let x = args.value(i)?;
            let axis = axis_of(axis, x.dims().len())?;
            let extent = x.dims()[axis];
            if *steps.get_or_insert(extent) != extent {
                return Err(Error::shape("onnx", "sequences", "one number of steps", x.dims()));
            }
            sequences.push((x, axis));
        }
        let steps = steps.unwrap_or(0);
        let (mut stacks, mut held) = (Stacks::new(self.outputs.len()), 0);
        let states = run.states.take();
        let result = (|| {
            for at in 0..steps {
                run.meter.charge(overhead(&self.body))?;
                let mut first: Vec<Option<Value>> = carried.iter().cloned().map(Some).collect();
                for ((x, axis), (_, reversed)) in sequences.iter().zip(&self.inputs) {
                    let at = if *reversed { steps - 1 - at } else { at };
                    let one = Cost::copy(x).bytes / steps as u64;
                    run.meter.charge(Cost { bytes: one, work: 8 * one })?;
                    first.push(Some(step_of(x, *axis, at)?));
                }
                let first = first.into_iter().chain(captured(args, own));
                let mut made = self.body.run(first, run)?.into_iter();
                let next: Vec<Value> = made.by_ref().take(carried.len()).collect();
                carry(&mut carried, next, &mut held, run);
                stacks.push(made, run)?;
            }
            Ok(())
        })();
        run.states = states;
        result?;
        run.meter.release(held);
        let stacked = stacks.finish(|i| self.outputs[i].1, run)?;
        for (value, &(axis, _)) in stacked.into_iter().zip(&self.outputs) {
            let rank = value.dims().len();
            let axis = axis_of(axis, rank)?;
            // The new axis is the first one; it moves to its place.
            let mut axes: Vec<usize> = (1..rank).collect();
            axes.insert(axis, 0);
            carried.push(match &value {
                _ if axis == 0 => value,
                Value::Ints(x) => super::host::permute(x, &axes)?.into(),
                Value::Tensor(x) | Value::Whole(x) => value.like(x.permute(&axes)?),
            });
        }
        Ok(carried)
    }
}
