//! On-disk cache of compiled pipelines, for adapters that support it.
#![allow(unsafe_code, reason = "creates a pipeline cache from bytes that the driver produced in an earlier run")]

#[cfg(not(target_arch = "wasm32"))]
use std::path::{Path, PathBuf};

/// A pipeline cache and its file, if caching is enabled and supported.
#[derive(Default)]
pub(super) struct Cache {
    #[cfg(not(target_arch = "wasm32"))]
    kept: Option<(wgpu::PipelineCache, PathBuf)>,
}

impl Cache {
    /// Reads the cache of an earlier run. A missing or damaged file, or one from another driver, gives an empty cache.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(device: &wgpu::Device, path: &Path) -> Self {
        if !device.features().contains(wgpu::Features::PIPELINE_CACHE) {
            return Self::default();
        }
        let data = std::fs::read(path).ok();
        let descriptor = wgpu::PipelineCacheDescriptor { label: Some("wgru"), data: data.as_deref(), fallback: true };
        // SAFETY: `save` wrote the file, and the caller guarantees that only the user can write to it. wgpu compares
        // the file's header with the adapter and driver, and starts with an empty cache if they differ.
        let cache = unsafe { device.create_pipeline_cache(&descriptor) };
        Self { kept: Some((cache, path.to_path_buf())) }
    }

    pub fn get(&self) -> Option<&wgpu::PipelineCache> {
        #[cfg(not(target_arch = "wasm32"))]
        return self.kept.as_ref().map(|(cache, _)| cache);
        #[cfg(target_arch = "wasm32")]
        None
    }

    /// Writes the file atomically. Errors are only logged, because they only make the next run slower to start.
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
