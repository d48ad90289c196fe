//! Why a call fails.

use std::fmt::{Display, Formatter};

use crate::status::WgruStatus;

/// Why a call fails. Creating and displaying those that an audio callback can meet does not allocate.
#[derive(Debug)]
pub enum Failure {
    /// An argument is no valid handle.
    Handle { arg: &'static str, why: &'static str },
    /// An argument is no valid pointer.
    Pointer { arg: &'static str, why: &'static str },
    /// A buffer has the wrong number of elements.
    Length { arg: &'static str, expected: usize, got: usize },
    /// A buffer does not hold a whole number of frames.
    Frames { arg: &'static str, frame: usize, got: usize },
    /// An index is out of range.
    Index { arg: &'static str, count: usize, got: usize },
    /// Another call on the stream is in progress.
    Busy,
    /// An earlier call on the stream panicked.
    Broken,
    /// An error of the library.
    Engine(engine::Error),
    /// Any other failure.
    Other(WgruStatus, String),
}

pub type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    pub fn value(text: impl Into<String>) -> Self {
        Failure::Other(WgruStatus::Value, text.into())
    }

    pub fn unsupported(text: impl Into<String>) -> Self {
        Failure::Other(WgruStatus::Unsupported, text.into())
    }

    pub fn status(&self) -> WgruStatus {
        match self {
            Failure::Handle { .. } => WgruStatus::Handle,
            Failure::Pointer { .. } => WgruStatus::Pointer,
            Failure::Length { .. } | Failure::Frames { .. } => WgruStatus::Shape,
            Failure::Index { .. } => WgruStatus::Value,
            Failure::Busy => WgruStatus::Busy,
            Failure::Broken => WgruStatus::Internal,
            Failure::Engine(error) => WgruStatus::of(error),
            Failure::Other(status, _) => *status,
        }
    }
}

impl From<engine::Error> for Failure {
    fn from(error: engine::Error) -> Self {
        Failure::Engine(error)
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Handle { arg, why } | Failure::Pointer { arg, why } => write!(f, "{arg}: {why}"),
            Failure::Length { arg, expected, got } => write!(f, "{arg}: expected {expected} elements, got {got}"),
            Failure::Frames { arg, frame, got } => {
                write!(f, "{arg}: expected a multiple of {frame}, the size of a frame, got {got} elements")
            }
            Failure::Index { arg, count, got } => write!(f, "{arg}: expected less than {count}, got {got}"),
            Failure::Busy => write!(f, "stream: another call is in progress; use a stream in one thread at a time"),
            Failure::Broken => write!(f, "stream: an earlier call failed inside the library; free the stream"),
            Failure::Engine(error) => write!(f, "{error}"),
            Failure::Other(_, text) => write!(f, "{text}"),
        }
    }
}
