//! The errors of this example.

use std::path::{Path, PathBuf};

pub type Result<T> = std::result::Result<T, Failure>;

#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{}: not a WAV file that can be read: {source}", path.display())]
    Wav { path: PathBuf, source: hound::Error },
    #[error("{}: expected one channel, got {channels}; mix it down first", path.display())]
    Channels { path: PathBuf, channels: u16 },
    #[error("{}: expected {expected}, got {got} Hz", path.display())]
    Rate { path: PathBuf, expected: String, got: u32 },
    #[error("{}: the recording is empty, or the folder has no WAV files", path.display())]
    Empty { path: PathBuf },
    #[error("{}: sample {at} is {value}; expected finite numbers", path.display())]
    NotFinite { path: PathBuf, at: usize, value: f32 },
    #[error("{}: the recording is silent, so that a ratio of speech to noise has no meaning", path.display())]
    Silent { path: PathBuf },
    #[error("{}: expected {expected} samples as in the noisy recording, got {got}", path.display())]
    Length { path: PathBuf, expected: usize, got: usize },
    #[error("--model: {got}; expected a model of {expected}")]
    Model { got: String, expected: &'static str },
    #[error("{}: {source}", path.display())]
    Network { path: PathBuf, source: wgru::Error },
    #[error(transparent)]
    Library(#[from] wgru::Error),
    #[error("{}: cannot draw: {why}", path.display())]
    Plot { path: PathBuf, why: String },
}

impl Failure {
    pub fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        |source| Self::Io { path, source }
    }

    pub fn wav(path: &Path) -> impl FnOnce(hound::Error) -> Self {
        let path = path.to_path_buf();
        |source| match source {
            hound::Error::IoError(source) => Self::Io { path, source },
            source => Self::Wav { path, source },
        }
    }

    pub fn network(path: &Path) -> impl FnOnce(wgru::Error) -> Self {
        let path = path.to_path_buf();
        |source| Self::Network { path, source }
    }
}
