//! Devices.

use std::sync::Mutex;

use engine::CpuOptions;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::failure::{Failure, Result};

/// A device that computes: the CPU or a GPU.
#[pyclass(frozen, module = "wgru")]
pub struct Device {
    pub inner: engine::Device,
}

/// The kinds of devices, in the order of [`OPEN`].
const KINDS: [&str; 3] = ["cpu", "gpu", "auto"];

/// The devices that have been opened by their kind. Layers that are created separately must be on one device to run
/// together, so a kind stands for one device as long as that works.
static OPEN: Mutex<[Option<engine::Device>; 3]> = Mutex::new([const { None }; 3]);

/// Returns the device of a kind, and opens it if necessary.
fn open(kind: &str) -> Result<engine::Device> {
    let Some(place) = KINDS.iter().position(|known| *known == kind) else {
        return Err(Failure::value(format!("Device: kind: expected one of {KINDS:?}, got {kind:.64?}")));
    };
    let mut all = OPEN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some(device) = all[place].as_ref().filter(|device| !is_lost(device)) {
        return Ok(device.clone());
    }
    let device = create(kind)?;
    // The automatic choice is one of the other two.
    let own = if device.is_gpu() { 1 } else { 0 };
    let device = match all[own].take().filter(|known| !is_lost(known)) {
        Some(known) => known,
        None => device,
    };
    (all[own], all[place]) = (Some(device.clone()), Some(device.clone()));
    Ok(device)
}

fn is_lost(device: &engine::Device) -> bool {
    #[cfg(feature = "gpu")]
    return device.is_lost();
    #[cfg(not(feature = "gpu"))]
    {
        _ = device;
        false
    }
}

fn create(kind: &str) -> Result<engine::Device> {
    match kind {
        #[cfg(feature = "gpu")]
        "gpu" => Ok(engine::Device::gpu_blocking()?),
        #[cfg(feature = "gpu")]
        "auto" => Ok(engine::Device::auto_blocking()?),
        #[cfg(not(feature = "gpu"))]
        "gpu" => Err(Failure::Other("no-adapter", "Device: wgru was built without its feature `gpu`".into())),
        _ => Ok(engine::Device::cpu()),
    }
}

#[pymethods]
impl Device {
    #[new]
    #[pyo3(signature = (kind = "auto", *, threads = None))]
    fn new(py: Python, kind: &str, threads: Option<usize>) -> Result<Self> {
        let inner = py.detach(|| match (kind, threads) {
            (_, None) => open(kind),
            ("cpu", _) => Ok(engine::Device::cpu_with(CpuOptions { threads, ..CpuOptions::default() })?),
            _ => Err(Failure::value("Device: threads: expected none except for \"cpu\"")),
        })?;
        Ok(Self { inner })
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

    /// Whether this is a GPU or a software adapter.
    #[getter]
    fn is_gpu(&self) -> bool {
        self.inner.is_gpu()
    }

    /// Whether this is a hardware GPU, not a software adapter.
    #[getter]
    fn is_hardware_gpu(&self) -> bool {
        self.inner.info().is_hardware_gpu()
    }

    fn __repr__(&self) -> String {
        format!("<wgru.Device {:?}>", self.name())
    }
}

/// Returns the device of an argument: a `Device`, or the kind of one; the CPU if it is missing.
pub fn of(value: Option<&Bound<'_, PyAny>>) -> Result<engine::Device> {
    let Some(value) = value else { return open("cpu") };
    if let Ok(device) = value.cast::<Device>() {
        return Ok(device.get().inner.clone());
    }
    match value.extract::<String>() {
        Ok(kind) => value.py().detach(|| open(&kind)),
        Err(_) => Err(Failure::dtype("device: expected a wgru.Device, \"cpu\", \"gpu\" or \"auto\"")),
    }
}

/// Lists the adapters of the machine, best first, as dictionaries.
#[pyfunction]
pub fn adapters(py: Python<'_>) -> Result<Vec<Bound<'_, PyDict>>> {
    #[cfg(feature = "gpu")]
    {
        let all = py.detach(|| pollster::block_on(engine::adapters()))?;
        let dict = |adapter: engine::AdapterReport| -> Result<Bound<'_, PyDict>> {
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
