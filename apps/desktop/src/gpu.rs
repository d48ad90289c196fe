//! Devices: the window's, which wgru adopts, and a second one that only trains.
//!
//! All wgru calls for sharing a device are in this file.

use std::sync::{Arc, OnceLock};

use eframe::wgpu;
use wgru::{Device, Error, Result};

use crate::options::Place;

/// Descriptor of a device that wgru shares: wgru's requirements, and textures as large as egui needs.
pub fn descriptor(adapter: &wgpu::Adapter) -> wgpu::DeviceDescriptor<'static> {
    let needs = wgru::requirements(adapter).best;
    let host = wgpu::Limits {
        max_texture_dimension_2d: adapter.limits().max_texture_dimension_2d.min(8192),
        ..wgpu::Limits::default()
    };
    wgpu::DeviceDescriptor {
        label: Some("window and training"),
        required_features: needs.features,
        required_limits: host.or_better_values_from(&needs.limits),
        ..Default::default()
    }
}

/// Why a device was lost, once it is lost. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Loss(Arc<OnceLock<String>>);

impl Loss {
    /// Returns the driver's message, or `None` while the device works.
    pub fn reason(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }
}

/// The device that draws the window.
#[derive(Clone)]
pub struct Host {
    pub adapter: wgpu::Adapter,
    pub device: wgpu::Device,
    pub queue: wgpu::Queue,
    pub loss: Loss,
    /// Distinguishes windows. wgpu handles cannot, because handles of two instances may compare equal.
    pub window: u32,
}

impl Host {
    /// Wraps the window's device, and installs handlers that record its loss. wgpu's own error handler would end the
    /// program.
    pub fn of(state: &eframe::egui_wgpu::RenderState, window: u32) -> Self {
        let loss = listen(&state.device);
        let (adapter, device, queue) = (state.adapter.clone(), state.device.clone(), state.queue.clone());
        Self { adapter, device, queue, loss, window }
    }

    /// Returns wgru's view of the window's device. Each view has its own recorder, so threads with one view each do not
    /// wait for each other.
    ///
    /// # Errors
    /// Errors from wgru.
    pub fn adopt(&self) -> Result<Device> {
        Device::from_wgpu(&self.adapter, self.device.clone(), self.queue.clone())
    }

    /// Whether the device is lost, even if its handler was not called yet.
    pub fn is_lost(&self) -> bool {
        self.loss.reason().is_some() || matches!(self.adopt(), Err(Error::DeviceLost(_)))
    }

    /// Returns the device to train on.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] if the adapter cannot open a second device.
    pub fn compute(&self, place: Place) -> Result<Compute> {
        let host = match place {
            Place::Window => self.clone(),
            Place::Own => {
                let descriptor = wgpu::DeviceDescriptor { label: Some("training"), ..descriptor(&self.adapter) };
                let opened = pollster::block_on(self.adapter.request_device(&descriptor));
                let (device, queue) = opened.map_err(|error| Error::NoAdapter(error.to_string()))?;
                let loss = listen(&device);
                Self { adapter: self.adapter.clone(), device, queue, loss, window: self.window }
            }
        };
        Ok(Compute { device: host.adopt()?, host })
    }
}

fn listen(device: &wgpu::Device) -> Loss {
    let loss = Loss::default();
    device.on_uncaptured_error(Arc::new(|error: wgpu::Error| log::error!("GPU: {error}")));
    let noted = loss.clone();
    device.set_device_lost_callback(move |reason, message| {
        let reason = match message.is_empty() {
            true => format!("{reason:?}"),
            false => format!("{reason:?}: {message}"),
        };
        let _ = noted.0.set(reason);
    });
    loss
}

/// The device to train on.
pub struct Compute {
    pub device: Device,
    host: Host,
}

impl Compute {
    /// Returns a handle that can destroy the device from another thread.
    pub fn fuse(&self) -> Fuse {
        Fuse(self.host.device.clone())
    }

    /// Checks that the device still works.
    ///
    /// # Errors
    /// [`Error::DeviceLost`] if it does not.
    pub fn probe(&self) -> Result<()> {
        match self.device.is_lost() {
            true => Err(Error::DeviceLost(self.reason().unwrap_or("it was destroyed").to_string())),
            false => Ok(()),
        }
    }

    /// Returns the driver's message, once it has reported the loss.
    pub fn reason(&self) -> Option<&str> {
        self.host.loss.reason()
    }
}

/// Destroys a device on purpose.
#[derive(Clone)]
pub struct Fuse(wgpu::Device);

impl Fuse {
    /// Destroys the device, like a driver reset. wgpu then calls the device-lost handler.
    pub fn blow(&self) {
        self.0.destroy();
        let _ = self.0.poll(wgpu::PollType::Poll);
    }
}
