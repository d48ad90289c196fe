//! Compute pipelines of kernels, compiled on first use.

use std::sync::{Arc, Mutex};

use super::cache::Cache;
use super::content::Content;
use super::faults::Faults;
use super::limits::{self, params_size};
use super::lock;
use super::memory::Memory;
use super::trusted::shader_module;
use crate::error::Result;
use crate::kernel::Program;

pub(super) struct Pipeline {
    pub name: &'static str,
    layout: wgpu::BindGroupLayout,
    pub compute: wgpu::ComputePipeline,
    params: u64,
}

pub(super) struct Pipelines {
    device: wgpu::Device,
    limits: wgpu::Limits,
    faults: Faults,
    cache: Cache,
    /// By the name of the kernel, sorted.
    made: Mutex<Vec<(&'static str, Slot)>>,
}

/// Slot for a pipeline, filled once it is compiled. Each slot has its own lock, so a thread waits only for the pipeline
/// that it needs.
type Slot = Arc<Mutex<Option<Arc<Pipeline>>>>;

impl Pipelines {
    pub fn new(device: wgpu::Device, faults: Faults, cache: Cache) -> Self {
        Self { limits: device.limits(), device, faults, cache, made: Mutex::default() }
    }

    /// Saves the pipeline cache if this run used any pipeline.
    pub fn save(&self) {
        if !lock(&self.made).is_empty() {
            self.cache.save();
        }
    }

    /// Returns the pipeline of a kernel, compiled on first use. A failed compilation is retried at the next call.
    pub fn get(&self, program: &Program) -> Result<Arc<Pipeline>> {
        let slot = self.slot(program.name);
        let mut slot = lock(&slot);
        if let Some(pipeline) = &*slot {
            return Ok(pipeline.clone());
        }
        // Browsers guarantee at least WebGPU's default limits, which no kernel exceeds.
        if !cfg!(target_arch = "wasm32") {
            limits::check(program, &self.limits)?;
        }
        let pipeline = Arc::new(self.faults.guard(program.name, || self.make(program))?);
        Ok(slot.insert(pipeline).clone())
    }

    /// Returns the slot of a kernel.
    fn slot(&self, name: &'static str) -> Slot {
        let mut made = lock(&self.made);
        let at = made.binary_search_by_key(&name, |(name, _)| name).unwrap_or_else(|at| {
            made.insert(at, (name, Slot::default()));
            at
        });
        made[at].1.clone()
    }

    fn make(&self, program: &Program) -> Pipeline {
        let (name, reads, writes) = (program.name, program.reads.len(), program.writes.len());
        let params = params_size(program);
        let entry = |binding: usize, ty, has_dynamic_offset, size| wgpu::BindGroupLayoutEntry {
            binding: binding as u32,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset, min_binding_size: wgpu::BufferSize::new(size) },
            count: None,
        };
        let storage = |i: usize| entry(i, wgpu::BufferBindingType::Storage { read_only: i <= reads }, false, 16);
        let entries: Vec<_> = std::iter::once(entry(0, wgpu::BufferBindingType::Uniform, true, params))
            .chain((1..=reads + writes).map(storage))
            .collect();
        let layout = self
            .device
            .create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some(name), entries: &entries });
        let pipeline_layout = self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(name),
            bind_group_layouts: &[Some(&layout)],
            ..Default::default()
        });
        let module = shader_module(&self.device, program);
        let compute = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(name),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                // Every kernel writes workgroup memory before it reads it.
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
            cache: self.cache.get(),
        });
        Pipeline { name, layout, compute, params }
    }
}

/// Buffers bound to a pipeline. Parameters lie in chunks of uniform buffers, and each chunk needs its own bind group.
pub(crate) struct Binding {
    pub(super) bound: Arc<Bound>,
    buffers: Vec<Arc<Memory>>,
    group: Option<(u64, wgpu::BindGroup)>,
}

/// State that the recorded dispatches of one binding share.
pub(super) struct Bound {
    pub pipeline: Arc<Pipeline>,
    contents: Vec<Arc<Content>>,
    reads: usize,
}

impl Bound {
    pub fn reads(&self) -> &[Arc<Content>] {
        &self.contents[..self.reads]
    }

    pub fn writes(&self) -> &[Arc<Content>] {
        &self.contents[self.reads..]
    }
}

impl Binding {
    /// Binds the first `reads` buffers for reading and the others for writing.
    pub(super) fn new(pipeline: Arc<Pipeline>, buffers: Vec<Arc<Memory>>, reads: usize) -> Self {
        let contents = buffers.iter().map(|memory| memory.content().clone()).collect();
        Self { bound: Arc::new(Bound { pipeline, contents, reads }), buffers, group: None }
    }

    /// Returns the bind group for parameters in chunk number `chunk`.
    pub(super) fn group(
        &mut self,
        device: &wgpu::Device,
        faults: &Faults,
        chunk: u64,
        uniforms: &wgpu::Buffer,
    ) -> Result<wgpu::BindGroup> {
        if let Some((made_for, group)) = &self.group
            && *made_for == chunk
        {
            return Ok(group.clone());
        }
        let pipeline = &self.bound.pipeline;
        let params = wgpu::BufferBinding { buffer: uniforms, offset: 0, size: wgpu::BufferSize::new(pipeline.params) };
        let bindings = std::iter::once(params).chain(self.buffers.iter().map(|m| m.binding()));
        let entries: Vec<_> = bindings
            .enumerate()
            .map(|(i, b)| wgpu::BindGroupEntry { binding: i as u32, resource: wgpu::BindingResource::Buffer(b) })
            .collect();
        let descriptor =
            wgpu::BindGroupDescriptor { label: Some(pipeline.name), layout: &pipeline.layout, entries: &entries };
        let group = faults.guard(pipeline.name, || device.create_bind_group(&descriptor))?;
        self.group = Some((chunk, group.clone()));
        Ok(group)
    }
}
