//! The table of operators: how a node is built, and what it costs.

mod branch;
mod builder;
mod cast;
mod compare;
mod control;
mod conv;
mod einsum;
mod elementwise;
mod extremes;
mod fourier;
mod functions;
mod generate;
mod host;
mod index;
mod linear;
mod loops;
mod normalize;
mod pad;
mod pool;
mod pow;
mod quantize;
mod quantized_lstm;
mod recurrent;
mod reduce;
mod resize;
mod scatter;
mod shape;
mod sort;
mod windows;

use std::ops::RangeInclusive;

pub(super) use builder::Builder;
pub(super) use control::Control;
pub(super) use loops::Looped;
pub(super) use recurrent::Recurrent;
pub use recurrent::State;

use super::ints::{MOST_AXES, shown};
use super::meter::Cost;
use super::value::Value;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// A node that is ready to run.
pub(super) enum Op {
    /// A function of its inputs.
    Function(Box<dyn Function>),
    /// A recurrent node, whose state a stream carries.
    Recurrent(Box<Recurrent>),
    /// A loop that is a recurrent node.
    Looped(Box<Looped>),
    /// A node with subgraphs.
    Control(Box<dyn Control>),
    /// Values that are known at load.
    Known(Box<[Value]>),
}

/// A function of a node's inputs.
pub(super) trait Function: Send + Sync {
    /// Returns an upper bound on the cost of [`run`](Function::run), from the shapes of the inputs and the integers
    /// among them.
    fn cost(&self, args: &Args) -> Result<Cost>;
    /// Returns the outputs.
    fn run(&self, args: &Args) -> Result<Vec<Value>>;
}

impl<C, R> Function for (C, R)
where
    C: Fn(&Args) -> Result<Cost> + Send + Sync,
    R: Fn(&Args) -> Result<Vec<Value>> + Send + Sync,
{
    fn cost(&self, args: &Args) -> Result<Cost> {
        self.0(args)
    }

    fn run(&self, args: &Args) -> Result<Vec<Value>> {
        self.1(args)
    }
}

/// Creates an [`Op::Function`].
fn function(
    cost: impl Fn(&Args) -> Result<Cost> + Send + Sync + 'static,
    run: impl Fn(&Args) -> Result<Vec<Value>> + Send + Sync + 'static,
) -> Result<Op> {
    Ok(Op::Function(Box::new((cost, run))))
}

/// One operator.
pub(super) struct Operator {
    pub name: &'static str,
    /// First supported operator set.
    pub since: i64,
    pub inputs: RangeInclusive<usize>,
    /// Maximum number of outputs.
    pub outputs: usize,
    pub build: fn(&mut Builder) -> Result<Op>,
    /// Whether it is computed at load if every input is a constant.
    pub folds: bool,
    /// Number of leading inputs that may be integers on the device ([`Value::Whole`]).
    pub whole: usize,
    /// Whether required inputs may be omitted.
    pub omits: bool,
    /// Whether the outputs depend on the elements of the inputs, not only on their extents.
    pub reads_values: bool,
}

impl Operator {
    /// An operator with one output.
    const fn new(name: &'static str, inputs: RangeInclusive<usize>, build: fn(&mut Builder) -> Result<Op>) -> Self {
        let (since, outputs, folds, whole, omits, reads_values) = (1, 1, false, 0, false, true);
        Self { name, since, inputs, outputs, build, folds, whole, omits, reads_values }
    }

    const fn since(mut self, opset: i64) -> Self {
        self.since = opset;
        self
    }

    const fn outputs(mut self, most: usize) -> Self {
        self.outputs = most;
        self
    }

    const fn folds(mut self) -> Self {
        self.folds = true;
        self
    }

    /// Marks an operator whose outputs depend only on the extents of its inputs.
    const fn of_extents(mut self) -> Self {
        self.reads_values = false;
        self
    }

    /// Marks an operator whose required inputs may be omitted.
    const fn omits(mut self) -> Self {
        self.omits = true;
        self
    }

    const fn whole(mut self, inputs: usize) -> Self {
        self.whole = inputs;
        self
    }
}

/// Returns the operator with this name in a domain.
pub(super) fn find(domain: &str, name: &str) -> Option<&'static Operator> {
    const TABLES: &[&[Operator]] = &[
        elementwise::TABLE,
        functions::TABLE,
        extremes::TABLE,
        compare::TABLE,
        cast::TABLE,
        pow::TABLE,
        shape::TABLE,
        index::TABLE,
        scatter::TABLE,
        generate::TABLE,
        sort::TABLE,
        pad::TABLE,
        resize::TABLE,
        linear::TABLE,
        einsum::TABLE,
        conv::TABLE,
        pool::TABLE,
        normalize::TABLE,
        reduce::TABLE,
        quantize::TABLE,
        fourier::TABLE,
        recurrent::TABLE,
        branch::TABLE,
        loops::TABLE,
    ];
    const MICROSOFT: &[&[Operator]] = &[functions::MICROSOFT, quantize::MICROSOFT, quantized_lstm::MICROSOFT];
    let tables = match domain {
        "" | "ai.onnx" => TABLES,
        "com.microsoft" => MICROSOFT,
        _ => return None,
    };
    tables.iter().copied().flatten().find(|o| o.name == name)
}

/// Inputs of a running node.
pub(super) struct Args<'a> {
    pub device: &'a Device,
    pub inputs: &'a [Option<&'a Value>],
    /// Whether the node may wait for values that a GPU computes.
    pub waits: bool,
}

impl<'a> Args<'a> {
    /// Returns input `i`, if it is present.
    pub fn get(&self, i: usize) -> Option<&'a Value> {
        self.inputs.get(i).copied().flatten()
    }

    pub fn value(&self, i: usize) -> Result<&'a Value> {
        self.get(i).ok_or_else(|| Error::value("onnx", "input", format!("input {i}"), "none"))
    }

    pub fn tensor(&self, i: usize) -> Result<&'a Tensor> {
        self.value(i)?.as_tensor()
    }

    pub fn ints(&self, i: usize) -> Result<&'a [i64]> {
        self.value(i)?.as_ints()
    }

    /// Returns the floats of input `i` on the host, which decide the shape of the result.
    pub fn read(&self, i: usize) -> Result<Vec<f32>> {
        let x = self.tensor(i)?;
        if x.device().is_gpu() && !self.waits {
            let expected = "floats on the host; these are computed on a GPU, which only run_blocking waits for";
            return Err(Error::value("onnx", "input", expected, format!("input {i}")));
        }
        x.read_now()
    }

    /// Returns the floats of an optional input.
    pub fn optional(&self, i: usize) -> Result<Option<&'a Tensor>> {
        self.get(i).map(Value::as_tensor).transpose()
    }
}

/// Returns the cost of moving the elements of the first input, which are copied unless they are shared.
fn copied(args: &Args) -> Result<Cost> {
    Ok(Cost::copy(args.value(0)?))
}

/// Resolves an axis that may count from the end.
fn axis_of(axis: i64, rank: usize) -> Result<usize> {
    let counted = if axis < 0 { axis + rank as i64 } else { axis };
    match usize::try_from(counted) {
        Ok(axis) if axis < rank => Ok(axis),
        _ => Err(Error::value("onnx", "axis", format!("-{rank} ≤ axis < {rank}"), axis)),
    }
}

/// Resolves distinct axes that may count from the end, and sorts them.
fn axes_of(axes: &[i64], rank: usize) -> Result<Vec<usize>> {
    if rank > MOST_AXES || axes.len() > MOST_AXES {
        return Err(Error::value("onnx", "axes", format!("at most {MOST_AXES}"), rank.max(axes.len())));
    }
    let mut out = axes.iter().map(|&a| axis_of(a, rank)).collect::<Result<Vec<_>>>()?;
    out.sort_unstable();
    if out.windows(2).any(|w| w[0] == w[1]) {
        return Err(Error::value("onnx", "axes", "distinct axes", shown(axes)));
    }
    Ok(out)
}
