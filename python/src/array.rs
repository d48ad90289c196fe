//! NumPy arrays. Arguments of the right type and layout are read where they are; results move to Python without a copy.

use engine::{Device, Tensor};
use numpy::ndarray::{ArrayD, IxDyn};
use numpy::prelude::*;
use numpy::{Element, PyArrayDyn, PyReadonlyArrayDyn, PyReadwriteArrayDyn};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::failure::{Failure, Result};

/// Kind of an array's elements, as far as the library tells them apart.
#[derive(Clone, Copy, PartialEq)]
pub enum Elements {
    Floats,
    Ints,
}

/// Whether Rust can read the memory of an array: its elements are next to each other, in order, at aligned addresses.
fn is_plain<T: Element>(array: &Bound<'_, PyArrayDyn<T>>) -> bool {
    array.is_c_contiguous() && array.data().is_aligned()
}

/// Returns the array itself if it is plain and of type `T`; otherwise a converted copy.
fn converted<'py, T: Element>(
    arg: &str,
    value: &Bound<'py, PyAny>,
    dtype: &str,
    kinds: &str,
) -> Result<PyReadonlyArrayDyn<'py, T>> {
    let array = match value.cast::<PyArrayDyn<T>>() {
        Ok(array) if is_plain(array) => array.clone(),
        _ => {
            let numpy = value.py().import("numpy")?;
            let array = numpy.call_method1("asarray", (value,))?;
            let kind: String = array.getattr("dtype")?.getattr("kind")?.extract()?;
            if !kinds.contains(&kind) {
                let got = array.getattr("dtype")?.str()?;
                return Err(Failure::dtype(format!("{arg}: expected {dtype} or similar, got {got}")));
            }
            let options = PyDict::new(value.py());
            options.set_item("dtype", dtype)?;
            options.set_item("requirements", ["C_CONTIGUOUS", "ALIGNED"])?;
            let array = numpy.call_method("require", (array,), Some(&options))?;
            array.cast_into::<PyArrayDyn<T>>().map_err(PyErr::from)?
        }
    };
    array.try_readonly().map_err(|_| Failure::value(format!("{arg}: the array is being written by another call")))
}

/// Returns an argument as floats.
pub fn floats<'py>(arg: &str, value: &Bound<'py, PyAny>) -> Result<PyReadonlyArrayDyn<'py, f32>> {
    converted(arg, value, "float32", "fiub")
}

/// Returns an argument as integers.
pub fn ints<'py>(arg: &str, value: &Bound<'py, PyAny>) -> Result<PyReadonlyArrayDyn<'py, i64>> {
    converted(arg, value, "int64", "iub")
}

/// Returns an output argument, which must be plain and writable.
pub fn output<'py>(arg: &str, value: &Bound<'py, PyAny>, dims: &[usize]) -> Result<PyReadwriteArrayDyn<'py, f32>> {
    let array = value.cast::<PyArrayDyn<f32>>();
    let array = array.map_err(|_| Failure::dtype(format!("{arg}: expected an array of float32")))?;
    if array.shape() != dims {
        return Err(Failure::shape(format!("{arg}: expected shape {dims:?}, got {:?}", array.shape())));
    }
    if !is_plain(array) {
        return Err(Failure::value(format!("{arg}: expected a C-contiguous array")));
    }
    let why = "expected a writable array that shares no memory with the input";
    array.try_readwrite().map_err(|_| Failure::value(format!("{arg}: {why}")))
}

/// Returns the elements of a plain array.
pub fn slice<'a, T: Element>(arg: &str, array: &'a PyReadonlyArrayDyn<'_, T>) -> Result<&'a [T]> {
    array.as_slice().map_err(|_| Failure::value(format!("{arg}: expected a C-contiguous array")))
}

/// Copies floats to a device.
pub fn tensor(arg: &str, device: &Device, array: &PyReadonlyArrayDyn<f32>) -> Result<Tensor> {
    Ok(Tensor::from_slice(device, slice(arg, array)?, array.shape())?)
}

/// Returns integers as indices.
pub fn indices(arg: &str, array: &PyReadonlyArrayDyn<i64>) -> Result<Vec<u32>> {
    let all: Option<Vec<u32>> = slice(arg, array)?.iter().map(|&index| u32::try_from(index).ok()).collect();
    all.ok_or_else(|| Failure::value(format!("{arg}: expected integers from 0 to {}", u32::MAX)))
}

/// Returns integers as lengths.
pub fn lengths(arg: &str, value: &Bound<'_, PyAny>) -> Result<Vec<usize>> {
    let array = ints(arg, value)?;
    let all: Option<Vec<usize>> = slice(arg, &array)?.iter().map(|&n| usize::try_from(n).ok()).collect();
    all.ok_or_else(|| Failure::value(format!("{arg}: expected integers from 0 on")))
}

/// Moves values to a new array, without a copy.
pub fn from_values<'py, T: Element>(py: Python<'py>, values: Vec<T>, dims: &[usize]) -> Result<Bound<'py, PyAny>> {
    let got = values.len();
    let array = ArrayD::from_shape_vec(IxDyn(dims), values);
    let array = array.map_err(|_| Failure::shape(format!("result: expected {dims:?}, got {got} values")))?;
    Ok(array.into_pyarray(py).into_any())
}

/// Returns the address that wgru reads for an argument of floats, for tests of what is copied.
#[pyfunction]
pub fn _address(value: &Bound<'_, PyAny>) -> Result<usize> {
    let array = floats("value", value)?;
    Ok(slice("value", &array)?.as_ptr().addr())
}

/// Returns the address of a result of `count` floats before it becomes an array, and the array, for the same tests.
#[pyfunction]
pub fn _moved(py: Python<'_>, count: usize) -> Result<(usize, Bound<'_, PyAny>)> {
    let values = vec![0.0f32; count];
    let address = values.as_ptr().addr();
    Ok((address, from_values(py, values, &[count])?))
}
