//! Scores the lines of the standard input, with a state that a later call continues.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::json;
use wgru::Stream;
use wgru::io::TensorFile;

use crate::args::{Args, Task};
use crate::common::Result;
use crate::common::files::{fingerprint, make_folder, metadata, refuse};
use crate::common::lines::answer;
use crate::common::training::INTERRUPTED;
use crate::engines;
use crate::life::Life;
use crate::scorer::{Scorer, continue_stream, line, scores};
use crate::signal::{HEADER, parse_number, parse_row};

/// Names the model that a state belongs to.
const MODEL: &str = "anomaly.model";

/// A model that reads lines.
pub enum Online {
    Ecg(Box<Scorer>),
    Machine(Box<Scorer>),
    Engines(Box<Fleet>),
}

impl Online {
    /// Reads a model.
    ///
    /// # Errors
    /// [`wgru::Error::Format`] for a file that is not a model of this example.
    pub fn from_file(file: &TensorFile) -> wgru::Result<Self> {
        let scorer = || Scorer::from_file(file).map(Box::new);
        match task(file)? {
            Task::Ecg => Ok(Self::Ecg(scorer()?)),
            Task::Machine => Ok(Self::Machine(scorer()?)),
            Task::Engines => Ok(Self::Engines(Box::new(Fleet::new(Life::from_file(file)?)?))),
        }
    }

    /// Answers a line. The state changes only if there is no error.
    fn answer(&mut self, text: &str, as_json: bool) -> Result<String> {
        match self {
            Self::Ecg(scorer) => {
                let value = parse_number(text)?;
                Ok(line(value, scorer.push(value)?, as_json))
            }
            Self::Machine(_) if text == HEADER && as_json => Ok("null".into()),
            Self::Machine(_) if text == HEADER => Ok("value\tscore\tp\talarm".into()),
            Self::Machine(scorer) => {
                let (_, value) = parse_row(text)?;
                Ok(line(value, scorer.push(value)?, as_json))
            }
            Self::Engines(fleet) => fleet.answer(text, as_json),
        }
    }

    fn state(&self) -> TensorFile {
        match self {
            Self::Ecg(scorer) | Self::Machine(scorer) => scorer.state(),
            Self::Engines(fleet) => fleet.state(),
        }
    }

    fn restore(&mut self, file: &TensorFile) -> wgru::Result<()> {
        match self {
            Self::Ecg(scorer) | Self::Machine(scorer) => scorer.restore(file),
            Self::Engines(fleet) => fleet.restore(file),
        }
    }
}

/// Returns the task of a model.
///
/// # Errors
/// [`wgru::Error::Format`] for a file that is not a model of this example.
pub fn task(file: &TensorFile) -> wgru::Result<Task> {
    let name = metadata(file, "anomaly.task")?;
    let known = [Task::Ecg, Task::Machine, Task::Engines].into_iter().find(|task| task.name() == name);
    known.ok_or_else(|| refuse("anomaly.task", format!("{name:?} is not known")))
}

/// Engines whose rows arrive in any order.
pub struct Fleet {
    life: Life,
    stream: Stream,
    /// By engine, the number of cycles and the state after them.
    engines: BTreeMap<u32, (usize, Vec<f32>)>,
    steps: u64,
}

impl Fleet {
    fn new(life: Life) -> wgru::Result<Self> {
        Ok(Self { stream: life.stream()?, life, engines: BTreeMap::new(), steps: 0 })
    }

    fn answer(&mut self, text: &str, as_json: bool) -> Result<String> {
        let row = engines::parse_row(text)?;
        let (cycles, state) = match self.engines.get(&row.engine) {
            Some((cycles, state)) => (*cycles, Some(state)),
            None => (0, None),
        };
        if row.cycle != cycles + 1 {
            return Err(format!("expected cycle {} of engine {}, got {}", cycles + 1, row.engine, row.cycle).into());
        }
        match state {
            Some(state) => self.stream.set_state(state)?,
            None => self.stream.reset(),
        }
        let remaining = Life::remaining(self.stream.step(&self.life.units.frame(&row.measured))?[0]);
        self.engines.insert(row.engine, (row.cycle, self.stream.state().to_vec()));
        self.steps += 1;
        Ok(match as_json {
            true => json!({"engine": row.engine, "cycle": row.cycle, "remaining": remaining}).to_string(),
            false => format!("{}\t{}\t{remaining}", row.engine, row.cycle),
        })
    }

    fn state(&self) -> TensorFile {
        let mut file = TensorFile::default();
        for (engine, (cycles, state)) in &self.engines {
            file.insert(&format!("engine.{engine}.{cycles}"), &[state.len()], state.clone());
        }
        file.metadata.insert("steps".into(), self.steps.to_string());
        file
    }

    fn restore(&mut self, file: &TensorFile) -> wgru::Result<()> {
        let expected = self.stream.state().len();
        for name in file.names() {
            let numbers = || {
                let (engine, cycles) = name.strip_prefix("engine.")?.split_once('.')?;
                Some((engine.parse::<u32>().ok()?, cycles.parse::<usize>().ok()?))
            };
            let state = scores(file, name)?;
            let Some((engine, cycles)) = numbers().filter(|_| state.len() == expected) else {
                return Err(refuse(&format!("tensor {name:?}"), "does not match the model"));
            };
            self.engines.insert(engine, (cycles, state));
        }
        self.steps = file.field("steps")?;
        let start = self.stream.state().to_vec();
        continue_stream(&mut self.stream, &start, self.steps)
    }
}

/// A model with the file of its state.
pub struct Session {
    online: Online,
    /// Fingerprint of the model.
    model: String,
    state: Option<PathBuf>,
}

impl Session {
    /// Loads a model, and its state if the file exists.
    ///
    /// # Errors
    /// Names the file at fault.
    pub fn open(model: &Path, state: Option<&Path>) -> Result<Self> {
        let bytes = std::fs::read(model).map_err(|error| format!("{}: {error}", model.display()))?;
        let file = TensorFile::from_bytes(&model.display().to_string(), &bytes)?;
        let online = Online::from_file(&file).map_err(|error| format!("{}: {error}", model.display()))?;
        let mut session =
            Self { online, model: format!("{:016x}", fingerprint(&bytes)), state: state.map(Path::to_path_buf) };
        if let Some(path) = state.filter(|path| path.exists()) {
            session.restore(path)?;
        }
        Ok(session)
    }

    fn restore(&mut self, path: &Path) -> Result<()> {
        let name = path.display();
        let file = TensorFile::open(path)?;
        match metadata(&file, MODEL) {
            Ok(model) if model == self.model => {}
            Ok(_) => return Err(format!("{name}: the state of another model; name another file with --state").into()),
            Err(_) => return Err(format!("{name}: not a state of this example; name another file with --state").into()),
        }
        self.online.restore(&file).map_err(|error| format!("{name}: {error}").into())
    }

    /// Writes the state.
    ///
    /// # Errors
    /// Errors from the file.
    fn save(&self) -> wgru::Result<()> {
        let Some(path) = &self.state else { return Ok(()) };
        let mut file = self.online.state();
        file.metadata.insert(MODEL.into(), self.model.clone());
        make_folder(path)?;
        file.save(path)
    }
}

/// Scores the standard input. Ctrl-C saves the state and ends the program.
///
/// # Errors
/// Names the file or line at fault.
pub fn run(args: &Args, model: &Path) -> Result<()> {
    let session = Arc::new(Mutex::new(Session::open(model, args.state.as_deref())?));
    let held = session.clone();
    // In its own thread: the main one may wait for a line.
    ctrlc::set_handler(move || {
        let session = lock(&held);
        if let Err(error) = session.save() {
            eprintln!("error: {error}");
        }
        std::process::exit(INTERRUPTED.into());
    })?;
    score_lines(&session, std::io::stdin().lock(), std::io::stdout().lock(), args.json)
}

fn lock(session: &Mutex<Session>) -> MutexGuard<'_, Session> {
    session.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Answers lines, and then saves the state, also after an error.
///
/// # Errors
/// Names the line at fault.
pub fn score_lines(session: &Mutex<Session>, input: impl BufRead, output: impl Write, as_json: bool) -> Result<()> {
    // Locked from a line until its answer is written, so that a saved state has exactly the lines that were answered.
    let held = RefCell::new(None);
    let mut number = 0;
    let answered = answer(input, Release { output, held: &held }, |text| {
        number += 1;
        let mut session = lock(session);
        let line = session.online.answer(text, as_json);
        let line = line.map_err(|why| format!("standard input: line {number}: {why}"))?;
        held.replace(Some(session));
        Ok(line)
    });
    held.replace(None);
    lock(session).save()?;
    answered
}

/// Unlocks the session after an answer is written.
struct Release<'a, 's, W> {
    output: W,
    held: &'a RefCell<Option<MutexGuard<'s, Session>>>,
}

impl<W: Write> Write for Release<'_, '_, W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.output.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.output.flush()?;
        self.held.replace(None);
        Ok(())
    }
}
