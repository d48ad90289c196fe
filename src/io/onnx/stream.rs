//! Streaming: models that process a sequence piece by piece.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::meter::Limits;
use super::ops::{Op, State};
use super::run::{Graph, States};
use super::value::Value;
use crate::error::{Error, Result};

/// A model whose recurrent nodes keep their states from call to call.
///
/// ```no_run
/// # use wgru::{Device, Tensor, io::onnx::OnnxModel};
/// # let device = Device::cpu();
/// # let model = OnnxModel::load(&device, &[])?;
/// let mut stream = model.stream()?;
/// for frame in [0.0, 0.5, 1.0] {
///     let x = Tensor::full(&device, frame, &[1, 1, 161])?;
///     let gain = &stream.run(&[("input", x.into())])?[0].1;
/// }
/// let state = &stream.states()["GRU_14"].h;
/// stream.reset();
/// # Ok::<(), wgru::Error>(())
/// ```
#[derive(Clone)]
pub struct Stream {
    graph: Arc<Graph>,
    limits: Limits,
    states: States,
}

impl Stream {
    pub(super) fn new(graph: Arc<Graph>, limits: Limits) -> Self {
        Self { graph, limits, states: States::new() }
    }

    /// [`OnnxModel::run`](super::OnnxModel::run), starting from the states after the previous call. The first call
    /// starts from the initial states of the graph.
    ///
    /// # Errors
    /// Same as [`OnnxModel::run`](super::OnnxModel::run); on an error, the states do not change.
    pub fn run(&mut self, inputs: &[(&str, Value)]) -> Result<Vec<(String, Value)>> {
        let mut next = self.states.clone();
        let outputs = self.graph.run(inputs, self.limits, Some(&mut next))?;
        self.states = next;
        Ok(outputs)
    }

    /// Clears the states: the next call starts like the first.
    pub fn reset(&mut self) {
        self.states.clear();
    }

    /// Returns the states by the name of the node, or of its first output if it has none. Empty before the first call.
    pub fn states(&self) -> &BTreeMap<String, State> {
        &self.states
    }

    /// Sets the states, for example to those of an earlier [`states`](Stream::states).
    ///
    /// # Errors
    /// [`Error::Value`] for a name that no recurrent node has. The extents are checked by the next call.
    pub fn set_states(&mut self, states: BTreeMap<String, State>) -> Result<()> {
        let recurrent = self.graph.steps.iter().filter(|step| matches!(step.op, Op::Recurrent(_)));
        let known: HashSet<&str> = recurrent.map(|step| &*step.label).collect();
        if let Some(name) = states.keys().find(|name| !known.contains(name.as_str())) {
            return Err(Error::value("Stream::set_states", "states", "names of recurrent nodes", name));
        }
        self.states = states;
        Ok(())
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Stream({} nodes, states of {:?})", self.graph.steps.len(), self.states.keys())
    }
}
