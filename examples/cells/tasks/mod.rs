//! The tasks.

mod adding;
mod copying;
mod letters;
mod polarity;
mod windows;

use wgru::Rng;

use crate::args::{Args, TaskName};
use crate::batch::{Batch, Measure};
use crate::common::Result;
use crate::model::Shape;

/// Sequences of an update.
pub const ROWS: usize = 32;
/// Sequences of an update over T = 1000, which allows more updates in the same time.
const FEW_ROWS: usize = 16;
/// Seed of the parts of the data, and of held-out sequences.
const PARTS: u64 = 0xda7a;

/// A task: what to read, what to write, and how good that is.
pub struct Task {
    pub name: TaskName,
    pub title: String,
    pub shape: Shape,
    pub measure: Measure,
    /// Quality on the validation data that counts as learned.
    pub threshold: f64,
    /// A guess that needs no network, and its quality in the test.
    pub guess: (&'static str, f64),
    /// Updates of a run.
    pub updates: usize,
    /// Draws a batch to train on.
    pub draw: Box<dyn Fn(&mut Rng) -> Batch + Send + Sync>,
    pub validation: Vec<Batch>,
    pub test: Vec<Batch>,
    /// Identifies the data, or 0 if they are made up.
    pub data: u64,
}

/// A task that cannot run, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    pub name: TaskName,
    pub why: &'static str,
}

/// Makes the chosen tasks, and those whose runs choose their learning rates. Tasks whose data were not given are
/// skipped.
///
/// # Errors
/// Errors from reading the data.
pub fn make(args: &Args) -> Result<(Vec<Task>, Vec<Skipped>)> {
    let (mut tasks, mut skipped) = (Vec::new(), Vec::new());
    let mut names = args.tasks();
    if args.rate().is_none() {
        names.extend(args.tasks().into_iter().map(TaskName::pilot));
        names.sort_unstable();
        names.dedup();
    }
    for name in names {
        let skip = |why| Skipped { name, why };
        match (name, &args.etth1, &args.polarity) {
            (TaskName::Adding50 | TaskName::Adding200 | TaskName::Adding1000, ..) => {
                tasks.push(adding::task(name, name.distance().unwrap_or(1)));
            }
            (TaskName::Copying50 | TaskName::Copying200 | TaskName::Copying1000, ..) => {
                tasks.push(copying::task(name, name.distance().unwrap_or(1)));
            }
            (TaskName::Seattle, ..) => tasks.push(windows::seattle()?),
            (TaskName::Etth1 | TaskName::Etth1Small, Some(path), _) => {
                tasks.push(windows::etth1(path, name == TaskName::Etth1Small)?);
            }
            (TaskName::Etth1 | TaskName::Etth1Small, None, _) => skipped.push(skip("needs --etth1 FILE")),
            (TaskName::Polarity | TaskName::PolaritySmall, _, Some(path)) => {
                tasks.push(polarity::task(path, name == TaskName::PolaritySmall)?);
            }
            (TaskName::Polarity | TaskName::PolaritySmall, _, None) => skipped.push(skip("needs --polarity FILE")),
            (TaskName::Letters, ..) => match &args.text {
                Some(path) => tasks.push(letters::task(path)?),
                None => skipped.push(skip("needs --text FILE")),
            },
        }
    }
    for task in &mut tasks {
        task.updates = args.updates(task.updates);
    }
    Ok((tasks, skipped))
}

/// Returns the sequences of an update over the distance `steps`.
fn rows(steps: usize) -> usize {
    if steps < 1000 { ROWS } else { FEW_ROWS }
}

/// Held-out sequences of the tasks that are made up, each for validation and test.
const HELD_OUT: usize = 256;

/// Share of the training data in a small training set.
const SMALL: f64 = 0.05;
