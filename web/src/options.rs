//! Options by name, as JSON. What nobody asked for is refused: a misspelt option is a mistake, not a default.

use serde_json::{Map, Value};

use crate::fault::{Fault, Result};

/// Options that are taken one by one.
pub struct Options(Map<String, Value>);

impl Options {
    /// Reads `{"name": value, …}`.
    pub fn parse(text: &str) -> Result<Self> {
        match serde_json::from_str(text) {
            Ok(Value::Object(map)) => Ok(Self(map)),
            _ => Err(Fault::value("options", "an object", text)),
        }
    }

    /// An option, unless it is missing or null.
    fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|v| !v.is_null())
    }

    /// A whole number of at least `least`.
    pub fn count(&mut self, name: &str, least: usize) -> Result<Option<usize>> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let number = value.as_u64().and_then(|n| usize::try_from(n).ok()).filter(|&n| n >= least);
        number.map(Some).ok_or_else(|| Fault::value(name, &format!("a whole number from {least} on"), value))
    }

    /// A whole number that must be there.
    pub fn size(&mut self, name: &str) -> Result<usize> {
        self.count(name, 1)?.ok_or_else(|| Fault::value(name, "a whole number from 1 on", "nothing"))
    }

    /// A number.
    #[cfg(feature = "train")]
    pub fn number(&mut self, name: &str) -> Result<Option<f64>> {
        let Some(value) = self.take(name) else { return Ok(None) };
        value.as_f64().map(Some).ok_or_else(|| Fault::value(name, "a number", value))
    }

    /// `true` or `false`.
    pub fn flag(&mut self, name: &str) -> Result<bool> {
        let Some(value) = self.take(name) else { return Ok(false) };
        value.as_bool().ok_or_else(|| Fault::value(name, "true or false", value))
    }

    /// One of several words.
    pub fn word<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Result<Option<T>> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let found = words.iter().find(|(word, _)| value.as_str() == Some(word));
        found.map(|&(_, v)| Some(v)).ok_or_else(|| {
            let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            Fault::value(name, &format!("one of {}", known.join(", ")), value)
        })
    }

    /// Whole numbers.
    pub fn counts(&mut self, name: &str) -> Result<Option<Vec<usize>>> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let numbers = value.as_array().and_then(|a| a.iter().map(|v| v.as_u64().map(|n| n as usize)).collect());
        numbers.map(Some).ok_or_else(|| Fault::value(name, "whole numbers", value))
    }

    /// Refuses what was not taken.
    pub fn done(self) -> Result<()> {
        match self.0.keys().next() {
            Some(name) => Err(Fault::value("options", "options that exist", name)),
            None => Ok(()),
        }
    }
}
