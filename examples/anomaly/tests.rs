//! Tests of whole runs, on small data.

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::Mutex;

use clap::Parser;
use tempfile::TempDir;
use wgru::Rng;

use super::*;
use crate::beats::synthetic;
use crate::engines::MEASURED;
use crate::inject::Kind;
use crate::stream::{Session, score_lines};

const NEVER: &dyn Fn() -> bool = &|| false;
const HERTZ: f64 = 60.0;

fn path(folder: &TempDir, name: &str) -> PathBuf {
    folder.path().join(name)
}

fn write(folder: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = path(folder, name);
    std::fs::write(&path, text).unwrap();
    path
}

/// Options of a run on the CPU that writes into the folder.
fn args(folder: &TempDir, more: &[&str]) -> Args {
    let [save, plot] = ["a model", "a plot.svg"].map(|name| path(folder, name).display().to_string());
    let fixed = ["anomaly", "--device", "cpu", "--json", "--save", &save, "--plot", &plot];
    Args::try_parse_from([&fixed, more].concat()).unwrap()
}

/// A recording with one number per line.
fn recording(folder: &TempDir, seconds: f64) -> PathBuf {
    let signal = synthetic(seconds, HERTZ, &mut Rng::new(5));
    let lines: Vec<String> = signal.iter().map(|value| format!("{value:.3}\n")).collect();
    write(folder, "a recording.txt", &lines.concat())
}

/// A table of measurements: a daily cycle, with a fault in rows 1500 to 1519.
fn measurements(folder: &TempDir) -> PathBuf {
    let mut rng = Rng::new(6);
    let row = |i: usize| {
        let fault = if (1500..1520).contains(&i) { 25.0 } else { 0.0 };
        let value = 80.0 + 5.0 * (0.1 * i as f32).sin() + 0.3 * rng.normal() - fault;
        format!("2014-01-{:02} {:02}:{:02}:00,{value:.3}\n", 1 + i / 288, i % 288 / 12, i % 12 * 5)
    };
    write(folder, "a table.csv", &["timestamp,value\n".into(), (0..2000).map(row).collect::<String>()].concat())
}

/// A table of engines whose sensors drift with wear.
fn fleet_table(folder: &TempDir) -> PathBuf {
    let mut rng = Rng::new(7);
    let mut text = String::new();
    for engine in 1..=8 {
        let cycles = 50 + 5 * engine;
        for cycle in 1..=cycles {
            let wear = (cycle as f32 / cycles as f32).powi(2);
            let measured: Vec<String> = (0..MEASURED)
                .map(|i| if i < 4 { "1.5".into() } else { format!("{:.3}", i as f32 + wear + 0.02 * rng.normal()) })
                .collect();
            text += &format!("{engine} {cycle} {}\n", measured.join(" "));
        }
    }
    write(folder, "the engines.txt", &text)
}

/// Streams lines; returns the output and the error.
fn stream(folder: &TempDir, state: Option<&str>, lines: &[u8]) -> (String, Option<String>) {
    let state = state.map(|name| path(folder, name));
    let session = Mutex::new(Session::open(&path(folder, "a model"), state.as_deref()).unwrap());
    let mut output = Vec::new();
    let result = score_lines(&session, lines, &mut output, false);
    (String::from_utf8(output).unwrap(), result.err().map(|error| error.to_string()))
}

/// Checks that two calls with a state file give the output of one call, and that an error loses nothing.
fn assert_continues(folder: &TempDir, text: &str, bad: &str, why: &str) {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let (whole, error) = stream(folder, None, text.as_bytes());
    assert!(error.is_none() && whole.lines().count() == lines.len(), "{error:?}");
    let (first, rest) = lines.split_at(101);
    let (second, third) = rest.split_at(1);
    let (a, error) = stream(folder, Some("the state"), [&first.concat(), bad].concat().as_bytes());
    let error = error.unwrap();
    assert!(error.contains("standard input: line 102") && error.contains(why), "{error}");
    let (b, none) = stream(folder, Some("the state"), second.concat().as_bytes());
    let (c, also_none) = stream(folder, Some("the state"), third.concat().as_bytes());
    assert!(none.is_none() && also_none.is_none());
    assert!([a, b, c].concat() == whole, "the outputs differ");
}

#[test]
fn anomalies_of_a_recording_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let file = recording(&folder, 240.0).display().to_string();
    let options =
        ["ecg", &file, "--hertz", "60", "--epochs", "100", "--hidden", "16", "--rate", "0.01", "--members", "1"];
    let report = perform(&args(&folder, &options), NEVER).unwrap().unwrap();
    let kinds = &report["kinds"];
    let found = |kind: &str| kinds[kind]["found"].as_f64().unwrap() / kinds[kind]["injected"].as_f64().unwrap();
    for kind in Kind::ALL.map(Kind::name) {
        assert!(found(kind) > 0.8, "{kind}: {report}");
    }
    assert!(report["precision"].as_f64().unwrap() > 0.8, "{report}");
    assert!(report["alarms_per_minute"].as_f64().unwrap() < 3.0, "{report}");
    let plot = std::fs::read_to_string(path(&folder, "a plot.svg")).unwrap();
    assert!(plot.contains("noise burst") && plot.contains("loss by epoch"));

    // A loaded model gives the same results; one for another task is refused.
    let model = path(&folder, "a model").display().to_string();
    let loaded = perform(&args(&folder, &["ecg", &file, "--hertz", "60", "--load", &model]), NEVER).unwrap().unwrap();
    assert_eq!(loaded["kinds"], report["kinds"]);
    let other =
        perform(&args(&folder, &["machine", &measurements(&folder).display().to_string(), "--load", &model]), NEVER);
    let error = other.unwrap_err().to_string();
    assert!(error.contains("a model for `ecg`, expected one for `machine`"), "{error}");

    let text: String = std::fs::read_to_string(&file).unwrap().split_inclusive('\n').take(400).collect();
    assert_continues(&folder, &text, "zero\n1.0\n", "expected a number, got \"zero\"");
}

#[test]
fn a_fault_of_a_machine_raises_an_alarm() {
    let folder = tempfile::tempdir().unwrap();
    let table = measurements(&folder);
    let windows = r#"{"real/a table.csv": [["2014-01-06 04:40:00", "2014-01-06 08:00:00"]]}"#;
    let labels = write(&folder, "the windows.json", windows).display().to_string();
    let [file, few] = [table.display().to_string(), "40".into()];
    let options = ["machine", &file, "--labels", &labels, "--epochs", &few, "--hidden", "8", "--members", "2"];
    let report = perform(&args(&folder, &options), NEVER).unwrap().unwrap();
    assert!(report["nab"]["GRU"]["best"].as_f64().unwrap() > 80.0, "{report}");
    assert!(report["nab"]["random"]["best"].as_f64().unwrap() < 80.0, "{report}");

    // The alarm of the stream is in the fault.
    let text = std::fs::read_to_string(&table).unwrap();
    let (output, _) = stream(&folder, None, text.as_bytes());
    let alarms: Vec<usize> =
        output.lines().enumerate().filter(|(_, line)| line.ends_with("\t1")).map(|(i, _)| i - 1).collect();
    assert_eq!(alarms.len() as u64, report["alarms"].as_u64().unwrap());
    assert!(alarms.iter().any(|row| (1500..1520).contains(row)), "{alarms:?}");
    assert_continues(&folder, &text, "2014-01-01 00:00:00,\n", "expected a number, got \"\"");
}

#[test]
fn the_remaining_life_of_engines_is_predicted() {
    let folder = tempfile::tempdir().unwrap();
    let table = fleet_table(&folder);
    let file = table.display().to_string();
    let options =
        ["engines", &file, "--held-out", "2", "--epochs", "60", "--hidden", "8", "--batch", "3", "--rate", "0.02"];
    let report = perform(&args(&folder, &options), NEVER).unwrap().unwrap();
    let rmse = report["models"]["GRU"]["rmse"].as_f64().unwrap();
    assert!(rmse < 10.0 && report["predictions"] == 20, "{report}");
    assert!(std::fs::read_to_string(path(&folder, "a plot.svg")).unwrap().contains("predicted and true"));

    // Rows of the engines in turns.
    let text = std::fs::read_to_string(&table).unwrap();
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    lines.sort_by_key(|line| line.split(' ').nth(1).unwrap().parse::<u32>().unwrap());
    assert_continues(&folder, &lines[..300].concat(), "1 99 0\n", "expected 26 numbers, got 3");
    let (in_turns, _) = stream(&folder, None, lines.concat().as_bytes());
    let (in_order, _) = stream(&folder, None, text.as_bytes());
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(String::from).collect();
        lines.sort();
        lines
    };
    assert!(sorted(&in_turns) == sorted(&in_order));
    let skipped = [lines[0], &lines[0].replacen("1 1 ", "1 3 ", 1)].concat();
    let (_, error) = stream(&folder, None, skipped.as_bytes());
    assert!(error.unwrap().contains("line 2: expected cycle 2 of engine 1, got 3"));
}

#[test]
fn an_interrupted_run_continues_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let file = recording(&folder, 60.0).display().to_string();
    let checkpoint = path(&folder, "a run.checkpoint").display().to_string();
    let options = ["ecg", &file, "--hertz", "60", "--epochs", "6", "--hidden", "8", "--checkpoint", &checkpoint];
    let run = |more: &[&str], interrupted: &dyn Fn() -> bool| {
        perform(&args(&folder, &[&options, more].concat()), interrupted)
    };
    assert!(run(&[], NEVER).unwrap().is_some() && !path(&folder, "a run.checkpoint").exists());
    let whole = std::fs::read(path(&folder, "a model")).unwrap();
    std::fs::remove_file(path(&folder, "a model")).unwrap();
    let asked = Cell::new(0);
    assert!(run(&[], &|| asked.replace(asked.get() + 1) >= 10).unwrap().is_none());
    assert!(path(&folder, "a run.checkpoint").exists() && !path(&folder, "a model").exists());
    let error = run(&["--rate", "0.1"], NEVER).unwrap_err().to_string();
    assert!(error.contains("--rate 0.005, this one has 0.1"), "{error}");
    assert!(run(&[], NEVER).unwrap().is_some());
    assert!(std::fs::read(path(&folder, "a model")).unwrap() == whole, "the weights differ");
}

#[test]
fn broken_files_leave_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    for (task, content, why) in [
        ("ecg", "", "the file is empty"),
        ("ecg", "1\n2\nx\n", "line 3: expected a number"),
        ("ecg", "1\n2\n", "the recording has 2 samples; expected at least 10800"),
        ("ecg", &"5\n".repeat(10_800), "no heartbeats are found"),
        ("machine", "", "the file is empty"),
        ("machine", "timestamp,value\na,1\nb\n", "line 3: expected a number, got \"b\""),
        ("machine", "timestamp,value\na,1\n", "15 % of 1 rows"),
        ("engines", "", "the file is empty"),
        ("engines", "1 1 2\n", "line 1: expected 26 numbers, got 3"),
        ("engines", &format!("1 1 {}", ["0"; MEASURED].join(" ")), "the table has 1 engines"),
    ] {
        let file = write(&folder, "a broken file", content).display().to_string();
        let error = perform(&args(&folder, &[task, &file]), NEVER).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
    let error = perform(&args(&folder, &["machine"]), NEVER).unwrap_err().to_string();
    assert!(error.contains("`machine` needs a FILE"), "{error}");
    let folder_name = folder.path().display().to_string();
    let file = recording(&folder, 60.0).display().to_string();
    let error = perform(&args(&folder, &["ecg", &file, "--hertz", "60", "--plot", &folder_name]), NEVER).unwrap_err();
    assert!(error.to_string().contains("expected the name of a file"), "{error}");
    std::fs::remove_file(file).unwrap();
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 1);
}

#[test]
fn states_and_models_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let file = recording(&folder, 60.0).display().to_string();
    let options = ["ecg", &file, "--hertz", "60", "--epochs", "1", "--hidden", "4"];
    perform(&args(&folder, &options), NEVER).unwrap();
    let model = path(&folder, "a model");
    let open = |state: &str| Session::open(&model, Some(&path(&folder, state))).map(|_| ()).unwrap_err().to_string();
    stream(&folder, Some("the state"), b"1\n2\n");
    write(&folder, "another state", "text");
    assert!(open("another state").contains("another state"));
    assert!(open("a model").contains("not a state of this example"));
    let mut file = TensorFile::open(path(&folder, "the state")).unwrap();
    file.metadata.insert("steps".into(), "some".into());
    file.save(path(&folder, "a bad state")).unwrap();
    let error = open("a bad state");
    assert!(error.contains("a bad state") && error.contains("steps"), "{error}");
    perform(&args(&folder, &[&options, &["--seed", "2"][..]].concat()), NEVER).unwrap();
    assert!(open("the state").contains("the state of another model"));

    let good = TensorFile::open(&model).unwrap();
    for (key, value) in [
        ("anomaly.version", "1"),
        ("anomaly.task", "hearts"),
        ("anomaly.task", "engines"),
        ("anomaly.hidden", "4000000000"),
        ("anomaly.members", "4000000000"),
        ("anomaly.ahead", "[0, 1]"),
        ("anomaly.ahead", "[1, 99999999999]"),
        ("anomaly.rules", "[1, 2]"),
        ("anomaly.rules", "[1,2,0,0,0,7]"),
    ] {
        let mut file = TensorFile::from_bytes("memory", &good.to_bytes().unwrap()).unwrap();
        file.metadata.insert(key.into(), value.into());
        file.save(&model).unwrap();
        let error = Session::open(&model, None).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("a model"), "{key} {value}: {error}");
    }
}

#[test]
#[cfg(feature = "gpu")]
fn a_few_updates_on_the_gpu_give_the_losses_of_the_cpu() {
    match wgru::Device::gpu_blocking() {
        Err(error) if std::env::var("WGRU_REQUIRE_GPU").as_deref() != Ok("1") => eprintln!("SKIPPED: {error}"),
        _ => {
            let folder = tempfile::tempdir().unwrap();
            let [recording, engines] =
                [recording(&folder, 60.0), fleet_table(&folder)].map(|path| path.display().to_string());
            for options in
                [&["ecg", &recording, "--hertz", "60"][..], &["machine", &measurements(&folder).display().to_string()]]
            {
                let loss = |device: &str| {
                    let few = ["--epochs", "1", "--hidden", "6", "--members", "2", "--device", device];
                    let report = perform(&args(&folder, &[options, &few].concat()), NEVER).unwrap().unwrap();
                    report["loss"].as_f64().unwrap()
                };
                let (cpu, gpu) = (loss("cpu"), loss("gpu"));
                assert!((cpu - gpu).abs() <= 1e-4, "{options:?}: {cpu} {gpu}");
            }
            // Dropout draws the same numbers on both.
            let loss = |device: &str| {
                let few =
                    ["engines", &engines, "--held-out", "2", "--epochs", "1", "--hidden", "6", "--device", device];
                perform(&args(&folder, &few), NEVER).unwrap().unwrap()["loss"].as_f64().unwrap()
            };
            let (cpu, gpu) = (loss("cpu"), loss("gpu"));
            assert!((cpu - gpu).abs() <= 1e-4, "engines: {cpu} {gpu}");
        }
    }
}
