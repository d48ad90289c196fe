//! A device, and the models on it.

use wasm_bindgen::prelude::*;
use wgru::Device;
#[cfg(feature = "networks")]
use wgru::Rng;

use crate::fault::Result;
#[cfg(feature = "networks")]
use crate::network::{Network, Spec};
#[cfg(feature = "onnx")]
use crate::onnx::Onnx;
use crate::options::Options;
use crate::values;

#[derive(Clone, Copy)]
enum Choice {
    Auto,
    Webgpu,
    Cpu,
}

/// A device that creates networks and models.
#[wasm_bindgen]
pub struct Engine {
    device: Device,
}

#[wasm_bindgen]
impl Engine {
    /// Opens the device that the option `device` names: `auto`, `webgpu` or `cpu`.
    pub async fn open(options: JsValue) -> Result<Engine> {
        let mut options = Options::of(&options);
        let choices = [("auto", Choice::Auto), ("webgpu", Choice::Webgpu), ("cpu", Choice::Cpu)];
        let device = match options.word("device", &choices)?.unwrap_or(Choice::Auto) {
            #[cfg(any(feature = "networks", feature = "onnx"))]
            Choice::Auto => Device::auto().await?,
            #[cfg(any(feature = "networks", feature = "onnx"))]
            Choice::Webgpu => Device::gpu().await?,
            // Files are converted on the CPU.
            #[cfg(not(any(feature = "networks", feature = "onnx")))]
            Choice::Auto | Choice::Webgpu => Device::cpu(),
            Choice::Cpu => Device::cpu(),
        };
        Ok(Self { device })
    }

    /// Returns `{kind, name, reason, adapter}`; `reason` says why the device was chosen.
    pub fn info(&self) -> JsValue {
        let info = self.device.info();
        #[cfg(not(any(feature = "networks", feature = "onnx")))]
        let adapter = None::<JsValue>;
        #[cfg(any(feature = "networks", feature = "onnx"))]
        let adapter = info.adapter.as_ref().map(|a| {
            values::object(&[
                ("name", a.name.as_str().into()),
                ("driver", a.driver.as_str().into()),
                ("software", a.is_software().into()),
                ("features", values::array(a.features.iter().map(|f| JsValue::from(f.to_string())))),
                ("maxBinding", (a.max_binding as f64).into()),
                ("maxBuffer", (a.max_buffer as f64).into()),
                ("workgroupMemory", (a.workgroup_memory as f64).into()),
            ])
        });
        let kind = if self.device.is_gpu() { "webgpu" } else { "cpu" };
        values::object(&[
            ("kind", kind.into()),
            ("name", info.name.as_str().into()),
            ("reason", info.reason.as_str().into()),
            ("adapter", values::or_null(adapter)),
        ])
    }

    /// Returns the size of all tensors on the device, in bytes.
    #[wasm_bindgen(js_name = liveBytes)]
    pub fn live_bytes(&self) -> f64 {
        self.device.memory_use().live as f64
    }

    /// Loads a network from the bytes of a safetensors file.
    #[cfg(feature = "networks")]
    pub async fn network(&self, source: String, bytes: Vec<u8>, options: JsValue) -> Result<Network> {
        let mut options = Options::of(&options);
        let head = Spec::head(&mut options)?;
        options.done()?;
        Network::read(&self.device, &source, &bytes, head).await
    }

    /// Creates a network with random weights.
    #[cfg(feature = "networks")]
    pub fn create(&self, options: JsValue) -> Result<Network> {
        let mut options = Options::of(&options);
        let seed = options.count("seed", 0)?.unwrap_or(0);
        let spec = Spec::take(&mut options)?;
        options.done()?;
        Network::new(&self.device, spec, &mut Rng::new(seed as u64))
    }

    /// Converts a file of any kind to one that the other modules read: `{kind, bytes}`.
    #[cfg(feature = "import")]
    pub async fn convert(
        &self,
        source: String,
        bytes: Vec<u8>,
        layer: Option<String>,
        as_graph: bool,
    ) -> Result<JsValue> {
        crate::import::convert(&source, bytes, layer.as_deref(), as_graph).await
    }

    /// Loads a model from the bytes of an ONNX file.
    #[cfg(feature = "onnx")]
    pub fn onnx(&self, bytes: Vec<u8>) -> Result<Onnx> {
        Onnx::load(&self.device, &bytes)
    }
}
