//! Persistence in the training thread: snapshots, the file in the state folder, and their display in the window.

use std::time::Instant;

use wgru::Result;

use super::board::EventKind;
use super::run::Run;
use super::snapshot::Snapshot;
use super::view::hand_out;

impl Run {
    /// Reads a snapshot back from the device.
    ///
    /// # Errors
    /// Errors from the device.
    pub(super) fn take_snapshot(&mut self) -> Result<()> {
        let Some(training) = &self.training else { return Ok(()) };
        let history = self.shared.lock().history.clone();
        let snapshot = Snapshot::take(&training.trainer, &training.model, self.start.rate, &history)?;
        self.snapshot_at = Instant::now();
        let mut board = self.shared.lock();
        (board.snapshot, board.updates) = (snapshot.updates, snapshot.updates);
        drop(board);
        self.snapshot = Some(snapshot);
        self.show();
        Ok(())
    }

    /// Adopts the last snapshot that the trainer took on its own.
    pub(super) fn keep(&mut self) {
        let Some(training) = &self.training else { return };
        let history = self.shared.lock().history.clone();
        let (hidden, rate) = (training.model.hidden(), self.start.rate);
        let kept = Snapshot::kept(&training.trainer, hidden, rate, &history, self.snapshot.as_ref());
        self.snapshot = kept.or(self.snapshot.take());
    }

    /// Updates the plots from the last snapshot. Training continues even if the window is lost.
    pub(super) fn show(&mut self) {
        let Some(snapshot) = &self.snapshot else { return };
        if let Err(error) = hand_out(snapshot, &self.shared) {
            self.shared.tell(EventKind::Error, format!("The sensor keeps its old model: {error}"));
        }
        let (Some(view), Some(window)) = (&mut self.view, &self.window) else { return };
        if window.loss.reason().is_none()
            && let Err(error) = view.show(snapshot, &self.shared)
            && window.loss.reason().is_none()
        {
            self.shared.tell(EventKind::Error, format!("The plots were not updated: {error}"));
        }
    }

    /// Reads the saved model of the previous run.
    pub(super) fn load(&mut self) {
        match Snapshot::open(&self.start.state) {
            Ok(None) => {}
            Ok(Some(found)) if self.start.hidden_is_requested && found.hidden != self.start.hidden => {
                let (had, wants) = (found.hidden, self.start.hidden);
                let text =
                    format!("The saved model has {had} units, but {wants} were requested, so training starts over.");
                self.shared.tell(EventKind::Note, text);
            }
            Ok(Some(found)) => {
                (self.start.hidden, self.start.rate) = (found.hidden, found.rate);
                let mut board = self.shared.lock();
                (board.hidden, board.rate, board.updates) = (found.hidden, found.rate, found.updates);
                board.history.clone_from(&found.history);
                (board.resumed, board.saved) = (true, Some(found.history.len()));
                drop(board);
                let text = format!("Loaded the saved model, trained for {} epochs.", found.history.len());
                self.shared.tell(EventKind::Note, text);
                self.saved = Some(found.updates);
                self.snapshot = Some(found);
            }
            Err(error) => {
                let kept = match Snapshot::set_aside(&self.start.state) {
                    Ok(path) => format!("It was renamed to {}.", path.display()),
                    Err(error) => format!("Renaming it failed, too: {error}"),
                };
                self.shared.tell(EventKind::Error, format!("The saved model cannot be read: {error}. {kept}"));
            }
        }
    }

    pub(super) fn save(&mut self) {
        let Some(snapshot) = &self.snapshot else { return };
        self.saved_at = Instant::now();
        if self.saved == Some(snapshot.updates) {
            return;
        }
        match snapshot.save(&self.start.state) {
            Ok(()) => {
                self.saved = Some(snapshot.updates);
                self.shared.lock().saved = Some(snapshot.history.len());
            }
            Err(error) => self.shared.tell(EventKind::Error, format!("The model could not be saved: {error}")),
        }
    }
}
