//! Comparison with PyTorch, Keras and ONNX Runtime. The fixtures, and the scripts that generate them, are in this
//! folder.

// This also provides `block_on`.
#[cfg(wgru_jspi)]
#[macro_use]
extern crate browser_tests as pollster;

#[path = "../common/mod.rs"]
mod common;
#[path = "../reference/mod.rs"]
mod reference;

mod attention;
mod conv1d;
mod ctc;
mod gru;
mod layer_norm_gru;
mod recurrent;
mod seq2seq;
mod training;
