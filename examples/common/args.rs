//! Values of command lines.

use clap::ValueEnum;
use wgru::Device;

/// The device to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DeviceChoice {
    /// The CPU
    Cpu,
    /// The best adapter, even a software one
    Gpu,
    /// A hardware GPU if there is one, otherwise the CPU
    Auto,
}

impl DeviceChoice {
    /// Opens the device.
    ///
    /// # Errors
    /// [`wgru::Error::NoAdapter`] for a GPU that does not exist, or that this build does not support.
    pub fn open(self) -> wgru::Result<Device> {
        match self {
            DeviceChoice::Cpu => Ok(Device::cpu()),
            #[cfg(feature = "gpu")]
            DeviceChoice::Gpu => Device::gpu_blocking(),
            #[cfg(not(feature = "gpu"))]
            DeviceChoice::Gpu => Err(wgru::Error::NoAdapter("this was built without the feature `gpu`".into())),
            DeviceChoice::Auto => Device::auto_blocking(),
        }
    }
}

/// Parses a count of at least 1.
pub fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".into()),
        Ok(n) => Ok(n),
        Err(_) => Err("must be a whole number, at least 1".into()),
    }
}

/// Parses a probability of dropout: from 0 up to, but not including, 1.
pub fn dropout(text: &str) -> Result<f32, String> {
    match text.parse() {
        Ok(share) if (0.0..1.0).contains(&share) => Ok(share),
        _ => Err("must be a number from 0 up to, but not including, 1".into()),
    }
}

/// Parses a finite number above 0.
pub fn above_zero(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number.is_finite() => Ok(number),
        _ => Err("must be a number above 0".into()),
    }
}
