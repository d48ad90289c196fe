//! Devices.

use engine::CpuOptions;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::failure::{Failure, Result};

/// A device that computes: the CPU or a GPU.
#[pyclass(frozen, module = "wgru")]
pub struct Device {
    pub inner: engine::Device,
}

/// Opens a device by its kind.
fn open(kind: &str, threads: Option<usize>) -> Result<engine::Device> {
    if threads.is_some() && kind == "gpu" {
        return Err(Failure::value("Device: threads: expected none for a GPU"));
    }
    let cpu = || Ok(engine::Device::cpu_with(CpuOptions { threads, ..CpuOptions::default() })?);
    match kind {
        "cpu" => cpu(),
        #[cfg(feature = "gpu")]
        "gpu" => Ok(engine::Device::gpu_blocking()?),
        #[cfg(feature = "gpu")]
        "auto" => match engine::Device::auto_blocking()? {
            device if device.is_gpu() => Ok(device),
            device if threads.is_none() => Ok(device),
            _ => cpu(),
        },
        #[cfg(not(feature = "gpu"))]
        "auto" => cpu(),
        #[cfg(not(feature = "gpu"))]
        "gpu" => Err(Failure::Other("no-adapter", "Device: wgru was built without its feature `gpu`".into())),
        other => {
            let other: String = other.chars().take(64).collect();
            Err(Failure::value(format!("Device: kind: expected \"cpu\", \"gpu\" or \"auto\", got {other:?}")))
        }
    }
}

#[pymethods]
impl Device {
    #[new]
    #[pyo3(signature = (kind = "auto", *, threads = None))]
    fn new(py: Python, kind: &str, threads: Option<usize>) -> Result<Self> {
        Ok(Self { inner: py.detach(|| open(kind, threads))? })
    }

    /// Name of the processor's instruction set, or of the adapter.
    #[getter]
    fn name(&self) -> &str {
        &self.inner.info().name
    }

    /// Why this device was chosen.
    #[getter]
    fn reason(&self) -> &str {
        &self.inner.info().reason
    }

    /// Whether this is a GPU, or a software adapter of a GPU.
    #[getter]
    fn is_gpu(&self) -> bool {
        self.inner.is_gpu()
    }

    /// Whether this is a GPU, and no software adapter.
    #[getter]
    fn is_hardware_gpu(&self) -> bool {
        self.inner.info().is_hardware_gpu()
    }

    fn __repr__(&self) -> String {
        format!("<wgru.Device {:?}>", self.name())
    }
}

/// Returns the device of an argument: a `Device`, or the kind of one.
pub fn of(value: &Bound<'_, PyAny>) -> Result<engine::Device> {
    if let Ok(device) = value.cast::<Device>() {
        return Ok(device.get().inner.clone());
    }
    match value.extract::<String>() {
        Ok(kind) => value.py().detach(|| open(&kind, None)),
        Err(_) => Err(Failure::dtype("device: expected a wgru.Device, \"cpu\", \"gpu\" or \"auto\"")),
    }
}

/// Lists the adapters of the machine, best first, as dictionaries.
#[pyfunction]
pub fn adapters(py: Python<'_>) -> Result<Vec<Bound<'_, PyDict>>> {
    #[cfg(feature = "gpu")]
    {
        let all = py.detach(|| pollster::block_on(engine::adapters()))?;
        let dict = |adapter: engine::AdapterReport| {
            let dict = PyDict::new(py);
            dict.set_item("name", adapter.name)?;
            dict.set_item("backend", adapter.backend)?;
            dict.set_item("driver", adapter.driver)?;
            dict.set_item("kind", format!("{:?}", adapter.class).to_lowercase())?;
            Ok(dict)
        };
        all.into_iter().map(dict).collect()
    }
    #[cfg(not(feature = "gpu"))]
    {
        _ = py;
        Ok(Vec::new())
    }
}
