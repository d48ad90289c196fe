//! Networks: layers that run one after another.

use std::collections::HashSet;

use engine::nn::{LastState, Mode, Module, Sequential};
use engine::{Device, Tensor};

use crate::failure::{Failure, Result};
use crate::part::Part;

/// Layers that run one after another, with their names.
pub struct Sequence {
    pub parts: Vec<(String, Part)>,
    pub module: Sequential,
}

/// Checks the name of a layer, which is part of the names of its parameters in files.
fn check_name(name: &str) -> Result<()> {
    let is_good = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    match !name.is_empty() && name.len() <= 256 && name.chars().all(is_good) {
        true => Ok(()),
        false => Err(Failure::value(format!(
            "Sequential: expected layer names of letters, digits, \"_\" and \".\", got {name:.64?}"
        ))),
    }
}

impl Sequence {
    /// Connects layers. The directions of a [`LastState`] are those of the recurrent layer before it.
    pub fn new(mut parts: Vec<(String, Part)>) -> Result<Self> {
        if parts.is_empty() {
            return Err(Failure::value("Sequential: expected at least one layer, got none"));
        }
        let mut names = HashSet::new();
        let mut last: Option<LastState> = None;
        for (name, part) in &mut parts {
            check_name(name)?;
            if !names.insert(name.clone()) {
                return Err(Failure::value(format!("Sequential: the name {name:?} appears twice")));
            }
            match part {
                Part::Recurrent(layer) => {
                    let c = layer.config();
                    let (batch_first, bidirectional, reverse) = (c.batch_first, c.bidirectional, c.reverse);
                    if last.is_some_and(|last| last.batch_first != batch_first) {
                        let why = "expected recurrent layers that are all batch_first, or all not";
                        return Err(Failure::value(format!("Sequential: {name}: {why}")));
                    }
                    last = Some(LastState { batch_first, bidirectional, reverse });
                }
                Part::LastState(state) => {
                    *state = last.ok_or_else(|| {
                        Failure::value(format!("Sequential: {name}: expected a recurrent layer before LastState"))
                    })?;
                }
                _ => {}
            }
        }
        let is_below = |name: &str, other: &str| name.strip_prefix(other).is_some_and(|rest| rest.starts_with('.'));
        if let Some(name) = names.iter().find(|name| names.iter().any(|other| is_below(name, other))) {
            return Err(Failure::value(format!("Sequential: the name {name:?} is below the name of another layer")));
        }
        let push = |all: Sequential, (name, part): &(String, Part)| all.push(name, part.clone());
        let module = parts.iter().fold(Sequential::new(), push);
        Ok(Self { parts, module })
    }

    /// Whether the batch is the first axis of the input; true without a recurrent layer.
    pub fn is_batch_first(&self) -> bool {
        let first = self.parts.iter().find_map(|(_, part)| match part {
            Part::Recurrent(layer) => Some(layer.config().batch_first),
            _ => None,
        });
        first.unwrap_or(true)
    }

    /// Whether the input holds indices.
    pub fn takes_indices(&self) -> bool {
        matches!(self.parts.first(), Some((_, Part::Embedding(_))))
    }

    /// Returns the device of the first parameter.
    pub fn device(&self) -> Option<Device> {
        self.module.parameters().first().map(|(_, tensor)| tensor.device().clone())
    }

    pub fn run(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.module.forward_with(x, &mut Mode::Eval)?)
    }
}
