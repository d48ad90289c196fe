//! Everything that can go wrong, as one typed error.

use std::path::PathBuf;

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong: names the operation, the argument, what was expected and what came.
///
/// A mistake of the caller is always one of these and never a panic.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An argument has the wrong number of axes or a wrong extent.
    #[error("{op}: {arg} has the wrong shape: expected {expected}, got {got}")]
    Shape {
        /// The operation that refused.
        op: &'static str,
        /// The argument that is wrong.
        arg: &'static str,
        /// The shape that would have been right.
        expected: String,
        /// The shape that came.
        got: String,
    },
    /// A number, option or text is outside what the operation takes.
    #[error("{op}: {arg}: expected {expected}, got {got}")]
    Value {
        /// The operation that refused.
        op: &'static str,
        /// The argument that is wrong.
        arg: &'static str,
        /// What would have been right.
        expected: String,
        /// What came.
        got: String,
    },
    /// An argument holds the wrong element type.
    #[error("{op}: {arg} has the wrong element type: expected {expected}, got {got}")]
    DType {
        /// The operation that refused.
        op: &'static str,
        /// The argument that is wrong.
        arg: &'static str,
        /// The element type that would have been right.
        expected: String,
        /// The element type that came.
        got: String,
    },
    /// Tensors of one operation live on different devices; nothing is moved silently.
    #[error("{op}: {arg} is on another device: expected {expected}, got {got}")]
    DeviceMix {
        /// The operation that refused.
        op: &'static str,
        /// The argument that is wrong.
        arg: &'static str,
        /// The device of the first argument.
        expected: String,
        /// The device of this argument.
        got: String,
    },
    /// `backward()` met a tensor that was overwritten after the forward pass read it.
    #[error(
        "backward: a tensor that the forward pass of {op:?} saved was modified in place before backward(), usually weights, \
         by Optimizer::step() or Tensor::assign(). Call detach() on a state carried over from an earlier update; otherwise \
         call backward() before the weights change"
    )]
    ModifiedInPlace {
        /// The operation whose saved tensor changed.
        op: &'static str,
    },
    /// No adapter answers the request; the text says what was looked for and what is there.
    #[error("no adapter: {0}")]
    NoAdapter(String),
    /// The work needs more than the adapter's limit allows, and cannot be cut into smaller pieces.
    #[error("{op}: needs {needed} of the adapter's limit {limit}, which is {allowed}")]
    Limit {
        /// The operation that refused.
        op: &'static str,
        /// Name of the limit, as in the WebGPU specification.
        limit: &'static str,
        /// What the work needs.
        needed: u64,
        /// What the adapter allows.
        allowed: u64,
    },
    /// The device is out of memory, even after recycled buffers were freed. It stays usable: drop tensors, or use
    /// smaller batches.
    #[error("{op}: the device is out of memory; drop tensors that are no longer used, or make the batch smaller")]
    OutOfMemory {
        /// The operation that failed, or the kernel that did not run.
        op: &'static str,
    },
    /// A run of an ONNX model needs more memory or work than its limits allow; wrapped in the [`Error::Node`] that asks
    /// for it.
    #[error("more {limit} than a run may take: {needed} of {allowed}; `OnnxModel::with_limits` raises the limit")]
    Budget {
        /// `memory`, in bytes, or `work`, in multiply-adds.
        limit: &'static str,
        /// Bytes or multiply-adds of the run up to this node.
        needed: u64,
        /// The limit.
        allowed: u64,
    },
    /// The device is gone (driver reset, unplugged, destroyed). Build a new one and restore from host copies.
    #[error("the device was lost: {0}")]
    DeviceLost(String),
    /// The GPU backend reported an error that none of the other kinds names.
    #[error("GPU: {0}")]
    Gpu(String),
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file's content is not what its format, or this model, asks for.
    #[error("{what}: {why}")]
    Format {
        /// The file, and the tensor or field inside it.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// A node of an ONNX graph asks for something that is not implemented.
    #[error("ONNX node {node:?} ({operator}) is not supported: {what}")]
    Unsupported {
        /// The node's name, or that of its first output where it has none.
        node: String,
        /// Its operator.
        operator: String,
        /// What is not implemented: the operator, an attribute, a form of an input.
        what: String,
    },
    /// A node of an ONNX graph failed.
    #[error("ONNX node {node:?} ({operator}): {source}")]
    Node {
        /// The node's name, or that of its first output where it has none.
        node: String,
        /// Its operator.
        operator: String,
        /// What went wrong in it.
        source: Box<Error>,
    },
    /// The work was stopped: by a callback, by [`Device::cancel`](crate::Device::cancel), or because an encoder of the
    /// host was not submitted.
    #[error("stopped: {0}")]
    Stopped(String),
    /// Training met a loss, a gradient or a weight that is NaN or infinite.
    #[error(
        "training diverged at update {} of epoch {}: {cause}. Look at the data, lower the learning rate, or clip the gradients",
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
            Error::Shape { .. } => "shape",
            Error::Value { .. } => "value",
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
        // No shape that is right has so many axes.
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

/// A part of a message, short enough to print: names that a file holds may be of any length.
fn cut(mut text: String) -> String {
    const LONGEST: usize = 600;
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(end);
        text.push('…');
    }
    text
}
