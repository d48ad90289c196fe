//! The processes of a Ballista cluster whose executors have the functions.

mod client;
mod executor;
mod http;
mod scheduler;

use ballista_core::error::BallistaError;

pub use client::{Client, ClientOptions};
pub use executor::{ExecutorOptions, run_executor};
pub use scheduler::{SchedulerOptions, run_scheduler};

use crate::error::Error;

impl From<BallistaError> for Error {
    fn from(error: BallistaError) -> Self {
        Self::Cluster(error.to_string())
    }
}
