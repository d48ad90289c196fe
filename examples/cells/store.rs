//! The file of results: a header, then one run in every line, as JSON.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde_json::{Value, json};

use crate::args::TaskName;
use crate::cell::Kind;
use crate::clock::Times;
use crate::common::Result;
use crate::common::files::write;
use crate::learn::Learned;

/// Name and value of the header.
const HEADER: (&str, u64) = ("wgru cells", 1);

/// Kind of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Measures times.
    Time,
    /// Tries a learning rate.
    Pilot,
    /// Learns a task.
    Run,
}

impl Phase {
    const ALL: [Self; 3] = [Self::Time, Self::Pilot, Self::Run];

    fn name(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Pilot => "pilot",
            Self::Run => "run",
        }
    }
}

/// Identifies a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub phase: Phase,
    pub task: TaskName,
    pub kind: Kind,
    pub units: usize,
    /// Learning rate in billionths, so that keys can be compared; 0 for times.
    pub rate: u64,
    pub seed: u64,
}

impl Key {
    /// Returns the learning rate.
    pub fn rate(&self) -> f64 {
        self.rate as f64 / 1e9
    }
}

/// Returns a learning rate as part of a key.
pub fn to_key(rate: f64) -> u64 {
    (1e9 * rate).round() as u64
}

#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Times(Times),
    Learned(Learned),
}

/// Everything else that a result depends on, as text: options, updates, and data.
type Settings = String;

/// The results in a file.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    results: BTreeMap<Key, (Settings, Outcome)>,
    /// Content of the file; `None` if there is none yet.
    content: Option<String>,
}

impl Store {
    /// Reads a file, if it exists.
    ///
    /// # Errors
    /// Names the file and the first line that is not a result.
    pub fn open(path: &Path) -> Result<Self> {
        let mut store = Self { path: path.into(), results: BTreeMap::new(), content: None };
        if path.exists() {
            let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
            let content = String::from_utf8(bytes).map_err(|_| store.refuse("not UTF-8"))?;
            store.parse(&content)?;
            store.content = Some(content);
        }
        Ok(store)
    }

    fn refuse(&self, why: &str) -> String {
        format!("{}: {why}: not a file of results of this example; name another with --results", self.path.display())
    }

    fn parse(&mut self, content: &str) -> Result<()> {
        let header = content.lines().next().and_then(|line| serde_json::from_str::<Value>(line).ok());
        if header != Some(json!({ HEADER.0: HEADER.1 })) {
            return Err(self.refuse("line 1").into());
        }
        for (number, line) in content.lines().enumerate().skip(1) {
            let bad = |why: &str| {
                let (path, number) = (self.path.display(), number + 1);
                format!(
                    "{path}: line {number}: {why}; remove this line to repeat its run, or name another file with \
                         --results"
                )
            };
            let value: Value = serde_json::from_str(line).map_err(|error| bad(&format!("damaged: {error}")))?;
            let (key, settings, outcome) = read(&value).map_err(|field| bad(&format!("damaged: {field}")))?;
            if self.results.insert(key, (settings, outcome)).is_some() {
                return Err(bad("repeats the run of an earlier line").into());
            }
        }
        Ok(())
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns a result.
    ///
    /// # Errors
    /// Says that the file has the result of other options or data.
    pub fn get(&self, key: &Key, settings: &str) -> Result<Option<&Outcome>> {
        match self.results.get(key) {
            None => Ok(None),
            Some((had, outcome)) if had == settings => Ok(Some(outcome)),
            Some((had, _)) => Err(format!(
                "{}: {} {}: made with {had}, now it is {settings}; name another file with --results",
                self.path.display(),
                key.task.name(),
                key.kind.name()
            )
            .into()),
        }
    }

    /// Adds a result, and replaces the file.
    ///
    /// # Errors
    /// Says that another program has changed the file; errors from writing.
    pub fn add(&mut self, key: Key, settings: &str, outcome: Outcome) -> Result<()> {
        let mut content = self.content.clone().unwrap_or_else(|| format!("{}\n", json!({ HEADER.0: HEADER.1 })));
        if !content.ends_with('\n') {
            content.push('\n');
        }
        let line = to_json(&key, settings, &outcome).to_string();
        content += &format!("{line}\n");
        let length = std::fs::metadata(&self.path).ok().map(|metadata| metadata.len());
        if length != self.content.as_ref().map(|content| content.len() as u64) {
            let path = self.path.display();
            return Err(format!("{path}: changed by another program; does another run use the same file?").into());
        }
        write(&self.path, content.as_bytes())?;
        self.content = Some(content);
        // Reads the line, so that numbers are those of a later run, which only knows their text.
        let read = read(&serde_json::from_str(&line)?).map_err(|field| format!("{field}: cannot be read back"))?;
        self.results.insert(read.0, (read.1, read.2));
        Ok(())
    }
}

fn to_json(key: &Key, settings: &str, outcome: &Outcome) -> Value {
    let mut value = json!({
        "phase": key.phase.name(),
        "task": key.task.name(),
        "cell": key.kind.name(),
        "units": key.units,
        "rate": key.rate(),
        "seed": key.seed,
        "settings": settings,
    });
    let more = match outcome {
        Outcome::Times(times) => json!({
            "parameters": times.parameters,
            "update_ms": times.update_ms,
            "step_us": times.step_us,
            "stream_us": times.stream_us,
        }),
        Outcome::Learned(learned) => json!({
            "quality": learned.quality,
            "best": learned.best,
            "finite": learned.is_finite,
            "curve": learned.curve,
            "seconds": learned.seconds,
        }),
    };
    if let (Value::Object(value), Value::Object(more)) = (&mut value, more) {
        value.extend(more);
    }
    value
}

/// Reads a line of [`to_json`]. The error names a field.
fn read(value: &Value) -> std::result::Result<(Key, Settings, Outcome), &'static str> {
    let text = |name: &'static str| value[name].as_str().ok_or(name);
    let count = |name: &'static str| value[name].as_u64().ok_or(name);
    let size = |value: &Value| value.as_u64().and_then(|n| usize::try_from(n).ok());
    let seconds = |name: &'static str| value[name].as_f64().filter(|v| *v >= 0.0).ok_or(name);
    // Qualities that are not finite are null in JSON.
    let quality = |value: &Value| if value.is_null() { Some(f64::NAN) } else { value.as_f64() };
    let phase = text("phase")?;
    let rate = value["rate"].as_f64().filter(|rate| (0.0..=1e3).contains(rate)).ok_or("rate")?;
    let key = Key {
        phase: Phase::ALL.into_iter().find(|one| one.name() == phase).ok_or("phase")?,
        task: TaskName::from_str(text("task")?, false).map_err(|_| "task")?,
        kind: Kind::from_str(text("cell")?, false).map_err(|_| "cell")?,
        units: size(&value["units"]).ok_or("units")?,
        rate: to_key(rate),
        seed: count("seed")?,
    };
    let outcome = if key.phase == Phase::Time {
        let stream_us = if value["stream_us"].is_null() { None } else { Some(seconds("stream_us")?) };
        Outcome::Times(Times {
            update_ms: seconds("update_ms")?,
            step_us: seconds("step_us")?,
            stream_us,
            parameters: size(&value["parameters"]).ok_or("parameters")?,
        })
    } else {
        let point = |pair: &Value| Some((size(pair.get(0)?)?, quality(pair.get(1)?)?));
        let curve = value["curve"].as_array().ok_or("curve")?;
        Outcome::Learned(Learned {
            quality: quality(value.get("quality").ok_or("quality")?).ok_or("quality")?,
            best: size(&value["best"]).ok_or("best")?,
            is_finite: value["finite"].as_bool().ok_or("finite")?,
            curve: curve.iter().map(point).collect::<Option<_>>().ok_or("curve")?,
            seconds: seconds("seconds")?,
        })
    };
    Ok((key, text("settings")?.into(), outcome))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results() -> Vec<(Key, Outcome)> {
        let key = |phase, seed| Key {
            phase,
            task: TaskName::Etth1Small,
            kind: Kind::GruAttention,
            units: 33,
            rate: if phase == Phase::Time { 0 } else { 3_000_000 },
            seed,
        };
        let times = Times { update_ms: 1.5, step_us: 3.0, stream_us: None, parameters: 7 };
        let learned =
            |quality| Learned { quality, best: 20, is_finite: true, curve: vec![(10, 0.5), (20, 0.25)], seconds: 3.5 };
        vec![
            (key(Phase::Time, 0), Outcome::Times(times)),
            (key(Phase::Pilot, 0), Outcome::Learned(learned(0.1))),
            (key(Phase::Run, 1), Outcome::Learned(learned(0.2))),
        ]
    }

    #[test]
    fn results_survive_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a folder/some results.jsonl");
        let mut store = Store::open(&path).unwrap();
        for (key, outcome) in results() {
            store.add(key, "a, b", outcome).unwrap();
            let read = Store::open(&path).unwrap();
            assert_eq!((&read.results, &read.content), (&store.results, &store.content));
        }
        let (key, outcome) = &results()[2];
        assert_eq!(store.get(key, "a, b").unwrap(), Some(outcome));
        assert_eq!(store.get(&Key { seed: 2, ..*key }, "a, b").unwrap(), None);
        let error = store.get(key, "a, c").unwrap_err().to_string();
        assert!(error.contains("made with a, b, now it is a, c") && error.contains("some results.jsonl"), "{error}");
    }

    #[test]
    fn nan_survives_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r");
        let mut store = Store::open(&path).unwrap();
        let (key, outcome) = results().pop().unwrap();
        let Outcome::Learned(mut learned) = outcome else { panic!("a run") };
        learned.quality = f64::NAN;
        store.add(key, "", Outcome::Learned(learned)).unwrap();
        let store = Store::open(&path).unwrap();
        let Some(Outcome::Learned(learned)) = store.get(&key, "").unwrap() else { panic!("a run") };
        assert!(learned.quality.is_nan() && learned.curve.len() == 2);
    }

    #[test]
    fn damaged_files_are_refused_by_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("some results.jsonl");
        let mut store = Store::open(&path).unwrap();
        results().into_iter().for_each(|(key, outcome)| store.add(key, "s", outcome).unwrap());
        let whole = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = whole.lines().collect();
        let without = |line: usize, old: &str, new: &str| {
            let mut lines: Vec<String> = lines.iter().map(|line| line.to_string()).collect();
            lines[line] = lines[line].replacen(old, new, 1);
            lines.join("\n").into_bytes()
        };
        for (bytes, why) in [
            (whole.as_bytes()[..whole.len() - 20].to_vec(), "line 4: damaged"),
            (without(0, "1", "2"), "line 1: not a file of results"),
            (b"".to_vec(), "line 1: not a file of results"),
            (b"\xff\xfe".to_vec(), "not UTF-8"),
            (without(1, "time", "tim"), "line 2: damaged: phase"),
            (without(1, "33", "-33"), "line 2: damaged: units"),
            (without(2, "etth1-5%", "etth"), "line 3: damaged: task"),
            (without(2, "[10,", "[\"10\","), "line 3: damaged: curve"),
            (without(3, "\"quality\":0.2", "\"quality\":\"a\""), "line 4: damaged: quality"),
            (without(3, "\"quality\":0.2,", ""), "line 4: damaged: quality"),
            ([lines.join("\n"), lines[2].into()].join("\n").into_bytes(), "line 5: repeats"),
            ([lines.join("\n"), "".into(), lines[2].into()].join("\n").into_bytes(), "line 5: damaged"),
        ] {
            std::fs::write(&path, bytes).unwrap();
            let error = Store::open(&path).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("some results.jsonl"), "{error}");
            assert!(error.contains("--results"), "{error}");
        }
    }

    #[test]
    fn a_file_that_another_program_changed_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r");
        let (mut one, mut other) = (Store::open(&path).unwrap(), Store::open(&path).unwrap());
        let results = results();
        one.add(results[0].0, "", results[0].1.clone()).unwrap();
        let error = other.add(results[1].0, "", results[1].1.clone()).unwrap_err().to_string();
        assert!(error.contains("changed by another program"), "{error}");
        assert_eq!(Store::open(&path).unwrap().results.len(), 1);
    }
}
