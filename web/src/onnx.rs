//! ONNX models.

use js_sys::{BigInt64Array, Float32Array, Int32Array, Object, Reflect};
use wasm_bindgen::prelude::*;
use wgru::io::onnx::{Extent, Info, OnnxModel, StreamOptions, Value};
use wgru::{Device, Tensor};

use crate::fault::{Fault, Result};
use crate::options::Options;
use crate::values;

/// An ONNX model.
#[wasm_bindgen]
pub struct Onnx {
    device: Device,
    model: OnnxModel,
}

impl Onnx {
    /// Reads a model.
    pub fn load(device: &Device, bytes: &[u8]) -> Result<Self> {
        Ok(Self { device: device.clone(), model: OnnxModel::load(device, bytes)? })
    }
}

/// An ONNX model that keeps its states from call to call.
#[wasm_bindgen]
pub struct OnnxStream {
    device: Device,
    inner: std::cell::RefCell<wgru::io::onnx::Stream>,
}

fn info(info: &Info) -> JsValue {
    let extent = |e: &Extent| match e {
        Extent::Fixed(n) => values::count(*n),
        Extent::Named(name) => name.as_str().into(),
        Extent::Free => JsValue::NULL,
    };
    let dims = info.dims.as_ref().map(|dims| values::array(dims.iter().map(extent)));
    let kind = if info.float { "float32" } else { "int64" };
    values::object(&[("name", info.name.as_str().into()), ("dims", values::or_null(dims)), ("type", kind.into())])
}

/// Converts `{data, dims}` to a value on `device`.
fn value(device: &Device, name: &str, given: &JsValue) -> Result<Value> {
    let get = |key: &str| Reflect::get(given, &key.into()).unwrap_or_default();
    let dims = js_sys::Array::from(&get("dims"));
    let dims: Vec<u32> = dims.iter().map(|d| d.as_f64().unwrap_or(f64::NAN) as u32).collect();
    let data = get("data");
    if let Some(floats) = data.dyn_ref::<Float32Array>() {
        let floats = floats.to_vec();
        let dims = values::check_dims(name, dims, floats.len())?;
        return Ok(Tensor::from_slice(device, &floats, &dims)?.into());
    }
    let ints: Vec<i64> = if let Some(ints) = data.dyn_ref::<BigInt64Array>() {
        ints.to_vec()
    } else if let Some(ints) = data.dyn_ref::<Int32Array>() {
        ints.to_vec().into_iter().map(i64::from).collect()
    } else {
        return Err(Fault::value(name, "{data: Float32Array, Int32Array or BigInt64Array, dims}", "something else"));
    };
    let dims = values::check_dims(name, dims, ints.len())?;
    Ok(Value::ints(&ints, &dims)?)
}

/// Reads `{name: {data, dims}, …}`.
pub fn inputs(device: &Device, given: &JsValue) -> Result<Vec<(String, Value)>> {
    let Some(given) = given.dyn_ref::<Object>() else {
        return Err(Fault::value("inputs", "an object of inputs by name", "something else"));
    };
    let pairs = Object::entries(given);
    let pair = |pair: JsValue| {
        let pair = js_sys::Array::from(&pair);
        let name = pair.get(0).as_string().unwrap_or_default();
        let value = value(device, &name, &pair.get(1))?;
        Ok((name, value))
    };
    pairs.iter().map(pair).collect()
}

/// Reads the options `pairs`, a list of an input and an output each, and `nodes`.
pub fn stream_options(given: &JsValue) -> Result<StreamOptions> {
    let mut options = Options::of(given);
    let out = StreamOptions { pairs: options.pairs("pairs")?, nodes: options.choice("nodes")? };
    options.done()?;
    Ok(out)
}

async fn outputs(outputs: Vec<(String, Value)>) -> Result<JsValue> {
    let mut named = Vec::new();
    for (name, value) in &outputs {
        let value = match value {
            Value::Tensor(tensor) => values::tensor(tensor).await?,
            _ => {
                let data = BigInt64Array::from(&value.read_ints().await?[..]);
                values::object(&[("data", data.into()), ("dims", values::dims(value.dims()))])
            }
        };
        named.push((name.as_str(), value));
    }
    Ok(values::object(&named))
}

/// Returns inputs as the library takes them.
pub fn borrow(inputs: &[(String, Value)]) -> Vec<(&str, Value)> {
    inputs.iter().map(|(name, value)| (name.as_str(), value.clone())).collect()
}

#[wasm_bindgen]
impl Onnx {
    /// Returns `{inputs, outputs}`.
    pub fn info(&self) -> JsValue {
        let (inputs, outputs) = (self.model.inputs().map(info), self.model.outputs().map(info));
        values::object(&[("inputs", values::array(inputs)), ("outputs", values::array(outputs))])
    }

    /// Runs the graph on `{name: {data, dims}, …}`.
    pub async fn run(&self, given: JsValue) -> Result<JsValue> {
        let given = inputs(&self.device, &given)?;
        outputs(self.model.run(&borrow(&given))?).await
    }

    /// Creates a stream, which keeps the states of the model from call to call.
    pub fn stream(&self, options: &JsValue) -> Result<OnnxStream> {
        let stream = self.model.stream_with(&stream_options(options)?)?;
        Ok(OnnxStream { device: self.device.clone(), inner: stream.into() })
    }
}

#[wasm_bindgen]
impl OnnxStream {
    /// Runs the graph, starting from the states after the previous call.
    pub async fn run(&self, given: JsValue) -> Result<JsValue> {
        let given = inputs(&self.device, &given)?;
        let results = self.inner.borrow_mut().run(&borrow(&given))?;
        outputs(results).await
    }

    /// Discards the states: the next call starts like the first.
    pub fn reset(&self) {
        self.inner.borrow_mut().reset();
    }
}
