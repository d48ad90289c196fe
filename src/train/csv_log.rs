//! Log of epochs as a CSV file.

use std::path::{Path, PathBuf};

use super::Progress;
use crate::error::{Error, Result};
use crate::replace::write_atomically;

/// Writes a row per epoch to a CSV file, like the `CSVLogger` of Keras: `epoch`, `loss`, `val_loss` (empty without
/// validation data) and `learning_rate`. The file is replaced atomically, so it is complete at any time.
///
/// ```
/// use std::ops::ControlFlow;
/// use wgru::{Device, Rng, nn::{Linear, Module}, train::*};
/// let (device, mut rng) = (Device::cpu(), Rng::new(1));
/// let model = Linear::new(&device, 1, 1, true, &mut rng)?;
/// let data = HostData::new(&device, vec![0.5; 64], &[1])?.with_targets(vec![1.0; 64], &[1])?;
/// let options = TrainOptions { epochs: 2, ..Default::default() };
/// let mut trainer = Trainer::new(Optimizer::adam(model.parameters(), 0.1)?, options, rng);
/// let path = std::env::temp_dir().join("wgru-doc-log.csv");
/// let mut log = CsvLog::create(&path)?;
/// trainer.on_progress(move |progress, _| match log.record(progress) {
///     Ok(()) => ControlFlow::Continue(()),
///     Err(error) => {
///         eprintln!("{error}");
///         ControlFlow::Break(())
///     }
/// });
/// trainer.fit_blocking(&model, &data, None, loss::mse)?;
/// let text = std::fs::read_to_string(&path).unwrap();
/// assert!(text.starts_with("epoch,loss,val_loss,learning_rate\n0,") && text.lines().count() == 3);
/// # Ok::<(), wgru::Error>(())
/// ```
#[derive(Debug)]
pub struct CsvLog {
    path: PathBuf,
    /// Epochs and their rows.
    rows: Vec<(usize, String)>,
}

const HEADER: &str = "epoch,loss,val_loss,learning_rate";

impl CsvLog {
    /// Starts a new file. Replaces an existing one.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be written.
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        let log = Self { path: path.as_ref().to_path_buf(), rows: Vec::new() };
        log.write()?;
        Ok(log)
    }

    /// Continues the file of an earlier run, or starts one if there is none. Rows of epochs that the resumed run
    /// repeats are replaced.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read, [`Error::Format`] if it is not the file of a `CsvLog`.
    pub fn append(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Self::create(path),
            Err(error) => return Err(Error::io(path)(error)),
        };
        let refuse = |line: usize, why: &str| Err(Error::format(format!("{}: line {line}", path.display()), why));
        let mut lines = text.lines();
        if lines.next() != Some(HEADER) {
            return refuse(1, &format!("is not {HEADER:?}; choose another file"));
        }
        let mut rows = Vec::new();
        for (number, line) in (2..).zip(lines) {
            match line.split_once(',').and_then(|(epoch, _)| epoch.parse().ok()) {
                Some(epoch) => rows.push((epoch, line.to_string())),
                None => return refuse(number, "does not start with an epoch; repair the file or choose another"),
            }
        }
        Ok(Self { path: path.to_path_buf(), rows })
    }

    /// Adds a row after the last update of an epoch; does nothing after other updates.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    pub fn record(&mut self, progress: &Progress) -> Result<()> {
        let Some(loss) = progress.loss else { return Ok(()) };
        let validation = progress.validation.map(|loss| loss.to_string()).unwrap_or_default();
        let row = format!("{},{loss},{validation},{}", progress.epoch, progress.rate);
        self.rows.retain(|(epoch, _)| *epoch < progress.epoch);
        self.rows.push((progress.epoch, row));
        self.write()
    }

    fn write(&self) -> Result<()> {
        let mut text = format!("{HEADER}\n");
        self.rows.iter().for_each(|(_, row)| text.extend([row.as_str(), "\n"]));
        write_atomically(&self.path, text.as_bytes())
    }
}
