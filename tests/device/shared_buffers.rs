//! A host application draws from a tensor's buffer on its own device, without a readback.
#![cfg(feature = "gpu")]

use wgru::nn::{Mode, RecurrentConfig, RunOptions};
use wgru::{Device, Error, Rng, Tensor, wgpu};

/// Returns the content of a tensor's buffer range, copied with commands that the host records itself.
fn copied(device: &wgpu::Device, queue: &wgpu::Queue, tensor: &Tensor) -> Vec<f32> {
    let part = tensor.wgpu_buffer().expect("a buffer");
    assert_eq!(part.bytes, 4 * tensor.len() as u64);
    let size = part.bytes;
    let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
    let own = device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false });
    let mut encoder = device.create_command_encoder(&Default::default());
    encoder.copy_buffer_to_buffer(&part.buffer, part.offset, &own, 0, size);
    queue.submit([encoder.finish()]);
    own.slice(..).map_async(wgpu::MapMode::Read, |result| result.expect("mapped"));
    device.poll(wgpu::PollType::wait_indefinitely()).expect("polled");
    let view = own.slice(..).get_mapped_range().expect("a range");
    view.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

#[test]
fn gates_are_shared_without_a_readback() {
    if crate::common::gpu().is_none() {
        return eprintln!("SKIPPED: no adapter");
    }
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapter = pollster::block_on(instance.request_adapter(&Default::default())).expect("an adapter");
    let (raw, queue) = pollster::block_on(adapter.request_device(&Default::default())).expect("a device");
    let device = Device::from_wgpu(&adapter, raw.clone(), queue.clone()).expect("adopted");

    let config = RecurrentConfig { bidirectional: true, ..RecurrentConfig::gru(3, 7) };
    let gru = config.build(&device, &mut Rng::new(2)).expect("gru");
    let x = Tensor::from_slice(&device, &crate::common::fill(1, 5 * 2 * 3, 1.0), &[5, 2, 3]).expect("x");
    let options = RunOptions { gates: true, ..RunOptions::default() };
    let run = gru.run(&x, options, &mut Mode::Eval).expect("run");
    let gates: Vec<&Tensor> = run.gates[0].iter().map(|(_, gate)| gate).collect();
    assert_eq!(gates.len(), 3);
    assert!(device.pending() > 0, "nothing is submitted before the buffer is asked for");
    let drawn: Vec<Vec<f32>> = gates.iter().map(|gate| copied(&raw, &queue, gate)).collect();
    assert_eq!(device.pending(), 0);
    for (got, gate) in drawn.iter().zip(&gates) {
        assert_eq!(*got, gate.read_blocking().expect("read"));
    }
    assert!(drawn[1].iter().all(|&z| z > 0.0 && z < 1.0) && drawn[0] != drawn[1]);
}

#[test]
fn the_cpu_has_no_buffers() {
    let error = Tensor::zeros(&Device::cpu(), &[2]).expect("zeros").wgpu_buffer().err();
    assert!(matches!(error, Some(Error::Value { arg: "device", .. })), "{error:?}");
}
