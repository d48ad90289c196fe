//! wgru as a guest on a host application's device: errors are returned by the call that caused them, polling never
//! blocks, and the host's buffers are used in place.
#![cfg(all(feature = "gpu", not(target_arch = "wasm32")))]

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use wgru::nn::{Conv1dConfig, Linear, Mode, Module, RecurrentConfig, RunOptions};
use wgru::{Device, Error, GpuOptions, Pacing, Result, Rng, Tensor, requirements, wgpu};

use crate::common::fill;

/// A host application with its own device.
struct Host {
    adapter: wgpu::Adapter,
    device: wgpu::Device,
    queue: wgpu::Queue,
}

impl Host {
    /// Returns `None` if there is no adapter.
    fn new() -> Option<Self> {
        Self::with(wgpu::Limits::default())
    }

    fn with(required_limits: wgpu::Limits) -> Option<Self> {
        crate::common::gpu()?;
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
        let adapter = pollster::block_on(instance.request_adapter(&Default::default())).expect("an adapter");
        let descriptor = wgpu::DeviceDescriptor { required_limits, ..Default::default() };
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).expect("a device");
        Some(Self { adapter, device, queue })
    }

    fn adopt(&self) -> Device {
        Device::from_wgpu(&self.adapter, self.device.clone(), self.queue.clone()).expect("adopted")
    }

    /// Submits GPU work of about this many milliseconds as the host.
    fn keep_busy(&self, milliseconds: u64) {
        let shader = "@group(0) @binding(0) var<storage, read_write> a: array<f32>;
            @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
                var s = a[id.x];
                for (var i = 0u; i < 2000u; i++) { s = s * 0.9999 + sin(s); }
                a[id.x] = s;
            }";
        let source = wgpu::ShaderSource::Wgsl(shader.into());
        let module = self.device.create_shader_module(wgpu::ShaderModuleDescriptor { label: None, source });
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: None,
            layout: None,
            module: &module,
            entry_point: Some("main"),
            compilation_options: Default::default(),
            cache: None,
        });
        let usage = wgpu::BufferUsages::STORAGE;
        let size = 4 * 65_536;
        let buffer =
            self.device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false });
        let group = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &pipeline.get_bind_group_layout(0),
            entries: &[wgpu::BindGroupEntry { binding: 0, resource: buffer.as_entire_binding() }],
        });
        let submit = |times: u64| {
            let mut encoder = self.device.create_command_encoder(&Default::default());
            let mut pass = encoder.begin_compute_pass(&Default::default());
            pass.set_pipeline(&pipeline);
            pass.set_bind_group(0, &group, &[]);
            (0..times).for_each(|_| pass.dispatch_workgroups(1024, 1, 1));
            drop(pass);
            self.queue.submit([encoder.finish()]);
        };
        // Measures one dispatch.
        let start = Instant::now();
        submit(1);
        self.device.poll(wgpu::PollType::wait_indefinitely()).expect("polled");
        let one = start.elapsed().as_micros().max(1) as u64;
        submit((1000 * milliseconds / one).max(1));
    }
}

macro_rules! host {
    ($host:expr) => {
        match $host {
            Some(host) => host,
            None => return eprintln!("SKIPPED: no adapter"),
        }
    };
}

fn linear(device: &Device) -> Linear {
    Linear::new(device, 3, 2, true, &mut Rng::new(1)).expect("linear")
}

/// Runs a module on ones and reads the result.
fn run(module: &dyn Module, dims: &[usize]) -> Result<Vec<f32>> {
    let device = module.parameters()[0].1.device().clone();
    module.forward(&Tensor::full(&device, 1.0, dims)?)?.read_blocking()
}

// Faults.

#[test]
fn out_of_memory_fails_the_call_and_the_device_keeps_working() {
    const CHILD: &str = "WGRU_TEST_OUT_OF_MEMORY";
    if std::env::var(CHILD).is_err() {
        if !cfg!(target_os = "linux") || crate::common::gpu().is_none() {
            return eprintln!("SKIPPED: needs an adapter, and a shell that limits memory");
        }
        let this = std::env::current_exe().expect("this test");
        let name = "guest::out_of_memory_fails_the_call_and_the_device_keeps_working";
        let script = format!("ulimit -v 4000000; exec '{}' --exact {name} --nocapture", this.display());
        let run = std::process::Command::new("bash")
            .args(["-c", &script])
            .env(CHILD, "1")
            .env("RUST_BACKTRACE", "0")
            .output()
            .expect("bash");
        let (text, faults) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
        return assert!(run.status.success() && text.contains("1 passed"), "{}: {text}{faults}", run.status);
    }
    for device in [Device::gpu_blocking().expect("a device"), Host::new().expect("an adapter").adopt()] {
        let healthy = linear(&device);
        let want = run(&healthy, &[4, 3]).expect("works");
        let large = || Tensor::zeros(&device, &[28 << 20]);
        for round in 0..2 {
            let mut kept = Vec::new();
            let error = loop {
                match large() {
                    Ok(tensor) => kept.push(tensor),
                    Err(error) => break error,
                }
            };
            let (count, again) = (kept.len(), large().err());
            // Dropped before the assertions, since a failed assertion needs memory, too.
            drop(kept);
            assert!(matches!(error, Error::OutOfMemory { op: "Tensor::full" }), "round {round}: {error}");
            assert!(count > 3, "{count} tensors");
            assert!(matches!(again, Some(Error::OutOfMemory { .. })), "round {round}: {again:?} after the error");
            // Recycled buffers are freed when a buffer of a different size needs the memory.
            let other = Tensor::full(&device, 1.0, &[30 << 20]).and_then(|t| t.sum()).and_then(|t| t.item_blocking());
            assert_eq!(other.expect("freed"), (30 << 20) as f32);
            assert_eq!(run(&healthy, &[4, 3]).expect("works on"), want);
        }
    }
}

/// Lowers each limit that a layer can exceed, one at a time, below the needs of some layers.
#[test]
fn a_limit_that_is_too_low_fails_only_the_calls_that_exceed_it() {
    type Lower = fn(&mut wgpu::Limits);
    let lowered: [(&str, Lower); 9] = [
        ("maxStorageBuffersPerShaderStage", |l| l.max_storage_buffers_per_shader_stage = 4),
        ("maxBindingsPerBindGroup", |l| l.max_bindings_per_bind_group = 5),
        ("maxUniformBufferBindingSize", |l| l.max_uniform_buffer_binding_size = 64),
        ("maxComputeWorkgroupStorageSize", |l| l.max_compute_workgroup_storage_size = 512),
        ("maxComputeInvocationsPerWorkgroup", |l| l.max_compute_invocations_per_workgroup = 64),
        ("maxComputeWorkgroupSizeX", |l| l.max_compute_workgroup_size_x = 64),
        ("maxComputeWorkgroupsPerDimension", |l| l.max_compute_workgroups_per_dimension = 2),
        ("maxStorageBufferBindingSize", |l| l.max_storage_buffer_binding_size = 4096),
        ("maxBufferSize", |l| (l.max_buffer_size, l.max_storage_buffer_binding_size) = (65_536, 65_536)),
    ];
    let mut refusals = 0;
    for (name, lower) in lowered {
        let mut limits = wgpu::Limits::default();
        lower(&mut limits);
        let host = host!(Host::with(limits));
        let device = host.adopt();
        let healthy = linear(&device);
        let want = run(&healthy, &[4, 3]);
        let rng = &mut Rng::new(0);
        type Make<'a> = &'a mut dyn FnMut() -> Result<Box<dyn Module>>;
        let dims: [&[usize]; 4] = [&[40, 3, 16], &[40, 3, 16], &[400, 160], &[40, 2, 16]];
        let (mut a, mut b, mut c, mut d) = (rng.clone(), rng.clone(), rng.clone(), rng.clone());
        let layers: [Make; 4] = [
            &mut || Ok(Box::new(RecurrentConfig::gru(16, 80).build(&device, &mut a)?)),
            &mut || Ok(Box::new(RecurrentConfig::lstm(16, 48).build(&device, &mut b)?)),
            &mut || Ok(Box::new(Linear::new(&device, 160, 40, true, &mut c)?)),
            &mut || {
                let config = Conv1dConfig { input: 16, output: 8, kernel: 3, ..Default::default() };
                Ok(Box::new(config.build(&device, &mut d)?))
            },
        ];
        for (layer, dims) in layers.into_iter().zip(dims) {
            for _ in 0..3 {
                match layer().and_then(|layer| run(&*layer, dims)) {
                    Ok(values) => assert!(values.iter().all(|v| v.is_finite())),
                    Err(Error::Limit { limit, needed, allowed, .. }) => {
                        let is_lowered =
                            limit == name || name == "maxBufferSize" && limit == "maxStorageBufferBindingSize";
                        assert!(is_lowered && needed > allowed, "{name} lowered: {limit} {needed} {allowed}");
                        refusals += 1;
                    }
                    Err(error) => panic!("{name} lowered: {error}"),
                }
            }
            // A layer that fits keeps working, on two threads.
            thread::scope(|scope| {
                (0..2).for_each(|_| {
                    _ = scope.spawn(|| match (run(&healthy, &[4, 3]), &want) {
                        (Ok(got), Ok(want)) => assert_eq!(got, *want),
                        (Err(Error::Limit { limit, .. }), Err(_)) => assert_eq!(limit, name),
                        (got, want) => panic!("{name} lowered: {got:?}, before {want:?}"),
                    });
                });
            });
            assert_eq!(healthy.parameters()[0].1.read_blocking().expect("weights can be saved").len(), 6, "{name}");
        }
    }
    assert!(refusals >= 15, "only {refusals} calls were refused: the limits were not low enough");
}

#[test]
fn errors_are_returned_to_the_call_and_thread_that_caused_them() {
    let limits = wgpu::Limits { max_storage_buffers_per_shader_stage: 4, ..Default::default() };
    let host = host!(Host::with(limits));
    let device = host.adopt();
    let gru = RecurrentConfig::gru(3, 8).build(&device, &mut Rng::new(0)).expect("gru");
    thread::scope(|scope| {
        let failing = scope.spawn(|| (0..50).all(|_| matches!(run(&gru, &[4, 2, 3]), Err(Error::Limit { .. }))));
        for i in 0..50 {
            let x = Tensor::full(&device, i as f32, &[70]).and_then(|x| x.square()).and_then(|x| x.read_blocking());
            assert_eq!(x.expect("not the error of another thread"), [(i * i) as f32; 70]);
        }
        assert!(failing.join().expect("no panic"));
    });
}

/// If the host destroys the buffer of a tensor, only the work on that tensor fails; other recorded work runs.
#[test]
fn a_destroyed_host_buffer_fails_only_its_own_work() {
    let host = host!(Host::new());
    let device = host.adopt();
    let (usage, size) = (wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST, 64);
    let buffer =
        host.device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false });
    let x = Tensor::from_wgpu_buffer(&device, buffer.clone(), 0, &[16]).expect("a tensor");
    let before = Tensor::full(&device, 3.0, &[5]).and_then(|t| t.square()).expect("recorded");
    let y = x.square().expect("recorded");
    let z = y.square().expect("recorded");
    let after = before.square().expect("recorded");
    buffer.destroy();
    assert_eq!(after.read_blocking().expect("beside it"), [81.0; 5]);
    for tensor in [&y, &z] {
        let error = tensor.read_blocking().expect_err("not computed");
        assert!(matches!(&error, Error::Gpu(text) if text.contains("destroyed")), "{error}");
    }
    assert_eq!(before.read_blocking().expect("read"), [9.0; 5]);
}

#[test]
fn two_devices_of_one_adapter_have_numbers_in_messages() {
    let host = host!(Host::new());
    let (a, b) = (host.adopt(), host.adopt());
    let error = Tensor::zeros(&a, &[2]).and_then(|x| x.add(&Tensor::zeros(&b, &[2])?)).expect_err("two devices");
    let Error::DeviceMix { expected, got, .. } = error else { panic!("{error}") };
    assert!(expected != got && got.contains("device "), "{expected}, {got}");
}

// Loss.

#[test]
fn every_call_reports_a_lost_device() {
    for is_own in [false, true] {
        let host = host!(Host::new());
        let seen = Arc::new(AtomicUsize::new(0));
        let (lost, uncaptured) = (seen.clone(), seen.clone());
        host.device.set_device_lost_callback(move |_, _| _ = lost.fetch_add(1, Ordering::Relaxed));
        host.device.on_uncaptured_error(Arc::new(move |_| _ = uncaptured.fetch_add(1000, Ordering::Relaxed)));
        let device = if is_own { Device::gpu_blocking().expect("a device") } else { host.adopt() };
        assert!(!device.is_lost());
        let layer = linear(&device);
        run(&layer, &[4, 3]).expect("works");
        let pending = Tensor::zeros(&device, &[4]).expect("recorded");
        device.wgpu().expect("a GPU").0.destroy();
        let is_lost = |result: Result<()>| assert!(matches!(result, Err(Error::DeviceLost(_))), "{result:?} {is_own}");
        is_lost(device.flush());
        is_lost(device.wait_blocking());
        is_lost(Tensor::zeros(&device, &[4]).map(drop));
        is_lost(Tensor::from_slice(&device, &[1.0], &[1]).map(drop));
        is_lost(layer.parameters()[0].1.assign(&[0.0; 6]));
        is_lost(pending.read_blocking().map(drop));
        is_lost(pollster::block_on(pending.read()).map(drop));
        is_lost(pending.square().map(drop));
        is_lost(run(&layer, &[4, 3]).map(drop));
        is_lost(pending.wgpu_buffer().map(drop));
        is_lost(device.bind::<0, 1, wgru::kernels::Fill>(0, [], [&pending]).map(drop));
        assert!(device.is_lost());
        if !is_own {
            is_lost(Device::from_wgpu(&host.adapter, host.device.clone(), host.queue.clone()).map(drop));
            // The host's callbacks stay in place: they get one device loss and no error.
            host.device.poll(wgpu::PollType::Poll).expect("polled");
            assert_eq!(seen.load(Ordering::Relaxed), 1);
        }
    }
}

// Reading.

/// Counts wake-ups.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn polling_a_read_never_blocks_nor_runs_the_hosts_callbacks() {
    let host = host!(Host::new());
    let device = host.adopt();
    let x = Tensor::full(&device, 3.0, &[100]).and_then(|x| x.square()).expect("recorded");
    host.keep_busy(1500);
    let thread = Arc::new(Mutex::new(None));
    let seen = thread.clone();
    host.queue.on_submitted_work_done(move || *seen.lock().expect("no panic") = Some(thread::current().id()));

    let (mut future, start) = (pin!(x.read()), Instant::now());
    let woken = Arc::new(Count::default());
    let waker = Waker::from(woken.clone());
    let (mut slowest, mut polls) = (Duration::ZERO, 0);
    let values = loop {
        let begin = Instant::now();
        let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
        slowest = slowest.max(begin.elapsed());
        polls += 1;
        if let Poll::Ready(values) = polled {
            break values;
        }
        host.device.poll(wgpu::PollType::Poll).expect("polled");
        thread::sleep(Duration::from_millis(2));
        assert!(start.elapsed() < Duration::from_secs(30), "never ready");
    };
    assert_eq!(values.expect("read"), [9.0; 100]);
    assert!(start.elapsed() > Duration::from_millis(300) && polls > 100, "no delay by the host: {polls} polls");
    assert!(slowest < Duration::from_millis(100), "a poll took {slowest:?}");
    println!("slowest of {polls} polls: {slowest:?}");
    assert_eq!(*thread.lock().expect("no panic"), Some(thread::current().id()), "the callback ran on another thread");
    assert!(woken.0.load(Ordering::Relaxed) >= 1, "the future was never woken");
}

#[test]
fn reads_complete_where_the_host_does_not_poll() {
    let host = host!(Host::new());
    for device in [host.adopt(), Device::gpu_blocking().expect("a device")] {
        for i in 0..20 {
            let x = Tensor::full(&device, i as f32, &[10]).and_then(|x| x.square()).expect("recorded");
            let y = x.square().expect("recorded");
            let values = pollster::block_on(Tensor::read_all(&[&x, &y, &x])).expect("read");
            let (a, b) = ((i * i) as f32, (i * i * i * i) as f32);
            assert_eq!(values, [vec![a; 10], vec![b; 10], vec![a; 10]]);
        }
    }
}

// Pacing.

/// Returns losses and weights after some updates.
fn train(device: &Device) -> Vec<f32> {
    use wgru::train::{HostData, Optimizer, TrainOptions, Trainer, loss};
    let gru = RecurrentConfig { layers: 2, batch_first: true, ..RecurrentConfig::gru(3, 24) };
    let gru = gru.build(device, &mut Rng::new(0)).expect("gru");
    let data = HostData::new(device, fill(1, 40 * 9 * 3, 1.0), &[9, 3])
        .and_then(|data| data.with_targets(fill(2, 40 * 9 * 24, 0.5), &[9, 24]));
    let optimizer = Optimizer::adam(gru.parameters(), 1e-2).expect("adam");
    let options = TrainOptions { epochs: 3, batch: 8, ..Default::default() };
    let mut trainer = Trainer::new(optimizer, options, Rng::new(3));
    let data = data.expect("data");
    let history = trainer.fit_blocking(&gru, &data, None, loss::mse);
    let weights = gru.parameters().into_iter().flat_map(|(_, w)| w.read_blocking().expect("read"));
    history.expect("trained").loss.into_iter().chain(weights).collect()
}

#[test]
fn pacing_does_not_change_the_bits() {
    let host = host!(Host::new());
    let with = |pacing: Pacing| {
        let options = GpuOptions { pacing, ..Default::default() };
        let adopted = Device::from_wgpu_with(&host.adapter, host.device.clone(), host.queue.clone(), options);
        train(&adopted.expect("adopted")).iter().map(|v| v.to_bits()).collect::<Vec<_>>()
    };
    let want = with(Pacing::Off);
    assert_eq!(with(Pacing::Auto), want);
    assert_eq!(with(Pacing::Slice(Duration::from_micros(1))), want, "one dispatch a submission");
    assert_eq!(with(Pacing::Slice(Duration::from_millis(50))), want);
}

#[test]
fn work_whose_results_are_dropped_is_not_submitted() {
    let host = host!(Host::new());
    let device = host.adopt();
    let gru = RecurrentConfig::gru(8, 64).build(&device, &mut Rng::new(0)).expect("gru");
    let x = Tensor::from_slice(&device, &fill(1, 64 * 8 * 8, 1.0), &[64, 8, 8]).expect("x");
    let y = || gru.run(&x, RunOptions::default(), &mut Mode::Eval).expect("run").output;
    let want = y().read_blocking().expect("read");
    device.set_pacing(Pacing::Off);
    let time = |results: usize| {
        let start = Instant::now();
        let kept: Vec<_> = (0..20).map(|_| y()).collect::<Vec<_>>().into_iter().take(results).collect();
        device.wait_blocking().expect("done");
        drop(kept);
        start.elapsed()
    };
    let (none, all) = (time(0), time(20));
    assert!(none < all / 3, "{none:?} with dropped results, {all:?} with kept ones");
    // A dropped result is computed if a kept one depends on it.
    let sum = y().square().and_then(|y| y.sum()).expect("recorded");
    let expected: f32 = want.iter().map(|v| v * v).sum();
    assert!((sum.item_blocking().expect("read") - expected).abs() < 1e-2 * expected);
    // Of two results of each run, only the output is kept.
    let outputs: Vec<_> = (0..4).map(|_| y()).collect();
    assert_eq!(outputs[3].read_blocking().expect("read"), want);
}

#[test]
fn cancelled_work_is_undefined_until_it_is_written_again() {
    let host = host!(Host::new());
    let device = host.adopt();
    let kept = Tensor::full(&device, 2.0, &[4]).expect("recorded");
    device.flush().expect("submitted");
    let y = kept.square().expect("recorded");
    device.cancel();
    assert_eq!(device.pending(), 0);
    assert!(matches!(y.read_blocking(), Err(Error::Stopped(_))));
    assert!(matches!(y.square(), Err(Error::Stopped(_))));
    assert_eq!(kept.read_blocking().expect("was submitted"), [2.0; 4]);
    y.assign(&[1.0, 2.0, 3.0, 4.0]).expect("written");
    assert_eq!(y.square().and_then(|y| y.read_blocking()).expect("defined again"), [1.0, 4.0, 9.0, 16.0]);
}

/// After preparation the first run compiles nothing, so it takes less time than the preparation.
#[test]
fn preparation_compiles_without_computing() {
    use wgru::train::{HostData, Optimizer, TrainOptions, Trainer, loss};
    let host = host!(Host::new());
    let device = host.adopt();
    let config = RecurrentConfig { batch_first: true, ..RecurrentConfig::gru(3, 24) };
    let gru = config.build(&device, &mut Rng::new(0)).expect("gru");
    let x = Tensor::zeros(&device, &[2, 9, 3]).expect("x");
    let before = gru.parameters().iter().map(|(_, p)| p.read_blocking().expect("read")).collect::<Vec<_>>();
    let time = |act: &mut dyn FnMut()| {
        let start = Instant::now();
        act();
        start.elapsed()
    };
    // From another thread, as an application would.
    let prepared = thread::scope(|scope| {
        scope.spawn(|| time(&mut || wgru::nn::prepare(&gru, &x).expect("prepared"))).join().expect("no panic")
    });
    let first = time(&mut || _ = run(&gru, &[2, 9, 3]).expect("run"));
    println!("prepared in {prepared:?}, first run {first:?}");
    assert!(first < prepared, "{prepared:?} prepared, {first:?} for the first run");

    let data = HostData::new(&device, fill(1, 8 * 9 * 3, 1.0), &[9, 3])
        .and_then(|data| data.with_targets(fill(2, 8 * 9 * 24, 0.5), &[9, 24]));
    let optimizer = Optimizer::adam(gru.parameters(), 1e-2).expect("adam");
    let options = TrainOptions { clip_norm: Some(1.0), ..Default::default() };
    let trainer = Trainer::new(optimizer, options, Rng::new(3));
    trainer.prepare(&gru, &data.expect("data"), loss::mse).expect("prepared");
    assert!(gru.parameters().iter().all(|(_, p)| p.grad().is_none()), "a gradient was left");
    let after = gru.parameters().iter().map(|(_, p)| p.read_blocking().expect("read")).collect::<Vec<_>>();
    assert_eq!(after, before);
}

/// A runtime can move a training future between threads.
#[test]
fn futures_of_training_and_reading_are_send() {
    use std::ops::ControlFlow;
    use wgru::train::{HostData, Optimizer, TrainOptions, Trainer, loss};
    fn on_another_thread<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> T {
        thread::spawn(move || pollster::block_on(future)).join().expect("no panic")
    }
    let host = host!(Host::new());
    for device in [host.adopt(), Device::cpu()] {
        let loss = on_another_thread(async move {
            let config = RecurrentConfig { batch_first: true, ..RecurrentConfig::gru(3, 8) };
            let gru = config.build(&device, &mut Rng::new(0))?;
            let data = HostData::new(&device, fill(1, 8 * 9 * 3, 1.0), &[9, 3])?;
            let data = data.with_targets(fill(2, 8 * 9 * 8, 0.5), &[9, 8])?;
            let optimizer = Optimizer::adam(gru.parameters(), 1e-2)?;
            let mut trainer = Trainer::new(optimizer, TrainOptions { epochs: 2, ..Default::default() }, Rng::new(3));
            trainer.on_progress(|_, _| ControlFlow::Continue(()));
            trainer.fit(&gru, &data, None, loss::mse).await?;
            trainer.options_mut().epochs = 3;
            let history = trainer
                .fit_with(&data, Some(&data), |batch, mode| {
                    loss::mse(&gru.forward_with(batch.x(), mode)?, batch.targets())
                })
                .await?;
            trainer.options_mut().epochs = 4;
            let mut training = trainer.start(&gru, &data, None, loss::mse)?;
            while training.next().await?.is_some() {}
            training.finish().await?;
            assert!(trainer.evaluate(&gru, &data, loss::mse).await?.is_finite());
            let weights = gru.parameters()[0].1.read().await?;
            assert_eq!(weights.len(), 72);
            Ok::<_, Error>(history.loss)
        });
        assert_eq!(loss.expect("trained").len(), 1);
    }
}

// The host's frame.

fn buffer(host: &Host, size: u64) -> wgpu::Buffer {
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
    host.device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
}

#[test]
fn host_buffers_become_tensors_without_a_copy() {
    let host = host!(Host::new());
    let device = host.adopt();
    let gru = RecurrentConfig::gru(4, 8).build(&device, &mut Rng::new(0)).expect("gru");
    let (first, second) = (fill(1, 5 * 2 * 4, 1.0), fill(2, 5 * 2 * 4, 1.0));
    let run = |x: &Tensor| gru.forward(x).and_then(|y| y.read_blocking()).expect("run");
    let want = [&first, &second].map(|v| run(&Tensor::from_slice(&device, v, &[5, 2, 4]).expect("x")));

    let own = buffer(&host, 1024);
    let x = Tensor::from_wgpu_buffer(&device, own.clone(), 256, &[5, 2, 4]).expect("a tensor");
    // The first run creates buffers that later runs reuse.
    run(&x);
    x.read_blocking().expect("read");
    let (live, made) = (device.memory_use().live, device.buffers_made());
    for (values, want) in [&first, &second].into_iter().zip(&want) {
        host.queue.write_buffer(&own, 256, bytemuck::cast_slice(values));
        assert_eq!(run(&x), *want);
        assert_eq!(x.read_blocking().expect("read"), *values);
    }
    assert_eq!((device.memory_use().live, device.buffers_made()), (live, made), "something was copied");
    let part = x.wgpu_buffer().expect("a part");
    assert_eq!((part.offset, part.bytes), (256, 160));
    x.assign(&first).expect("written");
    assert_eq!(x.read_blocking().expect("read"), first);
    // Invalid arguments.
    let from = |buffer: &wgpu::Buffer, offset, dims: &[usize]| {
        Tensor::from_wgpu_buffer(&device, buffer.clone(), offset, dims).map(drop)
    };
    assert!(matches!(from(&own, 4, &[4]), Err(Error::Value { arg: "offset", .. })));
    assert!(matches!(from(&own, 512, &[129]), Err(Error::Value { arg: "buffer", .. })));
    assert!(matches!(from(&own, u64::MAX - 255, &[4]), Err(Error::Value { .. })));
    let usage = wgpu::BufferUsages::STORAGE;
    let bare =
        host.device.create_buffer(&wgpu::BufferDescriptor { label: None, size: 64, usage, mapped_at_creation: false });
    assert!(matches!(from(&bare, 0, &[4]), Err(Error::Value { arg: "buffer", .. })));
    let (other, queue) = pollster::block_on(host.adapter.request_device(&Default::default())).expect("a device");
    let foreign = buffer(&Host { adapter: host.adapter.clone(), device: other, queue }, 64);
    assert!(matches!(from(&foreign, 0, &[4]), Err(Error::Gpu(_))));
    let error = Tensor::from_wgpu_buffer(&Device::cpu(), own, 0, &[4]).expect_err("the CPU");
    assert!(matches!(error, Error::Value { arg: "device", .. }), "{error}");
    assert_eq!(run(&x), want[0], "the device keeps working");
}

#[test]
fn announced_writes_repack_the_weights() {
    let host = host!(Host::new());
    let device = host.adopt();
    let gru = RecurrentConfig::gru(4, 8).build(&device, &mut Rng::new(0)).expect("gru");
    let x = Tensor::from_slice(&device, &fill(1, 5 * 2 * 4, 1.0), &[5, 2, 4]).expect("x");
    let run = || gru.forward(&x).and_then(|y| y.read_blocking()).expect("run");
    let before = run();
    let (_, weights) = gru.parameters().into_iter().find(|(name, _)| name == "weight_hh_l0").expect("there");
    let part = weights.wgpu_buffer().expect("a part");
    let values = fill(9, weights.len(), 0.5);
    host.queue.write_buffer(&part.buffer, part.offset, bytemuck::cast_slice(&values));
    weights.mark_written();
    let after = run();
    assert_ne!(after, before);
    weights.assign(&values).expect("assigned");
    assert_eq!(run(), after);
}

/// One command buffer and one submission hold the network and the host's own work on its result.
#[test]
fn work_is_recorded_into_the_hosts_encoder() {
    let host = host!(Host::new());
    let device = host.adopt();
    let gru = RecurrentConfig::gru(4, 8).build(&device, &mut Rng::new(0)).expect("gru");
    let values = fill(1, 5 * 2 * 4, 1.0);
    let want = {
        let x = Tensor::from_slice(&device, &values, &[5, 2, 4]).expect("x");
        gru.forward(&x).and_then(|y| y.read_blocking()).expect("run")
    };
    let drawn = buffer(&host, 4 * want.len() as u64);
    for _ in 0..3 {
        let x = Tensor::from_slice(&device, &values, &[5, 2, 4]).expect("x");
        let y = gru.forward(&x).expect("recorded");
        drop(x);
        let mut encoder = host.device.create_command_encoder(&Default::default());
        let work = device.encode_into(&mut encoder).expect("encoded");
        assert_eq!(device.pending(), 0);
        let part = y.wgpu_buffer().expect("a part");
        encoder.copy_buffer_to_buffer(&part.buffer, part.offset, &drawn, 0, part.bytes);
        // Work between encoding and submission does not reuse buffers that the encoder needs.
        let between = Tensor::full(&device, 7.0, &[80]).and_then(|t| t.square()).and_then(|t| t.read_blocking());
        assert_eq!(between.expect("read"), [49.0; 80]);
        let early = y.read_blocking().expect_err("not submitted yet");
        assert!(early.to_string().contains("submitted()"), "{early}");
        host.queue.submit([encoder.finish()]);
        work.submitted();
        assert_eq!(y.read_blocking().expect("read"), want);
        let shown = Tensor::from_wgpu_buffer(&device, drawn.clone(), 0, &[want.len()]).and_then(|t| t.read_blocking());
        assert_eq!(shown.expect("read"), want);
        drop(y);
    }
    // The host drops the encoder.
    let y = Tensor::full(&device, 1.0, &[3]).expect("recorded");
    let mut encoder = host.device.create_command_encoder(&Default::default());
    drop(device.encode_into(&mut encoder).expect("encoded"));
    drop(encoder);
    assert!(matches!(y.read_blocking(), Err(Error::Stopped(_))));
    assert_eq!(Tensor::full(&device, 1.0, &[3]).and_then(|t| t.read_blocking()).expect("works on"), [1.0; 3]);
}

// Requirements.

#[test]
fn a_device_with_the_minimum_requirements_runs_everything() {
    let host = host!(Host::new());
    let needs = requirements(&host.adapter);
    assert!(needs.best.limits.max_buffer_size >= needs.least.limits.max_buffer_size);
    assert!(needs.least.features.is_empty() && needs.best.limits.max_texture_dimension_2d <= 2048);
    let want = train(&host.adopt());
    for needs in [needs.least, needs.best] {
        let descriptor = wgpu::DeviceDescriptor {
            required_features: needs.features,
            required_limits: needs.limits,
            ..Default::default()
        };
        let (device, queue) = pollster::block_on(host.adapter.request_device(&descriptor)).expect("a device");
        let got = train(&Device::from_wgpu(&host.adapter, device, queue).expect("adopted"));
        let want: Vec<f64> = want.iter().map(|&v| v.into()).collect();
        crate::common::assert_close("trained on it", &got, &want, 1e-3);
    }
    let timed = GpuOptions { timestamps: true, ..Default::default() };
    let refused = Device::from_wgpu_with(&host.adapter, host.device.clone(), host.queue.clone(), timed);
    assert!(matches!(refused, Err(Error::Value { arg: "timestamps", .. })));
}

// Regressions found by code review.

/// The host sees a write to its buffer even if the tensor has been dropped by then.
#[test]
fn writes_to_a_buffer_of_the_host_outlive_the_tensor() {
    let host = host!(Host::new());
    let device = host.adopt();
    let own = buffer(&host, 64);
    let tensor = || Tensor::from_wgpu_buffer(&device, own.clone(), 0, &[16]).expect("a tensor");
    tensor().assign(&[5.0; 16]).expect("recorded");
    device.flush().expect("submitted");
    assert_eq!(tensor().read_blocking().expect("read"), [5.0; 16]);
}

/// A layer repacks its weights after the work that packed them was cancelled or its encoder was dropped.
#[test]
fn cancelled_work_does_not_disable_a_layer() {
    let host = host!(Host::new());
    let device = host.adopt();
    let gru = RecurrentConfig::gru(3, 8).build(&device, &mut Rng::new(0)).expect("gru");
    let want = {
        let other = RecurrentConfig::gru(3, 8);
        run(&other.build(&device, &mut Rng::new(0)).expect("gru"), &[4, 2, 3]).expect("run")
    };
    device.flush().expect("weights are there");
    let recorded = gru.forward(&Tensor::full(&device, 1.0, &[4, 2, 3]).expect("x"));
    device.cancel();
    assert!(matches!(recorded.and_then(|y| y.read_blocking()), Err(Error::Stopped(_))));
    assert_eq!(run(&gru, &[4, 2, 3]).expect("works on"), want);

    let other = RecurrentConfig::gru(3, 8).build(&device, &mut Rng::new(0)).expect("gru");
    device.flush().expect("weights are there");
    let recorded = other.forward(&Tensor::full(&device, 1.0, &[4, 2, 3]).expect("x"));
    let mut encoder = host.device.create_command_encoder(&Default::default());
    drop(device.encode_into(&mut encoder).expect("encoded"));
    assert!(matches!(recorded.and_then(|y| y.read_blocking()), Err(Error::Stopped(_))));
    assert_eq!(run(&other, &[4, 2, 3]).expect("works on"), want);
}

/// An assignment to an undefined tensor defines it for later operations, but not for work recorded before.
#[test]
fn assignments_define_a_tensor_from_then_on() {
    let host = host!(Host::new());
    let device = host.adopt();
    device.set_pacing(Pacing::Off);
    let own = buffer(&host, 64);
    let x = Tensor::from_wgpu_buffer(&device, own.clone(), 0, &[16]).expect("a tensor");
    let y = x.square().expect("recorded");
    let z = y.square().expect("recorded");
    own.destroy();
    device.flush().expect("submitted");
    y.assign(&[2.0; 16]).expect("assigned");
    assert_eq!(y.square().and_then(|t| t.read_blocking()).expect("defined"), [4.0; 16]);
    assert!(z.read_blocking().is_err(), "z was recorded before");
}

/// Overlapping frames: the next one is encoded before the previous one is confirmed.
#[test]
fn buffers_are_reused_where_encoders_overlap() {
    let host = host!(Host::new());
    let device = host.adopt();
    let mut last = None;
    let mut made = Vec::new();
    for frame in 0..40 {
        let y = Tensor::full(&device, frame as f32, &[5000]).and_then(|x| x.square()).expect("recorded");
        let mut encoder = host.device.create_command_encoder(&Default::default());
        let work = device.encode_into(&mut encoder).expect("encoded");
        host.queue.submit([encoder.finish()]);
        if let Some((work, y, want)) = last.replace((work, y, (frame * frame) as f32)) {
            wgru::EncodedWork::submitted(work);
            let y: Tensor = y;
            assert_eq!(y.read_blocking().expect("read"), [want; 5000]);
        }
        made.push(device.buffers_made());
    }
    assert_eq!(made[39], made[9], "{made:?}");
    if let Some((work, ..)) = last {
        work.submitted();
    }
}

/// A host callback that runs during one of our submissions may itself record and submit work.
#[test]
fn callbacks_of_the_host_may_record_work() {
    let host = host!(Host::new());
    let device = host.adopt();
    let seen = Arc::new(Mutex::new(None));
    let (kept, of_callback) = (seen.clone(), device.clone());
    host.queue.submit([]);
    host.queue.on_submitted_work_done(move || {
        let x = Tensor::full(&of_callback, 3.0, &[4]).and_then(|x| x.square());
        let _ = of_callback.flush();
        *kept.lock().expect("no panic") = Some(x);
    });
    for _ in 0..3 {
        Tensor::full(&device, 1.0, &[4]).and_then(|x| x.read_blocking()).expect("works");
    }
    let x = seen.lock().expect("no panic").take().expect("the callback ran").expect("recorded");
    assert_eq!(x.read_blocking().expect("read"), [9.0; 4]);
}

/// Threads that wait for a paced device while others submit are always woken.
#[test]
fn waiting_for_a_paced_device_always_ends() {
    let host = host!(Host::new());
    let options = GpuOptions { pacing: Pacing::Slice(Duration::from_micros(100)), ..Default::default() };
    let device = Device::from_wgpu_with(&host.adapter, host.device.clone(), host.queue.clone(), options);
    let device = device.expect("adopted");
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut x = Tensor::full(&device, 1.0, &[20_000]).expect("x");
                for i in 0..150 {
                    x = x.square().expect("recorded");
                    pollster::block_on(device.catch_up()).expect("caught up");
                    if i % 7 == 0 {
                        device.flush().expect("submitted");
                    }
                }
                assert_eq!(x.read_blocking().expect("read"), [1.0; 20_000]);
            });
        }
    });
}
