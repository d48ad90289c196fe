//! Parts that several examples share.
#![allow(dead_code, reason = "no example uses all of them")]

pub mod args;
pub mod axes;
pub mod bpe;
pub mod checkpoint;
pub mod cholesky;
pub mod curve;
pub mod files;
pub mod lines;
pub mod pairs;
pub mod table;
pub mod training;
pub mod words;

/// Errors for the user, as one line of text.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;
