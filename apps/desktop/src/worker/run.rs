//! The loop of the training thread.

use std::ops::ControlFlow;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use wgru::{Error, Result};

use super::board::{EventKind, Shared, Status};
use super::command::{Command, Start};
use super::snapshot::Snapshot;
use super::training::{Ended, Training};
use super::view::View;
use crate::gpu::Host;
use crate::options::Place;

/// Minimum time between two snapshots, which also update the pictures.
const SNAPSHOTS: Duration = Duration::from_millis(300);
/// Minimum time between two saves.
const FILES: Duration = Duration::from_secs(5);

/// Runs until the window sends [`Command::Quit`], then saves.
pub fn run(start: Start, inbox: Receiver<Command>, shared: Shared) {
    let wanted = start.train;
    let mut worker = Run {
        start,
        inbox,
        shared,
        window: None,
        view: None,
        training: None,
        snapshot: None,
        saved: None,
        wanted,
        snapshot_at: Instant::now(),
        saved_at: Instant::now(),
    };
    worker.load();
    while worker.turn().is_continue() {}
    worker.keep();
    worker.save();
}

/// The state of the thread.
pub(super) struct Run {
    pub(super) start: Start,
    inbox: Receiver<Command>,
    pub(super) shared: Shared,
    pub(super) window: Option<Host>,
    pub(super) view: Option<View>,
    pub(super) training: Option<Training>,
    pub(super) snapshot: Option<Snapshot>,
    /// Number of updates in the snapshot in the state folder.
    pub(super) saved: Option<u64>,
    /// Whether the user wants to train.
    wanted: bool,
    pub(super) snapshot_at: Instant,
    pub(super) saved_at: Instant,
}

impl Run {
    /// Handles one command, or trains one epoch if there is none.
    fn turn(&mut self) -> ControlFlow<()> {
        let command = match self.wanted && self.training.is_some() {
            true => match self.inbox.try_recv() {
                Ok(command) => Some(command),
                Err(std::sync::mpsc::TryRecvError::Empty) => None,
                Err(std::sync::mpsc::TryRecvError::Disconnected) => return ControlFlow::Break(()),
            },
            false => match self.inbox.recv() {
                Ok(command) => Some(command),
                Err(_) => return ControlFlow::Break(()),
            },
        };
        let done = match command {
            Some(command) => self.handle(command),
            None => self.epoch(),
        };
        let flow = done.unwrap_or_else(|error| {
            self.fail(&error);
            ControlFlow::Continue(())
        });
        self.start.wake.repaint();
        flow
    }

    fn handle(&mut self, command: Command) -> Result<ControlFlow<()>> {
        match command {
            Command::Quit => return Ok(ControlFlow::Break(())),
            Command::Train => {
                self.wanted = true;
                match self.training.is_some() {
                    true => self.set_status(),
                    false => self.build()?,
                }
            }
            Command::Pause => {
                self.wanted = false;
                self.set_status();
                self.take_snapshot()?;
                self.save();
            }
            Command::Rate(rate) => {
                self.start.rate = rate;
                self.shared.lock().rate = rate;
            }
            Command::Reset(hidden) => {
                self.start.hidden = hidden;
                (self.snapshot, self.training) = (None, None);
                self.saved = None;
                self.shared.lock().saved = None;
                self.build()?;
                self.shared.tell(EventKind::Note, format!("New weights, {hidden} units."));
            }
            Command::Place(place) => {
                self.start.place = place;
                self.keep();
                self.training = None;
                self.build()?;
                let device = self.shared.lock().device.clone();
                self.shared.tell(EventKind::Note, format!("Now training on {device}, from the last snapshot."));
            }
            Command::Window(window) => {
                let serial = self.view.as_ref().map_or(0, View::serial);
                self.view = Some(View::new(&window, self.start.weather.clone(), serial)?);
                let is_new = self.window.replace(window).is_some();
                if is_new && self.start.place == Place::Window {
                    self.training = None;
                    let is_known = self.shared.lock().fuse.is_none();
                    if !is_known {
                        self.note_loss("the window was reopened with a new device");
                    }
                }
                match self.training.is_some() {
                    true => self.show(),
                    false => self.build()?,
                }
            }
            Command::Look => self.look()?,
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Checks that the device still works.
    fn look(&mut self) -> Result<()> {
        match &self.training {
            Some(training) => training.compute.probe(),
            None => Ok(()),
        }
    }

    /// Opens the device and builds the model on it, from the last snapshot if there is one.
    fn build(&mut self) -> Result<()> {
        let Some(window) = &self.window else { return Ok(()) };
        if let Some(why) = window.loss.reason() {
            // A new window has a new device.
            log::info!("waiting for a new window: {why}");
            self.shared.lock().status = Status::WaitingForWindow;
            return Ok(());
        }
        let compute = window.compute(self.start.place)?;
        let (name, fuse) = (compute.device.info().name.clone(), compute.fuse());
        let training = Training::new(compute, &self.start, self.start.hidden, self.start.rate, self.snapshot.as_ref())?;
        let epoch = training.trainer.epoch();
        let mut board = self.shared.lock();
        let kept = self.snapshot.as_ref().map_or(0, |snapshot| snapshot.updates);
        let repeated = board.updates.saturating_sub(kept);
        board.history = self.snapshot.as_ref().map_or_else(Vec::new, |snapshot| snapshot.history.clone());
        (board.updates, board.epoch, board.snapshot) = (kept, epoch, kept);
        (board.hidden, board.place, board.device) = (self.start.hidden, self.start.place, name);
        board.fuse = Some(fuse);
        drop(board);
        self.training = Some(training);
        let lost_at = self.shared.lock().lost_at.take();
        if let Some(lost) = lost_at {
            self.shared.lock().recovered += 1;
            let text = format!(
                "A new device was opened after {:.2} s. Training continues from the snapshot at update {kept}; \
                 {repeated} updates are repeated.",
                lost.elapsed().as_secs_f64()
            );
            self.shared.tell(EventKind::Recovery, text);
        }
        if self.snapshot.is_none() {
            self.take_snapshot()?;
        } else {
            self.show();
        }
        self.set_status();
        Ok(())
    }

    fn epoch(&mut self) -> Result<ControlFlow<()>> {
        let Some(training) = &mut self.training else { return Ok(ControlFlow::Continue(())) };
        self.shared.lock().status = Status::Training;
        let scale = self.start.weather.deviation();
        match training.epoch(&self.inbox, &self.shared, (&mut self.start.rate, &mut self.wanted), scale)? {
            Ended::Whole(losses) => {
                let mut board = self.shared.lock();
                board.history.push(losses);
                board.epoch = training.trainer.epoch();
                drop(board);
                if self.snapshot_at.elapsed() > SNAPSHOTS {
                    self.take_snapshot()?;
                }
                if self.saved_at.elapsed() > FILES {
                    self.save();
                }
                Ok(ControlFlow::Continue(()))
            }
            Ended::Abandoned => Ok(ControlFlow::Break(())),
            Ended::By(command) => {
                if let Command::Look = command {
                    self.look()?;
                }
                // A partial epoch can only be resumed from a snapshot.
                self.keep();
                self.training = None;
                match command {
                    Command::Look => self.build().map(|()| ControlFlow::Continue(())),
                    command => self.handle(command),
                }
            }
        }
    }

    fn set_status(&mut self) {
        self.shared.lock().status = if self.wanted { Status::Training } else { Status::Paused };
    }

    fn note_loss(&mut self, why: &str) {
        let mut board = self.shared.lock();
        board.lost_at.get_or_insert_with(Instant::now);
        board.lost += 1;
        board.fuse = None;
        drop(board);
        // The window itself reports the loss of its own device.
        if self.start.place == Place::Own {
            self.shared.tell(EventKind::Loss, format!("The training device was lost ({why})."));
        }
    }

    /// Recovers from a lost device. Any other error is shown, and training waits for the user.
    fn fail(&mut self, error: &Error) {
        let Error::DeviceLost(why) = error else {
            self.wanted = false;
            self.shared.lock().status = Status::Failed(error.to_string());
            return self.shared.tell(EventKind::Error, error.to_string());
        };
        self.keep();
        let training = self.training.take();
        let why = training.as_ref().and_then(|training| training.compute.reason()).unwrap_or(why).to_string();
        drop(training);
        self.note_loss(&why);
        if let Err(error) = self.build() {
            self.wanted = false;
            self.shared.lock().status = Status::Failed(error.to_string());
            self.shared.tell(EventKind::Error, format!("No new device could be opened: {error}"));
        }
    }
}
