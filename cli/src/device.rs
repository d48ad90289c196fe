//! The choice of devices.

use std::fmt;

use clap::ValueEnum;
use wgru::{CpuOptions, Device};

use crate::failure::Result;

/// A device by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Which {
    /// A hardware GPU if there is one, else the CPU
    Auto,
    /// The CPU with its fast paths
    Cpu,
    /// The best GPU, even a software adapter
    Gpu,
    /// The CPU with the slow reference implementations of the kernels
    Twin,
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_possible_value().as_ref().map_or("", |value| value.get_name()))
    }
}

/// Opens a device.
pub fn open(which: Which) -> Result<Device> {
    Ok(match which {
        Which::Auto => Device::auto_blocking()?,
        Which::Cpu => Device::cpu(),
        Which::Twin => Device::cpu_with(CpuOptions { reference: true, ..CpuOptions::default() })?,
        #[cfg(feature = "gpu")]
        Which::Gpu => Device::gpu_blocking()?,
        #[cfg(not(feature = "gpu"))]
        Which::Gpu => return Err(wgru::Error::NoAdapter("built without the feature `gpu`".into()).into()),
    })
}

/// Returns the given devices, or the CPU and a GPU if there is one.
pub fn all(given: &[Which]) -> Result<Vec<(Which, Device)>> {
    if !given.is_empty() {
        return given.iter().map(|&which| Ok((which, open(which)?))).collect();
    }
    let gpu = open(Which::Gpu).ok().map(|device| (Which::Gpu, device));
    Ok([(Which::Cpu, Device::cpu())].into_iter().chain(gpu).collect())
}
