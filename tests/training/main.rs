//! The training loop, losses of forecasts, metrics.

// This also provides `block_on`.
#[cfg(wgru_jspi)]
#[macro_use]
extern crate browser_tests as pollster;

#[path = "../common/mod.rs"]
mod common;
#[path = "../reference/mod.rs"]
mod reference;

mod conveniences;
mod fit_with;
mod forecast_losses;
mod lengths;
mod optimizers;
mod order;
mod scores;
mod trainer;
