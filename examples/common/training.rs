//! A training run with a progress bar, which Ctrl-C interrupts and a checkpoint continues.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use wgru::Tensor;
use wgru::train::Training;

use super::checkpoint::Checkpoint;
use super::curve::{Curve, Point};

/// Updates between two snapshots, and at most as many after Ctrl-C.
pub const SNAPSHOT: usize = 10;
/// Time between two checkpoints of a run whose file the user named.
const SAVE: Duration = Duration::from_secs(60);
/// Exit code of a program that Ctrl-C ended.
pub const INTERRUPTED: u8 = 130;

/// Whether Ctrl-C was pressed. Pressed a second time, it ends the program at once.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Listens to Ctrl-C, and to requests of the system to end.
    ///
    /// # Errors
    /// Errors from the system.
    pub fn listen() -> super::Result<Self> {
        let interrupt = Self::default();
        let pressed = interrupt.clone();
        ctrlc::set_handler(move || {
            if pressed.0.swap(true, SeqCst) {
                std::process::exit(INTERRUPTED.into());
            }
        })?;
        Ok(interrupt)
    }

    /// Makes the next Ctrl-C end the program at once.
    pub fn end_at_once(&self) {
        self.0.store(true, SeqCst);
    }

    pub fn is_set(&self) -> bool {
        self.0.load(SeqCst)
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Finished,
    /// Ctrl-C was pressed; the checkpoint is written.
    Interrupted,
}

/// Services of a run: progress bar, checkpoint, interruption.
pub struct Run<'a> {
    pub bar: &'a ProgressBar,
    pub curve: &'a mut Curve,
    pub checkpoint: &'a Checkpoint,
    /// Whether to end the run.
    pub interrupted: &'a dyn Fn() -> bool,
    /// Measures the loss on held-out data after an epoch, for runs whose trainer has no validation data.
    pub measure: &'a dyn Fn() -> wgru::Result<Option<f32>>,
    /// Factor of the training loss in the curve.
    pub scale: f32,
    /// Returns tensors that belong to the state of the run besides the trainer's, by name.
    pub state: &'a dyn Fn() -> Vec<(String, Tensor)>,
    /// Describes the run beside the bar, where something changed.
    pub message: &'a dyn Fn(&Curve) -> String,
}

impl Run<'_> {
    /// Trains until the last epoch, or until Ctrl-C. The trainer must [keep](wgru::train::Trainer::keep_every)
    /// snapshots every [`SNAPSHOT`] updates.
    ///
    /// # Errors
    /// Errors from training, and from the file of the checkpoint.
    pub fn drive(self, mut training: Training) -> super::Result<End> {
        // State after the updates of which a snapshot is on its way.
        let mut states: VecDeque<(u64, Vec<(String, Tensor)>)> = VecDeque::new();
        let (mut saved_at, mut saved, mut shown) = (Instant::now(), 0, Instant::now());
        while let Some(progress) = training.next_blocking()? {
            let of = progress.of as u64;
            let updates = progress.epoch as u64 * of + progress.updates as u64;
            if let Some(loss) = progress.loss {
                let held_out = progress.validation.map_or_else(self.measure, |loss| Ok(Some(loss)))?;
                self.curve.0.push(Point { loss: self.scale * loss, held_out });
            }
            let snapshot = training.trainer().snapshot();
            if updates.is_multiple_of(SNAPSHOT as u64) {
                states.push_back((updates, (self.state)()));
                let arrived = snapshot.map_or(0, |snapshot| snapshot.updates());
                states.retain(|(updates, _)| *updates >= arrived);
            }
            self.bar.set_position(updates);
            if progress.loss.is_some() || shown.elapsed() > Duration::from_millis(500) {
                self.bar.set_message((self.message)(self.curve));
                shown = Instant::now();
            }
            let is_due = self.checkpoint.is_named() && saved_at.elapsed() > SAVE;
            if !is_due && !(self.interrupted)() {
                continue;
            }
            let Some(snapshot) = snapshot.filter(|snapshot| snapshot.updates() > saved) else { continue };
            let state = states.iter().find(|(updates, _)| *updates == snapshot.updates());
            let Some((_, state)) = state else { continue };
            // The snapshot may be from before the last epoch ended.
            let curve = Curve(self.curve.0[..snapshot.epoch().min(self.curve.0.len())].to_vec());
            self.checkpoint.write(snapshot, &curve, state)?;
            (saved_at, saved) = (Instant::now(), snapshot.updates());
            if (self.interrupted)() {
                return Ok(End::Interrupted);
            }
        }
        training.finish_blocking()?;
        Ok(End::Finished)
    }
}

/// Returns a progress bar over `updates`.
///
/// # Errors
/// None: the template is valid.
pub fn bar(updates: u64, is_hidden: bool) -> super::Result<ProgressBar> {
    let bar = ProgressBar::new(updates);
    if is_hidden {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    bar.set_style(ProgressStyle::with_template(
        "{elapsed_precise} {bar:40.cyan/blue} {percent:>3} %, {eta} left {msg}",
    )?);
    Ok(bar)
}
