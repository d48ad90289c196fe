//! Writes networks in the formats of audio programs.

mod guitarml;
mod layers;
mod nam;
mod rtneural;

pub use guitarml::to_guitarml;
#[cfg(not(target_arch = "wasm32"))]
pub use guitarml::to_guitarml_blocking;
pub use nam::to_nam;
#[cfg(not(target_arch = "wasm32"))]
pub use nam::to_nam_blocking;
pub use rtneural::to_rtneural;
#[cfg(not(target_arch = "wasm32"))]
pub use rtneural::to_rtneural_blocking;
