//! Compares a GRU called on arrays in memory, in DataFusion, and in a Ballista cluster of two executors, on windows in a
//! Parquet file. Prints rows per second, and whether all results have the same bits.
//!
//! ```sh
//! cargo run --release --example bench -- --windows 1000000 --kill
//! ```

#[path = "../tests/common/mod.rs"]
mod common;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Parser;
use common::cluster::Cluster;
use common::{Net, digest, read, rows, windows, write_windows};
use datafusion::prelude::SessionContext;
use indicatif::{ProgressBar, ProgressStyle};
use wgru::{CpuOptions, Device, Tensor, io};
use wgru_datafusion::cluster::{Client, ClientOptions};
use wgru_datafusion::{ModelOptions, Models, query, register};

type Anything<T> = Result<T, Box<dyn std::error::Error>>;

const SQL: &str = "SELECT id, gru_forecast('model.safetensors', x) AS y FROM t";
/// Sequences in a call of the library.
const BATCH: usize = 64;

/// Compares a GRU on arrays in memory, in DataFusion, and in a Ballista cluster.
#[derive(Parser)]
struct Args {
    /// Number of windows.
    #[arg(long, default_value_t = 100_000)]
    windows: usize,
    /// Steps of a window.
    #[arg(long, default_value_t = 96)]
    steps: usize,
    /// Units of the GRU.
    #[arg(long, default_value_t = 64)]
    hidden: usize,
    /// Threads of one process, or executors with one thread each.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Number of partitions of a query.
    #[arg(long, default_value_t = 32)]
    partitions: usize,
    /// Number of rounds; in each, every way runs once.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Also kill an executor during a query of the last round.
    #[arg(long)]
    kill: bool,
    /// Do not start a cluster.
    #[arg(long)]
    alone: bool,
    /// Folder for files of more windows than the temporary folder holds.
    #[arg(long)]
    folder: Option<PathBuf>,
}

/// Best time of a way, and the digest of its results.
struct Way {
    name: &'static str,
    times: Vec<Duration>,
    digests: Vec<String>,
}

impl Way {
    fn new(name: &'static str) -> Self {
        Self { name, times: Vec::new(), digests: Vec::new() }
    }

    fn add(&mut self, windows: usize, time: Duration, result: &[(i64, Vec<u32>)]) {
        assert_eq!(result.len(), windows);
        let (rate, digest) = (windows as f64 / time.as_secs_f64(), digest(result));
        println!("  {:<38} {:>8.2} s  {rate:>9.0} rows/s  {digest}", self.name, time.as_secs_f64());
        self.times.push(time);
        self.digests.push(digest);
    }

    fn best(&self) -> f64 {
        self.times.iter().min().map_or(f64::NAN, Duration::as_secs_f64)
    }
}

/// Calls the library on parts of an array, one thread for each. Returns the forecasts.
fn library(model: &Path, x: &[f32], steps: usize, threads: usize) -> Anything<Vec<f32>> {
    let part = (x.len() / steps).div_ceil(threads).next_multiple_of(BATCH) * steps;
    let run = |x: &[f32]| -> wgru::Result<Vec<f32>> {
        let device = Device::cpu_with(CpuOptions { threads: Some(1), ..CpuOptions::default() })?;
        let model = io::Model::open_blocking(&device, model)?;
        let module = model.module().expect("a network");
        let mut y = Vec::with_capacity(x.len() / steps);
        for x in x.chunks(BATCH * steps) {
            let x = Tensor::from_slice(&device, x, &[x.len() / steps, steps, 1])?;
            y.extend(module.forward(&x)?.read_blocking()?);
        }
        Ok(y)
    };
    std::thread::scope(|scope| {
        let parts: Vec<_> = x.chunks(part).map(|x| scope.spawn(move || run(x))).collect();
        let mut all = Vec::new();
        for part in parts {
            all.extend(part.join().expect("no panic")?);
        }
        Ok(all)
    })
}

fn bar(rows: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("  {bar:30} {human_pos} of {human_len} rows, {eta} left");
    ProgressBar::new(rows as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

async fn client(args: &Args, cluster: &Cluster, table: &Path) -> Anything<Client> {
    let options = ClientOptions { scheduler: cluster.scheduler.clone(), partitions: args.partitions, attempts: 2 };
    let client = Client::new(options, &Models::new(ModelOptions { is_remote: true, ..Default::default() })?).await?;
    client.wait_for_executors(args.threads, Duration::from_secs(60)).await?;
    query::register_table(&client.context, "t", table).await?;
    Ok(client)
}

#[tokio::main]
async fn main() -> Anything<()> {
    let args = Args::parse();
    let temporary = tempfile::tempdir()?;
    let folder = args.folder.clone().unwrap_or(temporary.path().into());
    let (models, table) = (folder.join("models"), folder.join("t.parquet"));
    std::fs::create_dir_all(&models)?;
    let model = models.join("model.safetensors");
    Net { hidden: args.hidden, ..Net::default() }.save(1, &model);
    write_windows(&table, args.windows, args.steps);
    let x = windows(0, args.windows, args.steps);
    println!(
        "{} windows of {} steps, GRU of {} units, {} threads",
        args.windows, args.steps, args.hidden, args.threads
    );

    let mut alone = SessionContext::new_with_config(query::config(args.threads));
    let options = ModelOptions { folder: Some(models.clone()), ..Default::default() };
    register(&mut alone, &Models::new(options)?)?;
    query::register_table(&alone, "t", &table).await?;
    let cluster = (!args.alone).then(|| Cluster::start(&binary(), &models, &folder, args.threads, 1));
    let remote = match &cluster {
        Some(cluster) => Some(client(&args, cluster, &table).await?),
        None => None,
    };

    let mut ways = [
        Way::new("library, arrays in memory"),
        Way::new("DataFusion, Parquet to Parquet"),
        Way::new("Ballista, Parquet to Parquet"),
    ];
    let out = folder.join("out.parquet");
    let count = ways.len();
    for round in 0..args.rounds {
        println!("round {}", round + 1);
        // Every way is first in some round, so that a machine that changes its speed favors none.
        for k in (0..count).map(|k| (k + round) % count) {
            let progress = bar(args.windows);
            let start = Instant::now();
            match (k, &remote) {
                (0, _) => {
                    let y = tokio::task::block_in_place(|| library(&model, &x, args.steps, args.threads))?;
                    let time = start.elapsed();
                    let y = y.iter().enumerate().map(|(id, y)| (id as i64, vec![y.to_bits()]));
                    ways[k].add(args.windows, time, &y.collect::<Vec<_>>());
                    continue;
                }
                (1, _) => {
                    let plan = query::plan(&alone, SQL).await?;
                    query::run_to_parquet(plan, &out, |rows| progress.set_position(rows)).await?;
                }
                (_, Some(client)) => {
                    let plan = query::plan(&client.context, SQL).await?;
                    client.run_to_parquet(plan, &out, |rows| progress.set_position(rows)).await?;
                }
                (_, None) => continue,
            }
            let time = start.elapsed();
            progress.finish_and_clear();
            ways[k].add(args.windows, time, &rows(&read(&out)));
        }
    }
    for way in ways[1..].iter().filter(|way| !way.times.is_empty()) {
        println!("{}: {:+.1} % of the time of the library", way.name, (way.best() / ways[0].best() - 1.0) * 100.0);
    }
    if let (true, Some(mut cluster), Some(client)) = (args.kill, cluster, remote) {
        let mut way = Way::new("Ballista, one executor killed");
        let plan = query::plan(&client.context, SQL).await?;
        let start = Instant::now();
        let mut killed = None;
        client
            .run_to_parquet(plan, &out, |rows| {
                if killed.is_none() && rows as usize > args.windows / 4 {
                    cluster.kill_executor(0);
                    killed = Some(rows);
                }
            })
            .await?;
        let time = start.elapsed();
        println!("killed an executor after {} rows", killed.ok_or("the query was too short to kill an executor")?);
        way.add(args.windows, time, &rows(&read(&out)));
        ways[2].digests.append(&mut way.digests);
    }
    let mut digests: Vec<&String> = ways.iter().flat_map(|way| &way.digests).collect();
    digests.dedup();
    match digests.len() {
        1 => println!("all results have the same bits"),
        _ => return Err("the results differ".into()),
    }
    Ok(())
}

/// The command, which cargo builds beside the examples.
fn binary() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    own.parent().and_then(Path::parent).unwrap_or(Path::new(".")).join("wgru-datafusion")
}
