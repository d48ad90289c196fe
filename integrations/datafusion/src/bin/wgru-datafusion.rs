//! The command `wgru-datafusion`: runs SQL queries with the functions of wgru on Parquet files, in one process or in a
//! Ballista cluster, and the processes of such a cluster.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use datafusion::prelude::{DataFrame, SessionContext};
use indicatif::{ProgressBar, ProgressStyle};
use wgru_datafusion::cluster::{Client, ClientOptions, ExecutorOptions, SchedulerOptions, run_executor, run_scheduler};
use wgru_datafusion::query::{config, known_rows, plan, register_table, run_to_parquet};
use wgru_datafusion::{Error, ModelOptions, Models, Result, register};

/// Stack of a thread. Plans are trees, which DataFusion visits recursively.
const STACK: usize = 32 << 20;

/// Runs SQL queries with recurrent networks on Parquet files, in one process or in a Ballista cluster.
#[derive(Parser, Debug)]
#[command(name = "wgru-datafusion", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Sql(Sql),
    Scheduler(Scheduler),
    Executor(Executor),
    Wait(Wait),
}

/// Models that queries may use.
#[derive(clap::Args, Debug)]
struct ModelArgs {
    /// Folder of the model files that queries may name.
    #[arg(long, value_name = "FOLDER")]
    models: Option<PathBuf>,
    /// Registers a model file under a name; may be given several times.
    #[arg(long, value_name = "NAME=FILE", value_parser = pair)]
    model: Vec<(String, PathBuf)>,
    /// Instruction set: avx512, avx2, neon or portable. If the machines of a cluster differ, give all the same one.
    #[arg(long)]
    isa: Option<String>,
}

/// Runs a query, and writes its result to a Parquet file or prints its first rows.
#[derive(clap::Args, Debug)]
struct Sql {
    /// The query.
    query: String,
    /// A Parquet file, or a folder of them, as a table; may be given several times.
    #[arg(long, value_name = "NAME=PATH", value_parser = pair)]
    table: Vec<(String, PathBuf)>,
    #[command(flatten)]
    models: ModelArgs,
    /// The Parquet file to write.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Address of a scheduler: runs the query in its cluster, whose executors have the models.
    #[arg(long, value_name = "HOST:PORT", value_parser = address)]
    scheduler: Option<(String, u16)>,
    /// Number of partitions that the query is split into; by default the number of cores, or 16 in a cluster.
    #[arg(long)]
    partitions: Option<usize>,
    /// Maximum number of times that a query is sent, if results are lost with their executor.
    #[arg(long, default_value_t = 3)]
    attempts: usize,
    /// Show no progress bar.
    #[arg(long)]
    quiet: bool,
}

/// Starts a scheduler.
#[derive(clap::Args, Debug)]
struct Scheduler {
    /// Address to listen on. There is no authentication.
    #[arg(long, default_value = "127.0.0.1:50050")]
    bind: SocketAddr,
    /// Seconds without a heartbeat after which an executor counts as lost.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    executor_timeout: u64,
}

/// Starts an executor.
#[derive(clap::Args, Debug)]
struct Executor {
    /// Address of the scheduler.
    #[arg(long, default_value = "127.0.0.1:50050", value_name = "HOST:PORT", value_parser = address)]
    scheduler: (String, u16),
    #[command(flatten)]
    models: ModelArgs,
    /// Address to listen on. There is no authentication.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    bind: IpAddr,
    /// Name or address under which other machines reach this one.
    #[arg(long)]
    host: Option<String>,
    /// Port for results.
    #[arg(long, default_value_t = 50051)]
    port: u16,
    /// Port for tasks.
    #[arg(long, default_value_t = 50052)]
    grpc_port: u16,
    /// Number of partitions that run at the same time; by default the number of cores.
    #[arg(long)]
    cores: Option<usize>,
    /// Folder for results of tasks.
    #[arg(long, value_name = "FOLDER")]
    folder: PathBuf,
    /// Seconds between heartbeats.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    heartbeat: u64,
}

/// Waits until executors are registered with a scheduler.
#[derive(clap::Args, Debug)]
struct Wait {
    /// Address of the scheduler.
    #[arg(long, default_value = "127.0.0.1:50050", value_name = "HOST:PORT", value_parser = address)]
    scheduler: (String, u16),
    /// Number of executors.
    #[arg(long, default_value_t = 1)]
    executors: usize,
    /// Maximum time in seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

/// Parses `NAME=PATH`.
fn pair(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, path)) if !name.is_empty() && !path.is_empty() => Ok((name.into(), path.into())),
        _ => Err("expected NAME=PATH".into()),
    }
}

/// Parses `HOST:PORT`.
fn address(text: &str) -> Result<(String, u16), String> {
    let parts = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    match parts {
        Some((host, port)) if !host.is_empty() => Ok((host.into(), port)),
        _ => Err("expected HOST:PORT".into()),
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

impl ModelArgs {
    /// Opens the models; without any, those of a cluster are on its executors.
    fn open(self, is_remote: bool) -> Result<Models> {
        let is_remote = is_remote && self.models.is_none() && self.model.is_empty();
        let models = Models::new(ModelOptions { folder: self.models, isa: self.isa, is_remote })?;
        self.model.iter().try_for_each(|(name, path)| models.register_file(name, path))?;
        Ok(models)
    }
}

impl Sql {
    async fn run(self) -> Result<()> {
        let models = self.models.open(self.scheduler.is_some())?;
        let mut local = SessionContext::new_with_config(config(self.partitions.unwrap_or_else(cores)));
        register(&mut local, &models)?;
        for (name, path) in &self.table {
            register_table(&local, name, path).await?;
        }
        // In a cluster, the scheduler reads the statistics, so the number of rows comes from a plan in this process.
        let query = plan(&local, &self.query).await?;
        let bar = progress(if self.quiet { None } else { Some(known_rows(&query).await) });
        let seen = |rows| bar.set_position(rows);
        let Some(scheduler) = self.scheduler else {
            return finish(&bar, self.out, query, |query, out| async move { run_to_parquet(query, &out, seen).await })
                .await;
        };
        let partitions = self.partitions.unwrap_or(16);
        let client = Client::new(ClientOptions { scheduler, partitions, attempts: self.attempts }, &models).await?;
        for (name, path) in &self.table {
            register_table(&client.context, name, path).await?;
        }
        let query = plan(&client.context, &self.query).await?;
        let client = &client;
        finish(&bar, self.out, query, |query, out| async move { client.run_to_parquet(query, &out, seen).await }).await
    }
}

/// Runs a query to a file, or prints the first rows of its result.
async fn finish<F: Future<Output = Result<u64>>>(
    bar: &ProgressBar,
    out: Option<PathBuf>,
    query: DataFrame,
    run: impl FnOnce(DataFrame, PathBuf) -> F,
) -> Result<()> {
    let Some(out) = out else {
        bar.finish_and_clear();
        return Ok(query.show_limit(20).await?);
    };
    let start = std::time::Instant::now();
    let rows = run(query, out.clone()).await?;
    let seconds = start.elapsed().as_secs_f64();
    bar.finish();
    println!("{}: {rows} rows in {seconds:.1} s, {:.0} rows/s", out.display(), rows as f64 / seconds);
    Ok(())
}

/// Returns a progress bar of rows, hidden without `rows`, and without a length if it is unknown.
fn progress(rows: Option<Option<u64>>) -> ProgressBar {
    let style = |template| ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    match rows {
        None => ProgressBar::hidden(),
        Some(Some(rows)) => {
            ProgressBar::new(rows).with_style(style("{bar:30} {human_pos} of {human_len} rows, {per_sec}, {eta} left"))
        }
        Some(None) => ProgressBar::no_length().with_style(style("{spinner} {human_pos} rows, {per_sec}")),
    }
}

async fn run(command: Command) -> Result<()> {
    match command {
        Command::Sql(args) => args.run().await,
        Command::Scheduler(args) => {
            run_scheduler(SchedulerOptions { bind: args.bind, executor_timeout: args.executor_timeout }).await
        }
        Command::Executor(args) => {
            let models = args.models.open(false)?;
            let options = ExecutorOptions {
                scheduler: args.scheduler,
                bind: args.bind,
                host: args.host,
                port: args.port,
                grpc_port: args.grpc_port,
                cores: args.cores.unwrap_or_else(cores),
                folder: args.folder,
                heartbeat: args.heartbeat,
            };
            run_executor(options, &models).await
        }
        Command::Wait(args) => {
            let models = Models::new(ModelOptions { is_remote: true, ..ModelOptions::default() })?;
            let options = ClientOptions { scheduler: args.scheduler, partitions: 1, attempts: 1 };
            let client = Client::new(options, &models).await?;
            client.wait_for_executors(args.executors, Duration::from_secs(args.seconds)).await
        }
    }
}

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(STACK).build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("wgru-datafusion: the threads cannot be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(async {
        // On a thread of the runtime, whose stack is larger than that of this one.
        let command = tokio::spawn(async {
            tokio::select! {
                result = run(args.command) => result,
                _ = tokio::signal::ctrl_c() => Err(Error::Interrupted),
            }
        });
        command.await.unwrap_or_else(|failed| Err(Error::Cluster(format!("a bug: {failed}"))))
    });
    // Lets a query that was interrupted be cancelled in its cluster.
    runtime.shutdown_timeout(Duration::from_secs(2));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("wgru-datafusion: {error}");
            ExitCode::FAILURE
        }
    }
}
