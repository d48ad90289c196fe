//! The state that the host saves: the path of the model and the parameters, as JSON.

use serde_json::{Value, json};

use crate::failure::{Failure, Result};
use crate::params::{ALL, Values};

const VERSION: u64 = 1;

/// A saved state.
#[derive(Debug, PartialEq)]
pub struct State {
    /// Path of the model; `None` without a model.
    pub model: Option<String>,
    /// Values of the parameters, in the order of [`ALL`].
    pub values: [f64; ALL.len()],
}

impl State {
    pub fn of(model: Option<String>, values: &Values) -> Self {
        Self { model, values: std::array::from_fn(|index| values.get(index)) }
    }

    pub fn to_json(&self) -> String {
        let parameters: serde_json::Map<String, Value> =
            ALL.iter().zip(self.values).map(|(param, value)| (param.key.into(), value.into())).collect();
        json!({ "version": VERSION, "model": self.model, "parameters": parameters }).to_string()
    }

    /// Parses a state. Missing parameters get their defaults.
    ///
    /// # Errors
    /// For bytes that are not a state, and for states of a newer version.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let refused = |why: &str| Failure::new(format!("the saved state {why}"));
        let state: Value = serde_json::from_slice(bytes).map_err(|error| refused(&format!("is no JSON: {error}")))?;
        match state["version"].as_u64() {
            Some(VERSION) => {}
            Some(newer) => return Err(refused(&format!("has the version {newer}; this plug-in reads {VERSION}"))),
            None => return Err(refused("has no version")),
        }
        let model = match &state["model"] {
            Value::Null => None,
            Value::String(path) => Some(path.clone()),
            _ => return Err(refused("has a model that is not a path")),
        };
        let value = |param: &crate::params::Param| match &state["parameters"][param.key] {
            Value::Null => Ok(param.default),
            value => {
                value.as_f64().map(|value| param.clamp(value)).ok_or_else(|| refused("has no numbers as parameters"))
            }
        };
        let mut values = [0.0; ALL.len()];
        for (param, place) in ALL.iter().zip(&mut values) {
            *place = value(param)?;
        }
        Ok(Self { model, values })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_read_as_they_were_written() {
        for model in [None, Some("/models/ä \"1\".nam".to_string())] {
            let state = State { model, values: [-3.5, 6.0, 0.25] };
            assert_eq!(State::parse(state.to_json().as_bytes()).expect("a state"), state);
        }
        let sparse = State::parse(br#"{"version": 1, "parameters": {"mix": 7}}"#).expect("a state");
        assert_eq!(sparse, State { model: None, values: [0.0, 0.0, 1.0] });
    }

    #[test]
    fn other_bytes_are_refused_with_the_reason() {
        for (bytes, word) in [
            (&b""[..], "no JSON"),
            (b"\xff\xfe", "no JSON"),
            (b"[]", "no version"),
            (br#"{"version": 2}"#, "version 2"),
            (br#"{"version": 1, "model": 3}"#, "not a path"),
            (br#"{"version": 1, "parameters": {"mix": "loud"}}"#, "no numbers"),
        ] {
            let error = State::parse(bytes).expect_err(word).to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
