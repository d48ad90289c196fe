//! Reads measurements of this program and others, and prints ratios with the goals.
//!
//! The k-th line of a program on a workload is its round k. Ratios are taken within rounds, and their median is
//! printed.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use serde_json::Value;

/// A row of the table: a comparison, and the goal, as a speedup over the best other program.
struct Goal {
    workload: &'static str,
    /// Start of the note in wgru's line: precision or optimizer.
    variant: &'static str,
    gpu: bool,
    /// Maximum number of threads, for wgru and its peers.
    threads: u64,
    ratio: f64,
}

const fn cpu(workload: &'static str, variant: &'static str, threads: u64, ratio: f64) -> Goal {
    Goal { workload, variant, gpu: false, threads, ratio }
}

/// Compares with the best f32 result of the peers, whatever wgru's precision.
const fn gpu(workload: &'static str, variant: &'static str, ratio: f64) -> Goal {
    Goal { workload, variant, gpu: true, threads: u64::MAX, ratio }
}

impl Goal {
    fn name(&self) -> String {
        format!("{} {}", self.workload, self.variant.to_lowercase()).trim_end().to_string()
    }
}

const GOALS: [Goal; 20] = [
    cpu("stream-h128", "F32", 1, 1.5),
    cpu("stream-h128", "Int8", 1, 4.0),
    cpu("stream-h256", "F32", 1, 1.1),
    cpu("stream-h256", "F32", 2, 2.0),
    cpu("stream-h256", "F16", 1, 2.5),
    cpu("stream-h256", "Int8", 1, 6.0),
    cpu("stream-h512", "F32", 1, 1.05),
    cpu("stream-h512", "F32", 2, 1.3),
    cpu("stream-h512", "F16", 1, 1.8),
    cpu("stream-h512", "Int8", 1, 4.0),
    cpu("seq-b1", "", 2, 1.7),
    cpu("seq-b32", "", 2, 1.3),
    cpu("seq-b64-h512", "", 2, 1.3),
    cpu("train-b32", "sgd", 2, 2.2),
    cpu("train-b32", "adam", 2, 2.2),
    gpu("seq-b1", "", 10.0),
    gpu("seq-b32", "", 5.0),
    gpu("seq-b64-h512", "", 2.5),
    gpu("train-b32", "sgd", 5.0),
    // The goal is an absolute time: 70 ms, compared with the other program's 188 ms.
    gpu("first-result", "", 188.0 / 70.0),
];

/// Measurements of one program on one workload: a median and a best run per round.
#[derive(Default)]
struct Series {
    medians: Vec<f64>,
    best: Vec<f64>,
    check: f64,
}

/// Peer with its version and backend, workload, threads, note.
type Key = (String, String, String, u64, String);

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut all: Vec<f64> = values.collect();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

impl Series {
    fn median(&self) -> f64 {
        median(self.medians.iter().copied())
    }

    fn best(&self) -> f64 {
        self.best.iter().copied().fold(f64::INFINITY, f64::min)
    }
}

fn read(text: &str) -> BTreeMap<Key, Series> {
    let mut all: BTreeMap<Key, Series> = BTreeMap::new();
    for line in text.lines() {
        let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
        let text = |key: &str| line[key].as_str().unwrap_or_default().to_string();
        let (Some(median), Some(min)) = (line["median"].as_f64(), line["min"].as_f64()) else { continue };
        let peer = format!("{} {}", text("peer"), text("version"));
        let threads = line["threads"].as_u64().unwrap_or(1);
        let one = all.entry((peer, text("backend"), text("workload"), threads, text("note"))).or_default();
        one.medians.push(median);
        one.best.push(min);
        one.check = line["check"].as_f64().unwrap_or(f64::NAN);
    }
    all
}

/// Returns the fastest series that `fits`, by the median of its rounds.
fn fastest(all: &BTreeMap<Key, Series>, fits: impl Fn(&Key, &Series) -> bool) -> Option<(&Key, &Series)> {
    all.iter().filter(|(key, one)| fits(key, one)).min_by(|a, b| a.1.median().total_cmp(&b.1.median()))
}

fn row(all: &BTreeMap<Key, Series>, goal: &Goal) -> Option<String> {
    let ours = |key: &Key| key.0.starts_with("wgru ");
    let fits = |(peer, backend, workload, threads, _): &Key| {
        let gpu = if peer.starts_with("wgru ") { backend != "cpu" } else { backend.contains("wgpu") };
        workload == goal.workload && gpu == goal.gpu && *threads <= goal.threads
    };
    let (our_key, mine) = fastest(all, |key, _| ours(key) && fits(key) && key.4.starts_with(goal.variant))?;
    let place = if goal.gpu { our_key.1.clone() } else { format!("≤ {} thread(s)", goal.threads) };
    let head = format!("| {} | {place} | {:.3} |", goal.name(), mine.median());
    // A peer that computes another function does not count. Int8 may differ by more than this tolerance.
    let same = |one: &Series| mine.check.is_nan() || (one.check - mine.check).abs() <= 1e-3 || goal.variant == "Int8";
    // If a peer names its optimizer, only the same one is compared.
    let alike = |note: &str| note == goal.variant || !["sgd", "adam"].contains(&note);
    let theirs = fastest(all, |key, one| !ours(key) && fits(key) && same(one) && alike(&key.4));
    let Some((key, other)) = theirs else { return Some(format!("{head} none ran | | | | {:.2} | |", goal.ratio)) };
    let rounds = mine.medians.iter().zip(&other.medians);
    let ratio = median(rounds.map(|(mine, other)| other / mine));
    let best = other.best() / mine.best();
    let met = if ratio >= goal.ratio { "met" } else { "short" };
    let (name, threads, time) = (format!("{} {}", key.0, key.1), key.3, other.median());
    Some(format!("{head} {name}, {threads} | {time:.3} | {ratio:.2} | {best:.2} | {:.2} | {met} |", goal.ratio))
}

/// Prints the table for `file`, or for standard input if it is `-`.
pub fn print(file: &Path) -> std::io::Result<()> {
    let mut text = String::new();
    match file.to_str() {
        Some("-") => std::io::stdin().read_to_string(&mut text)?,
        _ => std::fs::File::open(file)?.read_to_string(&mut text)?,
    };
    let all = read(&text);
    println!("Streams in µs per step, the rest in ms; a ratio above 1 means that wgru is faster.\n");
    println!(
        "| workload | wgru on | wgru | best other, threads | its time | ratio of medians | of best runs | goal | |"
    );
    println!("| --- | --- | --: | --- | --: | --: | --: | --: | --- |");
    let mut absent = Vec::new();
    for goal in &GOALS {
        match row(&all, goal) {
            Some(row) => println!("{row}"),
            None => absent.push(format!("{}{}", goal.name(), if goal.gpu { " on the adapter" } else { "" })),
        }
    }
    absent.dedup();
    if !absent.is_empty() {
        println!("\nNot measured: {}.", absent.join(", "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = r#"
        {"peer":"wgru","version":"1","backend":"cpu","workload":"seq-b32","median":10,"min":9,"threads":2,"check":1.0,"note":""}
        {"peer":"a","version":"1","backend":"cpu","workload":"seq-b32","median":15,"min":12,"threads":2,"check":1.0}
        {"peer":"b","version":"1","backend":"cpu","workload":"seq-b32","median":1,"min":1,"threads":2,"check":7.0}
        noise
        {"peer":"wgru","version":"1","backend":"cpu","workload":"seq-b32","median":20,"min":10,"threads":2,"check":1.0,"note":""}
        {"peer":"a","version":"1","backend":"cpu","workload":"seq-b32","median":40,"min":18,"threads":2,"check":1.0}
        {"peer":"c","version":"1","backend":"wgpu-x","workload":"seq-b32","median":2,"min":2,"threads":2,"check":1.0}"#;

    #[test]
    fn ratios_are_within_rounds_and_of_the_same_function() {
        let all = read(LINES);
        let goal = cpu("seq-b32", "", 2, 1.3);
        let row = row(&all, &goal).expect("ours is there");
        assert_eq!(row, "| seq-b32 | ≤ 2 thread(s) | 20.000 | a 1 cpu, 2 | 40.000 | 2.00 | 1.33 | 1.30 | met |");
    }

    #[test]
    fn rows_say_when_no_other_ran() {
        let all = read(LINES.lines().nth(1).expect("ours"));
        assert!(row(&all, &cpu("seq-b32", "", 2, 1.3)).expect("ours").contains("none ran"));
        assert!(row(&all, &cpu("seq-b1", "", 2, 1.3)).is_none());
    }
}
