//! Runs of the whole example on small tables.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;
use wgru::Rng;

use crate::args::Args;
use crate::report::{NETWORK, NO_SKILL};
use crate::time::{Step, format_like, parse_hours};
use crate::{Done, run};

/// A folder whose name has spaces.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::Builder::new().prefix("a folder ").tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    /// Returns arguments: a small network, and all files in this folder.
    fn args(&self, more: &[&str]) -> Args {
        let file = |name: &str| self.path(name).display().to_string();
        let usual = [
            ("--device", "cpu".into()),
            ("--epochs", "15".into()),
            ("--hidden", "8".into()),
            ("--members", "2".into()),
            ("--batch", "32".into()),
            ("--rate", "0.02".into()),
            ("--plot", file("plot.svg")),
            ("--forecast", file("next.csv")),
            ("--save", file("model.safetensors")),
        ];
        let mut words = vec!["forecast".to_string(), "--json".into()];
        let is_free = |option: &str| !more.contains(&option) && !(option == "--save" && more.contains(&"--backtest"));
        for (option, value) in usual.into_iter().filter(|(option, _)| is_free(option)) {
            words.extend([option.into(), value]);
        }
        words.extend(more.iter().map(|word| word.to_string()));
        Args::try_parse_from(words).unwrap()
    }

    fn run(&self, more: &[&str]) -> Result<Done, String> {
        let done = run(&self.args(more), &|| false).map_err(|error| error.to_string())?;
        Ok(done.expect("not interrupted"))
    }

    fn csv(&self, name: &str) -> Vec<Vec<String>> {
        let mut reader = csv::Reader::from_path(self.path(name)).unwrap();
        reader.records().map(|record| record.unwrap().iter().map(String::from).collect()).collect()
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Daily dates from 1 January 2020.
fn date(day: usize) -> String {
    format_like(Step::Hours(24.0).after(parse_hours("2020-01-01").unwrap(), day as i64), "2020-01-01")
}

/// A table of `date,y`, with the values of days.
fn table(days: usize, y: impl Fn(usize) -> f64) -> String {
    (0..days).fold("date,y\n".into(), |text, day| text + &format!("{},{}\n", date(day), y(day)))
}

/// Noise by day.
fn noise(seed: u64) -> impl Fn(usize) -> f64 {
    move |day| f64::from(Rng::new(seed + 1000 * day as u64).normal())
}

/// A weekly pattern with noise.
fn weekly(day: usize) -> f64 {
    100.0 + [0.0, 8.0, 3.0, -5.0, 2.0, -9.0, 1.0][day % 7] + noise(1)(day)
}

const SMALL: [&str; 8] = ["--column", "y", "--window", "14", "--horizon", "3", "--season", "7"];

#[test]
fn forecasts_go_beyond_the_end_with_dates_and_intervals() {
    let folder = Folder::new();
    let csv = text(&folder.write("my table.csv", &table(240, weekly)));
    let done = folder.run(&[&["--csv", &csv][..], &SMALL].concat()).unwrap();
    let rows = folder.csv("next.csv");
    assert_eq!(rows.iter().map(|row| &row[0][..]).collect::<Vec<_>>(), [date(240), date(241), date(242)]);
    for (row, day) in rows.iter().zip(240..) {
        let [point, lower, upper] = [2, 3, 4].map(|i| row[i].parse::<f64>().unwrap());
        let expected = weekly(day) - noise(1)(day);
        assert!(lower < point && point < upper && (point - expected).abs() < 3.0, "{row:?} {expected}");
    }
    let report = done.report.unwrap();
    let scores = report.scores(NETWORK).unwrap();
    assert!(scores.rmse < 2.0 && (0.8..=1.0).contains(&scores.coverage), "{scores:?}");
    assert!(fs::read_to_string(folder.path("plot.svg")).unwrap().contains("interval"));

    // JSON has the same forecast, and the saved model too.
    let (json, model) = (text(&folder.path("next.json")), text(&folder.path("model.safetensors")));
    folder.run(&["--csv", &csv, "--load", &model, "--forecast", &json, "--season", "7"]).unwrap();
    let json: serde_json::Value = serde_json::from_str(&fs::read_to_string(json).unwrap()).unwrap();
    let difference = json[2]["forecast"].as_f64().unwrap() - rows[2][2].parse::<f64>().unwrap();
    assert!(difference.abs() < 1e-3 && json[2]["date"] == date(242).as_str(), "{json}");
}

#[test]
fn a_saved_model_goes_on_from_new_rows() {
    let folder = Folder::new();
    let csv = text(&folder.write("t.csv", &table(240, weekly)));
    folder.run(&[&["--csv", &csv][..], &SMALL].concat()).unwrap();
    // Only as many rows as the window, too few for a test.
    let new: String = table(300, weekly).lines().skip(287).fold("date,y\n".into(), |text, line| text + line + "\n");
    let new = text(&folder.write("new.csv", &new));
    let model = text(&folder.path("model.safetensors"));
    let done = folder.run(&["--csv", &new, "--load", &model]).unwrap();
    assert!(done.report.is_none());
    let rows = folder.csv("next.csv");
    assert_eq!(rows[0][0], date(300));
    for (row, day) in rows.iter().zip(300..) {
        let (point, expected) = (row[2].parse::<f64>().unwrap(), weekly(day) - noise(1)(day));
        assert!((point - expected).abs() < 3.0, "{row:?} {expected}");
    }
    let few = text(&folder.write("few.csv", &table(13, weekly)));
    let why = folder.run(&["--csv", &few, "--load", &model]).err().unwrap();
    assert!(why.contains("13 rows, but the model reads 14"), "{why}");
    let why = folder.run(&["--csv", &new, "--load", &model, "--horizon", "4"]).err().unwrap();
    assert_eq!(why, "--horizon: the model has 3, the command line requests 4");
}

#[test]
fn a_random_walk_shows_no_skill() {
    let folder = Folder::new();
    let steps = noise(7);
    let mut level = 0.0;
    let walk: Vec<f64> = (0..200)
        .map(|day| {
            level += steps(day);
            level
        })
        .collect();
    let csv = text(&folder.write("walk.csv", &table(200, |day| walk[day])));
    let done = folder.run(&[&["--csv", &csv][..], &SMALL].concat()).unwrap();
    let report = done.report.unwrap();
    assert!(report.headline().starts_with(NO_SKILL), "{}", report.headline());
}

#[test]
fn a_constant_series_and_extreme_options_are_handled() {
    let folder = Folder::new();
    let csv = text(&folder.write("flat.csv", &table(120, |_| 7.0)));
    let most = usize::MAX.to_string();
    let options = ["--column", "y", "--window", "7", "--epochs", "2", "--season", &most];
    let done = folder.run(&[&["--csv", &csv][..], &options].concat()).unwrap();
    let report = done.report.unwrap();
    assert!(report.headline().starts_with(NO_SKILL), "{}", report.headline());
    assert!(done.outlook.unwrap().steps[0].point.is_finite());
    for option in ["--window", "--horizon", "--train", "--test"] {
        let why = folder.run(&["--csv", &csv, "--column", "y", option, &most]).err().unwrap();
        assert!(why.contains("too few rows"), "{option}: {why}");
    }
}

#[test]
fn covariates_and_holidays_are_used() {
    let folder = Folder::new();
    // Promotions raise sales, and so do holidays; neither follows from the past.
    let promotion = |day: usize| usize::from((day * 7919) % 97 < 20);
    let holiday = |day: usize| (day * 104_729) % 89 < 12;
    let sales =
        |day: usize| 50.0 + 10.0 * promotion(day) as f64 + if holiday(day) { 15.0 } else { 0.0 } + 0.5 * noise(3)(day);
    let mut table = "date,y,promotion\n".to_string();
    (0..300).for_each(|day| table += &format!("{},{:.2},{}\n", date(day), sales(day), promotion(day)));
    let cut = text(&folder.write("past.csv", &table));
    (300..303).for_each(|day| table += &format!("{},,{}\n", date(day), promotion(day)));
    let csv = text(&folder.write("sales.csv", &table));
    let days: String = (0..310).filter(|&day| holiday(day)).map(|day| date(day) + ",closed\n").collect();
    let days = text(&folder.write("days off.txt", &days));
    let known = ["--known", "promotion", "--holidays", &days, "--epochs", "40"];
    let done = folder.run(&[&["--csv", &csv][..], &SMALL, &known].concat()).unwrap();
    let report = done.report.unwrap();
    let (own, ridge) = (report.scores(NETWORK).unwrap(), report.scores("ridge regression").unwrap());
    assert!(own.rmse < 0.5 * ridge.rmse, "{own:?} {ridge:?}");
    for (row, day) in folder.csv("next.csv").iter().zip(300..) {
        let (point, expected) = (row[2].parse::<f64>().unwrap(), sales(day));
        assert!((point - expected).abs() < 5.0, "{row:?} {expected}");
    }
    // Without values for the days to forecast there is a test, but no forecast.
    let model = text(&folder.path("model.safetensors"));
    let done = folder.run(&["--csv", &cut, "--load", &model, "--holidays", &days]).unwrap();
    assert!(done.report.is_some() && done.outlook.is_none());
    let why = folder.run(&["--csv", &csv, "--load", &model]).err().unwrap();
    assert_eq!(why, "--load: the model needs holidays; name the file with --holidays");
}

#[test]
fn several_series_share_a_network() {
    let folder = Folder::new();
    let shops = [("north", 100.0, "large"), ("south", 10.0, "small"), ("west, old", 1000.0, "large")];
    let mut table = "date,shop,size,y\n".to_string();
    for day in 0..150 {
        for (at, (shop, level, size)) in shops.iter().enumerate() {
            let y = level * (1.0 + 0.01 * weekly(day + at) - 1.0);
            table += &format!("{},\"{shop}\",{size},{y:.3}\n", date(day));
        }
    }
    let csv = text(&folder.write("shops.csv", &table));
    let series = ["--series", "shop", "--static", "size"];
    let done = folder.run(&[&["--csv", &csv][..], &SMALL, &series].concat()).unwrap();
    let rows = folder.csv("next.csv");
    assert_eq!(rows.len(), 9);
    for (at, (shop, level, _)) in shops.iter().enumerate() {
        let own: Vec<_> = rows.iter().filter(|row| row[0] == *shop).collect();
        assert_eq!((own.len(), &own[0][1]), (3, &date(150)));
        let (point, expected) = (own[0][3].parse::<f64>().unwrap(), level * 0.01 * weekly(150 + at));
        assert!((point / expected - 1.0).abs() < 0.05, "{own:?} {expected}");
    }
    assert!(done.report.unwrap().scores(NETWORK).unwrap().mse_standardized < 0.3);
    // The saved model knows its series.
    let model = text(&folder.path("model.safetensors"));
    let other = text(&folder.write("other.csv", &table.replace("south", "east")));
    let why = folder.run(&["--csv", &other, "--load", &model]).err().unwrap();
    assert!(why.contains("\"east\" is not one of the model's 3 series"), "{why}");
}

#[test]
fn logarithms_are_inverted_with_their_intervals() {
    let folder = Folder::new();
    // Grows by 2 % a day, so errors grow too.
    let y = |day: usize| 5.0 * (0.02 * day as f64 + 0.05 * noise(4)(day)).exp();
    let csv = text(&folder.write("growth.csv", &table(200, y)));
    let options = ["--transform", "log", "--difference"];
    folder.run(&[&["--csv", &csv][..], &SMALL, &options].concat()).unwrap();
    for (row, day) in folder.csv("next.csv").iter().zip(200..) {
        let [point, lower, upper] = [2, 3, 4].map(|i| row[i].parse::<f64>().unwrap());
        let expected = 5.0 * (0.02 * day as f64).exp();
        assert!((point / expected - 1.0).abs() < 0.15 && 0.0 < lower && lower < point && point < upper, "{row:?}");
        // Around the logarithm, intervals are symmetric.
        assert!(((upper / point) / (point / lower) - 1.0).abs() < 1e-3, "{row:?}");
    }
    let csv = text(&folder.write("zero.csv", &table(200, |day| if day == 20 { 0.0 } else { y(day) })));
    let why = folder.run(&[&["--csv", &csv][..], &SMALL, &options].concat()).err().unwrap();
    assert!(why.ends_with(&format!("y is 0 at {}, which is not in the domain of --transform log", date(20))), "{why}");
    let model = text(&folder.path("model.safetensors"));
    let loaded = folder.run(&["--csv", &csv, "--load", &model]).err().unwrap();
    assert_eq!(loaded, why);
}

#[test]
fn every_loss_gives_calibrated_intervals() {
    let folder = Folder::new();
    let counts = |day: usize| (weekly(day) - 88.0).max(0.0).round();
    let csv = text(&folder.write("counts.csv", &table(240, counts)));
    for loss in ["quantile", "gaussian", "student-t", "negative-binomial"] {
        let done = folder.run(&[&["--csv", &csv, "--loss", loss, "--epochs", "30"][..], &SMALL].concat()).unwrap();
        let report = done.report.unwrap();
        let scores = report.scores(NETWORK).unwrap();
        assert!((0.75..=1.0).contains(&scores.coverage), "{loss}: {scores:?}");
        assert!(scores.rmse < report.scores("persistence").unwrap().rmse, "{loss}: {scores:?}");
        let steps = done.outlook.unwrap().steps;
        assert!(steps.iter().all(|step| step.quantiles.is_sorted()), "{loss}: {steps:?}");
    }
    let csv = text(&folder.write("t.csv", &table(240, weekly)));
    let why = folder.run(&[&["--csv", &csv, "--loss", "negative-binomial"][..], &SMALL].concat()).err().unwrap();
    assert!(why.contains("is not a count"), "{why}");
}

#[test]
fn gaps_are_told_and_masked() {
    let folder = Folder::new();
    let lines: Vec<String> = table(240, weekly).lines().map(String::from).collect();
    // Line 1 is the header.
    let gaps = |i: &usize| !(50..55).contains(i) && *i != 200;
    let mut kept: Vec<String> = (0..lines.len()).filter(gaps).map(|i| lines[i].clone()).collect();
    kept[20] = format!("{},NA", date(19));
    let csv = text(&folder.write("gaps.csv", &(kept.join("\n") + "\n")));
    let why = folder.run(&[&["--csv", &csv][..], &SMALL].concat()).err().unwrap();
    assert!(why.contains("1 missing cell (line 21, column \"y\"); 6 missing dates (5 before line 51"), "{why}");
    for missing in ["interpolate", "mask"] {
        let done = folder.run(&[&["--csv", &csv, "--missing", missing][..], &SMALL].concat()).unwrap();
        assert!(done.report.unwrap().scores(NETWORK).unwrap().rmse < 2.5, "{missing}");
        assert_eq!(folder.csv("next.csv")[0][0], date(240), "{missing}");
    }
}

#[test]
fn bad_tables_are_refused() {
    let folder = Folder::new();
    let broken = table(100, weekly).replace(&format!("{},", date(41)), &format!("{},x", date(41)));
    let cases = [
        ("", "no header; the file is empty"),
        ("date,y\n", "no row under the header"),
        (&table(20, weekly), "too few rows"),
        (&broken, "line 43, column \"y\": \"x"),
        ("date,z\n2020-01-01,1\n", "no column \"y\""),
    ];
    for (content, why) in cases {
        let csv = text(&folder.write("bad table.csv", content));
        let error = folder.run(&[&["--csv", &csv][..], &SMALL].concat()).err().unwrap();
        assert!(error.contains(why) && error.contains("bad table.csv"), "{error}");
    }
    let csv = text(&folder.write("t.csv", &table(60, weekly)));
    let why = folder.run(&[&["--csv", &csv, "--interval", "0.99"][..], &SMALL].concat()).err().unwrap();
    assert!(why.contains("too short to calibrate") && why.contains("at least 99"), "{why}");
    let why = folder.run(&["--csv", &csv]).err().unwrap();
    assert_eq!(why, "--csv needs --column NAME, the column to forecast");
    let why = folder.run(&[&["--csv", &csv, "--known", "y"][..], &SMALL].concat()).err().unwrap();
    assert_eq!(why, "column \"y\" is named twice among --column, --features and --known");
    assert!(!folder.path("model.safetensors").exists());
}

#[test]
fn a_backtest_scores_every_block() {
    let folder = Folder::new();
    let csv = text(&folder.write("t.csv", &table(240, weekly)));
    let args = folder.args(&[&["--csv", &csv, "--backtest", "3"][..], &SMALL].concat());
    assert!(run(&args, &|| false).unwrap().is_some());
    let why = folder.run(&[&["--csv", &csv, "--backtest", "20"][..], &SMALL].concat()).err().unwrap();
    assert!(why.contains("a block is shorter than the horizon of 3"), "{why}");
}

#[test]
fn an_interrupted_run_continues_bit_for_bit() {
    let folder = Folder::new();
    let csv = text(&folder.write("t.csv", &table(240, weekly)));
    let model = |name: &str, more: &[&str], stop_after: usize| {
        let path = text(&folder.path(name));
        let args = folder.args(&[&["--csv", &csv, "--save", &path, "--refit"][..], &SMALL, more].concat());
        let asked = Cell::new(0);
        let interrupted = || {
            asked.set(asked.get() + 1);
            asked.get() > stop_after
        };
        let done = run(&args, &interrupted).unwrap();
        done.map(|_| fs::read(path).unwrap())
    };
    let whole = model("whole.safetensors", &[], usize::MAX).unwrap();
    let checkpoint = text(&folder.path("run.checkpoint"));
    let mut interruptions = 0;
    // Each run is interrupted after some updates; the last one ends in the last network.
    let continued = loop {
        match model("continued.safetensors", &["--checkpoint", &checkpoint], 60) {
            Some(bytes) => break bytes,
            None => interruptions += 1,
        }
        assert!(interruptions < 20);
    };
    assert!(interruptions >= 3, "{interruptions}");
    assert!(continued == whole);
    assert!(!folder.path("run.checkpoint").exists());
}
