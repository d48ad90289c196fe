//! Compares GRU, LSTM, RNN, minGRU, and a GRU with attention on the same tasks.
//!
//! ```text
//! cargo run --release --example cells -- --quick
//! cargo run --release --example cells -- --etth1 ETTh1.csv --polarity polarity.tsv --text tinyshakespeare.txt
//! ```

#[macro_use]
#[path = "../common/print.rs"]
mod print;

mod args;
mod batch;
mod cell;
mod clock;
mod columns;
#[path = "../common/mod.rs"]
mod common;
mod learn;
mod model;
mod plan;
mod plot;
mod report;
mod store;
mod tasks;
#[cfg(test)]
mod tests;

use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Instant;

use clap::Parser;
use serde_json::Value;

use args::Args;
use common::Result;
use common::files::write;
use common::training::{INTERRUPTED, Interrupt, bar};
use plan::{Plan, lock};
use report::Block;
use store::Store;

fn main() -> ExitCode {
    let args = Args::parse();
    let done = Interrupt::listen().and_then(|interrupt| run(&args, &|| interrupt.is_set()));
    match done {
        Ok(Some(value)) => {
            if args.json {
                println!("{value}");
            }
            ExitCode::SUCCESS
        }
        Ok(None) => ExitCode::from(INTERRUPTED),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Makes the runs that are missing, prints the tables, and writes table and plot. Returns the table as JSON; `None` if
/// `interrupted`.
fn run(args: &Args, interrupted: &(dyn Fn() -> bool + Sync)) -> Result<Option<Value>> {
    let start = Instant::now();
    let (tasks, skipped) = tasks::make(args)?;
    for task in &skipped {
        println!("SKIPPED: {} {}", task.name.name(), task.why);
    }
    if tasks.is_empty() {
        return Err("no task is left; see --help for their data".into());
    }
    let (plan, store) = (Plan::new(args, tasks), Mutex::new(Store::open(&args.results())?));
    if !args.report {
        let bar = bar(0, args.json)?;
        let is_complete = plan.execute(&store, args.jobs(), &bar, interrupted)?;
        bar.finish_and_clear();
        if !is_complete {
            let path = lock(&store).path().display().to_string();
            println!("interrupted; all finished runs are in {path}, and the same command continues");
            return Ok(None);
        }
    }
    let store = lock(&store);
    let blocks = report::collect(&plan, &store)?;
    for block in &blocks {
        println!("\n{}", block.table(plan.seeds));
    }
    println!("{}", legend(args, &blocks));
    write(&args.table, &report::csv(&blocks)?)?;
    plot::draw(&blocks, &plan, &args.plot)?;
    let (table, plot, results) = (args.table.display(), args.plot.display(), store.path().display());
    println!("{:.1} s; wrote {table}, {plot}; all runs: {results}", start.elapsed().as_secs_f64());
    Ok(Some(report::json(&blocks, &skipped)))
}

fn legend(args: &Args, blocks: &[Block]) -> String {
    let runs: usize = blocks.iter().flat_map(|block| &block.rows).map(|row| row.runs.len()).sum();
    let of = blocks.iter().map(|block| block.rows.len() * args.seeds()).sum::<usize>();
    let mut text =
        "* the best mean, or less than two standard errors from it; not marked with fewer than three seeds\n\
                    step: one step of one sequence by the layer's `run`; stream: by `Stream`, where the cell has one\n\
                    updates to learn: median over the seeds, and how many seeds learned it if not all"
            .to_string();
    if runs < of {
        text += &format!("\nPARTIAL: {runs} of {of} results; runs of the GRU count in both sizings");
    }
    text
}
