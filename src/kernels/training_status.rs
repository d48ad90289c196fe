//! Running loss of an epoch, and whether training has failed

use crate::error::Result;
use crate::kernel::{Kernel, at_most, linear_groups, params, shader};

params! {
    /// Adds one update's loss to an epoch's running total and counts the update, unless training has failed:
    ///
    /// ```text
    /// status = [total, updates, flag of parameter 0, flag of parameter 1, …]
    /// total = NaN              if a flag is set: an earlier update was not finite
    /// total = total + share·loss; updates = updates + 1 if the new total is finite
    /// ```
    ///
    /// A non-finite total stays as it is, and makes [`Adam`](super::Adam) and [`Sgd`](super::Sgd) leave all weights
    /// unchanged. Reads `loss` `[1]`; updates `status` `[2 + parameters]` (u32; the total is stored as the bits of an
    /// f32).
    pub struct TrainingStatus {
        /// Factor on the loss.
        pub share: f32,
        /// Number of parameters, each with a flag.
        pub parameters: u32,
    }
}

impl TrainingStatus {
    /// Number of words of `status` before the first flag.
    pub const FLAGS: u32 = 2;

    /// Maximum number of parameters: one invocation reads all flags.
    pub const MOST_PARAMETERS: usize = 60_000;

    /// Rejects a `guard` that is not a valid index in `status`.
    pub(crate) fn check_guard(op: &'static str, guard: u32) -> Result<()> {
        at_most(op, [("guard", guard, Self::FLAGS as usize + Self::MOST_PARAMETERS)])
    }

    /// Whether the optimizer may still update the weights. `guard` is the index of the parameter's flag in `status`; 0
    /// disables the guard.
    pub(crate) fn goes_on(guard: u32, status: &[f32]) -> bool {
        guard == 0 || status[0].is_finite()
    }
}

impl Kernel<1, 1> for TrainingStatus {
    shader!("training_status", ["common/linear", "common/finite"], [loss] -> [status: u32]);
    const ADDRESSES: bool = false;

    fn check(&self) -> Result<()> {
        at_most(Self::NAME, [("parameters", self.parameters, Self::MOST_PARAMETERS)])
    }

    fn loops(&self) -> u64 {
        self.parameters.into()
    }

    fn groups(&self) -> [u32; 3] {
        linear_groups(1)
    }

    fn lens(&self) -> ([usize; 1], [usize; 1]) {
        ([1], [(Self::FLAGS + self.parameters) as usize])
    }

    fn run(&self, [loss]: [&[f32]; 1], [status]: [&mut [f32]; 1]) {
        if !status[0].is_finite() {
            return;
        }
        let flags = &status[Self::FLAGS as usize..][..self.parameters as usize];
        if flags.iter().any(|flag| flag.to_bits() != 0) {
            status[0] = f32::NAN;
            return;
        }
        status[0] += self.share * loss[0];
        if status[0].is_finite() {
            status[1] = f32::from_bits(status[1].to_bits() + 1);
        }
    }
}
