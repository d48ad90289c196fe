//! Chooses the plan that runs the steps of a layer.

use std::fmt;
use std::str::FromStr;

use crate::cell::Cell;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::kernels::Fused;
use crate::ops::adapters::is_software;
use crate::tuning::{Answer, Question, class};

pub use crate::tuning::Plan;

impl Plan {
    /// Largest hidden size for which the whole plan beats the chain on a GPU. Not yet measured on hardware: see
    /// `docs/adr/0003-plans.md`.
    const WHOLE_HIDDEN: usize = 128;

    /// Largest hidden size for which the fused plans are faster on software adapters: see `docs/performance.md`.
    const FUSED_HIDDEN: usize = 64;

    /// Returns the plan that the built-in rules choose for a layer of `hidden` units on `device`. `cell` is `None` if
    /// the layer has options.
    pub fn choose(device: &Device, hidden: usize, cell: Option<Cell>) -> Self {
        match () {
            () if cell.is_none() => Plan::Steps,
            // On these adapters, the fast matrix product gains more than fewer dispatches do.
            () if is_software(device) && hidden > Self::FUSED_HIDDEN && hidden.is_multiple_of(4) => Plan::Steps,
            () => Self::choose_fused(device, hidden),
        }
    }

    /// Returns the plan of the built-in rules for `batch` sequences through a cell without options.
    pub(crate) fn of(device: &Device, [hidden, batch]: [usize; 2], cell: Cell) -> Self {
        match Self::choose(device, hidden, Some(cell)) {
            // On software adapters, the product of a single row has no fast path.
            Plan::Steps if batch == 1 && cell != Cell::GruResetBefore => Plan::Chain,
            plan => plan,
        }
    }

    /// Returns the plan that tuning chose for `batch` sequences through a cell without options, or else the plan of the
    /// built-in rules. With `fused`, considers only the fused plans.
    pub(crate) fn tuned(device: &Device, [hidden, batch]: [usize; 2], cell: Cell, fused: bool) -> Self {
        let sizes = [hidden, batch].map(|n| class(n as u32));
        match device.tuned().answer(Question::Plan { cell, sizes, fused }) {
            Some(Answer::Plan(plan))
                if plan.check(device, hidden, Some(cell)).is_ok() && !(fused && plan == Plan::Steps) =>
            {
                plan
            }
            _ if fused => Self::choose_fused(device, hidden),
            _ => Self::of(device, [hidden, batch], cell),
        }
    }

    /// Returns the better fused plan for a cell of `hidden` units on `device`.
    pub fn choose_fused(device: &Device, hidden: usize) -> Self {
        if !device.is_gpu() || hidden <= Self::WHOLE_HIDDEN { Plan::Whole } else { Plan::Chain }
    }

    /// Checks that the plan can run a layer of `hidden` units on `device`.
    ///
    /// # Errors
    /// [`Error::Limit`] if the states of a workgroup do not fit in its memory; [`Error::Value`] if the layer has
    /// options, which only `Steps` runs.
    pub fn check(self, device: &Device, hidden: usize, cell: Option<Cell>) -> Result<()> {
        if cell.is_none() && self != Plan::Steps {
            return Err(Error::value("recurrent", "plan", "steps for this cell with these options", self));
        }
        let allowed = Fused::ROOM;
        if self == Plan::Whole && device.is_gpu() && hidden > allowed {
            let limit = "hidden size of the whole-sequence plan";
            return Err(Error::Limit { op: "recurrent", limit, needed: hidden as u64, allowed: allowed as u64 });
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
