//! The interface of nodes with subgraphs.

use super::Args;
use crate::error::Result;
use crate::io::onnx::meter::Cost;
use crate::io::onnx::run::{Body, Run};
use crate::io::onnx::value::Value;

/// A node with subgraphs. A subgraph reads values of outer graphs, which follow the node's own inputs.
pub trait Control: Send + Sync {
    /// Returns the outputs. Charges the meter of the run, which every subgraph shares.
    fn run(&self, args: &Args, run: &mut Run) -> Result<Vec<Value>>;

    /// Subgraphs that run at most once in a run of the node, so that a stream can carry the states in them.
    fn branches(&self) -> &[Body] {
        &[]
    }
}

/// Returns the values of outer graphs, which follow the node's `own` inputs.
pub fn captured<'a>(args: &'a Args, own: usize) -> impl Iterator<Item = Option<Value>> + use<'a> {
    args.inputs[own..].iter().map(|value| value.cloned())
}

/// Cost of running a body once, besides that of its nodes.
pub fn overhead(body: &Body) -> Cost {
    const NODE: u64 = 1 << 10;
    Cost { bytes: 0, work: NODE * (body.steps.len() as u64 + 4) }
}
