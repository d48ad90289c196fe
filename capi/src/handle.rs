//! Handles: the addresses of objects, each behind a mark.
#![allow(unsafe_code, reason = "takes pointers from C")]

use std::sync::atomic::{AtomicU64, Ordering};

use crate::failure::{Failure, Result};

/// A type whose objects C knows by their addresses.
///
/// A `*const Self` from C is the address of a [`Held`], which the type itself cannot be: cbindgen would show its fields.
pub trait Object: Sized {
    /// Name of the argument in error messages.
    const NAME: &'static str;
    /// Content of the mark: differs between types, and is no common content of memory.
    const MARK: u64;
}

/// An object behind its mark, which tells living objects of a type from other memory, as far as memory that may have
/// been freed can tell.
#[repr(C)]
struct Held<T> {
    mark: AtomicU64,
    object: T,
}

/// Returns what is behind a handle.
///
/// # Safety
/// As for [`get`].
unsafe fn held<'a, T: Object>(handle: *const T) -> Result<&'a Held<T>> {
    let wrong = |why| Err(Failure::Handle { arg: T::NAME, why });
    let held = handle.cast::<Held<T>>();
    if held.is_null() {
        return wrong("is null: it was freed, or never created");
    }
    if !held.is_aligned() {
        return wrong("is no handle: it is misaligned");
    }
    // SAFETY: the caller guarantees memory that can be read, and every object is behind its mark.
    if unsafe { (*held.cast::<AtomicU64>()).load(Ordering::Relaxed) } != T::MARK {
        return wrong("is no handle of this type, or was freed");
    }
    // SAFETY: the mark shows that the object lives.
    Ok(unsafe { &*held })
}

/// Returns the object of a handle.
///
/// # Safety
/// A handle that is not null must point to memory that can be read. An object must live during `'a`.
pub unsafe fn get<'a, T: Object>(handle: *const T) -> Result<&'a T> {
    // SAFETY: as for this function.
    Ok(&unsafe { held(handle) }?.object)
}

/// Moves an object to the heap, and writes its handle to `target`; null on an error.
///
/// # Safety
/// `target` must be null, or point to a pointer that can be written.
pub unsafe fn put<T: Object>(target: *mut *mut T, create: impl FnOnce() -> Result<T>) -> Result<()> {
    if target.is_null() || !target.is_aligned() {
        return Err(Failure::Pointer { arg: T::NAME, why: "is not the address of a pointer" });
    }
    // On an error or a panic, the caller finds null, which all calls refuse.
    // SAFETY: checked above.
    unsafe { target.write(std::ptr::null_mut()) };
    let held = Box::new(Held { mark: AtomicU64::new(T::MARK), object: create()? });
    // SAFETY: checked above.
    unsafe { target.write(Box::into_raw(held).cast()) };
    Ok(())
}

/// Drops the object of a handle, and sets the caller's pointer to null. Null pointers and null handles are accepted.
/// `may_free` refuses if another call uses the object.
///
/// # Safety
/// As for [`get`]; no other call may use the object later.
pub unsafe fn free<T: Object>(handle: *mut *mut T, may_free: impl FnOnce(&T) -> Result<()>) -> Result<()> {
    if handle.is_null() {
        return Ok(());
    }
    if !handle.is_aligned() {
        return Err(Failure::Pointer { arg: T::NAME, why: "is not the address of a handle" });
    }
    // SAFETY: checked above.
    let address = unsafe { handle.read() };
    if address.is_null() {
        return Ok(());
    }
    // SAFETY: as for this function.
    let held = unsafe { held(address) }?;
    may_free(&held.object)?;
    held.mark.store(!T::MARK, Ordering::Relaxed);
    // SAFETY: checked above.
    unsafe { handle.write(std::ptr::null_mut()) };
    // SAFETY: `put` made it from a box.
    drop(unsafe { Box::from_raw(address.cast::<Held<T>>()) });
    Ok(())
}
