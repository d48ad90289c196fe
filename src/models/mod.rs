//! Ready-made models, built only from the layers of this crate.

pub mod decode;
mod seq2seq;

pub use seq2seq::{ContextUse, DecoderState, Forcing, Seq2Seq, Seq2SeqConfig, Seq2SeqOutput};
