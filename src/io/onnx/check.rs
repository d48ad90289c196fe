//! Reports of unsupported parts of a file.

use std::fmt;

use super::proto::Node;
use crate::error::Error;

/// Maximum number of problems and of warnings in a report. A file may hold a million nodes.
const MOST: usize = 1000;

/// The unsupported and suspicious parts of a file: the result of [`OnnxModel::check`](super::OnnxModel::check).
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Nodes that are not supported, including those in subgraphs. If there are none, the file can be loaded.
    pub problems: Vec<Problem>,
    /// Known bugs of exporters. The model runs as the file specifies, which is probably not what its author intended.
    pub warnings: Vec<String>,
    /// Number of further problems and warnings, of which at most 1,000 are kept.
    pub more: usize,
}

/// A node that is not supported.
#[derive(Clone, Debug)]
pub struct Problem {
    /// The node's name, or the name of its first output if it has none. Empty for a problem of the whole file.
    pub node: String,
    /// Its operator.
    pub operator: String,
    /// The operator, attribute, or form of an input that is not supported.
    pub what: String,
}

impl Report {
    pub(super) fn add(&mut self, problem: Problem) {
        if self.problems.len() < MOST {
            self.problems.push(problem);
        } else {
            self.more += 1;
        }
    }

    pub(super) fn warn(&mut self, warning: String) {
        if self.warnings.len() < MOST {
            self.warnings.push(warning);
        } else {
            self.more += 1;
        }
    }
}

impl Problem {
    pub(super) fn of(node: &Node, prefix: &str, error: Error) -> Self {
        let what = match error {
            Error::Unsupported { what, .. } => what,
            Error::Node { source, .. } => source.to_string(),
            error => error.to_string(),
        };
        Self { node: format!("{prefix}{}", node.label()), operator: node.op_type.into(), what }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.operator.is_empty() {
            true => f.write_str(&self.what),
            false => write!(f, "{:?} ({}): {}", self.node, self.operator, self.what),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.problems.iter().try_for_each(|problem| writeln!(f, "not supported: {problem}"))?;
        self.warnings.iter().try_for_each(|warning| writeln!(f, "warning: {warning}"))?;
        if self.more > 0 {
            writeln!(f, "and {} more", self.more)?;
        }
        Ok(())
    }
}
