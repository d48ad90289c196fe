//! Properties of layers, on every device and with every plan.

// This also provides `block_on`.
#[cfg(wgru_jspi)]
#[macro_use]
extern crate browser_tests as pollster;

#[path = "../common/mod.rs"]
mod common;
#[path = "../reference/mod.rs"]
mod reference;

mod cells;
mod fast_paths;
mod invariants;
mod invariants_recurrent;
mod last_state;
mod low_weights;
mod min_gru;
mod padding;
mod recompute;
mod rules;
mod special_values;
mod waves;
