//! The error type of the crate.

use std::path::PathBuf;

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The error type of every operation. It names the operation, the argument, the expected value and the actual one.
///
/// Invalid input from the caller returns one of these and never panics.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An argument has the wrong number of axes or a wrong extent.
    #[error("{op}: {arg} has the wrong shape: expected {expected}, got {got}")]
    Shape {
        /// The operation that returned the error.
        op: &'static str,
        /// The invalid argument.
        arg: &'static str,
        /// The expected shape.
        expected: String,
        /// The actual shape.
        got: String,
    },
    /// A slice has the wrong length. This error owns no memory, so it can be returned from an audio callback.
    #[error("{op}: {arg} has the wrong length: expected {expected} values ({layout}), got {got}")]
    Length {
        /// The operation that returned the error.
        op: &'static str,
        /// The invalid argument.
        arg: &'static str,
        /// Layout of the values.
        layout: &'static str,
        /// The expected number of values. If several are possible, the next larger one.
        expected: usize,
        /// The actual number of values.
        got: usize,
    },
    /// A [`StreamId`](crate::StreamId) is not that of a member of the pool. This error owns no memory, so it can be
    /// returned from an audio callback.
    #[error("{op}: id: expected a member of the pool, got one that has left it or is in another pool")]
    Member {
        /// The operation that returned the error.
        op: &'static str,
    },
    /// An argument has a value that the operation does not accept.
    #[error("{op}: {arg}: expected {expected}, got {got}")]
    Value {
        /// The operation that returned the error.
        op: &'static str,
        /// The invalid argument.
        arg: &'static str,
        /// The accepted values.
        expected: String,
        /// The actual value.
        got: String,
    },
    /// An argument holds the wrong element type.
    #[error("{op}: {arg} has the wrong element type: expected {expected}, got {got}")]
    DType {
        /// The operation that returned the error.
        op: &'static str,
        /// The invalid argument.
        arg: &'static str,
        /// The expected element type.
        expected: String,
        /// The actual element type.
        got: String,
    },
    /// The tensors of an operation are on different devices. Nothing is moved silently.
    #[error("{op}: {arg} is on another device: expected {expected}, got {got}")]
    DeviceMix {
        /// The operation that returned the error.
        op: &'static str,
        /// The invalid argument.
        arg: &'static str,
        /// The device of the first argument.
        expected: String,
        /// The device of this argument.
        got: String,
    },
    /// `backward()` found that a tensor was overwritten after the forward pass read it.
    #[error(
        "backward: a tensor that the forward pass of {op:?} saved was modified in place before backward(), usually weights, \
         by Optimizer::step() or Tensor::assign(). Call detach() on a state carried over from an earlier update; otherwise \
         call backward() before the weights change"
    )]
    ModifiedInPlace {
        /// The operation whose saved tensor changed.
        op: &'static str,
    },
    /// No adapter fits the request. The message names the request and the available adapters.
    #[error("no adapter: {0}")]
    NoAdapter(String),
    /// The work exceeds a limit of the adapter, and cannot be split.
    #[error("{op}: needs {needed}, but the limit {limit:?} is {allowed}")]
    Limit {
        /// The operation that returned the error.
        op: &'static str,
        /// Name of the limit, as in the WebGPU specification.
        limit: &'static str,
        /// The amount that the work needs.
        needed: u64,
        /// The limit of the adapter.
        allowed: u64,
    },
    /// The device is out of memory, even after recycled buffers were freed. It stays usable: drop tensors, or use
    /// smaller batches.
    #[error("{op}: the device is out of memory; drop tensors that are no longer used, or make the batch smaller")]
    OutOfMemory {
        /// The operation that failed, or the kernel that did not run.
        op: &'static str,
    },
    /// A run of an ONNX model exceeds its limits for memory or work; wrapped in the [`Error::Node`] that needs it.
    #[error("the {limit} of a run exceeds its limit: {needed} of {allowed}; `OnnxModel::with_limits` raises it")]
    Budget {
        /// `memory`, in bytes, or `work`, in multiply-adds.
        limit: &'static str,
        /// Bytes or multiply-adds of the run up to this node.
        needed: u64,
        /// The limit.
        allowed: u64,
    },
    /// The device was lost: unplugged, destroyed, or reset by its driver. Open a new one and restore from host copies.
    #[error("the device was lost: {0}")]
    DeviceLost(String),
    /// Any other error from the GPU backend.
    #[error("GPU: {0}")]
    Gpu(String),
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// The content of a file does not fit its format or the model.
    #[error("{what}: {why}")]
    Format {
        /// The file, and the tensor or field inside it.
        what: String,
        /// The problem.
        why: String,
    },
    /// A node of an ONNX graph needs an unsupported feature.
    #[error("ONNX node {node:?} ({operator}) is not supported: {what}")]
    Unsupported {
        /// The node's name, or the name of its first output if it has none.
        node: String,
        /// Its operator.
        operator: String,
        /// The unsupported operator, attribute, or form of an input.
        what: String,
    },
    /// A node of an ONNX graph failed.
    #[error("ONNX node {node:?} ({operator}): {source}")]
    Node {
        /// The node's name, or the name of its first output if it has none.
        node: String,
        /// Its operator.
        operator: String,
        /// The node's error.
        source: Box<Error>,
    },
    /// The work was stopped: by a callback, by [`Device::cancel`](crate::Device::cancel), or because an encoder of the
    /// host was not submitted.
    #[error("stopped: {0}")]
    Stopped(String),
    /// A loss, gradient or weight became NaN or infinite during training.
    #[error(
        "training diverged at update {} of epoch {}: {cause}. Check the data, lower the learning rate, or clip \
         the gradients",
        .update + 1, .epoch + 1
    )]
    Diverged {
        /// The epoch, from 0.
        epoch: usize,
        /// The update in it, from 0.
        update: usize,
        /// The first parameter, input or layer that is not finite.
        cause: String,
    },
}

impl Error {
    /// A code that stays the same across versions, for programs that handle some errors; the npm package has the same
    /// codes. The error of an ONNX node has the code of its cause.
    ///
    /// ```
    /// use wgru::{Device, Tensor};
    /// let error = Tensor::from_slice(&Device::cpu(), &[1.0], &[2]).unwrap_err();
    /// assert_eq!(error.code(), "shape");
    /// ```
    pub fn code(&self) -> &'static str {
        match self {
            Error::Shape { .. } | Error::Length { .. } => "shape",
            Error::Value { .. } | Error::Member { .. } => "value",
            Error::DType { .. } => "dtype",
            Error::DeviceMix { .. } => "device-mix",
            Error::ModifiedInPlace { .. } => "modified-in-place",
            Error::NoAdapter(_) => "no-adapter",
            Error::Limit { .. } | Error::Budget { .. } => "limit",
            Error::OutOfMemory { .. } => "out-of-memory",
            Error::DeviceLost(_) => "device-lost",
            Error::Gpu(_) => "gpu",
            Error::Io { .. } => "io",
            Error::Format { .. } => "format",
            Error::Unsupported { .. } => "unsupported",
            Error::Node { source, .. } => source.code(),
            Error::Stopped(_) => "aborted",
            Error::Diverged { .. } => "diverged",
        }
    }

    pub(crate) fn shape(op: &'static str, arg: &'static str, expected: impl ToString, got: &[usize]) -> Self {
        // Longer than any valid shape.
        const AXES: usize = 16;
        let got = match got.get(..AXES) {
            Some(first) if got.len() > AXES => format!("{first:?} and {} more", got.len() - AXES),
            _ => format!("{got:?}"),
        };
        Error::Shape { op, arg, expected: cut(expected.to_string()), got }
    }

    pub(crate) fn value(op: &'static str, arg: &'static str, expected: impl ToString, got: impl ToString) -> Self {
        Error::Value { op, arg, expected: cut(expected.to_string()), got: cut(got.to_string()) }
    }

    pub(crate) fn format(what: impl ToString, why: impl ToString) -> Self {
        Error::Format { what: cut(what.to_string()), why: cut(why.to_string()) }
    }

    pub(crate) fn unsupported(node: &str, operator: &str, what: impl ToString) -> Self {
        Error::Unsupported { node: node.into(), operator: operator.into(), what: cut(what.to_string()) }
    }

    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Error::Io { path, source }
    }
}

/// Shortens a part of a message, because names in a file may have any length.
fn cut(mut text: String) -> String {
    const LONGEST: usize = 600;
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(end);
        text.push('…');
    }
    text
}
