//! Devices adopted from a host application, natively and in browsers.
#![cfg(feature = "gpu")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wgru::{Device, Error, Tensor, wgpu};

struct Host {
    adapter: wgpu::Adapter,
    device: wgpu::Device,
    queue: wgpu::Queue,
    /// Errors that reached the host's error handler.
    errors: Arc<AtomicUsize>,
}

impl Host {
    fn new() -> Option<Self> {
        crate::common::gpu()?;
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
        let adapter = pollster::block_on(instance.request_adapter(&Default::default())).expect("an adapter");
        let (device, queue) = pollster::block_on(adapter.request_device(&Default::default())).expect("a device");
        let errors = Arc::new(AtomicUsize::new(0));
        let counter = errors.clone();
        device.on_uncaptured_error(Arc::new(move |_| _ = counter.fetch_add(1, Ordering::Relaxed)));
        Some(Self { adapter, device, queue, errors })
    }

    fn adopt(&self) -> Device {
        Device::from_wgpu(&self.adapter, self.device.clone(), self.queue.clone()).expect("adopted")
    }
}

/// wgru returns the errors of its own work; the host's handler never sees them, and unrelated work is unaffected.
#[test]
fn errors_are_returned_and_never_reach_the_hosts_handler() {
    let Some(host) = Host::new() else { return };
    let device = host.adopt();
    let (usage, size) = (wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST, 64);
    let buffer =
        host.device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false });
    let x = Tensor::from_wgpu_buffer(&device, buffer.clone(), 0, &[16]).expect("a tensor");
    let y = x.square().expect("recorded");
    buffer.destroy();
    let error = y.read_blocking().expect_err("not computed");
    assert!(matches!(&error, Error::Gpu(text) if text.contains("destroyed")), "{error}");
    let two = Tensor::full(&device, 2.0, &[5]).expect("a tensor");
    assert_eq!(two.square().and_then(|y| y.read_blocking()).expect("the device keeps working"), [4.0; 5]);
    assert_eq!(host.errors.load(Ordering::Relaxed), 0, "errors reported to the host");
}

/// The host's own errors go to its handler, and wgru does not report them.
#[test]
fn host_errors_go_to_the_hosts_handler() {
    let Some(host) = Host::new() else { return };
    let device = host.adopt();
    let descriptor = wgpu::BufferDescriptor {
        label: None,
        size: 4,
        usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::MAP_WRITE,
        mapped_at_creation: false,
    };
    drop(host.device.create_buffer(&descriptor));
    let two = Tensor::full(&device, 2.0, &[5]).expect("a tensor");
    assert_eq!(two.square().and_then(|y| y.read_blocking()).expect("unaffected"), [4.0; 5]);
    assert_eq!(host.errors.load(Ordering::Relaxed), 1, "errors reported to the host");
}
