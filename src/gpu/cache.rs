//! Compiled pipelines on disk, where the adapter can give them out.
#![allow(unsafe_code, reason = "a pipeline cache is made from bytes that the driver once gave")]

#[cfg(not(target_arch = "wasm32"))]
use std::path::{Path, PathBuf};

/// A cache and its file; nothing where there is none.
#[derive(Default)]
pub(super) struct Cache {
    #[cfg(not(target_arch = "wasm32"))]
    kept: Option<(wgpu::PipelineCache, PathBuf)>,
}

impl Cache {
    /// Reads what an earlier run left. A file that is missing, of another driver or damaged is an empty cache.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(device: &wgpu::Device, path: &Path) -> Self {
        if !device.features().contains(wgpu::Features::PIPELINE_CACHE) {
            return Self::default();
        }
        let data = std::fs::read(path).ok();
        let descriptor = wgpu::PipelineCacheDescriptor { label: Some("wgru"), data: data.as_deref(), fallback: true };
        // SAFETY: the file is one that `save` wrote, in a place that the caller vouches for; wgpu compares its
        // header with adapter and driver and starts an empty cache where they differ.
        let cache = unsafe { device.create_pipeline_cache(&descriptor) };
        Self { kept: Some((cache, path.to_path_buf())) }
    }

    pub fn get(&self) -> Option<&wgpu::PipelineCache> {
        #[cfg(not(target_arch = "wasm32"))]
        return self.kept.as_ref().map(|(cache, _)| cache);
        #[cfg(target_arch = "wasm32")]
        None
    }

    /// Writes the file, whole or not at all. What goes wrong costs only the next run's time, so it is logged.
    pub fn save(&self) {
        #[cfg(not(target_arch = "wasm32"))]
        if let Some((cache, path)) = &self.kept
            && let Some(data) = cache.get_data()
            && let Err(error) = crate::replace::write_atomically(path, &data)
        {
            log::warn!("pipeline cache: {error}");
        }
    }
}
