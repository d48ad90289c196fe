//! The outputs of a run.
#![allow(unsafe_code, reason = "takes pointers from C")]

use std::ffi::c_char;

use crate::call::guard;
use crate::failure::Failure;
use crate::handle::{self, Object};
use crate::raw;
use crate::status::{WgruError, WgruStatus};
use crate::tensor::{Output, WgruTensor};

/// The outputs of `wgru_model_run`, in host memory. They do not change: any number of threads may read them at the same
/// time.
pub struct WgruOutputs {
    all: Vec<Output>,
}

impl Object for WgruOutputs {
    const NAME: &'static str = "outputs";
    const MARK: u64 = u64::from_le_bytes(*b"\xf7wgruOu\x9d");
}

impl WgruOutputs {
    pub(crate) fn new(all: Vec<Output>) -> Self {
        Self { all }
    }
}

/// Counts the outputs.
///
/// - `count`: receives the number.
///
/// Errors: `WGRU_STATUS_HANDLE`, `WGRU_STATUS_POINTER`. Any thread.
///
/// # Safety
/// The pointers must be as described.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wgru_outputs_count(
    outputs: *const WgruOutputs,
    count: *mut usize,
    error: *mut WgruError,
) -> WgruStatus {
    // SAFETY: as for this function.
    unsafe {
        guard(error, || {
            let outputs = handle::get(outputs)?;
            raw::write("count", count, || Ok(outputs.all.len()))
        })
    }
}

/// Returns output `index`, in the order of the model.
///
/// - `tensor`: receives a view, which is valid until the outputs are freed.
///
/// Errors: `WGRU_STATUS_HANDLE`, `WGRU_STATUS_POINTER`, `WGRU_STATUS_VALUE` for an index out of range. Any thread.
///
/// # Safety
/// The pointers must be as described.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wgru_outputs_at(
    outputs: *const WgruOutputs,
    index: usize,
    tensor: *mut WgruTensor,
    error: *mut WgruError,
) -> WgruStatus {
    // SAFETY: as for this function.
    unsafe {
        guard(error, || {
            let outputs = handle::get(outputs)?;
            let count = outputs.all.len();
            raw::write("tensor", tensor, || match outputs.all.get(index) {
                Some(output) => Ok(output.view()),
                None => Err(Failure::Index { arg: "index", count, got: index }),
            })
        })
    }
}

/// Returns the output with a name.
///
/// - `name`: UTF-8, ended by a zero.
/// - `tensor`: receives a view, which is valid until the outputs are freed.
///
/// Errors: `WGRU_STATUS_HANDLE`, `WGRU_STATUS_POINTER`, `WGRU_STATUS_VALUE` for an unknown name. Any thread.
///
/// # Safety
/// The pointers must be as described.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wgru_outputs_find(
    outputs: *const WgruOutputs,
    name: *const c_char,
    tensor: *mut WgruTensor,
    error: *mut WgruError,
) -> WgruStatus {
    // SAFETY: as for this function.
    unsafe {
        guard(error, || {
            let outputs = handle::get(outputs)?;
            let name = raw::text("name", name)?.ok_or(Failure::Pointer { arg: "name", why: "is null" })?;
            raw::write("tensor", tensor, || {
                let found = outputs.all.iter().find(|output| output.name.to_bytes() == name.as_bytes());
                found.map(Output::view).ok_or_else(|| {
                    let names: Vec<_> =
                        outputs.all.iter().take(16).map(|output| output.name.to_string_lossy()).collect();
                    Failure::value(format!("name: expected one of {names:?}, got {name:?}"))
                })
            })
        })
    }
}

/// Frees outputs, and sets `*outputs` to null. Null, and a pointer to null, are accepted.
///
/// Errors: `WGRU_STATUS_HANDLE`. No other call may use the outputs at the same time or later, and no view of them.
///
/// # Safety
/// The pointers must be as described.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wgru_outputs_free(outputs: *mut *mut WgruOutputs) -> WgruStatus {
    // SAFETY: as for this function.
    unsafe { guard(std::ptr::null_mut(), || handle::free(outputs, |_| Ok(()))) }
}
