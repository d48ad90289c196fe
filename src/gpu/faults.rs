//! What the driver reports, kept until a call can return it.

use std::sync::{Arc, Mutex};

use super::lock;
use crate::error::{Error, Result};

#[derive(Clone, Debug)]
enum Fault {
    Lost(String),
    /// Work that was recorded did not run: nothing computed since can be trusted.
    Broken(String),
    Other(String),
}

/// The first fault since the last check. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults(Arc<Mutex<Option<Fault>>>);

impl Faults {
    /// Runs calls of wgpu; what they report is kept instead of reaching the device's error handler, which on a host
    /// application's device is the host's, and by default panics.
    pub fn guard<T>(&self, device: &wgpu::Device, calls: impl FnOnce() -> T) -> T {
        // A browser has no such handler, and tells of errors later: see `listen`.
        #[cfg(target_arch = "wasm32")]
        {
            let _ = device;
            calls()
        }
        #[cfg(not(target_arch = "wasm32"))]
        {
            use wgpu::ErrorFilter::{Internal, OutOfMemory, Validation};
            let scopes = [Internal, OutOfMemory, Validation].map(|filter| device.push_error_scope(filter));
            let out = calls();
            for scope in scopes.into_iter().rev() {
                if let Some(error) = crate::wait::block_on(scope.pop()) {
                    self.report(&error);
                }
            }
            out
        }
    }

    /// As [`guard`](Self::guard), for calls without which later results are wrong.
    pub fn guard_work<T>(&self, device: &wgpu::Device, calls: impl FnOnce() -> T) -> T {
        let out = self.guard(device, calls);
        let mut fault = lock(&self.0);
        if let Some(Fault::Other(why)) = &*fault {
            *fault = Some(Fault::Broken(why.clone()));
        }
        out
    }

    /// Takes the place of a device's own handlers.
    pub fn listen(&self, device: &wgpu::Device) {
        let faults = self.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| faults.report(&error)));
        let faults = self.clone();
        device.set_device_lost_callback(move |reason, message| {
            *lock(&faults.0) = Some(Fault::Lost(format!("{reason:?}: {message}")));
        });
    }

    fn report(&self, error: &wgpu::Error) {
        log::error!("GPU: {error}");
        lock(&self.0).get_or_insert(Fault::Other(error.to_string()));
    }

    /// The fault, once; a lost device stays lost, and one whose work failed stays broken.
    pub fn check(&self) -> Result<()> {
        let mut fault = lock(&self.0);
        match fault.clone() {
            None => Ok(()),
            Some(Fault::Lost(why)) => Err(Error::DeviceLost(why)),
            Some(Fault::Broken(why)) => Err(Error::Gpu(why)),
            Some(Fault::Other(why)) => {
                *fault = None;
                Err(Error::Gpu(why))
            }
        }
    }
}
