//! Checkpoints of the examples: the trainer's own, the learning curve, and the options of the run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use wgru::Tensor;
use wgru::io::TensorFile;
use wgru::train::Snapshot;

use super::curve::Curve;
use super::files::{json, make_folder, metadata, refuse};

const OPTIONS: &str = "run.options";
const CURVE: &str = "run.curve";

/// Where a run is saved, and the options that it depends on.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    /// Whether the user named the file.
    is_named: bool,
    options: BTreeMap<String, String>,
}

/// State of a run that a file continues.
pub struct Continued {
    pub file: TensorFile,
    pub curve: Curve,
}

impl Checkpoint {
    /// Creates a place for checkpoints: the file that the user named, or `default`. If the user named a file that
    /// exists, returns what it holds.
    ///
    /// `options` are by name everything that a run depends on.
    ///
    /// # Errors
    /// Errors from reading the file. Names an option that the run in the file had with another value.
    pub fn open(
        named: Option<&Path>,
        default: &str,
        options: Vec<(&str, String)>,
    ) -> super::Result<(Self, Option<Continued>)> {
        let path = named.unwrap_or(Path::new(default)).to_path_buf();
        let options = options.into_iter().map(|(name, value)| (name.to_string(), value)).collect();
        let checkpoint = Self { path, is_named: named.is_some(), options };
        let exists = checkpoint.is_named && checkpoint.path.exists();
        let continued = exists.then(|| checkpoint.read()).transpose()?;
        Ok((checkpoint, continued))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Says how to continue an interrupted run.
    pub fn farewell(&self) -> String {
        format!("interrupted; to continue, add --checkpoint {:?}", self.path.display().to_string())
    }

    /// Whether a run is saved from time to time, and not only when it is interrupted.
    pub fn is_named(&self) -> bool {
        self.is_named
    }

    fn read(&self) -> super::Result<Continued> {
        let name = self.path.display();
        let file = TensorFile::open(&self.path)?;
        let foreign = |_| format!("{name}: not a checkpoint of this example; name another file with --checkpoint");
        let had: BTreeMap<String, String> =
            serde_json::from_str(metadata(&file, OPTIONS).map_err(foreign)?).map_err(|error| refuse(OPTIONS, error))?;
        let none = "nothing".to_string();
        for option in had.keys().chain(self.options.keys()) {
            let (had, now) = (had.get(option).unwrap_or(&none), self.options.get(option).unwrap_or(&none));
            if had != now {
                let way_out = "use the same value, or name another file with --checkpoint";
                return Err(format!("{name}: a run with {option} {had}, this one has {now}; {way_out}").into());
            }
        }
        let curve = Curve::from_json(&json(&file, CURVE)?).ok_or_else(|| refuse(CURVE, "not a learning curve"))?;
        Ok(Continued { file, curve })
    }

    /// Writes a snapshot, with further tensors by name.
    ///
    /// # Errors
    /// Errors from reading the tensors back, and from the file.
    pub fn write(&self, snapshot: &Snapshot, curve: &Curve, tensors: &[(String, Tensor)]) -> wgru::Result<()> {
        let mut file = snapshot.to_file();
        file.metadata.insert(OPTIONS.into(), serde_json::json!(self.options).to_string());
        file.metadata.insert(CURVE.into(), curve.to_json().to_string());
        for (name, tensor) in tensors {
            file.insert(name, tensor.dims(), tensor.read_blocking()?);
        }
        make_folder(&self.path)?;
        file.save(&self.path)
    }

    /// Removes the file of a run that is over.
    ///
    /// # Errors
    /// Errors from the file system.
    pub fn remove(&self) -> super::Result<()> {
        match std::fs::remove_file(&self.path) {
            Err(error) if self.is_named && error.kind() != std::io::ErrorKind::NotFound => {
                Err(format!("{}: {error}", self.path.display()).into())
            }
            _ => Ok(()),
        }
    }
}
