//! Chooses the plan that runs the steps of a layer.

use std::fmt;
use std::str::FromStr;

use crate::cell::Cell;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::kernels::Plain;
use crate::ops::linalg::is_software;
use crate::tuning::{Answer, Question, class};

pub use crate::tuning::Plan;

impl Plan {
    /// Largest hidden size for which the whole plan beats the chain on a GPU. Not yet measured on hardware: see
    /// `docs/adr/0003-plans.md`.
    const WHOLE_HIDDEN: usize = 128;

    /// Largest hidden size for which the fused plans are faster on software adapters: see `docs/performance.md`.
    const FUSED_HIDDEN: usize = 64;

    /// Returns the plan of the built-in rules for a layer of `hidden` units on `device`. `cell` is `None` if the layer
    /// has options.
    pub fn choose(device: &Device, hidden: usize, cell: Option<Cell>) -> Self {
        match () {
            () if cell.is_none() => Plan::Steps,
            // On these adapters, the fast matrix product gains more than fewer dispatches do.
            () if is_software(device) && hidden > Self::FUSED_HIDDEN && hidden.is_multiple_of(4) => Plan::Steps,
            () if !device.is_gpu() || hidden <= Self::WHOLE_HIDDEN => Plan::Whole,
            () if has_chain(cell) => Plan::Chain,
            () => Plan::Steps,
        }
    }

    /// Returns the plan of the built-in rules for `batch` sequences through a GRU.
    pub(crate) fn of_gru(device: &Device, [hidden, batch]: [usize; 2], cell: Cell) -> Self {
        match Self::choose(device, hidden, Some(cell)) {
            // On software adapters, the product of a single row has no fast path.
            Plan::Steps if batch == 1 && cell == Cell::Gru => Plan::Chain,
            plan => plan,
        }
    }

    /// Returns the plan that tuning chose for `batch` sequences through a GRU, or else the plan of the built-in rules.
    /// With `fused`, considers only the fused plans.
    pub(crate) fn tuned(device: &Device, [hidden, batch]: [usize; 2], cell: Cell, fused: bool) -> Self {
        let sizes = [hidden, batch].map(|n| class(n as u32));
        match device.tuned().answer(Question::Plan { sizes, fused }) {
            Some(Answer::Plan(plan)) if plan.check(device, hidden, GRU).is_ok() && !(fused && plan == Plan::Steps) => {
                plan
            }
            _ if fused => Self::choose_fused(device, hidden),
            _ => Self::of_gru(device, [hidden, batch], cell),
        }
    }

    /// Returns the better fused plan for a GRU of `hidden` units on `device`.
    pub fn choose_fused(device: &Device, hidden: usize) -> Self {
        if !device.is_gpu() || hidden <= Self::WHOLE_HIDDEN { Plan::Whole } else { Plan::Chain }
    }

    /// Checks that the plan can run a layer of `hidden` units on `device`.
    ///
    /// # Errors
    /// [`Error::Limit`] if the states of a workgroup do not fit in its memory; [`Error::Value`] if the plan does not
    /// support the layer: `Whole` and `Chain` run only cells without options, and `Chain` only GRUs.
    pub fn check(self, device: &Device, hidden: usize, cell: Option<Cell>) -> Result<()> {
        if cell.is_none() && self != Plan::Steps {
            return Err(Error::value("recurrent", "plan", "steps for this cell with these options", self));
        }
        if self == Plan::Chain && !has_chain(cell) {
            return Err(Error::value("recurrent", "plan", "whole or steps for this cell", self));
        }
        let allowed = Plain::WHOLE_HIDDEN;
        if self == Plan::Whole && device.is_gpu() && hidden > allowed {
            let limit = "hidden size of the whole-sequence plan";
            return Err(Error::Limit { op: "recurrent", limit, needed: hidden as u64, allowed: allowed as u64 });
        }
        Ok(())
    }
}

/// A GRU without options. Both kinds of GRU have the same plans.
pub(crate) const GRU: Option<Cell> = Some(Cell::Gru);

/// Whether the cell has kernels for the chain plan.
fn has_chain(cell: Option<Cell>) -> bool {
    cell.is_some_and(Cell::is_gru)
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
