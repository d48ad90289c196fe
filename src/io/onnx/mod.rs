//! ONNX models: read, checked whole, and run.
//!
//! [`OnnxModel::load`] reads a file's bytes for a device and checks everything at once: operator sets 7 to 22, every
//! operator, every attribute, every input. What is not implemented is refused by name, with its node; nothing is
//! ignored. Floats live on the device as f32; initializers in float16, bfloat16 and double become f32, as do inputs
//! and outputs that the file declares so. Integers (shapes, lengths, indices) live on the host; int32, int64 and bool
//! are one type, so `sequence_lens` may be int64, where ONNX has int32.
//!
//! A run is bounded: see [`Limits`]. Why, and how: `docs/adr/0031-onnx-runs-are-metered.md`.
//!
//! [`export`] writes models of this crate's layers.
//!
//! Recurrent nodes become layers of [`nn`](crate::nn). Their numbers are those of ONNX Runtime, also where the
//! specification is silent: see `tests/onnx/`.

mod export;
mod ints;
mod links;
mod load;
mod meter;
mod model;
mod ops;
mod proto;
mod run;
mod stream;
mod value;
mod wire;

#[cfg(not(target_arch = "wasm32"))]
pub use export::export;
pub use export::{Input, export_async};
pub use ints::Ints;
pub use load::initializers;
pub use meter::Limits;
pub use model::{Extent, Info, OnnxModel};
pub use ops::State;
pub use stream::Stream;
pub use value::{Value, read_tensor};
