//! Streaming: models that process a sequence piece by piece.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::bound::BoundStream;
use super::info::{Extent, Info};
use super::meter::Limits;
use super::ops::State;
use super::pairs::{self, Pair, StreamOptions};
use super::recorded::Recorded;
use super::repeat::Repeat;
use super::run::{Graph, States};
use super::value::Value;
use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// A model that carries its state from call to call: in recurrent nodes, or in pairs of an input and an output.
///
/// An input of a pair that is fed to a call starts from what is fed. One that is not fed continues with the output of
/// the previous call, or with zeros in the first call.
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
/// let start = stream.snapshot();
/// stream.reset();
/// stream.restore(start)?;
/// # Ok::<(), wgru::Error>(())
/// ```
#[derive(Clone)]
pub struct Stream {
    graph: Arc<Graph>,
    limits: Limits,
    pairs: Vec<Pair>,
    /// Whether recurrent nodes keep their states.
    nodes: bool,
    states: States,
    carried: BTreeMap<String, Value>,
    repeat: Repeat,
}

/// The state of a [`Stream`] between two calls.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// States of recurrent nodes, by the name of the node, or of its first output if it has none.
    pub nodes: BTreeMap<String, State>,
    /// Values of the inputs of pairs, by their names.
    pub pairs: BTreeMap<String, Value>,
}

impl Stream {
    pub(super) fn new(graph: Arc<Graph>, limits: Limits, options: &StreamOptions) -> Result<Self> {
        let inputs: Vec<&Info> = graph.inputs.iter().map(|(info, _)| info).collect();
        let outputs: Vec<&Info> = graph.outputs.iter().map(|(info, _)| info).collect();
        let pairs = match &options.pairs {
            Some(pairs) => pairs::given(pairs, &inputs, &outputs)?,
            None => pairs::found(&inputs, &outputs)?,
        };
        let nodes = options.nodes.unwrap_or(pairs.is_empty());
        if nodes {
            check_nodes(&graph)?;
        }
        Ok(Self {
            graph,
            limits,
            pairs,
            nodes,
            states: States::new(),
            carried: BTreeMap::new(),
            repeat: Repeat::default(),
        })
    }

    /// Returns the pairs of an input and the output that it continues, by their names.
    pub fn pairs(&self) -> impl Iterator<Item = [&str; 2]> {
        let name = |pair: &Pair| [&*self.graph.inputs[pair.input].0.name, &*self.graph.outputs[pair.output].0.name];
        self.pairs.iter().map(name)
    }

    /// [`OnnxModel::run`](super::OnnxModel::run), starting from the state after the previous call. The first call
    /// starts from the initial states of the graph, and from zeros in pairs; an extent of theirs that neither the file
    /// nor another input states is 1.
    ///
    /// # Errors
    /// Same as [`OnnxModel::run`](super::OnnxModel::run); on an error, the state does not change.
    pub fn run(&mut self, inputs: &[(&str, Value)]) -> Result<Vec<(String, Value)>> {
        self.run_with(inputs, false)
    }

    /// [`OnnxModel::run_blocking`](super::OnnxModel::run_blocking), starting from the state after the previous call, as
    /// [`run`](Stream::run) does.
    ///
    /// # Errors
    /// Same as [`run`](Stream::run).
    #[cfg(any(not(target_arch = "wasm32"), wgru_jspi))]
    pub fn run_blocking(&mut self, inputs: &[(&str, Value)]) -> Result<Vec<(String, Value)>> {
        self.run_with(inputs, true)
    }

    /// Prepares the stream for inputs of fixed extents on the CPU. `inputs` are an example: of floats, only the extents
    /// matter; integers keep their values. Inputs of pairs that are among them are not carried. The bound stream
    /// continues from the state of this one.
    ///
    /// # Errors
    /// [`Error::Unsupported`] on a GPU, and if what runs depends on computed values, as in a loop whose condition is
    /// computed from the input; otherwise like [`run`](Stream::run).
    pub fn bind(&self, inputs: &[(&str, Value)]) -> Result<BoundStream> {
        if self.graph.device.is_gpu() {
            return Err(Error::unsupported("the stream", "Stream::bind", "a GPU; open the model on the CPU"));
        }
        let start = Stream { states: States::new(), carried: BTreeMap::new(), ..self.clone() };
        let fed = start.fed(inputs)?;
        // The first run packs weights, which the recording then need not repeat.
        let (mut states, mut initial) = (States::new(), States::new());
        let nodes = self.nodes.then_some(&mut states);
        self.graph.run(&fed, self.limits, nodes, Some(&mut initial), false)?;
        let recorded = Recorded::new(&self.graph, &fed, self.limits, self.nodes.then_some(&initial))?;
        let recorded = recorded.ok_or_else(|| {
            let what = "buffers of fixed extents, because what runs depends on computed values";
            Error::unsupported("the graph", "Stream::bind", what)
        })?;
        self.bound(inputs, &fed, recorded, &initial)
    }

    /// Binds a recorded run, whose recurrent nodes start from `nodes`.
    fn bound(
        &self,
        inputs: &[(&str, Value)],
        fed: &[(&str, Value)],
        recorded: Recorded,
        nodes: &States,
    ) -> Result<BoundStream> {
        let carried = |pair: &&Pair| inputs.iter().all(|(name, _)| *name != self.graph.inputs[pair.input].0.name);
        let floats = |value: Option<&Value>| match value.and_then(Value::on_device) {
            Some(tensor) => tensor.read_now(),
            None => Ok(Vec::new()),
        };
        let mut pairs = Vec::new();
        for pair in self.pairs.iter().filter(carried) {
            let name = &self.graph.inputs[pair.input].0.name;
            let initial = floats(fed.iter().find(|(fed, _)| fed == name).map(|(_, value)| value))?;
            let now = match self.carried.get(name) {
                Some(value) => floats(Some(value))?,
                None => initial.clone(),
            };
            pairs.push((*pair, [initial, now]));
        }
        let mut states = Vec::new();
        for (name, initial) in nodes {
            let now = self.states.get(name).unwrap_or(initial);
            for (initial, now) in [(Some(&initial.h), Some(&now.h)), (initial.c.as_ref(), now.c.as_ref())] {
                if let (Some(initial), Some(now)) = (initial, now) {
                    states.push([initial.read_now()?, now.read_now()?]);
                }
            }
        }
        BoundStream::new(self.graph.clone(), recorded, pairs, states)
    }

    /// Adds the inputs of pairs that are not fed.
    fn fed<'a>(&'a self, inputs: &[(&'a str, Value)]) -> Result<Vec<(&'a str, Value)>> {
        let mut fed: Vec<(&str, Value)> = inputs.to_vec();
        for pair in &self.pairs {
            let info = &self.graph.inputs[pair.input].0;
            if inputs.iter().any(|(name, _)| *name == info.name) {
                continue;
            }
            let value = match self.carried.get(&info.name) {
                Some(value) => value.clone(),
                None => self.zeros(info, inputs)?,
            };
            fed.push((&info.name, value));
        }
        if let Some((info, _)) =
            self.graph.inputs.iter().find(|(info, _)| fed.iter().all(|(name, _)| *name != info.name))
        {
            return Err(self.missing(info));
        }
        Ok(fed)
    }

    fn run_with(&mut self, inputs: &[(&str, Value)], waits: bool) -> Result<Vec<(String, Value)>> {
        let mut repeat = std::mem::take(&mut self.repeat);
        let result = self.run_or_repeat(inputs, waits, &mut repeat);
        self.repeat = repeat;
        result
    }

    fn run_or_repeat(
        &mut self,
        inputs: &[(&str, Value)],
        waits: bool,
        repeat: &mut Repeat,
    ) -> Result<Vec<(String, Value)>> {
        let fed = self.fed(inputs)?;
        let mut next = self.nodes.then(|| self.states.clone());
        let outputs = match self.graph.device.is_gpu() {
            true => self.graph.run(&fed, self.limits, next.as_mut(), None, waits)?,
            false => repeat.run(&self.graph, &fed, self.limits, next.as_mut())?,
        };
        self.states = next.unwrap_or_default();
        for pair in &self.pairs {
            let name = self.graph.inputs[pair.input].0.name.clone();
            self.carried.insert(name, outputs[pair.output].1.clone());
        }
        Ok(outputs)
    }

    /// Returns the zeros that a pair starts from.
    fn zeros(&self, info: &Info, inputs: &[(&str, Value)]) -> Result<Value> {
        let Some(dims) = &info.dims else {
            let expected = format!("a value for {:?}, because the file does not state its extents", info.name);
            return Err(Error::value("Stream::run", "inputs", expected, "none"));
        };
        // Extents that other inputs share by name.
        let mut named: HashMap<&str, usize> = HashMap::new();
        for (name, value) in inputs {
            let Some((other, _)) = self.graph.names.get(*name).map(|&place| &self.graph.inputs[place]) else {
                continue;
            };
            for (extent, &got) in other.dims.iter().flatten().zip(value.dims()) {
                if let Extent::Named(name) = extent {
                    named.entry(name).or_insert(got);
                }
            }
        }
        let extent = |extent: &Extent| match extent {
            Extent::Fixed(n) => *n,
            Extent::Named(name) => named.get(name.as_str()).copied().unwrap_or(1),
            Extent::Free => 1,
        };
        let dims: Vec<usize> = dims.iter().map(extent).collect();
        match info.float {
            true => Ok(Tensor::zeros(&self.graph.device, &dims)?.into()),
            false => Value::ints(&vec![0; super::ints::limited(&dims)?], &dims),
        }
    }

    /// Returns the error for an input that is neither fed nor carried. It names outputs that could continue it.
    fn missing(&self, info: &Info) -> Error {
        let same = |output: &&Info| output.dims == info.dims && output.float == info.float && info.dims.is_some();
        let outputs: Vec<&str> =
            self.graph.outputs.iter().map(|(info, _)| info).filter(same).take(8).map(|info| &*info.name).collect();
        let hint = match outputs.is_empty() {
            true => String::new(),
            false => format!("; if it is a state, pair it in StreamOptions::pairs, with {}", outputs.join(" or ")),
        };
        Error::value("Stream::run", "inputs", format!("an input {:?}{hint}", info.name), "none")
    }

    /// Clears the state: the next call starts like the first.
    pub fn reset(&mut self) {
        self.states.clear();
        self.carried.clear();
    }

    /// Returns the state: of recurrent nodes, and of pairs. Empty before the first call.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { nodes: self.states.clone(), pairs: self.carried.clone() }
    }

    /// Sets the state, for example to an earlier [`snapshot`](Stream::snapshot).
    ///
    /// # Errors
    /// [`Error::Value`] for a name that no recurrent node or input of a pair has. The extents are checked by the next
    /// call.
    pub fn restore(&mut self, snapshot: Snapshot) -> Result<()> {
        let known: HashSet<&str> = self.pairs().map(|[input, _]| input).collect();
        if let Some(name) = snapshot.pairs.keys().find(|name| !known.contains(name.as_str())) {
            return Err(Error::value("Stream::restore", "pairs", "names of inputs of pairs", name));
        }
        drop(known);
        self.set_states(snapshot.nodes)?;
        self.carried = snapshot.pairs;
        Ok(())
    }

    /// Returns the states of recurrent nodes by the name of the node, or of its first output if it has none. Empty
    /// before the first call.
    pub fn states(&self) -> &BTreeMap<String, State> {
        &self.states
    }

    /// Sets the states of recurrent nodes, for example to those of an earlier [`states`](Stream::states).
    ///
    /// # Errors
    /// [`Error::Value`] for a name that no recurrent node has. The extents are checked by the next call.
    pub fn set_states(&mut self, states: BTreeMap<String, State>) -> Result<()> {
        let mut known: HashSet<&str> = HashSet::new();
        if self.nodes {
            self.graph.body.recurrent(&mut |step| _ = known.insert(&step.label));
        }
        if let Some(name) = states.keys().find(|name| !known.contains(name.as_str())) {
            return Err(Error::value("Stream::set_states", "states", "names of recurrent nodes", name));
        }
        drop(known);
        self.states = states;
        Ok(())
    }
}

/// Checks that every recurrent node can keep its state.
fn check_nodes(graph: &Graph) -> Result<()> {
    let (mut names, mut result) = (HashSet::new(), Ok(()));
    graph.body.recurrent(&mut |step| {
        let what = if !names.insert(&*step.label) {
            "a stream with two recurrent nodes of this name"
        } else if step.is_causal() {
            return;
        } else {
            "a stream of a node that reads its sequence in reverse"
        };
        if result.is_ok() {
            result = Err(Error::unsupported(&step.label, step.operator, what));
        }
    });
    result
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let pairs: Vec<_> = self.pairs().collect();
        write!(f, "Stream({} nodes, pairs {pairs:?}, ", self.graph.body.steps.len())?;
        write!(f, "states of {:?} and {:?})", self.states.keys(), self.carried.keys())
    }
}
