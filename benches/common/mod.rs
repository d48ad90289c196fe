//! Code shared by the benchmarks: labeled devices, and kernels on random buffers.
#![allow(dead_code, reason = "each benchmark uses only some of these functions")]

use criterion::{BenchmarkGroup, BenchmarkId, measurement::WallTime};
use wgru::kernel::Kernel;
use wgru::kernels::marks::VALID;
use wgru::{CpuOptions, Device, Rng, Tensor};

pub fn cpu(reference: bool, threads: usize) -> Device {
    Device::cpu_with(CpuOptions { reference, threads: Some(threads), isa: None }).expect("CPU device")
}

/// Returns the CPU with one and with two threads, and the adapter if there is one.
pub fn devices() -> Vec<(&'static str, Device)> {
    [("cpu1", cpu(false, 1)), ("cpu2", cpu(false, 2))].into_iter().chain(adapter().map(|d| ("gpu", d))).collect()
}

fn adapter() -> Option<Device> {
    #[cfg(feature = "gpu")]
    return Device::gpu_blocking().inspect_err(|error| eprintln!("skipping the GPU: {error}")).ok();
    #[cfg(not(feature = "gpu"))]
    None
}

/// Times `kernel` on buffers of the lengths it needs: uniform in ±1, with every step valid.
pub fn kernel<const R: usize, const W: usize, K: Kernel<R, W>>(
    group: &mut BenchmarkGroup<WallTime>,
    (label, device): &(&'static str, Device),
    name: &str,
    kernel: &K,
) {
    let mut rng = Rng::new(1);
    let (reads, writes) = kernel.lens();
    let reads: [Tensor; R] = std::array::from_fn(|i| {
        let len = reads[i].max(1);
        match K::INDICES.contains(&K::READS[i]) {
            true => Tensor::from_indices(device, &vec![VALID; len], &[len]),
            false => {
                let values: Vec<f32> = (0..len).map(|_| rng.uniform(-1.0, 1.0)).collect();
                Tensor::from_slice(device, &values, &[len])
            }
        }
        .expect("allocated")
    });
    let writes = writes.map(|len| Tensor::zeros(device, &[len.max(1)]).expect("allocated"));
    group.bench_function(BenchmarkId::new(format!("{label}/{}", K::NAME), name), |b| {
        b.iter(|| {
            device.run(kernel, reads.each_ref(), writes.each_ref()).expect("run");
            device.wait_blocking().expect("done");
        });
    });
}
