//! How a layer's steps are run.

use std::fmt;
use std::str::FromStr;

use crate::cell::Cell;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::kernels::GruSequence;
use crate::ops::linalg::is_software;
use crate::tuning::{Answer, Question, class};

pub use crate::tuning::Plan;

impl Plan {
    /// Largest hidden size for which one workgroup beats the chain on a GPU. Not measured on one yet: see
    /// `docs/adr/0003-plans.md`.
    const WHOLE_HIDDEN: usize = 128;

    /// Largest hidden size for which the fused plans win on software adapters with subgroups: see `docs/performance.md`.
    const FUSED_HIDDEN: usize = 64;

    /// The plan for a layer of `hidden` units on `device`; `cell` is its cell if it has no options.
    pub fn choose(device: &Device, hidden: usize, cell: Option<Cell>) -> Self {
        match () {
            () if cell.is_none() => Plan::Steps,
            // The product that suits these adapters is worth more there than fewer dispatches.
            () if is_software(device) && hidden > Self::FUSED_HIDDEN && hidden.is_multiple_of(4) => Plan::Steps,
            () if !device.is_gpu() || hidden <= Self::WHOLE_HIDDEN => Plan::Whole,
            () if has_chain(cell) => Plan::Chain,
            () => Plan::Steps,
        }
    }

    /// The rule for `batch` sequences through a GRU.
    pub(crate) fn of_gru(device: &Device, [hidden, batch]: [usize; 2], cell: Cell) -> Self {
        match Self::choose(device, hidden, Some(cell)) {
            // On software adapters: the product of one row is as slow there as any.
            Plan::Steps if batch == 1 && cell == Cell::Gru => Plan::Chain,
            plan => plan,
        }
    }

    /// The plan that tuning chose for `batch` sequences through a GRU, else the rule's: of the fused plans alone, or of
    /// all.
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

    /// The better of the fused plans for a GRU of `hidden` units on `device`.
    pub fn choose_fused(device: &Device, hidden: usize) -> Self {
        if !device.is_gpu() || hidden <= Self::WHOLE_HIDDEN { Plan::Whole } else { Plan::Chain }
    }

    /// Whether the plan can run a layer of `hidden` units on `device`.
    ///
    /// # Errors
    /// [`Error::Limit`] when the states of a workgroup do not fit its memory, [`Error::Value`] when the plan is not for
    /// such a layer: only cells without options run as a whole, only such GRUs as a chain.
    pub fn check(self, device: &Device, hidden: usize, cell: Option<Cell>) -> Result<()> {
        if cell.is_none() && self != Plan::Steps {
            return Err(Error::value("recurrent", "plan", "steps for this cell with these options", self));
        }
        if self == Plan::Chain && !has_chain(cell) {
            return Err(Error::value("recurrent", "plan", "whole or steps for this cell", self));
        }
        let allowed = GruSequence::MAX_HIDDEN;
        if self == Plan::Whole && device.is_gpu() && hidden > allowed {
            let limit = "hidden size of the whole-sequence plan";
            return Err(Error::Limit { op: "recurrent", limit, needed: hidden as u64, allowed: allowed as u64 });
        }
        Ok(())
    }
}

/// A GRU without options: both forms have the same plans.
pub(crate) const GRU: Option<Cell> = Some(Cell::Gru);

/// Whether the cell has kernels of single fused steps.
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
