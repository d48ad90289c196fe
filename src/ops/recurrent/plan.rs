//! How a layer's steps are run.

use std::fmt;
use std::str::FromStr;

use crate::device::Device;
use crate::error::{Error, Result};
use crate::kernels::GruSequence;

/// How the steps of a recurrent layer are run. The numbers are the same but for rounding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// One dispatch loops over all steps. On a GPU for small layers; on the CPU it is the packed SIMD path.
    Whole,
    /// One dispatch a step (two where the reset gate acts before the product), in one compute pass.
    Chain,
}

impl Plan {
    /// Largest hidden size for which one workgroup beats the chain on a GPU. Not measured on one yet: see
    /// `docs/adr/0003-plans.md`.
    const WHOLE_HIDDEN: usize = 128;

    /// The plan for a layer of `hidden` units on `device`.
    pub fn choose(device: &Device, hidden: usize) -> Self {
        if !device.is_gpu() || hidden <= Self::WHOLE_HIDDEN { Plan::Whole } else { Plan::Chain }
    }

    /// Whether the plan can run a layer of `hidden` units on `device`.
    ///
    /// # Errors
    /// [`Error::Limit`] when the states of a workgroup do not fit its memory.
    pub fn check(self, device: &Device, hidden: usize) -> Result<()> {
        let allowed = GruSequence::MAX_HIDDEN;
        if self == Plan::Whole && device.is_gpu() && hidden > allowed {
            let limit = "hidden size of the whole-sequence plan";
            return Err(Error::Limit { op: "gru", limit, needed: hidden as u64, allowed: allowed as u64 });
        }
        Ok(())
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Plan::Whole => "whole",
            Plan::Chain => "chain",
        })
    }
}

impl FromStr for Plan {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "whole" | "packed" => Ok(Plan::Whole),
            "chain" => Ok(Plan::Chain),
            _ => Err(Error::value("Plan", "name", "whole, packed or chain", name)),
        }
    }
}
