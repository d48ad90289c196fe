//! [guide]: mod@guide
#![doc = include_str!("../README.md")]

mod autograd;
mod cell;
mod cpu;
pub mod decode;
mod device;
mod dispatch;
#[cfg(feature = "gpu")]
mod embedding;
mod error;
mod free_list;
#[cfg(feature = "gpu")]
mod gpu;
pub mod guide;
pub mod io;
mod json;
mod keeper;
#[cfg(feature = "unstable-kernels")]
pub mod kernel;
#[cfg(not(feature = "unstable-kernels"))]
#[allow(dead_code, reason = "public only with the feature `unstable-kernels`")]
mod kernel;
#[cfg(feature = "unstable-kernels")]
pub mod kernels;
#[cfg(not(feature = "unstable-kernels"))]
#[allow(dead_code, reason = "public only with the feature `unstable-kernels`")]
mod kernels;
mod math;
pub mod models;
pub mod nn;
#[cfg(feature = "unstable-kernels")]
pub mod ops;
#[cfg(not(feature = "unstable-kernels"))]
#[allow(dead_code, reason = "public only with the feature `unstable-kernels`")]
mod ops;
mod precision;
mod replace;
mod rng;
#[cfg(not(target_arch = "wasm32"))]
mod router;
mod shape;
mod stream;
mod tensor;
#[cfg(feature = "autograd")]
pub mod train;
mod tuning;
#[cfg(any(not(target_arch = "wasm32"), wgru_jspi))]
mod wait;
mod wgsl;

pub use cell::Cell;
pub use cpu::CpuOptions;
pub use device::{Device, DeviceInfo, MemoryUse};
#[cfg(feature = "unstable-kernels")]
pub use dispatch::Bound;
pub use error::{Error, Result};
#[cfg(all(feature = "gpu", not(target_arch = "wasm32")))]
pub use gpu::EncodedWork;
#[cfg(feature = "gpu")]
pub use gpu::{
    AdapterClass, AdapterReport, BufferPart, DeviceNeeds, DispatchTime, GpuOptions, Pacing, Requirements, adapters,
    requirements, wgpu,
};
pub use keeper::{HostCopy, Keeper};
pub use math::Activation;
pub use precision::Precision;
pub use rng::Rng;
#[cfg(not(target_arch = "wasm32"))]
pub use router::{Choice, Router};
pub use shape::MAX_RANK;
pub use stream::{
    Interpolation, LiveStream, NetworkStream, NonFinite, Stream, StreamControl, StreamId, StreamLayer, StreamOptions,
    StreamPool,
};
pub use tensor::{DType, Tensor};
pub use tuning::Tuning;
