//! An executor, which runs tasks.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use ballista_core::registry::BallistaFunctionRegistry;
use ballista_executor::executor_process::{ExecutorProcessConfig, start_executor_process};

use crate::error::{Error, Result};
use crate::function::functions;
use crate::models::Models;

/// Options of an executor.
#[derive(Clone, Debug)]
pub struct ExecutorOptions {
    /// Host and port of the scheduler.
    pub scheduler: (String, u16),
    /// Address to listen on. Both ports serve without authentication.
    pub bind: IpAddr,
    /// Name or address under which other machines reach this one, if not the address that the scheduler sees.
    pub host: Option<String>,
    /// Port for results.
    pub port: u16,
    /// Port for tasks.
    pub grpc_port: u16,
    /// Number of partitions that run at the same time.
    pub cores: usize,
    /// Folder for results of tasks.
    pub folder: PathBuf,
    /// Seconds between signs of life.
    pub heartbeat: u64,
}

/// Runs an executor until it is asked to stop, or the future is dropped.
///
/// # Errors
/// [`Error::Cluster`] if the scheduler cannot be reached, or a port is in use.
pub async fn run_executor(options: ExecutorOptions, models: &Models) -> Result<()> {
    let mut registry = BallistaFunctionRegistry::default();
    registry.scalar_functions.extend(functions(models).into_iter().map(|f| (f.name().to_string(), f)));
    std::fs::create_dir_all(&options.folder).map_err(Error::io(&options.folder))?;
    let config = ExecutorProcessConfig {
        bind_host: options.bind.to_string(),
        external_host: options.host,
        port: options.port,
        grpc_port: options.grpc_port,
        scheduler_host: options.scheduler.0,
        scheduler_port: options.scheduler.1,
        // Scheduler and executors may start in any order.
        scheduler_connect_timeout_seconds: 30,
        vcores: options.cores,
        work_dir: Some(options.folder.to_string_lossy().into_owned()),
        executor_heartbeat_interval_seconds: options.heartbeat,
        override_function_registry: Some(Arc::new(registry)),
        ..ExecutorProcessConfig::default()
    };
    Ok(start_executor_process(Arc::new(config)).await?)
}
