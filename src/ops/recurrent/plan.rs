//! How a layer's steps are run.

use std::fmt;
use std::str::FromStr;

use crate::device::Device;
use crate::error::{Error, Result};
use crate::kernels::GruSequence;
use crate::ops::linalg::has_narrow_subgroups;
use crate::tuning::{Answer, Question, class};

pub use crate::tuning::Plan;

impl Plan {
    /// Largest hidden size for which one workgroup beats the chain on a GPU. Not measured on one yet: see
    /// `docs/adr/0003-plans.md`.
    const WHOLE_HIDDEN: usize = 128;

    /// Largest hidden size for which the fused plans win on software adapters with subgroups: see `docs/performance.md`.
    const FUSED_HIDDEN: usize = 64;

    /// The plan for a layer of `hidden` units on `device`; `plain` says whether it is a GRU without options.
    pub fn choose(device: &Device, hidden: usize, plain: bool) -> Self {
        match () {
            () if !plain => Plan::Steps,
            // The product that suits these adapters is worth more there than fewer dispatches.
            () if has_narrow_subgroups(device) && hidden > Self::FUSED_HIDDEN && hidden.is_multiple_of(4) => {
                Plan::Steps
            }
            () => Self::choose_fused(device, hidden),
        }
    }

    /// The plan that tuning chose for a plain GRU of `batch` sequences, else the rule's: of the fused plans alone, or of all.
    pub(crate) fn tuned(device: &Device, hidden: usize, batch: usize, fused: bool) -> Self {
        let sizes = [hidden, batch].map(|n| class(n as u32));
        match device.tuned().answer(Question::Plan { sizes, fused }) {
            Some(Answer::Plan(plan)) if plan.check(device, hidden, true).is_ok() && !(fused && plan == Plan::Steps) => {
                plan
            }
            _ if fused => Self::choose_fused(device, hidden),
            _ => Self::choose(device, hidden, true),
        }
    }

    /// The better of the fused plans for a plain GRU of `hidden` units on `device`.
    pub fn choose_fused(device: &Device, hidden: usize) -> Self {
        if !device.is_gpu() || hidden <= Self::WHOLE_HIDDEN { Plan::Whole } else { Plan::Chain }
    }

    /// Whether the plan can run a layer of `hidden` units on `device`.
    ///
    /// # Errors
    /// [`Error::Limit`] when the states of a workgroup do not fit its memory, [`Error::Value`] when the layer is no
    /// plain GRU and the plan is for those only.
    pub fn check(self, device: &Device, hidden: usize, plain: bool) -> Result<()> {
        if !plain && self != Plan::Steps {
            return Err(Error::value("recurrent", "plan", "steps for this cell with these options", self));
        }
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
            Plan::Steps => "steps",
        })
    }
}

impl FromStr for Plan {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "whole" | "packed" => Ok(Plan::Whole),
            "chain" => Ok(Plan::Chain),
            "steps" => Ok(Plan::Steps),
            _ => Err(Error::value("Plan", "name", "whole, packed, chain or steps", name)),
        }
    }
}
