//! A run of a graph on the CPU for inputs of fixed extents, recorded to be repeated.
//! See `docs/adr/0045-recorded-runs.md`.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::meter::{Limits, Meter};
use super::run::{Graph, Run, States};
use super::value::Value;
use crate::cpu::{self, Recording};
use crate::device::Engine;
use crate::error::Result;
use crate::tensor::Tensor;

/// A buffer with floats that a run reads or writes.
pub(super) struct Buffer {
    memory: Arc<cpu::Memory>,
    len: usize,
}

impl Buffer {
    fn of(tensor: &Tensor) -> Self {
        Self { memory: tensor.memory().cpu().clone(), len: tensor.len() }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether this is the memory of `other`.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.memory, &other.memory)
    }

    pub fn read(&self) -> impl Deref<Target = [f32]> {
        View { guard: self.memory.read(), len: self.len }
    }

    pub fn write(&self) -> impl DerefMut<Target = [f32]> {
        View { guard: self.memory.write(), len: self.len }
    }
}

/// The floats of a buffer, which may be longer.
struct View<G> {
    guard: G,
    len: usize,
}

impl<G: Deref<Target: Deref<Target = [f32]>>> Deref for View<G> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.guard[..self.len]
    }
}

impl<G: DerefMut<Target: DerefMut<Target = [f32]>>> DerefMut for View<G> {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.guard[..self.len]
    }
}

/// A recorded run.
pub(super) struct Recorded {
    recording: Recording,
    /// The inputs of the graph that hold floats: place in the graph, extents, buffer.
    pub inputs: Vec<(usize, Vec<usize>, Buffer)>,
    /// The states of recurrent nodes before and after the run, in the order of [`States`].
    pub states: [Vec<Buffer>; 2],
    /// The outputs, in the order of the graph.
    pub outputs: Vec<Value>,
}

/// Returns a copy with memory of its own.
fn copy(tensor: &Tensor) -> Result<Tensor> {
    Tensor::from_slice(tensor.device(), &tensor.read_now()?, tensor.dims())
}

/// The buffers of all states, in order.
fn buffers(states: &States) -> Vec<Buffer> {
    states.values().flat_map(|state| [Some(&state.h), state.c.as_ref()]).flatten().map(Buffer::of).collect()
}

impl Recorded {
    /// Records a run. Integers among the inputs stay as they are. Returns `None` if what runs depends on computed
    /// values.
    ///
    /// # Errors
    /// Those of the run.
    pub fn new(
        graph: &Graph,
        inputs: &[(&str, Value)],
        limits: Limits,
        states: Option<&States>,
    ) -> Result<Option<Self>> {
        let mut first = graph.take_inputs(inputs)?;
        let mut fed = Vec::new();
        for (place, (_, slot)) in graph.inputs.iter().enumerate() {
            if let Some(Value::Tensor(tensor) | Value::Whole(tensor)) = &mut first[*slot] {
                *tensor = copy(tensor)?;
                fed.push((place, tensor.dims().to_vec(), Buffer::of(tensor)));
            }
        }
        let mut carried = states.cloned().unwrap_or_default();
        for state in carried.values_mut() {
            state.h = copy(&state.h)?;
            state.c = state.c.as_ref().map(copy).transpose()?;
        }
        let before = buffers(&carried);
        let sources: Vec<_> = fed.iter().map(|(.., buffer)| buffer).chain(&before).map(|b| b.memory.clone()).collect();
        let elements = inputs.iter().map(|(_, value)| value.count() as u64).sum();
        let meter = Meter::of_run(limits, graph.weights, elements);
        let mut run = Run {
            device: &graph.device,
            states: states.is_some().then_some(&mut carried),
            initial: None,
            meter,
            waits: false,
        };
        let (outputs, recording) = Recording::of(&sources, || graph.rounded(graph.body.run(first, &mut run)?));
        let (outputs, after) = (outputs?, buffers(&carried));
        Ok(recording.map(|recording| Self { recording, inputs: fed, states: [before, after], outputs }))
    }

    /// Runs the kernels on what the buffers of the inputs hold.
    pub fn run(&self, graph: &Graph) {
        match graph.device.engine() {
            Engine::Cpu(cpu) => self.recording.run(cpu),
            #[cfg(feature = "gpu")]
            Engine::Gpu(_) => unreachable!("recorded on the CPU"),
        }
    }

    /// Returns the buffer of output `i`; `None` if it holds integers on the host, which do not change.
    pub fn output(&self, i: usize) -> Option<Buffer> {
        self.outputs[i].on_device().map(Buffer::of)
    }

    /// Bytes of the buffers that the kernels write.
    pub fn bytes(&self) -> usize {
        self.recording.bytes()
    }

    /// Names of the kernels, in order.
    pub fn kernels(&self) -> impl Iterator<Item = &'static str> {
        self.recording.names()
    }
}
