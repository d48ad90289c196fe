//! `wgru report`: on the adapter of this machine, and the rules that it reads from reports.

#![cfg(feature = "gpu")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use wgru_report::{Adapter, Check, Report, Times, Timing, table};

fn wgru(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wgru")).args(arguments).output().expect("run")
}

/// Whether there is an adapter. With `WGRU_REQUIRE_GPU=1`, as in CI, a missing one is a failure.
fn has_adapter() -> bool {
    match wgru::Device::gpu_blocking() {
        Ok(_) => true,
        Err(error) => {
            assert!(std::env::var("WGRU_REQUIRE_GPU").as_deref() != Ok("1"), "a GPU is required: {error}");
            eprintln!("SKIPPED: {error}");
            false
        }
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn read(path: &Path) -> Report {
    Report::from_json(&std::fs::read_to_string(path).expect("written")).expect("a report")
}

#[test]
fn every_check_is_right_and_the_file_is_read_back() {
    if !has_adapter() {
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    let [json, svg] = ["report.json", "report.svg"].map(|name| folder.path().join(name));
    let output = wgru(&["report", "--quick", "--save", text(&json), "--picture", text(&svg)]);
    let shown = String::from_utf8_lossy(&output.stdout);
    let report = read(&json);
    let wrong: Vec<&Check> = report.checks.iter().filter(|check| !check.is_right()).collect();
    assert_eq!((output.status.code(), &report.ended[..]), (Some(0), "complete"), "{shown}{wrong:#?}");
    assert!(report.checks.len() > 300 && report.timings.len() > 10, "{shown}");
    assert_eq!(Report::from_json(&report.to_json()), Ok(report));
    assert!(shown.contains("checks against f64") && !shown.contains("WRONG"), "{shown}");
    assert!(std::fs::read_to_string(&svg).expect("written").contains("GRU, inference, 1 sequence"));
    // The rules command reads the file.
    let output = wgru(&["report", "rules", text(&json), "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn wrong_results_are_reported_as_wrong() {
    if !has_adapter() {
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    let json = folder.path().join("report.json");
    // Ends after the first groups.
    let output = wgru(&["report", "--quick", "--spoil", "1e4", "--seconds", "1", "--save", text(&json)]);
    let shown = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{shown}");
    assert!(shown.contains("WRONG  functions: exp"), "{shown}");
    let report = read(&json);
    assert!(!report.is_right() && report.ended.starts_with("out of time"), "{}", report.ended);
    assert!(table(&[("report.json".into(), report)]).rules.is_empty());
}

#[test]
fn a_missing_adapter_is_in_the_file() {
    let folder = tempfile::tempdir().expect("folder");
    let json = folder.path().join("report.json");
    let output = wgru(&["report", "--adapter", "no such adapter", "--save", text(&json)]);
    assert_eq!(output.status.code(), Some(4));
    let report = read(&json);
    assert!(report.adapter.is_none() && report.ended.contains("no such adapter"), "{}", report.ended);
}

#[test]
fn the_table_is_what_the_files_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(root.join("docs/hardware"))
        .expect("folder")
        .map(|entry| entry.expect("entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "no reports");
    let name = |path: &Path| path.file_name().expect("a name").to_string_lossy().into_owned();
    let reports: Vec<(String, Report)> = paths.iter().map(|path| (name(path), read(path))).collect();
    for (file, report) in &reports {
        assert!(report.is_right(), "{file}: {}", report.ended);
        let is_software = report.adapter.as_ref().is_some_and(|adapter| adapter.class == "software");
        assert_eq!(
            is_software,
            file.starts_with("software-"),
            "{file}: the name of a software adapter's file starts so"
        );
    }
    let source = std::fs::read_to_string(root.join("src/ops/adapters/measured.rs")).expect("the table");
    assert_eq!(table(&reports).to_rust(), source, "write it with `wgru report rules docs/hardware/*.json --write …`");
}

/// A report of an imaginary GPU, on which a choice takes the time that `of` returns.
fn imaginary(name: &str, of: impl Fn([u64; 2], &str) -> f64) -> (String, Report) {
    let adapter = Adapter {
        name: name.into(),
        vendor: "nvidia".into(),
        class: "discrete".into(),
        backend: "vulkan".into(),
        ..Adapter::default()
    };
    let check = Check { group: "g".into(), name: "n".into(), worst: 0.0, tolerance: 1e-6, error: None };
    let mut timings = Vec::new();
    for (batch, hidden) in [(1, 16), (1, 64), (32, 64), (1, 128), (32, 128), (1, 256), (32, 256), (64, 512)] {
        for choice in ["whole split", "whole plain", "chain split", "chain plain", "steps"] {
            if choice.starts_with("whole") && hidden > 256 {
                continue;
            }
            let median = of([batch, hidden], choice);
            let times = Times { repeats: 5, p10: median, median, p90: median };
            let (kind, of, choice) = ("forward".into(), "gru".into(), choice.into());
            timings.push(Timing { kind, of, dims: vec![64, batch, hidden], choice, times });
        }
    }
    let report =
        Report { ended: "complete".into(), adapter: Some(adapter), checks: vec![check], timings, ..Default::default() };
    (format!("{name}.json"), report)
}

#[test]
fn rules_follow_the_times() {
    // As estimated: whole up to 128 units, and shared sums unless 64 sequences keep the GPU busy.
    let usual = |[batch, hidden]: [u64; 2], choice: &str| match choice {
        "whole split" => hidden as f64,
        "chain plain" if batch == 64 => 130.0,
        "chain split" => 130.0 + hidden as f64 / 10.0,
        _ => 1000.0,
    };
    let same = table(&[imaginary("usual", usual)]);
    assert!(same.rules.is_empty(), "{same:?}");
    assert!(same.notes[0].contains("the built-in rules are right"), "{same:?}");

    // The chain is faster from 64 units on, and sums that are not shared always.
    let other = |[_, hidden]: [u64; 2], choice: &str| match choice {
        "whole split" if hidden <= 16 => 10.0,
        "chain plain" => 20.0,
        _ => 50.0,
    };
    let one = table(&[imaginary("other", other)]);
    let [rule] = &one.rules[..] else { panic!("{one:?}") };
    assert_eq!((&rule.name[..], rule.rules.whole_hidden, rule.rules.fused_hidden), ("other", 16, usize::MAX));
    assert!(rule.rules.busy < 4096 && rule.gain > 0.3, "{rule:?}");
    assert!(
        one.to_rust().contains("vendor: \"nvidia\",\n        class: AdapterClass::Discrete,\n        name: \"other\"")
    );

    // A second adapter makes a rule for the vendor.
    let two = table(&[imaginary("another", other), imaginary("other", other)]);
    let names: Vec<&str> = two.rules.iter().map(|rule| &rule.name[..]).collect();
    assert_eq!(names, ["another", "other", ""]);

    // Reports that are partial, wrong or from a browser are not used.
    let spoiled = |spoil: fn(&mut Report)| {
        let (file, mut report) = imaginary("other", other);
        spoil(&mut report);
        table(&[(file, report)])
    };
    for (why, table) in [
        ("partial", spoiled(|report| report.ended = "stopped by the user".into())),
        ("1 checks are wrong", spoiled(|report| report.checks[0].worst = f64::INFINITY)),
        ("browser", spoiled(|report| report.adapter.as_mut().expect("one").backend = "webgpu".into())),
        ("vendor", spoiled(|report| report.adapter.as_mut().expect("one").vendor.clear())),
    ] {
        assert!(table.rules.is_empty() && table.notes[0].contains(why), "{why}: {table:?}");
    }
}

#[test]
fn files_that_are_not_reports_are_refused() {
    let (_, report) = imaginary("any", |_, _| 1.0);
    let good = report.to_json();
    assert_eq!(Report::from_json(&good), Ok(report));
    for (from, to, why) in [
        ("{", "", "is not JSON"),
        ("\"wgru_report\": 1", "\"wgru_report\": 2", "version 2"),
        ("\"checks\"", "\"ignored\"", "`checks` is missing"),
        ("\"ok\":true", "\"ok\":false", "contradicts"),
        ("\"median_us\":1.0", "\"median_us\":-1.0", "`median_us`"),
        ("\"dims\":[64,", "\"dims\":[\"64\",", "sizes"),
        ("\"name\": \"any\"", "\"name\": 7", "`name` is not text"),
    ] {
        assert!(good.contains(from), "{from} is in {good}");
        let error = Report::from_json(&good.replacen(from, to, 1)).expect_err(why);
        assert!(error.contains(why), "{error}");
    }
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("no.json");
    std::fs::write(&path, "[]").expect("written");
    let output = wgru(&["report", "rules", text(&path)]);
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no.json"), "names the file");
}
