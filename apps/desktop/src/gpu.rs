//! Devices: the window's, which wgru adopts, and a second one that only trains
//!
//! Every call of wgru that concerns a host's device is in this file.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use eframe::wgpu;
use wgru::{Device, Error, Result};

use crate::options::Place;

/// How long the driver may take to tell that a device is lost, after a call failed.
const PATIENCE: Duration = Duration::from_secs(2);

/// What to request for a device that wgru is to share: its features and limits, and textures as large as egui wants.
pub fn descriptor(adapter: &wgpu::Adapter) -> wgpu::DeviceDescriptor<'static> {
    let has = adapter.limits();
    wgpu::DeviceDescriptor {
        label: Some("window and training"),
        required_features: adapter.features() & (wgpu::Features::SUBGROUP | wgpu::Features::PIPELINE_CACHE),
        required_limits: wgpu::Limits {
            max_texture_dimension_2d: has.max_texture_dimension_2d.min(8192),
            max_buffer_size: has.max_buffer_size,
            max_storage_buffer_binding_size: has.max_storage_buffer_binding_size,
            ..wgpu::Limits::default()
        },
        ..Default::default()
    }
}

/// Why a device is gone, once it is. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Loss(Arc<OnceLock<String>>);

impl Loss {
    /// The driver's words, or `None` while the device works.
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
    /// Tells the windows apart. wgpu's handles cannot: those of two instances may be equal.
    pub window: u32,
}

impl Host {
    /// The window's device, with handlers that note its loss. wgpu's own handler of errors would end the program.
    pub fn of(state: &eframe::egui_wgpu::RenderState, window: u32) -> Self {
        let loss = listen(&state.device);
        let (adapter, device, queue) = (state.adapter.clone(), state.device.clone(), state.queue.clone());
        Self { adapter, device, queue, loss, window }
    }

    /// wgru's view of the window's device. Each has a recorder of its own, so threads with one each do not wait for
    /// each other.
    ///
    /// # Errors
    /// Those of wgru.
    pub fn adopt(&self) -> Result<Device> {
        Ok(Device::from_wgpu(&self.adapter, self.device.clone(), self.queue.clone()))
    }

    /// What to train on.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] when the adapter gives no second device.
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

/// A device that trains.
pub struct Compute {
    pub device: Device,
    host: Host,
}

impl Compute {
    /// A handle that can destroy the device from another thread.
    pub fn fuse(&self) -> Fuse {
        Fuse(self.host.device.clone())
    }

    /// Paces training: submits an update and waits for it, so that the window's frames find a short queue.
    ///
    /// # Errors
    /// Those of the device.
    pub fn pace(&self) -> Result<()> {
        self.device.wait()
    }

    /// Tries whether the device works.
    ///
    /// # Errors
    /// [`Error::DeviceLost`] when it is gone.
    pub fn probe(&self) -> Result<()> {
        wgru::Tensor::full(&self.device, 1.0, &[1])?.item()?;
        match self.host.loss.reason() {
            Some(why) => Err(Error::DeviceLost(why.to_string())),
            None => Ok(()),
        }
    }

    /// Whether a call failed with `error` because the device is gone, and why it is. Drivers may tell a moment later.
    pub fn loss(&self, error: &Error) -> Option<String> {
        if let Error::DeviceLost(why) = error {
            return Some(self.host.loss.reason().unwrap_or(why).to_string());
        }
        let since = Instant::now();
        while matches!(error, Error::Gpu(_)) && self.host.loss.reason().is_none() && since.elapsed() < PATIENCE {
            let _ = self.host.device.poll(wgpu::PollType::Poll);
            std::thread::sleep(Duration::from_millis(10));
        }
        self.host.loss.reason().map(String::from)
    }
}

/// Destroys a device on purpose.
#[derive(Clone)]
pub struct Fuse(wgpu::Device);

impl Fuse {
    /// Destroys it, as a driver that resets the GPU would. wgpu then calls the handler of the loss.
    pub fn blow(&self) {
        self.0.destroy();
        let _ = self.0.poll(wgpu::PollType::Poll);
    }
}
