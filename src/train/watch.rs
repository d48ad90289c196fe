//! The running loss of an epoch, kept on the device, and the first update that is not finite

use crate::device::{Device, Reading};
use crate::error::Result;
use crate::kernels::TrainingStatus;
use crate::ops::optim;
use crate::tensor::Tensor;

/// Number of updates between two reads of the status on a GPU. A read submits the work recorded so far.
const READ_EVERY: usize = 16;

/// Monitors one epoch. After the first failure, the optimizer kernels write nothing, so it does not matter for the
/// weights when the host notices the failure.
pub(super) struct Watch {
    status: Tensor,
    reading: Option<Reading>,
    /// Number of updates since the last read.
    unseen: usize,
    /// Number of updates known to be finite.
    confirmed: usize,
    /// Σ share·loss of these updates.
    total: f32,
}

/// The words of a [`TrainingStatus`].
pub(super) struct Report {
    /// Σ share·loss; not finite once training has failed.
    pub total: f32,
    /// Number of updates with a finite loss.
    pub updates: usize,
    /// Indices of the parameters whose last update was not finite, in the order of the optimizer.
    pub flagged: Vec<usize>,
}

impl Report {
    pub fn of(words: &[f32]) -> Self {
        let (head, flags) = words.split_at(TrainingStatus::FLAGS as usize);
        let flagged = flags.iter().enumerate().filter(|(_, flag)| flag.to_bits() != 0).map(|(i, _)| i).collect();
        Self { total: head[0], updates: head[1].to_bits() as usize, flagged }
    }

    pub fn has_failed(&self) -> bool {
        !self.total.is_finite() || !self.flagged.is_empty()
    }
}

impl Watch {
    /// Starts monitoring updates of this many parameters, at the beginning of an epoch or from the status words of an
    /// earlier watch.
    pub fn new(device: &Device, parameters: usize, words: Option<&[f32]>) -> Result<Self> {
        let status = optim::training_status(device, parameters)?;
        let (confirmed, total) = match words {
            Some(words) => {
                status.assign(words)?;
                let report = Report::of(words);
                (report.updates, report.total)
            }
            None => (0, 0.0),
        };
        Ok(Self { status, reading: None, unseen: 0, confirmed, total })
    }

    /// Returns the status for [`Optimizer::step_guarded`](super::Optimizer::step_guarded).
    pub fn status(&self) -> &Tensor {
        &self.status
    }

    /// Adds `share·loss`. Call it before the optimizer's step, which is skipped if the total is not finite.
    pub fn add(&mut self, loss: &Tensor, share: f32) -> Result<()> {
        self.unseen += 1;
        optim::add_loss(&self.status, &loss.detach(), share)
    }

    /// Whether an update is known to have failed. Does not wait: on a GPU the answer may lag by some updates.
    pub fn has_failed(&mut self) -> Result<bool> {
        let device = self.status.device();
        if self.reading.is_none() && (!device.is_gpu() || self.unseen >= READ_EVERY) {
            (self.reading, self.unseen) = (Some(self.status.start_read()?), 0);
        }
        let Some(reading) = &mut self.reading else { return Ok(false) };
        let Some(words) = device.poll_read(reading)? else { return Ok(false) };
        self.reading = None;
        let report = Report::of(&words);
        if !report.has_failed() {
            (self.confirmed, self.total) = (report.updates, report.total);
        }
        Ok(report.has_failed())
    }

    /// Returns the number of updates of the epoch known to be finite.
    pub fn confirmed(&self) -> usize {
        self.confirmed
    }

    /// Returns the total of the losses of the updates known to be finite, and their number, if there are any.
    pub fn known(&self) -> Option<(f32, usize)> {
        (self.confirmed > 0).then_some((self.total, self.confirmed))
    }

    /// Reads the status, after all updates so far.
    pub async fn report(&self) -> Result<Report> {
        Ok(Report::of(&self.status.read().await?))
    }
}
