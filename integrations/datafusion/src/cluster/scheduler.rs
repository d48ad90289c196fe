//! The scheduler, which plans queries and assigns their tasks to executors.

use std::net::SocketAddr;
use std::sync::Arc;

use ballista_core::utils::default_session_builder;
use ballista_scheduler::cluster::BallistaCluster;
use ballista_scheduler::config::SchedulerConfig;
use ballista_scheduler::scheduler_process::start_server;
use datafusion::prelude::SessionConfig;

use crate::error::Result;
use crate::models::{ModelOptions, Models};
use crate::register;

/// Options of a scheduler.
#[derive(Clone, Debug)]
pub struct SchedulerOptions {
    /// Address to listen on. The port serves gRPC and HTTP without authentication.
    pub bind: SocketAddr,
    /// Seconds without a sign of life after which an executor is lost, and its tasks run elsewhere.
    pub executor_timeout: u64,
}

impl Default for SchedulerOptions {
    fn default() -> Self {
        Self { bind: SocketAddr::from(([127, 0, 0, 1], 50050)), executor_timeout: 20 }
    }
}

/// Runs a scheduler until the future is dropped.
///
/// # Errors
/// Errors from listening.
pub async fn run_scheduler(options: SchedulerOptions) -> Result<()> {
    // Schedulers plan queries, and run none.
    let models = Models::new(ModelOptions { is_remote: true, ..ModelOptions::default() })?;
    let session = move |config: SessionConfig| {
        let mut state = default_session_builder(config)?;
        register(&mut state, &models)?;
        Ok(state)
    };
    let config = SchedulerConfig {
        bind_host: options.bind.ip().to_string(),
        bind_port: options.bind.port(),
        external_host: options.bind.ip().to_string(),
        executor_timeout_seconds: options.executor_timeout,
        no_executors_grace_period_seconds: options.executor_timeout,
        expire_dead_executor_interval_seconds: (options.executor_timeout / 4).max(1),
        override_session_builder: Some(Arc::new(session)),
        ..SchedulerConfig::default()
    };
    let cluster = BallistaCluster::new_from_config(&config).await?;
    Ok(start_server(cluster, options.bind, Arc::new(config)).await?)
}
