//! Decoding of CTC frames and of tokens.

// This also provides `block_on`.
#[cfg(wgru_jspi)]
#[macro_use]
extern crate browser_tests as pollster;

#[path = "../common/mod.rs"]
mod common;
#[path = "../reference/mod.rs"]
mod reference;

mod ctc;
mod tokens;
