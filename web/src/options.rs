//! Options by name, as JSON. What nobody asked for is refused: a misspelt option is a mistake, not a default.

use js_sys::{Array, JSON, Object};
use wasm_bindgen::{JsCast, JsValue};

use crate::fault::{Fault, Result};

/// Options that are taken one by one.
pub struct Options(Vec<(String, JsValue)>);

/// A value as it is written.
fn text(value: &JsValue) -> String {
    JSON::stringify(value).map_or_else(|_| "something else".into(), String::from)
}

/// A whole number of at least `least`.
fn whole(value: &JsValue, least: usize) -> Option<usize> {
    let number = value.as_f64().filter(|n| n.fract() == 0.0 && *n >= least as f64 && *n <= u32::MAX as f64)?;
    Some(number as usize)
}

impl Options {
    /// Reads `{"name": value, …}`.
    pub fn parse(json: &str) -> Result<Self> {
        match JSON::parse(json) {
            Ok(value) if value.is_object() && !Array::is_array(&value) => {
                let option = |pair: JsValue| {
                    let pair: Array = pair.unchecked_into();
                    (pair.get(0).as_string().unwrap_or_default(), pair.get(1))
                };
                Ok(Self(Object::entries(value.unchecked_ref()).iter().map(option).collect()))
            }
            _ => Err(Fault::value("options", "an object", json)),
        }
    }

    /// An option, unless it is missing or null.
    fn take(&mut self, name: &str) -> Option<JsValue> {
        let at = self.0.iter().position(|(n, _)| n == name)?;
        Some(self.0.swap_remove(at).1).filter(|v| !v.is_null())
    }

    /// What `read` makes of an option, which should be `expected`.
    fn read<T>(&mut self, name: &str, expected: &str, read: impl Fn(&JsValue) -> Option<T>) -> Result<Option<T>> {
        let Some(value) = self.take(name) else { return Ok(None) };
        read(&value).map(Some).ok_or_else(|| Fault::value(name, expected, text(&value)))
    }

    /// A whole number of at least `least`.
    pub fn count(&mut self, name: &str, least: usize) -> Result<Option<usize>> {
        self.read(name, &format!("a whole number from {least} on"), |value| whole(value, least))
    }

    /// A whole number that must be there.
    pub fn size(&mut self, name: &str) -> Result<usize> {
        self.count(name, 1)?.ok_or_else(|| Fault::value(name, "a whole number from 1 on", "nothing"))
    }

    /// A number.
    #[cfg(feature = "train")]
    pub fn number(&mut self, name: &str) -> Result<Option<f64>> {
        self.read(name, "a number", JsValue::as_f64)
    }

    /// `true` or `false`.
    pub fn flag(&mut self, name: &str) -> Result<bool> {
        Ok(self.read(name, "true or false", JsValue::as_bool)?.unwrap_or(false))
    }

    /// One of several words.
    pub fn word<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Result<Option<T>> {
        let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        let place = |value: &JsValue| known.iter().position(|word| value == word);
        let found = self.read(name, &format!("one of {}", known.join(", ")), place)?;
        Ok(found.map(|at| words[at].1))
    }

    /// Whole numbers.
    pub fn counts(&mut self, name: &str) -> Result<Option<Vec<usize>>> {
        self.read(name, "whole numbers", |value| value.dyn_ref::<Array>()?.iter().map(|n| whole(&n, 0)).collect())
    }

    /// Refuses what was not taken.
    pub fn done(self) -> Result<()> {
        match self.0.first() {
            Some((name, _)) => Err(Fault::value("options", "options that exist", name)),
            None => Ok(()),
        }
    }
}
