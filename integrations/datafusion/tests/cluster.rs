//! The functions in a Ballista cluster.

mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use common::cluster::Cluster;
use common::{Net, read, rows, write_windows};
use datafusion::prelude::SessionContext;
use tempfile::TempDir;
use wgru_datafusion::cluster::{Client, ClientOptions};
use wgru_datafusion::{ModelOptions, Models, query, register};

const SQL: &str = "SELECT id, gru_forecast('last.safetensors', x) AS y FROM t";

/// A folder with a model and a table.
fn folder(windows: usize) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("models")).unwrap();
    Net { hidden: 64, ..Net::default() }.save(1, &folder.path().join("models/last.safetensors"));
    write_windows(&folder.path().join("t.parquet"), windows, 96);
    folder
}

fn models(folder: &Path) -> Models {
    Models::new(ModelOptions { folder: Some(folder.join("models")), ..ModelOptions::default() }).unwrap()
}

/// Runs the query in this process.
async fn alone(folder: &Path) -> Vec<(i64, Vec<u32>)> {
    let mut context = SessionContext::new_with_config(query::config(1));
    register(&mut context, &models(folder)).unwrap();
    query::register_table(&context, "t", &folder.join("t.parquet")).await.unwrap();
    let out = folder.join("alone.parquet");
    query::run_to_parquet(query::plan(&context, SQL).await.unwrap(), &out, |_| ()).await.unwrap();
    rows(&read(&out))
}

async fn client(cluster: &Cluster, folder: &Path, executors: usize) -> Client {
    let options = ClientOptions { scheduler: cluster.scheduler.clone(), partitions: 12, attempts: 2 };
    let remote = Models::new(ModelOptions { is_remote: true, ..ModelOptions::default() }).unwrap();
    let client = Client::new(options, &remote).await.unwrap();
    client.wait_for_executors(executors, Duration::from_secs(60)).await.unwrap();
    query::register_table(&client.context, "t", &folder.join("t.parquet")).await.unwrap();
    client
}

fn start(folder: &Path, executors: usize) -> Cluster {
    let binary = Path::new(env!("CARGO_BIN_EXE_wgru-datafusion"));
    Cluster::start(binary, &folder.join("models"), folder, executors, 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_computes_the_bits_of_one_process() {
    let folder = folder(20_000);
    let folder = folder.path();
    let cluster = start(folder, 2);
    let client = client(&cluster, folder, 2).await;
    let out = folder.join("cluster.parquet");
    let query = query::plan(&client.context, SQL).await.unwrap();
    let mut last = 0;
    assert_eq!(client.run_to_parquet(query, &out, |rows| last = rows).await.unwrap(), 20_000);
    assert_eq!(last, 20_000);
    let (got, want) = (rows(&read(&out)), alone(folder).await);
    assert_eq!(want.len(), 20_000);
    assert!(got == want, "the results differ");
    // Errors of executors name function and argument.
    let wrong = query::plan(&client.context, "SELECT gru_forecast('none', x) FROM t").await.unwrap();
    let error = client.run_to_parquet(wrong, &folder.join("none.parquet"), |_| ()).await.unwrap_err().to_string();
    assert!(error.contains("gru_forecast: model") && error.contains("below the folder"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_executor_loses_nothing() {
    let folder = folder(60_000);
    let folder = folder.path();
    let mut cluster = start(folder, 2);
    let client = client(&cluster, folder, 2).await;
    let out = folder.join("cluster.parquet");
    let query = query::plan(&client.context, SQL).await.unwrap();
    let (progress, mut reports) = tokio::sync::mpsc::unbounded_channel();
    let run = client.run_to_parquet(query, &out, |rows| _ = progress.send(rows));
    tokio::pin!(run);
    let start = Instant::now();
    let mut killed_at = None;
    let rows_written = loop {
        tokio::select! {
            result = &mut run => break result.unwrap(),
            Some(done) = reports.recv(), if killed_at.is_none() => {
                if done > 0 {
                    assert!(done < 60_000, "the query was too short");
                    cluster.kill_executor(0);
                    killed_at = Some((done, start.elapsed()));
                }
            }
        }
    };
    let (done, time) = killed_at.expect("a report of progress before the end");
    println!("killed after {done} rows, {time:.1?}; done after {:.1?}", start.elapsed());
    assert_eq!(rows_written, 60_000);
    assert!(rows(&read(&out)) == alone(folder).await, "the results differ");
}
