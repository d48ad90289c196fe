//! Sharing a device, buffers and command encoders with a host application.

use std::sync::Arc;

use crate::device::{Device, Memory};
use crate::error::{Error, Result};
#[cfg(not(target_arch = "wasm32"))]
use crate::gpu::EncodedWork;
use crate::gpu::{BufferPart, Gpu, GpuOptions, Pacing, wgpu};
use crate::shape::Shape;
use crate::tensor::Tensor;

fn on_cpu(op: &'static str, device: &Device) -> Error {
    Error::value(op, "device", "a GPU", &device.info().name)
}

impl Device {
    /// Adopts a device of the host application. The host's error handlers and device-lost callback stay in place. Work
    /// is paced; see [`Pacing`]. [`requirements`](crate::requirements) returns the features and limits to request the
    /// device with. [`guide::embedding`](crate::guide::embedding) has complete programs.
    ///
    /// Futures of this device complete when the host polls the device or submits to it. If the host does neither for a
    /// while, a thread of this device polls.
    ///
    /// ```no_run
    /// # async fn host(adapter: wgru::wgpu::Adapter, device: wgru::wgpu::Device, queue: wgru::wgpu::Queue) -> wgru::Result<()> {
    /// use wgru::{Device, Tensor};
    /// let device = Device::from_wgpu(&adapter, device, queue)?;
    /// assert_eq!(Tensor::zeros(&device, &[2])?.read().await?, [0.0, 0.0]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::DeviceLost`] for a device that is lost already.
    pub fn from_wgpu(adapter: &wgpu::Adapter, device: wgpu::Device, queue: wgpu::Queue) -> Result<Self> {
        Self::from_wgpu_with(adapter, device, queue, GpuOptions::default())
    }

    /// [`Device::from_wgpu`], with options.
    ///
    /// # Errors
    /// Same as [`Device::from_wgpu`]; [`Error::Value`] for `timestamps` on a device without the feature
    /// `TIMESTAMP_QUERY`.
    pub fn from_wgpu_with(
        adapter: &wgpu::Adapter,
        device: wgpu::Device,
        queue: wgpu::Queue,
        options: GpuOptions,
    ) -> Result<Self> {
        let gpu = Gpu::adopt(adapter, device, queue, &options)?;
        let device = Self::from_gpu(gpu, "adopted from the host application".into());
        if let Some(tuning) = &options.tuning {
            device.set_tuning(tuning);
        }
        Ok(device)
    }

    /// Returns the underlying wgpu device and queue, adopted or our own. `None` on the CPU.
    pub fn wgpu(&self) -> Option<(&wgpu::Device, &wgpu::Queue)> {
        self.as_gpu().map(Gpu::wgpu)
    }

    /// Sets how work is split into submissions from now on. Has no effect on the CPU.
    pub fn set_pacing(&self, pacing: Pacing) {
        if let Some(gpu) = self.as_gpu() {
            gpu.set_pacing(pacing);
        }
    }

    /// Encodes all recorded work into the host's command encoder, so that one submission runs a network and draws
    /// its result. Call [`Tensor::wgpu_buffer`] afterwards to get the buffer of a result, and
    /// [`EncodedWork::submitted`] after `Queue::submit`.
    ///
    /// ```no_run
    /// # fn frame(device: &wgru::Device, gru: &wgru::nn::Gru, x: &wgru::Tensor, encoder: &mut wgru::wgpu::CommandEncoder)
    /// # -> wgru::Result<()> {
    /// use wgru::nn::{Mode, Module};
    /// let y = gru.forward(x)?;
    /// let work = device.encode_into(encoder)?;
    /// let part = y.wgpu_buffer()?;                        // bind it in a render pass of `encoder`
    /// // queue.submit([encoder.finish()]);
    /// work.submitted();
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Value`] on the CPU; [`Error::DeviceLost`]; [`Error::Gpu`] for an encoder of another device.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn encode_into(&self, encoder: &mut wgpu::CommandEncoder) -> Result<EncodedWork> {
        let gpu = self.as_gpu().ok_or_else(|| on_cpu("Device::encode_into", self))?;
        gpu.encode_into(encoder)
    }
}

impl Tensor {
    /// Returns the buffer range that holds the elements, for an application that shares its device
    /// through [`Device::from_wgpu`] and draws from them. Submits the recorded work first; nothing is read back.
    ///
    /// The buffer may be used as STORAGE (in a shader, a row-major `array<f32>`) and COPY_SRC, in work that the
    /// application submits while it holds the tensor. The buffer of a dropped tensor is reused for other tensors.
    ///
    /// # Errors
    /// [`Error::Value`] on the CPU; [`Error::DeviceLost`] or [`Error::Gpu`] from the driver.
    pub fn wgpu_buffer(&self) -> Result<BufferPart> {
        let gpu = self.device().as_gpu().ok_or_else(|| on_cpu("Tensor::wgpu_buffer", self.device()))?;
        gpu.part(self.memory().gpu(), self.len())
    }

    /// Wraps elements in a buffer of the host application as a tensor, without a copy. The host shares its device
    /// through [`Device::from_wgpu`]. `offset` is in bytes. The tensor keeps the buffer alive; the host must not
    /// destroy it.
    ///
    /// Work that is submitted after the host writes to the buffer reads the new elements. Announce such writes
    /// with [`mark_written`](Self::mark_written).
    ///
    /// ```no_run
    /// # fn frame(device: &wgru::Device, microphone: wgru::wgpu::Buffer) -> wgru::Result<()> {
    /// use wgru::Tensor;
    /// let x = Tensor::from_wgpu_buffer(device, microphone, 0, &[64, 8, 16])?;    // at least 32 KiB long
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Shape`] if `dims` is not a valid shape; [`Error::Value`] on the CPU, for a buffer that is too short or
    /// lacks one of the usages STORAGE, COPY_SRC and COPY_DST, and for an offset that is not a multiple of the device's
    /// `min_storage_buffer_offset_alignment`; [`Error::Gpu`] for a buffer of another device.
    pub fn from_wgpu_buffer(device: &Device, buffer: wgpu::Buffer, offset: u64, dims: &[usize]) -> Result<Self> {
        let shape = Shape::new("Tensor::from_wgpu_buffer", dims)?;
        let gpu = device.as_gpu().ok_or_else(|| on_cpu("Tensor::from_wgpu_buffer", device))?;
        let memory = gpu.memory_of_host(buffer, offset, 4 * shape.len() as u64)?;
        Ok(Self::of_host(device, Memory::Gpu(Arc::new(memory)), shape))
    }
}
