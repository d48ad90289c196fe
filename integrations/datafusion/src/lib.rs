//! SQL functions that run recurrent networks in Apache DataFusion, and in clusters of Apache Ballista.
//!
//! ```text
//! gru_forecast(model, series)   LIST<FLOAT>   the model's output after the last step
//! gru_score(model, series)      DOUBLE        the error of its predictions of the next step
//! gru_classify(model, series)   BIGINT        the index of its greatest output after the last step
//! ```
//!
//! With series x₁ … x_T of I features and outputs y₁ … y_T, the score is
//!
//! ```text
//! √( 1 / ((T − 1)·I) · Σ_{t=1}^{T−1} Σ_{i=1}^{I} (y_{t,i} − x_{t+1,i})² )
//! ```
//!
//! and for a model with one output y(x₁ … x_{T−1}) for the whole series
//!
//! ```text
//! √( 1/I · Σ_{i=1}^{I} (y_i − x_{T,i})² )
//! ```
//!
//! `README.md` beside this crate describes arguments, nulls, clusters and security.

mod block;
#[cfg(feature = "cluster")]
pub mod cluster;
mod error;
mod function;
mod model;
mod models;
pub mod query;
mod series;
mod task;

use datafusion::error::Result as QueryResult;
use datafusion::execution::FunctionRegistry;

pub use error::{Error, Result};
pub use function::functions;
pub use models::{ModelOptions, Models};

/// Registers the functions, for example with a `SessionContext` or a `SessionState`.
///
/// # Errors
/// Errors of the registry.
pub fn register(registry: &mut dyn FunctionRegistry, models: &Models) -> QueryResult<()> {
    functions(models).into_iter().try_for_each(|function| registry.register_udf(function).map(drop))
}
