//! The extension module `wgru._wgru`. The package `wgru/` has the names that users see, and their documentation.

mod array;
mod content;
mod device;
mod failure;
mod file;
mod fit;
mod layers;
mod model;
mod onnx_stream;
mod part;
mod run;
mod sequence;
mod stream;

use pyo3::prelude::*;

/// The extension module.
#[pymodule]
mod _wgru {
    #[pymodule_export]
    use super::array::{_address, _moved};
    #[pymodule_export]
    use super::device::{Device, adapters};
    #[pymodule_export]
    use super::layers::{layer, recurrent, sequential};
    #[pymodule_export]
    use super::model::{Model, load};
    #[pymodule_export]
    use super::onnx_stream::{OnnxState, OnnxStream};
    #[pymodule_export]
    use super::stream::Stream;

    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
