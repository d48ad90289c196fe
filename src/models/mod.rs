//! Ready models, made only of the layers below.

pub mod decode;
mod seq2seq;

pub use seq2seq::{ContextUse, DecoderState, Forcing, Seq2Seq, Seq2SeqConfig, Seq2SeqOutput};
