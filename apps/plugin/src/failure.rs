//! The error type of the plug-in.

use std::fmt;

/// A user's mistake or a problem with a file, as a message for the user.
#[derive(Debug)]
pub struct Failure(String);

pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

impl From<wgru::Error> for Failure {
    fn from(error: wgru::Error) -> Self {
        Self(error.to_string())
    }
}
