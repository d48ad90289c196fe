//! Loads, checks, runs and exports ONNX models.
//!
//! [`OnnxModel::load`] reads a file's bytes for a device, and checks everything at once: the operator set (6 to 22),
//! every operator, every attribute, every input. An unsupported feature is an error that names it and its node; nothing
//! is ignored. [`OnnxModel::check`] lists all of them, and [`OnnxModel::open`] also reads weights in separate files.
//!
//! Floats live on the device as f32. Initializers in float16, bfloat16 and double become f32, and so do inputs and
//! outputs that the file declares with these types; casts and outputs round to them. Integers (shapes, lengths,
//! indices) live on the host. All integer types and bool are treated as one type, so `sequence_lens` may be int64,
//! although ONNX requires int32. Integers that are computed from floats stay on the device; where one decides what runs
//! next, a GPU must be waited for, which only [`OnnxModel::run_blocking`] does. See
//! `docs/adr/0041-comparisons-stay-on-the-device.md`.
//!
//! [`OnnxModel::stream`] carries state from call to call.
//!
//! Memory and work of a run are bounded: see [`Limits`] and `docs/adr/0031-onnx-runs-are-metered.md`.
//!
//! [`export()`] writes models built from this crate's layers, and [`load_network`] reads them, and models of other exporters
//! that are a stack of layers, as a network of such layers.
//!
//! Recurrent nodes become layers of [`nn`](crate::nn). Their results match ONNX Runtime, even where the specification
//! is silent: see `tests/onnx/`.

mod bound;
mod check;
mod element;
mod export;
mod external;
mod info;
mod ints;
mod links;
mod load;
mod loader;
mod meter;
mod model;
mod network;
mod ops;
mod pairs;
mod proto;
mod recorded;
mod repeat;
mod run;
mod stream;
mod value;
mod wire;

pub use bound::BoundStream;
pub use check::{Problem, Report};
#[cfg(not(target_arch = "wasm32"))]
pub use export::export_blocking;
pub use export::{Input, export};
pub use info::{Extent, Info};
pub use ints::Ints;
pub use load::initializers;
pub use meter::Limits;
pub use model::OnnxModel;
pub use network::load_network;
#[cfg(not(target_arch = "wasm32"))]
pub(super) use network::load_network_at;
pub use ops::State;
pub use pairs::StreamOptions;
pub use stream::{Snapshot, Stream};
pub use value::{Value, read_tensor};
