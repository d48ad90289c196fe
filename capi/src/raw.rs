//! Pointers, lengths and texts from C.
#![allow(unsafe_code, reason = "takes pointers from C")]

use std::ffi::{CStr, c_char};
use std::path::PathBuf;

use crate::failure::{Failure, Result};

/// Checks a pointer to `len` elements. Without elements, any pointer is accepted.
pub fn check<T>(arg: &'static str, data: *const T, len: usize) -> Result<()> {
    let wrong = |why| Err(Failure::Pointer { arg, why });
    if len == 0 {
        return Ok(());
    }
    if data.is_null() {
        return wrong("is null");
    }
    if !data.is_aligned() {
        return wrong("is misaligned for its type");
    }
    match len.checked_mul(size_of::<T>()) {
        Some(bytes) if bytes <= isize::MAX as usize && data.addr().checked_add(bytes).is_some() => Ok(()),
        _ => wrong("has a length beyond the address space"),
    }
}

/// Returns `len` elements.
///
/// # Safety
/// A pointer that passes [`check`] must point to `len` elements that are initialized, and that nothing writes during
/// `'a`.
pub unsafe fn slice<'a, T>(arg: &'static str, data: *const T, len: usize) -> Result<&'a [T]> {
    check(arg, data, len)?;
    // SAFETY: checked; the caller guarantees the rest.
    Ok(if len == 0 { &[] } else { unsafe { std::slice::from_raw_parts(data, len) } })
}

/// Copies `values` to where C wants them.
///
/// # Safety
/// `target` must point to as many elements as `values` has, which can be written.
pub unsafe fn copy(values: &[f32], target: *mut f32) {
    // SAFETY: as for this function. The two may not overlap because `values` is memory of the library.
    unsafe { std::ptr::copy_nonoverlapping(values.as_ptr(), target, values.len()) };
}

/// Reads options. Null stands for all defaults.
///
/// # Safety
/// As for [`slice`], with one element.
pub unsafe fn options<'a, T>(data: *const T) -> Result<Option<&'a T>> {
    if data.is_null() {
        return Ok(None);
    }
    check("options", data, 1)?;
    // SAFETY: checked; the caller guarantees the rest.
    Ok(Some(unsafe { &*data }))
}

/// Writes a value to where C wants it.
///
/// # Safety
/// A pointer that passes [`check`] must point to memory that can be written.
pub unsafe fn write<T>(arg: &'static str, target: *mut T, value: impl FnOnce() -> Result<T>) -> Result<()> {
    check(arg, target, 1)?;
    let value = value()?;
    // SAFETY: checked; the caller guarantees the rest.
    unsafe { target.write(value) };
    Ok(())
}

/// Reads a text. Returns `None` for null.
///
/// # Safety
/// A pointer that is not null must point to bytes that end with a zero, and that nothing writes during `'a`.
pub unsafe fn text<'a>(arg: &'static str, data: *const c_char) -> Result<Option<&'a str>> {
    if data.is_null() {
        return Ok(None);
    }
    // SAFETY: as for this function.
    let text = unsafe { CStr::from_ptr(data) };
    text.to_str().map(Some).map_err(|_| Failure::value(format!("{arg}: expected UTF-8")))
}

/// Reads a path: any bytes on Unix, UTF-8 elsewhere.
///
/// # Safety
/// As for [`text`].
pub unsafe fn path(arg: &'static str, data: *const c_char) -> Result<PathBuf> {
    if data.is_null() {
        return Err(Failure::Pointer { arg, why: "is null" });
    }
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        // SAFETY: as for this function.
        let bytes = unsafe { CStr::from_ptr(data) }.to_bytes();
        Ok(std::ffi::OsStr::from_bytes(bytes).into())
    }
    #[cfg(not(unix))]
    {
        // SAFETY: as for this function.
        Ok(unsafe { text(arg, data) }?.unwrap_or_default().into())
    }
}
