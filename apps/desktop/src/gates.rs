//! Draws gates from their GPU buffers: a render pipeline in a paint callback of egui. Nothing is read back.

use std::collections::HashMap;
use std::sync::Arc;

use bytemuck::{Pod, Zeroable};
use eframe::egui_wgpu::{CallbackResources, CallbackTrait, RenderState, ScreenDescriptor};
use eframe::{egui, wgpu};

use crate::worker::Gates;

const SIGNED: u32 = 1;
const DARK: u32 = 2;
const RAMP: u32 = 4;
const LINEAR: u32 = 8;

/// The gates of a GRU, in the order of [`Gates::parts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Which {
    Reset,
    Update,
    Candidate,
}

/// A heat map, or its color scale.
#[derive(Clone)]
pub struct Picture {
    pub gates: Arc<Gates>,
    pub which: Which,
    /// First day, counted from the first that the buffer holds, and number of days.
    pub first: usize,
    pub days: usize,
    pub dark: bool,
    /// Draws the color scale instead.
    pub ramp: bool,
}

/// See `gates.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    first: u32,
    days: u32,
    hidden: u32,
    flags: u32,
}

/// State shared by the paint callbacks of one device.
struct Resources {
    pipeline: wgpu::RenderPipeline,
    /// Whether the target encodes sRGB by itself.
    linear: bool,
    slots: HashMap<(Which, bool), Slot>,
}

struct Slot {
    params: wgpu::Buffer,
    group: wgpu::BindGroup,
    /// Serial number of the bound gates.
    serial: u64,
}

/// Creates the pipeline, once per window.
pub fn install(state: &RenderState) {
    let device = &state.device;
    let module = device.create_shader_module(wgpu::include_wgsl!("gates.wgsl"));
    let pipeline = device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
        label: Some("gates"),
        layout: None,
        vertex: wgpu::VertexState {
            module: &module,
            entry_point: Some("corner"),
            compilation_options: Default::default(),
            buffers: &[],
        },
        primitive: wgpu::PrimitiveState {
            topology: wgpu::PrimitiveTopology::TriangleStrip,
            ..wgpu::PrimitiveState::default()
        },
        depth_stencil: None,
        multisample: wgpu::MultisampleState::default(),
        fragment: Some(wgpu::FragmentState {
            module: &module,
            entry_point: Some("colour"),
            compilation_options: Default::default(),
            targets: &[Some(state.target_format.into())],
        }),
        multiview_mask: None,
        cache: None,
    });
    let resources = Resources { pipeline, linear: state.target_format.is_srgb(), slots: HashMap::new() };
    state.renderer.write().callback_resources.insert(resources);
}

impl Picture {
    /// Draws the picture in `rect`.
    pub fn paint(self, ui: &egui::Ui, rect: egui::Rect) {
        ui.painter().add(eframe::egui_wgpu::Callback::new_paint_callback(rect, self));
    }

    fn params(&self, linear: bool) -> Params {
        let held = self.gates.days;
        let first = self.first.min(held - 1);
        let flag = |is_set: bool, flag: u32| if is_set { flag } else { 0 };
        Params {
            first: first as u32,
            days: self.days.clamp(1, held - first) as u32,
            hidden: self.gates.hidden as u32,
            flags: flag(self.which == Which::Candidate, SIGNED)
                | flag(self.dark, DARK)
                | flag(self.ramp, RAMP)
                | flag(linear, LINEAR),
        }
    }
}

impl Resources {
    fn slot(&mut self, device: &wgpu::Device, picture: &Picture) -> &Slot {
        let Self { pipeline, slots, .. } = self;
        let (key, serial) = ((picture.which, picture.ramp), picture.gates.serial);
        if slots.get(&key).is_none_or(|slot| slot.serial != serial) {
            let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
            let size = size_of::<Params>() as u64;
            let params = slots.remove(&key).map_or_else(
                || {
                    device.create_buffer(&wgpu::BufferDescriptor {
                        label: Some("gates"),
                        size,
                        usage,
                        mapped_at_creation: false,
                    })
                },
                |slot| slot.params,
            );
            let part = &picture.gates.parts[picture.which as usize];
            let values = wgpu::BufferBinding {
                buffer: &part.buffer,
                offset: part.offset,
                size: wgpu::BufferSize::new(part.bytes),
            };
            let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some("gates"),
                layout: &pipeline.get_bind_group_layout(0),
                entries: &[
                    wgpu::BindGroupEntry { binding: 0, resource: params.as_entire_binding() },
                    wgpu::BindGroupEntry { binding: 1, resource: wgpu::BindingResource::Buffer(values) },
                ],
            });
            slots.insert(key, Slot { params, group, serial });
        }
        &slots[&key]
    }
}

impl CallbackTrait for Picture {
    fn prepare(
        &self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        _: &ScreenDescriptor,
        _: &mut wgpu::CommandEncoder,
        shared: &mut CallbackResources,
    ) -> Vec<wgpu::CommandBuffer> {
        if let Some(resources) = shared.get_mut::<Resources>() {
            let params = self.params(resources.linear);
            queue.write_buffer(&resources.slot(device, self).params, 0, bytemuck::bytes_of(&params));
        }
        Vec::new()
    }

    fn paint(&self, _: egui::PaintCallbackInfo, pass: &mut wgpu::RenderPass<'static>, shared: &CallbackResources) {
        let Some(resources) = shared.get::<Resources>() else { return };
        let Some(slot) = resources.slots.get(&(self.which, self.ramp)) else { return };
        pass.set_pipeline(&resources.pipeline);
        pass.set_bind_group(0, &slot.group, &[]);
        pass.draw(0..4, 0..1);
    }
}
