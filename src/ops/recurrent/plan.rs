//! Chooses the plan that runs the steps of a layer.

use std::fmt;
use std::str::FromStr;

use crate::cell::Cell;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::kernels::Fused;
use crate::ops::adapters::rules;
use crate::tuning::{Answer, Question, Rules, class};

pub use crate::tuning::Plan;

impl Plan {
    /// Returns the plan that the built-in rules choose for a layer of `hidden` units on `device`. `cell` is `None` if
    /// the layer has options.
    pub fn choose(device: &Device, hidden: usize, cell: Option<Cell>) -> Self {
        // Any batch of more than one sequence.
        cell.map_or(Plan::Steps, |cell| Self::by(&rules(device), [hidden, 2], cell))
    }

    /// Returns the plan of the built-in rules for `batch` sequences through a cell without options.
    pub(crate) fn of(device: &Device, [hidden, batch]: [usize; 2], cell: Cell) -> Self {
        Self::by(&rules(device), [hidden, batch], cell)
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
        Self::fused_by(&rules(device), hidden)
    }

    fn fused_by(rules: &Rules, hidden: usize) -> Self {
        if hidden <= rules.whole_hidden { Plan::Whole } else { Plan::Chain }
    }

    /// Returns the plan that `rules` choose for `batch` sequences through a cell without options.
    #[doc(hidden)]
    pub fn by(rules: &Rules, [hidden, batch]: [usize; 2], cell: Cell) -> Self {
        // The fast matrix product, which takes whole vectors, gains more than fewer dispatches do.
        let is_large = hidden > rules.fused_hidden && hidden.is_multiple_of(4);
        match is_large {
            // The product of a single row has no fast path.
            true if batch == 1 && cell != Cell::GruResetBefore => Plan::Chain,
            true => Plan::Steps,
            false => Self::fused_by(rules, hidden),
        }
    }

    /// Whether lanes share the sums of this plan (ADR 0043). Software adapters do not wait for memory, but barriers cost
    /// them time. On hardware, the whole plan has too few invocations whatever the size, because a workgroup owns its
    /// four rows.
    #[doc(hidden)]
    pub fn shares_sums(self, rules: &Rules, [batch, hidden, directions]: [usize; 3]) -> bool {
        let invocations = [batch.div_ceil(4), hidden, directions].map(|n| n as u64).iter().product::<u64>();
        rules.busy > 0 && (self == Plan::Whole || invocations <= rules.busy)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_split_on_hardware_for_few_sequences() {
        let rules = |busy| Rules { busy, ..Rules::CPU };
        for (sizes, chain) in [
            ([1, 256, 1], true),
            ([8, 2048, 1], true),
            ([9, 2048, 1], false),
            ([64, 256, 1], true),
            ([64, 256, 2], false),
            ([u32::MAX as usize, 1 << 14, 2], false),
        ] {
            assert_eq!(Plan::Chain.shares_sums(&rules(4096), sizes), chain, "{sizes:?}");
            assert!(Plan::Whole.shares_sums(&rules(4096), sizes), "{sizes:?}");
            assert!(!Plan::Chain.shares_sums(&rules(0), sizes), "{sizes:?}");
            assert!(!Plan::Whole.shares_sums(&rules(0), sizes), "{sizes:?}");
        }
    }
}
