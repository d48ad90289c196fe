//! Statuses, and the error that a caller provides.
#![allow(unsafe_code, reason = "takes pointers from C")]

use std::ffi::{CStr, c_char};
use std::fmt::{Display, Write};

/// Size of the message of a `WgruError` in bytes, with its terminating zero.
pub const WGRU_MESSAGE_SIZE: usize = 1020;

/// Result of a call. The numbers do not change between versions; new ones may be added.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WgruStatus {
    /// Success.
    Ok = 0,
    /// A handle is null, misaligned, of another type, or was freed.
    Handle = 1,
    /// A pointer other than a handle is null or misaligned, or two buffers overlap.
    Pointer = 2,
    /// A buffer or tensor has the wrong length or shape.
    Shape = 3,
    /// An argument has a value that is not accepted.
    Value = 4,
    /// A tensor holds the wrong type of elements.
    Type = 5,
    /// A file cannot be read.
    Io = 6,
    /// A file is damaged, or its content does not fit its format.
    Format = 7,
    /// The model needs something that is not supported.
    Unsupported = 8,
    /// A limit of the device, or of the memory or work of an ONNX model, is exceeded.
    Limit = 9,
    /// The device is out of memory.
    OutOfMemory = 10,
    /// There is no GPU, or the library was built without support for GPUs.
    NoDevice = 11,
    /// The GPU failed or was lost.
    Device = 12,
    /// Another call on this stream is in progress.
    Busy = 13,
    /// A defect of the library. If a stream returned it, it can only be freed.
    Internal = 14,
}

impl WgruStatus {
    /// Every status with its name.
    const NAMES: [(WgruStatus, &CStr); 15] = [
        (WgruStatus::Ok, c"ok"),
        (WgruStatus::Handle, c"handle"),
        (WgruStatus::Pointer, c"pointer"),
        (WgruStatus::Shape, c"shape"),
        (WgruStatus::Value, c"value"),
        (WgruStatus::Type, c"dtype"),
        (WgruStatus::Io, c"io"),
        (WgruStatus::Format, c"format"),
        (WgruStatus::Unsupported, c"unsupported"),
        (WgruStatus::Limit, c"limit"),
        (WgruStatus::OutOfMemory, c"out-of-memory"),
        (WgruStatus::NoDevice, c"no-adapter"),
        (WgruStatus::Device, c"gpu"),
        (WgruStatus::Busy, c"busy"),
        (WgruStatus::Internal, c"internal"),
    ];

    /// Returns the status of an error of the library.
    pub(crate) fn of(error: &engine::Error) -> Self {
        match error.code() {
            "shape" => WgruStatus::Shape,
            "value" => WgruStatus::Value,
            "dtype" => WgruStatus::Type,
            "io" => WgruStatus::Io,
            "format" => WgruStatus::Format,
            "unsupported" => WgruStatus::Unsupported,
            "limit" => WgruStatus::Limit,
            "out-of-memory" => WgruStatus::OutOfMemory,
            "no-adapter" => WgruStatus::NoDevice,
            // A model on a GPU was given to a stream.
            "device-mix" => WgruStatus::Unsupported,
            "device-lost" | "gpu" | "aborted" => WgruStatus::Device,
            _ => WgruStatus::Internal,
        }
    }
}

/// Returns a short name of a status, such as `shape`, or `unknown` for any other number. The text is static: do not
/// free it. Any thread; does not allocate.
#[unsafe(no_mangle)]
pub extern "C" fn wgru_status_name(status: u32) -> *const c_char {
    let named = WgruStatus::NAMES.iter().find(|(known, _)| *known as u32 == status);
    named.map_or(c"unknown", |(_, name)| name).as_ptr()
}

/// An error with its text, provided by the caller, for example on the stack. It owns nothing: there is nothing to
/// initialize or to free.
///
/// Every call that takes one writes it: on success, the status is `WGRU_STATUS_OK` and the message is empty.
#[repr(C)]
pub struct WgruError {
    /// The value that the call returned.
    pub status: WgruStatus,
    /// The operation, the argument, what was expected and what came: UTF-8, ended by a zero. Cut if it is too long.
    pub message: [c_char; WGRU_MESSAGE_SIZE],
}

/// Writes success to the caller's error, unless it is null or misaligned.
///
/// # Safety
/// As for [`report`].
pub(crate) unsafe fn clear(error: *mut WgruError) {
    if !error.is_null() && error.is_aligned() {
        // SAFETY: the caller guarantees that the memory can be written.
        unsafe {
            (&raw mut (*error).status).write(WgruStatus::Ok);
            (&raw mut (*error).message).cast::<u8>().write(0);
        }
    }
}

/// Writes a failure to the caller's error, unless it is null or misaligned. Does not allocate if displaying
/// `text` does not.
///
/// # Safety
/// `error` must be null, or point to memory of its size that nothing else uses.
pub(crate) unsafe fn report(error: *mut WgruError, status: WgruStatus, text: impl Display) {
    if error.is_null() || !error.is_aligned() {
        return;
    }
    // The memory may be uninitialized, so it is only written.
    // SAFETY: the caller guarantees that the memory can be written.
    let message = unsafe {
        (&raw mut (*error).status).write(status);
        (&raw mut (*error).message).cast::<u8>()
    };
    let mut target = Cut { bytes: message, len: 0, is_full: false };
    // An error means that the text was cut.
    _ = write!(target, "{text}");
    // SAFETY: `len` is less than the size of the message.
    unsafe { message.add(target.len).write(0) };
}

/// Writes text to a message as far as it fits.
struct Cut {
    /// Start of `WGRU_MESSAGE_SIZE` bytes that can be written.
    bytes: *mut u8,
    len: usize,
    is_full: bool,
}

impl Write for Cut {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        // Room for the terminating zero.
        let room = WGRU_MESSAGE_SIZE - 1 - self.len;
        let mut fits = text.len().min(room);
        while !text.is_char_boundary(fits) {
            fits -= 1;
        }
        if !self.is_full {
            // SAFETY: `bytes` has room for `fits` bytes after `len`, and `text` is elsewhere.
            unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), self.bytes.add(self.len), fits) };
            self.len += fits;
        }
        self.is_full |= fits < text.len();
        if self.is_full { Err(std::fmt::Error) } else { Ok(()) }
    }
}
