//! Tests of whole comparisons, on small tasks.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use super::*;

const NEVER: &(dyn Fn() -> bool + Sync) = &|| false;

/// Parses options; all files are in `folder`.
fn args(folder: &Path, more: &[&str]) -> Args {
    let path = |name: &str| folder.join(name).display().to_string();
    let files = ["cells", "--results", &path("some runs.jsonl"), "--table", &path("a table.csv")].map(String::from);
    let more = more.iter().map(|text| text.to_string());
    Args::try_parse_from(files.into_iter().chain(["--plot".into(), path("a plot.svg")]).chain(more)).unwrap()
}

/// Returns the lines of the results without times, in a fixed order.
fn results(folder: &Path) -> Vec<Value> {
    let content = std::fs::read_to_string(folder.join("some runs.jsonl")).unwrap();
    let mut lines: Vec<Value> = content.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in lines.iter_mut().filter_map(Value::as_object_mut) {
        line.retain(|name, _| !["seconds", "update_ms", "step_us", "stream_us"].contains(&name.as_str()));
    }
    lines.sort_by_key(Value::to_string);
    lines
}

fn row<'a>(table: &'a Value, sizing: &str, cell: &str) -> &'a Value {
    let rows = table["rows"].as_array().unwrap();
    rows.iter().find(|row| row["sizing"] == sizing && row["cell"] == cell).unwrap()
}

#[test]
fn gated_cells_learn_the_adding_problem() {
    let folder = tempfile::tempdir().unwrap();
    let options = ["--tasks", "adding-50", "--cells", "gru,rnn", "--seeds", "1", "--rate", "0.01", "--updates", "500"];
    let table = run(&args(folder.path(), &[&options[..], &["--json"]].concat()), NEVER).unwrap().unwrap();
    let gru = row(&table, "units", "gru");
    assert!(gru["quality"].as_f64().unwrap() <= 0.01 && gru["reached"] == 1, "{gru}");
    assert!(gru["median_updates"].as_u64().unwrap() <= 500 && gru["stream_us"].as_f64().unwrap() > 0.0, "{gru}");
    // A simple layer forgets: it has to guess.
    let rnn = row(&table, "units", "rnn");
    assert!(rnn["quality"].as_f64().unwrap() > 0.1 && rnn["reached"] == 0, "{rnn}");
    assert!(row(&table, "parameters", "rnn")["units"].as_u64() > rnn["units"].as_u64());
    let csv = std::fs::read_to_string(folder.path().join("a table.csv")).unwrap();
    assert_eq!((csv.lines().count(), csv.lines().nth(1).unwrap().starts_with("adding-50,units,gru,")), (5, true));
    assert!(std::fs::read_to_string(folder.path().join("a plot.svg")).unwrap().contains("adding-50"));
    // The report needs no runs.
    let again = run(&args(folder.path(), &[&options[..], &["--report"]].concat()), NEVER).unwrap().unwrap();
    assert_eq!(again, table);
}

#[test]
fn an_interrupted_comparison_continues_with_the_same_results() {
    // Pilot runs of three rates, and two seeds.
    let options = ["--tasks", "seattle", "--cells", "gru,mingru", "--seeds", "2", "--updates", "6", "--json"];
    let whole = tempfile::tempdir().unwrap();
    let table = run(&args(whole.path(), &options), NEVER).unwrap().unwrap();
    let expected = results(whole.path());
    // A header; times of three networks; six pilot runs; two seeds of three networks.
    assert_eq!(expected.len(), 1 + 3 + 6 + 6);
    for jobs in ["1", "2"] {
        let folder = tempfile::tempdir().unwrap();
        let args = args(folder.path(), &[&options[..], &["--jobs", jobs]].concat());
        let mut had = 0;
        // Interrupted during times, pilot runs, and the last runs.
        for asks in [15, 30, 55] {
            let asked = AtomicUsize::new(0);
            assert!(run(&args, &|| asked.fetch_add(1, SeqCst) >= asks).unwrap().is_none());
            let there = if folder.path().join("some runs.jsonl").exists() { results(folder.path()).len() } else { 0 };
            assert!(there >= had && there < expected.len(), "{there}");
            had = there;
        }
        assert!(had > 1 && !folder.path().join("a table.csv").exists());
        let resumed = run(&args, NEVER).unwrap().unwrap();
        assert_eq!(results(folder.path()), expected, "{jobs} jobs");
        for (sizing, cell) in [("units", "gru"), ("parameters", "mingru")] {
            let [a, b] = [&table, &resumed].map(|table| row(table, sizing, cell));
            assert_eq!((&a["quality"], &a["rate"], &a["deviation"]), (&b["quality"], &b["rate"], &b["deviation"]));
        }
        // Nothing is left to do.
        let content = std::fs::read(folder.path().join("some runs.jsonl")).unwrap();
        run(&args, NEVER).unwrap().unwrap();
        assert_eq!(std::fs::read(folder.path().join("some runs.jsonl")).unwrap(), content);
    }
}

#[test]
fn partial_results_are_marked() {
    let folder = tempfile::tempdir().unwrap();
    let options =
        |seeds| ["--tasks", "seattle", "--cells", "rnn", "--rate", "0.01", "--updates", "4", "--seeds", seeds];
    run(&args(folder.path(), &options("1")), NEVER).unwrap().unwrap();
    let args = args(folder.path(), &[&options("3")[..], &["--report"]].concat());
    let (tasks, _) = tasks::make(&args).unwrap();
    let (plan, store) = (Plan::new(&args, tasks), Store::open(&args.results()).unwrap());
    let blocks = report::collect(&plan, &store).unwrap();
    assert!(blocks[0].table(3).contains("[1 of 3 seeds]"), "{}", blocks[0].table(3));
    assert!(legend(&args, &blocks).contains("PARTIAL: 2 of 6"), "{}", legend(&args, &blocks));
}

#[test]
fn tasks_without_data_are_skipped_and_not_counted() {
    let folder = tempfile::tempdir().unwrap();
    let fixed = ["--rate", "0.01", "--updates", "2", "--seeds", "1", "--cells", "rnn", "--tasks"];
    let with = |tasks| args(folder.path(), &[&fixed[..], &[tasks]].concat());
    let table = run(&with("seattle,etth1-5%,polarity,letters"), NEVER).unwrap().unwrap();
    assert!(table["rows"].as_array().unwrap().iter().all(|row| row["task"] == "seattle"));
    let skipped: Vec<&str> = table["skipped"].as_array().unwrap().iter().map(|t| t["why"].as_str().unwrap()).collect();
    assert_eq!(skipped, ["needs --etth1 FILE", "needs --polarity FILE", "needs --text FILE"]);
    assert!(run(&with("letters"), NEVER).unwrap_err().to_string().contains("no task is left"));
}

#[test]
fn results_of_other_options_and_damaged_ones_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let fixed = ["--tasks", "seattle", "--cells", "rnn", "--rate", "0.01", "--seeds", "1", "--updates"];
    let with = |updates| args(folder.path(), &[&fixed[..], &[updates]].concat());
    run(&with("2"), NEVER).unwrap().unwrap();
    let error = run(&with("3"), NEVER).unwrap_err().to_string();
    assert!(error.contains("seattle rnn: made with 1 layers, 2 updates") && error.contains("--results"), "{error}");
    let path = folder.path().join("some runs.jsonl");
    let content = std::fs::read(&path).unwrap();
    std::fs::write(&path, &content[..content.len() - 9]).unwrap();
    let error = run(&with("2"), NEVER).unwrap_err().to_string();
    assert!(error.contains("some runs.jsonl: line 5: damaged"), "{error}");
}

#[test]
fn words_and_characters_are_learned_by_every_cell() {
    let folder = tempfile::tempdir().unwrap();
    let (text, table) = (folder.path().join("a text.txt"), folder.path().join("a table.tsv"));
    std::fs::write(&text, "abcd".repeat(500)).unwrap();
    let words = [["dull", "bad"], ["warm", "good"]];
    let line = |i: usize| format!("{}\tthe {} film {}\n", words[i % 2][1], words[i % 2][0], i % 7);
    std::fs::write(&table, (0..400).map(line).collect::<String>()).unwrap();
    let (text, table) = (text.display().to_string(), table.display().to_string());
    let files = ["--text", &text, "--polarity", &table, "--tasks", "polarity,letters"];
    let options = [&files[..], &["--seeds", "1", "--rate", "0.01", "--updates", "120", "--units", "16"]].concat();
    let table = run(&args(folder.path(), &options), NEVER).unwrap().unwrap();
    let rows = table["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 2 * 2 * 5);
    for row in rows {
        let quality = row["quality"].as_f64().unwrap();
        assert!(if row["task"] == "letters" { quality < 0.1 } else { quality > 0.95 }, "{row}");
    }
}
