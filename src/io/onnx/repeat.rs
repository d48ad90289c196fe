//! Repeats recorded runs for inputs of the same extents. See `docs/adr/0045-recorded-runs.md`.

use super::meter::Limits;
use super::ops::State;
use super::recorded::Recorded;
use super::run::{Graph, States};
use super::value::Value;
use crate::error::Result;
use crate::tensor::Tensor;

/// Bytes of buffers up to which a recording is kept.
const MOST_BYTES: usize = 32 << 20;

/// The inputs and outputs of a run by name.
type Named = Vec<(String, Value)>;

/// Properties of an input that must be equal for a recording to be repeated: the extents of floats, and integers.
#[derive(PartialEq)]
enum Like {
    Floats(Vec<usize>),
    Ints(Vec<usize>, Vec<i64>),
}

impl Like {
    fn of(value: &Value) -> Self {
        match value {
            Value::Ints(ints) => Like::Ints(ints.dims().to_vec(), ints.values().to_vec()),
            Value::Tensor(tensor) | Value::Whole(tensor) => Like::Floats(tensor.dims().to_vec()),
        }
    }

    fn is(&self, value: &Value) -> bool {
        match (self, value) {
            (Like::Ints(dims, values), Value::Ints(ints)) => dims == ints.dims() && values == ints.values(),
            (Like::Floats(dims), Value::Tensor(tensor) | Value::Whole(tensor)) => dims == tensor.dims(),
            _ => false,
        }
    }
}

/// The last runs of a graph.
#[derive(Default)]
pub(super) struct Repeat {
    /// The inputs of the last run, and the extents of the states before it.
    last: Vec<Like>,
    recorded: Option<Recorded>,
    /// Whether runs for these inputs cannot be recorded.
    refused: bool,
}

impl Repeat {
    /// Runs the graph on the CPU. The second run for inputs like those of the one before is recorded; later ones repeat
    /// the recording.
    pub fn run(
        &mut self,
        graph: &Graph,
        inputs: &[(&str, Value)],
        limits: Limits,
        states: Option<&mut States>,
    ) -> Result<Named> {
        let fed = graph.take_inputs(inputs)?;
        let before: Vec<Tensor> = states.iter().flat_map(|states| states.values()).flat_map(tensors).cloned().collect();
        let all = || fed.iter().flatten().cloned().chain(before.iter().cloned().map(Value::from));
        let is_first = states.as_ref().is_some_and(|states| states.is_empty());
        let is_like = || self.last.len() == all().count() && self.last.iter().zip(all()).all(|(l, v)| l.is(&v));
        // After a reset, recurrent nodes start from states that only the graph knows.
        if !is_first && !is_like() {
            *self = Self { last: all().map(|value| Like::of(&value)).collect(), ..Self::default() };
            return graph.run(inputs, limits, states, None, false);
        }
        if is_first || self.refused {
            return graph.run(inputs, limits, states, None, false);
        }
        match &self.recorded {
            Some(recorded) => {
                for (slot, buffer) in recorded.inputs.iter().map(|(place, _, buffer)| (graph.inputs[*place].1, buffer))
                {
                    if let Some(tensor) = fed[slot].as_ref().and_then(Value::on_device) {
                        buffer.write().copy_from_slice(&tensor.memory().cpu().read()[..tensor.len()]);
                    }
                }
                for (tensor, buffer) in before.iter().zip(&recorded.states[0]) {
                    buffer.write().copy_from_slice(&tensor.memory().cpu().read()[..tensor.len()]);
                }
                recorded.run(graph);
            }
            None => match Recorded::new(graph, inputs, limits, states.as_deref())? {
                Some(recorded) if recorded.bytes() <= MOST_BYTES => self.recorded = Some(recorded),
                _ => {
                    self.refused = true;
                    return graph.run(inputs, limits, states, None, false);
                }
            },
        }
        let recorded = self.recorded.as_ref().expect("there, or just recorded");
        if let Some(states) = states {
            let mut after = recorded.states[1].iter();
            for state in states.values_mut() {
                let mut next = |old: &Tensor| match after.next() {
                    Some(buffer) => Tensor::from_slice(old.device(), &buffer.read(), old.dims()),
                    None => Ok(old.clone()),
                };
                *state = State { h: next(&state.h)?, c: state.c.as_ref().map(&mut next).transpose()? };
            }
        }
        let output = |(value, (info, _)): (&Value, &(super::Info, _))| {
            // A copy, because the next run overwrites the buffer.
            let value = match value {
                Value::Tensor(x) => Value::Tensor(copy(x)?),
                Value::Whole(x) => Value::Whole(copy(x)?).on_host()?,
                Value::Ints(ints) => ints.clone().into(),
            };
            Ok((info.name.clone(), value))
        };
        recorded.outputs.iter().zip(&graph.outputs).map(output).collect()
    }
}

impl Clone for Repeat {
    /// Clones nothing: each stream records its own runs.
    fn clone(&self) -> Self {
        Self::default()
    }
}

fn tensors(state: &State) -> impl Iterator<Item = &Tensor> {
    [Some(&state.h), state.c.as_ref()].into_iter().flatten()
}

fn copy(tensor: &Tensor) -> Result<Tensor> {
    Tensor::from_slice(tensor.device(), &tensor.memory().cpu().read()[..tensor.len()], tensor.dims())
}
