//! Named options of a call. Unknown names are an error: a misspelled option must not silently become a default.

use js_sys::{Array, JSON, Object};
use wasm_bindgen::{JsCast, JsValue};

use crate::fault::{Fault, Result};

/// Options, which are removed as they are read.
pub struct Options {
    given: Vec<(String, JsValue)>,
    /// Names requested so far.
    known: Vec<&'static str>,
}

/// Formats a value for an error message. JSON alone would write non-finite numbers as `null`.
pub fn text(value: &JsValue) -> String {
    let text = match value.as_f64() {
        Some(number) if number.is_nan() => "NaN".into(),
        Some(number) if number.is_infinite() => if number > 0.0 { "Infinity" } else { "-Infinity" }.into(),
        _ => JSON::stringify(value).map_or_else(|_| "something else".into(), String::from),
    };
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Reads a whole number of at least `least`.
#[cfg(feature = "networks")]
fn whole(value: &JsValue, least: usize) -> Option<usize> {
    let number = value.as_f64().filter(|n| n.fract() == 0.0 && *n >= least as f64 && *n <= u32::MAX as f64)?;
    Some(number as usize)
}

impl Options {
    /// Reads `{name: value, …}`.
    pub fn of(given: &JsValue) -> Self {
        let option = |pair: JsValue| {
            let pair: Array = pair.unchecked_into();
            (pair.get(0).as_string().unwrap_or_default(), pair.get(1))
        };
        Self { given: Object::entries(given.unchecked_ref()).iter().map(option).collect(), known: Vec::new() }
    }

    /// Takes an option; `None` if it is missing or `undefined`.
    fn take(&mut self, name: &'static str) -> Option<JsValue> {
        self.known.push(name);
        let at = self.given.iter().position(|(n, _)| n == name)?;
        Some(self.given.swap_remove(at).1).filter(|v| !v.is_undefined())
    }

    /// Takes an option and converts it with `read`; `expected` describes the valid values for the error.
    fn read<T>(
        &mut self,
        name: &'static str,
        expected: &str,
        read: impl Fn(&JsValue) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.take(name) else { return Ok(None) };
        read(&value).map(Some).ok_or_else(|| Fault::value(name, expected, text(&value)))
    }

    /// Takes a whole number of at least `least`.
    #[cfg(feature = "networks")]
    pub fn count(&mut self, name: &'static str, least: usize) -> Result<Option<usize>> {
        self.read(name, &format!("a whole number of at least {least}"), |value| whole(value, least))
    }

    /// Takes a required whole number of at least 1.
    #[cfg(feature = "networks")]
    pub fn size(&mut self, name: &'static str) -> Result<usize> {
        self.count(name, 1)?.ok_or_else(|| Fault::value(name, "a whole number of at least 1", "nothing"))
    }

    /// Takes a finite number that is not negative.
    #[cfg(feature = "train")]
    pub fn number(&mut self, name: &'static str) -> Result<Option<f64>> {
        let finite = |number: &f64| (0.0..=f32::MAX.into()).contains(number);
        self.read(name, "a finite number of at least 0", |value| value.as_f64().filter(finite))
    }

    /// Takes `true` or `false`, the default.
    #[cfg(feature = "networks")]
    pub fn flag(&mut self, name: &'static str) -> Result<bool> {
        Ok(self.read(name, "true or false", JsValue::as_bool)?.unwrap_or(false))
    }

    /// Takes one of several words.
    pub fn word<T: Copy>(&mut self, name: &'static str, words: &[(&str, T)]) -> Result<Option<T>> {
        let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        let place = |value: &JsValue| known.iter().position(|word| value == word);
        let found = self.read(name, &format!("one of {}", known.join(", ")), place)?;
        Ok(found.map(|at| words[at].1))
    }

    /// Returns an error if any option was not taken.
    #[cfg(feature = "networks")]
    pub fn done(self) -> Result<()> {
        let Some((name, _)) = self.given.first() else { return Ok(()) };
        Err(Fault::unknown(name, &self.known.join(", ")))
    }
}
