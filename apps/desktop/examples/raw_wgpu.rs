//! A minimal host application, with only winit and wgpu: a GRU learns a wave in the background. Each frame runs the GRU
//! and draws its output directly from its buffer, in one submission.
//!
//! ```text
//! cargo run --release --example raw_wgpu
//! ```

use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, OnceLock};

use wgru::io::{TensorFile, load_parameters, parameters_to_file};
use wgru::nn::{Linear, Module, RecurrentConfig, Sequential, prepare};
use wgru::train::{HostData, Optimizer, TrainOptions, Trainer, loss};
use wgru::{Device, Rng, Tensor, wgpu};
use winit::application::ApplicationHandler;
use winit::event::WindowEvent;
use winit::event_loop::{ActiveEventLoop, EventLoop};
use winit::window::{Window, WindowId};

/// Number of points in the line.
const STEPS: usize = 256;

const SHADER: &str = "
@group(0) @binding(0) var<storage, read> y: array<f32>;
@vertex fn point(@builtin(vertex_index) i: u32) -> @builtin(position) vec4<f32> {
    return vec4(2.0 * f32(i) / f32(arrayLength(&y) - 1u) - 1.0, 0.7 * y[i], 0.0, 1.0);
}
@fragment fn colour() -> @location(0) vec4<f32> { return vec4(0.3, 0.7, 1.0, 1.0); }
";

fn model(device: &Device) -> wgru::Result<Sequential> {
    let mut rng = Rng::new(1);
    let gru = RecurrentConfig { input: 1, hidden: 16, batch_first: true, ..RecurrentConfig::default() }
        .build(device, &mut rng)?;
    Ok(Sequential::new().push("gru", gru).push("head", Linear::new(device, 16, 1, true, &mut rng)?))
}

/// Returns a wave, and the same wave one step later.
fn wave(phase: f32, steps: usize) -> (Vec<f32>, Vec<f32>) {
    let y = |t: usize| (0.15 * t as f32 + phase).sin() * (0.02 * t as f32 + 0.3 * phase).cos();
    ((0..steps).map(y).collect(), (1..=steps).map(y).collect())
}

/// Trains until `stop` is set, and sends the weights after every epoch. Runs on its own thread, with its own view of
/// the device.
fn train(device: &Device, stop: &AtomicBool, send: impl Fn(TensorFile)) -> wgru::Result<()> {
    let model = model(device)?;
    let (x, y): (Vec<_>, Vec<_>) = (0..64).map(|i| wave(i as f32, 64)).unzip();
    let data = HostData::new(device, x.concat(), &[64, 1])?.with_targets(y.concat(), &[64, 1])?;
    let optimizer = Optimizer::adam(model.parameters(), 5e-3)?;
    let options = TrainOptions { epochs: 1000, batch: 16, ..TrainOptions::default() };
    let mut trainer = Trainer::new(optimizer, options, Rng::new(2));
    let mut training = trainer.start(&model, &data, None, loss::mse)?;
    while let Some(progress) = training.next_blocking()? {
        if progress.loss.is_some() {
            send(pollster::block_on(parameters_to_file(&model))?);
        }
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
    training.finish_blocking().map(drop)
}

/// State for drawing the window.
struct Gpu {
    surface: wgpu::Surface<'static>,
    config: wgpu::SurfaceConfiguration,
    device: wgpu::Device,
    queue: wgpu::Queue,
    pipeline: wgpu::RenderPipeline,
    lost: Arc<OnceLock<String>>,
    /// wgru's view of the device for this thread.
    net: Device,
    model: Sequential,
    weights: Receiver<TensorFile>,
    frame: u32,
}

impl Gpu {
    async fn open(window: Arc<Window>, stop: Arc<AtomicBool>) -> Result<Self, Box<dyn Error>> {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
        let surface = instance.create_surface(window.clone())?;
        let wanted = wgpu::RequestAdapterOptions { compatible_surface: Some(&surface), ..Default::default() };
        let adapter = instance.request_adapter(&wanted).await?;

        // Request the features and limits of wgru in addition to those of the application.
        let needs = wgru::requirements(&adapter).best;
        let descriptor = wgpu::DeviceDescriptor {
            required_features: needs.features,
            required_limits: wgpu::Limits::default().or_better_values_from(&needs.limits),
            ..Default::default()
        };
        let (device, queue) = adapter.request_device(&descriptor).await?;

        // wgru leaves the host's handlers in place. Without a handler, wgpu ends the program on an error.
        let lost = Arc::new(OnceLock::new());
        let noted = lost.clone();
        device.set_device_lost_callback(move |reason, why| _ = noted.set(format!("{reason:?} {why}")));
        device.on_uncaptured_error(Arc::new(|error| eprintln!("GPU: {error}")));

        // One view for the frames and one for training: each has its own recorder.
        let net = Device::from_wgpu(&adapter, device.clone(), queue.clone())?;
        let background = Device::from_wgpu(&adapter, device.clone(), queue.clone())?;
        let (sender, weights) = channel();
        std::thread::spawn(move || {
            let send = |weights| _ = sender.send(weights);
            if let Err(error) = train(&background, &stop, send) {
                eprintln!("training: {error}");
            }
        });

        let size = window.inner_size();
        let config = surface.get_default_config(&adapter, size.width.max(1), size.height.max(1));
        let config = config.ok_or("this adapter cannot draw the window")?;
        surface.configure(&device, &config);
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: None,
            source: wgpu::ShaderSource::Wgsl(SHADER.into()),
        });
        let pipeline = device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
            label: None,
            layout: None,
            vertex: wgpu::VertexState {
                module: &module,
                entry_point: Some("point"),
                compilation_options: Default::default(),
                buffers: &[],
            },
            primitive: wgpu::PrimitiveState {
                topology: wgpu::PrimitiveTopology::LineStrip,
                ..wgpu::PrimitiveState::default()
            },
            depth_stencil: None,
            multisample: wgpu::MultisampleState::default(),
            fragment: Some(wgpu::FragmentState {
                module: &module,
                entry_point: Some("colour"),
                compilation_options: Default::default(),
                targets: &[Some(config.format.into())],
            }),
            multiview_mask: None,
            cache: None,
        });
        let model = model(&net)?;
        // Compile the shaders now, not in the first frame.
        prepare(&model, &Tensor::zeros(&net, &[1, STEPS, 1])?)?;
        Ok(Self { surface, config, device, queue, pipeline, lost, net, model, weights, frame: 0 })
    }

    /// Runs the network and draws its output, in one submission.
    fn draw(&mut self) -> Result<(), Box<dyn Error>> {
        if let Some(why) = self.lost.get() {
            return Err(format!("the device was lost ({why}): open a new device, and recreate everything on it").into());
        }
        if let Some(weights) = self.weights.try_iter().last() {
            load_parameters(&self.model, &weights)?;
        }
        let frame = match self.surface.get_current_texture() {
            wgpu::CurrentSurfaceTexture::Success(frame) | wgpu::CurrentSurfaceTexture::Suboptimal(frame) => frame,
            wgpu::CurrentSurfaceTexture::Outdated | wgpu::CurrentSurfaceTexture::Lost => {
                self.surface.configure(&self.device, &self.config);
                return Ok(());
            }
            _ => return Ok(()),
        };
        let (x, _) = wave(0.02 * self.frame as f32, STEPS);
        let x = Tensor::from_slice(&self.net, &x, &[1, STEPS, 1])?;
        let y = self.model.forward(&x)?;

        let mut encoder = self.device.create_command_encoder(&Default::default());
        let work = self.net.encode_into(&mut encoder)?;
        let part = y.wgpu_buffer()?;
        let values =
            wgpu::BufferBinding { buffer: &part.buffer, offset: part.offset, size: wgpu::BufferSize::new(part.bytes) };
        let group = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &self.pipeline.get_bind_group_layout(0),
            entries: &[wgpu::BindGroupEntry { binding: 0, resource: wgpu::BindingResource::Buffer(values) }],
        });
        let view = frame.texture.create_view(&Default::default());
        let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
            color_attachments: &[Some(wgpu::RenderPassColorAttachment {
                view: &view,
                depth_slice: None,
                resolve_target: None,
                ops: wgpu::Operations { load: wgpu::LoadOp::Clear(wgpu::Color::BLACK), store: wgpu::StoreOp::Store },
            })],
            ..Default::default()
        });
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &group, &[]);
        pass.draw(0..STEPS as u32, 0..1);
        drop(pass);
        self.queue.submit([encoder.finish()]);
        work.submitted();
        self.queue.present(frame);
        self.frame += 1;
        Ok(())
    }
}

/// The application, with its window once it is open.
#[derive(Default)]
struct App {
    window: Option<Arc<Window>>,
    gpu: Option<Gpu>,
    stop: Arc<AtomicBool>,
    /// Number of frames after which the application exits.
    frames: Option<u32>,
    error: Option<Box<dyn Error>>,
}

impl App {
    fn open(&mut self, event_loop: &ActiveEventLoop) -> Result<(), Box<dyn Error>> {
        let window =
            Arc::new(event_loop.create_window(Window::default_attributes().with_title("A GRU learns a wave"))?);
        self.gpu = Some(pollster::block_on(Gpu::open(window.clone(), self.stop.clone()))?);
        self.window = Some(window);
        Ok(())
    }

    fn event(&mut self, event_loop: &ActiveEventLoop, event: WindowEvent) -> Result<(), Box<dyn Error>> {
        let (Some(gpu), Some(window)) = (&mut self.gpu, &self.window) else { return Ok(()) };
        match event {
            WindowEvent::CloseRequested => event_loop.exit(),
            WindowEvent::Resized(size) => {
                (gpu.config.width, gpu.config.height) = (size.width.max(1), size.height.max(1));
                gpu.surface.configure(&gpu.device, &gpu.config);
            }
            WindowEvent::RedrawRequested => {
                gpu.draw()?;
                window.request_redraw();
                if self.frames.is_some_and(|frames| gpu.frame >= frames) {
                    event_loop.exit();
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl ApplicationHandler for App {
    fn resumed(&mut self, event_loop: &ActiveEventLoop) {
        if let Err(error) = self.open(event_loop) {
            self.error = Some(error);
            event_loop.exit();
        }
    }

    fn window_event(&mut self, event_loop: &ActiveEventLoop, _: WindowId, event: WindowEvent) {
        if let Err(error) = self.event(event_loop, event) {
            self.error = Some(error);
            event_loop.exit();
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let frames = std::env::args().nth(1).map(|frames| frames.parse()).transpose()?;
    let mut app = App { frames, ..App::default() };
    EventLoop::new()?.run_app(&mut app)?;
    app.stop.store(true, Ordering::Relaxed);
    if let Some(gpu) = &app.gpu {
        println!("{} frames", gpu.frame);
    }
    app.error.map_or(Ok(()), Err)
}
