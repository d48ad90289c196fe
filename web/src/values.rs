//! Results as JavaScript objects

use js_sys::{Array, Float32Array, Object, Reflect};
use wasm_bindgen::JsValue;
use wgru::Tensor;

use crate::fault::{Fault, Result};

/// `{name: value, …}`
pub fn object(entries: &[(&str, JsValue)]) -> JsValue {
    let object = Object::new();
    for (name, value) in entries {
        // An object just made takes any property.
        let _ = Reflect::set(&object, &(*name).into(), value);
    }
    object.into()
}

/// `[…]`
pub fn array(values: impl IntoIterator<Item = JsValue>) -> JsValue {
    values.into_iter().collect::<Array>().into()
}

/// A count as a number.
pub fn count(n: usize) -> JsValue {
    (n as f64).into()
}

/// Extents as numbers.
pub fn dims(dims: &[usize]) -> JsValue {
    array(dims.iter().map(|&d| count(d)))
}

/// `value`, or null where there is none.
pub fn or_null(value: Option<impl Into<JsValue>>) -> JsValue {
    value.map_or(JsValue::NULL, Into::into)
}

/// `{data, dims}` of a tensor, read back.
pub async fn tensor(tensor: &Tensor) -> Result<JsValue> {
    let data = Float32Array::from(&tensor.read().await?[..]);
    Ok(object(&[("data", data.into()), ("dims", dims(tensor.dims()))]))
}

/// The extents of `values`, which must count them.
pub fn check_dims(arg: &str, dims: Vec<u32>, len: usize) -> Result<Vec<usize>> {
    let dims: Vec<usize> = dims.into_iter().map(|d| d as usize).collect();
    let count = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    match count {
        Some(count) if count == len => Ok(dims),
        Some(count) => Err(Fault::count(arg, &format!("{count} values for {dims:?}"), len)),
        None => Err(Fault::count(arg, "extents whose product can be counted", format!("{dims:?}"))),
    }
}
