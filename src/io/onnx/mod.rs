//! Loads, checks, runs and exports ONNX models.
//!
//! [`OnnxModel::load`] reads a file's bytes for a device, and checks everything at once: the operator set (7 to 22),
//! every operator, every attribute, every input. An unsupported feature is an error that names it and its node; nothing
//! is ignored. Floats live on the device as f32. Initializers in float16, bfloat16 and double become f32, and so do
//! inputs and outputs that the file declares with these types. Integers (shapes, lengths, indices) live on the host.
//! int32, int64 and bool are treated as one type, so `sequence_lens` may be int64, although ONNX requires int32.
//!
//! Memory and work of a run are bounded: see [`Limits`] and `docs/adr/0031-onnx-runs-are-metered.md`.
//!
//! [`export()`] writes models built from this crate's layers.
//!
//! Recurrent nodes become layers of [`nn`](crate::nn). Their results match ONNX Runtime, even where the specification
//! is silent: see `tests/onnx/`.

mod export;
mod info;
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
pub use export::export_blocking;
pub use export::{Input, export};
pub use info::{Extent, Info};
pub use ints::Ints;
pub use load::initializers;
pub use meter::Limits;
pub use model::OnnxModel;
pub use ops::State;
pub use stream::Stream;
pub use value::{Value, read_tensor};
