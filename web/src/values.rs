//! Results as JavaScript objects.

use js_sys::{Array, Float32Array, Object, Reflect};
use wasm_bindgen::JsValue;
use wgru::Tensor;

use crate::fault::{Fault, Result};

/// Creates `{name: value, …}`.
pub fn object(entries: &[(&str, JsValue)]) -> JsValue {
    let object = Object::new();
    for (name, value) in entries {
        // Setting a property of a new object cannot fail.
        let _ = Reflect::set(&object, &(*name).into(), value);
    }
    object.into()
}

/// Creates an array.
pub fn array(values: impl IntoIterator<Item = JsValue>) -> JsValue {
    values.into_iter().collect::<Array>().into()
}

/// Converts a count to a number.
pub fn count(n: usize) -> JsValue {
    (n as f64).into()
}

/// Converts extents to an array of numbers.
pub fn dims(dims: &[usize]) -> JsValue {
    array(dims.iter().map(|&d| count(d)))
}

/// Converts `value`; `None` becomes `null`.
pub fn or_null(value: Option<impl Into<JsValue>>) -> JsValue {
    value.map_or(JsValue::NULL, Into::into)
}

/// Reads a tensor back as `{data, dims}`.
pub async fn tensor(tensor: &Tensor) -> Result<JsValue> {
    let data = Float32Array::from(&tensor.read().await?[..]);
    Ok(object(&[("data", data.into()), ("dims", dims(tensor.dims()))]))
}

/// Converts extents, whose product must equal `len`.
pub fn check_dims(arg: &str, dims: Vec<u32>, len: usize) -> Result<Vec<usize>> {
    let dims: Vec<usize> = dims.into_iter().map(|d| d as usize).collect();
    let count = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    match count {
        Some(count) if count == len => Ok(dims),
        Some(count) => Err(Fault::count(arg, &format!("{count} values for {dims:?}"), len)),
        None => Err(Fault::count(arg, "extents with a smaller product", format!("{dims:?}"))),
    }
}
