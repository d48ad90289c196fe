//! Errors of the library as Python exceptions, which `wgru/_errors.py` defines.

use pyo3::prelude::*;

/// Why a call fails.
#[derive(Debug)]
pub enum Failure {
    /// An error of the library.
    Engine(engine::Error),
    /// An exception that Python code raised.
    Python(PyErr),
    /// A failure in this crate, with one of the library's codes.
    Other(&'static str, String),
}

pub type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    pub fn value(text: impl Into<String>) -> Self {
        Failure::Other("value", text.into())
    }

    pub fn shape(text: impl Into<String>) -> Self {
        Failure::Other("shape", text.into())
    }

    pub fn dtype(text: impl Into<String>) -> Self {
        Failure::Other("dtype", text.into())
    }

    pub fn unsupported(text: impl Into<String>) -> Self {
        Failure::Other("unsupported", text.into())
    }

    pub fn busy() -> Self {
        let text = "stream: another call is in progress; use a stream in one thread at a time";
        Failure::Other("busy", text.into())
    }
}

impl From<engine::Error> for Failure {
    fn from(error: engine::Error) -> Self {
        Failure::Engine(error)
    }
}

impl From<PyErr> for Failure {
    fn from(error: PyErr) -> Self {
        Failure::Python(error)
    }
}

impl From<Failure> for PyErr {
    fn from(failure: Failure) -> Self {
        let (code, text, errno) = match failure {
            Failure::Python(error) => return error,
            Failure::Other(code, text) => (code, text, None),
            Failure::Engine(error) => {
                let errno = if let engine::Error::Io { source, .. } = &error { source.raw_os_error() } else { None };
                (error.code(), error.to_string(), errno)
            }
        };
        Python::attach(|py| {
            let make = py.import("wgru._errors").and_then(|errors| errors.getattr("make"));
            match make.and_then(|make| make.call1((code, text, errno))) {
                Ok(exception) => PyErr::from_value(exception),
                Err(error) => error,
            }
        })
    }
}
