//! A client, which sends queries to a scheduler.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ballista::prelude::{SessionConfigExt as _, SessionContextExt as _};
use ballista_core::config::BALLISTA_CLIENT_PULL;
use ballista_core::execution_plans::DistributedQueryExec;
use ballista_core::serde::protobuf::CancelJobParams;
use ballista_core::serde::protobuf::scheduler_grpc_client::SchedulerGrpcClient;
use datafusion::dataframe::DataFrame;
use datafusion::execution::{SessionStateBuilder, TaskContext};
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion_proto::protobuf::LogicalPlanNode;
use serde_json::Value;
use tokio::runtime::Handle;

use super::http;
use crate::error::{Error, Result};
use crate::models::Models;
use crate::query::{split, write_parquet};
use crate::register;

/// Time between two looks at the progress of a query.
const INTERVAL: Duration = Duration::from_millis(500);

/// Options of a client.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Host and port of the scheduler.
    pub scheduler: (String, u16),
    /// Number of partitions of a query. A partition that is lost runs again, so small ones lose less.
    pub partitions: usize,
    /// Number of times that a query is sent if executors are lost while its result is fetched.
    pub attempts: usize,
}

/// A client of a cluster.
pub struct Client {
    /// Context for planning queries that run in the cluster.
    pub context: SessionContext,
    options: ClientOptions,
}

impl Client {
    /// Connects to a scheduler. With `models` that are not remote, planning a query checks them here, too.
    ///
    /// # Errors
    /// [`Error::Query`] for a wrong address.
    pub async fn new(options: ClientOptions, models: &Models) -> Result<Self> {
        // With `push`, the client learns the identifier of a job only when it is done.
        let config = split(SessionConfig::new_with_ballista(), options.partitions).set_bool(BALLISTA_CLIENT_PULL, true);
        let state = SessionStateBuilder::new().with_default_features().with_config(config).build();
        let (host, port) = &options.scheduler;
        let mut context = SessionContext::remote_with_state(&format!("df://{host}:{port}"), state).await?;
        register(&mut context, models)?;
        Ok(Self { context, options })
    }

    /// Waits until this many executors are registered.
    ///
    /// # Errors
    /// [`Error::Cluster`] if they are not within `patience`.
    pub async fn wait_for_executors(&self, count: usize, patience: Duration) -> Result<()> {
        let (host, port) = &self.options.scheduler;
        let mut found = None;
        let search = async {
            loop {
                let executors = http::get(host, *port, "/api/executors").await;
                found = executors.as_ref().and_then(Value::as_array).map(Vec::len);
                if found.is_some_and(|found| found >= count) {
                    return;
                }
                tokio::time::sleep(INTERVAL / 5).await;
            }
        };
        let is_late = tokio::time::timeout(patience, search).await.is_err();
        match (is_late, found) {
            (false, _) => Ok(()),
            (true, Some(found)) => Err(Error::Cluster(format!(
                "{host}:{port}: expected {count} executors within {} s, got {found}; start more",
                patience.as_secs()
            ))),
            (true, None) => Err(Error::Cluster(format!("{host}:{port}: no scheduler answers; start one there"))),
        }
    }

    /// Runs a query in the cluster and writes its result to a Parquet file. `seen` is called with the number of rows that
    /// are done. If the future is dropped, the cluster stops the query.
    ///
    /// # Errors
    /// The error of the last attempt, and errors of the file.
    pub async fn run_to_parquet(&self, query: DataFrame, path: &Path, mut seen: impl FnMut(u64)) -> Result<u64> {
        let mut attempt = 1;
        loop {
            let task = Arc::new(query.task_ctx());
            let job = Job { plan: query.create_physical_plan().await?, options: self.options.clone() };
            let error = match self.attempt(&job, task, path, &mut seen).await {
                Ok(rows) => return Ok(rows),
                Err(error) => error,
            };
            // The scheduler runs lost tasks again. Once the job is done, results are lost with their executor.
            if attempt == self.options.attempts || !matches!(error, Error::Query(_)) || !job.is_done() {
                return Err(error);
            }
            log::warn!("attempt {attempt} of {} failed: {error}", self.options.attempts);
            attempt += 1;
        }
    }

    async fn attempt(&self, job: &Job, task: Arc<TaskContext>, path: &Path, seen: &mut impl FnMut(u64)) -> Result<u64> {
        let stream = execute_stream(job.plan.clone(), task)?;
        let fetched = AtomicU64::new(0);
        let write = write_parquet(stream, path, |rows| fetched.store(rows, Ordering::Relaxed));
        tokio::pin!(write);
        let rows = loop {
            tokio::select! {
                result = &mut write => break result?,
                // Batches arrive after the last task is done. Until then, the scheduler knows the progress.
                () = tokio::time::sleep(INTERVAL) => {
                    if let Some(rows) = self.rows_done(job).await {
                        seen(rows.max(fetched.load(Ordering::Relaxed)));
                    }
                }
            }
        };
        seen(rows);
        Ok(rows)
    }

    /// Returns the rows that the last stage of a job has written.
    async fn rows_done(&self, job: &Job) -> Option<u64> {
        let (host, port) = &self.options.scheduler;
        let stages = http::get(host, *port, &format!("/api/job/{}/stages", job.id()?)).await?;
        let number = |stage: &Value| stage["stage_id"].as_str().and_then(|id| id.parse::<u64>().ok());
        let last = stages["stages"].as_array()?.iter().max_by_key(|stage| number(stage))?;
        last["output_rows"].as_u64()
    }
}

/// A query that was sent to a scheduler. Dropping it stops the query if it is not done.
struct Job {
    plan: Arc<dyn ExecutionPlan>,
    options: ClientOptions,
}

impl Job {
    /// Returns its identifier once the scheduler has accepted it.
    fn id(&self) -> Option<String> {
        let query = self.plan.downcast_ref::<DistributedQueryExec<LogicalPlanNode>>()?;
        query.job_id().map(|id| id.to_string())
    }

    /// Whether all tasks have succeeded; their results may not be fetched yet.
    fn is_done(&self) -> bool {
        // Set when the scheduler reports success.
        self.plan.metrics().is_some_and(|metrics| metrics.sum_by_name("job_execution_time_ms").is_some())
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let (false, Some(job_id), Ok(runtime)) = (self.is_done(), self.id(), Handle::try_current()) else { return };
        let (host, port) = self.options.scheduler.clone();
        runtime.spawn(async move {
            let mut scheduler = SchedulerGrpcClient::connect(format!("http://{host}:{port}")).await.ok()?;
            scheduler.cancel_job(CancelJobParams { job_id }).await.ok()
        });
    }
}
