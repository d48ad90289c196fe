//! Errors of the SQL functions and of the command.

use std::path::PathBuf;

use datafusion::error::DataFusionError;

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The error type of the SQL functions and of the command.
///
/// In a query, it is the source of a [`DataFusionError::External`]. Errors from another process of a cluster arrive as
/// text.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An argument of a function or of the command is wrong.
    #[error("{function}: {argument}: expected {expected}, got {got}; {help}")]
    Argument {
        /// The function, or `models` for the folder and the names of models.
        function: &'static str,
        /// The wrong argument.
        argument: &'static str,
        /// The accepted values.
        expected: String,
        /// The actual value.
        got: String,
        /// The way out.
        help: String,
    },
    /// The library refused a model or its input.
    #[error("{function}: model {name:?}: {source}")]
    Model {
        /// The function.
        function: &'static str,
        /// The model, as the query names it.
        name: String,
        /// The library's error.
        source: wgru::Error,
    },
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// The query failed.
    #[error("{0}")]
    Query(Box<DataFusionError>),
    /// The query was interrupted. No output was written.
    #[error("interrupted; no output was written")]
    Interrupted,
    /// A process of the cluster could not be started or reached.
    #[error("{0}")]
    Cluster(String),
}

impl Error {
    /// Returns a function that adds the path to an error of the operating system.
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { path: path.into(), source }
    }
}

/// The message. Ballista sends errors of executors in this form.
impl std::fmt::Debug for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

impl From<DataFusionError> for Error {
    fn from(error: DataFusionError) -> Self {
        match error {
            DataFusionError::External(inner) => match inner.downcast::<Error>() {
                Ok(own) => *own,
                Err(other) => Self::Query(Box::new(DataFusionError::External(other))),
            },
            other => Self::Query(Box::new(other)),
        }
    }
}

impl From<Error> for DataFusionError {
    fn from(error: Error) -> Self {
        match error {
            Error::Query(inner) => *inner,
            own => DataFusionError::External(Box::new(own)),
        }
    }
}
