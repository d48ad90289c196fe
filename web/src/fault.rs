//! Errors for JavaScript: an `Error` with a `code` that is stable across versions.

use js_sys::Reflect;
use wasm_bindgen::JsValue;
use wgru::Error;

/// `Result` of functions that JavaScript calls.
pub type Result<T, E = Fault> = std::result::Result<T, E>;

/// An error with a code for JavaScript.
pub struct Fault {
    code: &'static str,
    message: String,
}

impl Fault {
    /// An option or argument with an invalid value.
    pub fn value(arg: &str, expected: &str, got: impl std::fmt::Display) -> Self {
        Self { code: "value", message: format!("{arg}: expected {expected}, got {got}") }
    }

    /// An option that does not exist.
    pub fn unknown(name: &str, known: &str) -> Self {
        Self { code: "value", message: format!("options: there is no {name}; the options are {known}") }
    }

    /// A shape that does not fit.
    pub fn shape(arg: &str, expected: &str, got: &[usize]) -> Self {
        Self::count(arg, expected, format!("{got:?}"))
    }

    /// An array of the wrong length.
    pub fn count(arg: &str, expected: &str, got: impl std::fmt::Display) -> Self {
        Self { code: "shape", message: format!("{arg}: expected {expected}, got {got}") }
    }

    /// A valid file with unsupported content.
    pub fn unsupported(message: String) -> Self {
        Self { code: "unsupported", message }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self { code: error.code(), message: error.to_string() }
    }
}

impl From<Fault> for JsValue {
    fn from(fault: Fault) -> Self {
        let error = js_sys::Error::new(&fault.message);
        error.set_name("WgruError");
        // Setting a property of a new object cannot fail.
        let _ = Reflect::set(&error, &"code".into(), &fault.code.into());
        error.into()
    }
}

/// The error of a panic.
pub fn panic(message: &str) -> JsValue {
    let code = if message.ends_with("capacity overflow") { "out-of-memory" } else { "panic" };
    Fault { code, message: message.into() }.into()
}
