//! The border that every exported function crosses.
#![allow(unsafe_code, reason = "takes pointers from C")]

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::failure::{Failure, Result};
use crate::status::{WgruError, WgruStatus, clear, report};

/// Runs `body`, and reports its error or panic.
///
/// # Safety
/// `error` must be null, or point to a `WgruError` that nothing else uses.
pub unsafe fn guard(error: *mut WgruError, body: impl FnOnce() -> Result<()>) -> WgruStatus {
    // Displaying an error may panic too.
    let done = catch_unwind(AssertUnwindSafe(|| match body() {
        Ok(()) => {
            // SAFETY: as for this function.
            unsafe { clear(error) };
            WgruStatus::Ok
        }
        Err(failure) => {
            let status = failure.status();
            // SAFETY: as for this function.
            unsafe { report(error, status, &failure) };
            status
        }
    }));
    done.unwrap_or_else(|payload| {
        // SAFETY: as for this function.
        unsafe { report(error, WgruStatus::Internal, format_args!("a defect of wgru: {}", text(&*payload))) };
        // Dropping a payload may run code that panics.
        std::mem::forget(payload);
        WgruStatus::Internal
    })
}

/// Returns the message of a panic.
fn text(payload: &(dyn Any + Send)) -> &str {
    match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text,
        _ => "a panic without a message",
    }
}

/// Runs `body` on a part that a panic would leave in an unknown state, and sets `is_broken` in that case.
pub fn breaking<T>(is_broken: &mut bool, body: impl FnOnce() -> Result<T>) -> Result<T> {
    if *is_broken {
        return Err(Failure::Broken);
    }
    *is_broken = true;
    let result = body();
    *is_broken = false;
    result
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;
    use std::mem::MaybeUninit;

    use super::*;

    #[test]
    fn panics_become_a_status_with_their_message() {
        let mut error = MaybeUninit::<WgruError>::uninit();
        // SAFETY: the error can be written.
        let status = unsafe { guard(error.as_mut_ptr(), || panic!("of {}", 7)) };
        assert_eq!(status, WgruStatus::Internal);
        // SAFETY: the call has written it.
        let error = unsafe { error.assume_init() };
        assert_eq!(error.status, WgruStatus::Internal);
        // SAFETY: the message ends with a zero.
        let text = unsafe { CStr::from_ptr(error.message.as_ptr()) };
        assert_eq!(text.to_str(), Ok("a defect of wgru: of 7"));
        // Without an error, and with a payload that is no text.
        // SAFETY: null is allowed.
        let status = unsafe { guard(std::ptr::null_mut(), || std::panic::panic_any(7)) };
        assert_eq!(status, WgruStatus::Internal);
    }

    #[test]
    fn a_panic_breaks_what_it_interrupts() {
        let mut is_broken = false;
        assert!(breaking(&mut is_broken, || Err::<(), _>(Failure::Busy)).is_err());
        assert!(!is_broken);
        let panics = AssertUnwindSafe(|| breaking(&mut is_broken, || -> Result<()> { panic!() }));
        assert!(catch_unwind(panics).is_err());
        assert!(matches!(breaking(&mut is_broken, || Ok(())), Err(Failure::Broken)));
    }

    #[test]
    fn long_messages_are_cut_between_characters() {
        let mut error = MaybeUninit::<WgruError>::uninit();
        // 1,019 bytes fit: one and 509 times two.
        let text = format!("x{}", "é".repeat(1000));
        // SAFETY: the error can be written.
        unsafe { guard(error.as_mut_ptr(), || Err(Failure::value(text))) };
        // SAFETY: the call has written it.
        let error = unsafe { error.assume_init() };
        // SAFETY: the message ends with a zero.
        let cut = unsafe { CStr::from_ptr(error.message.as_ptr()) }.to_str().expect("UTF-8");
        assert_eq!((cut.len(), cut.ends_with('é')), (1019, true));
    }
}
