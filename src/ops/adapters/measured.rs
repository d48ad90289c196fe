//! Rules read from the reports in `docs/hardware/`. Written by `wgru report rules`, not by hand.

use super::Measured;

pub(super) const MEASURED: &[Measured] = &[];
