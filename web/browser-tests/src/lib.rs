//! Runs the tests of wgru in a browser.
//!
//! Each file of `tests/` that can run in a browser is compiled unchanged to its own wasm module, as an example of this
//! package, with the attribute `#[test]` from here. `Cargo.toml` lists the files left out. `run.mjs` opens the browser,
//! and `host.mjs` calls the exported tests one by one.
#![allow(unsafe_code, reason = "calls functions of the page that hosts the tests")]

use std::fmt::Debug;
use std::sync::Once;

pub use test_macro::test;

// The library's blocking function.
#[cfg(wgru_jspi)]
#[path = "../../../src/wait.rs"]
mod wait;

/// Waits for a future by suspending the test.
#[cfg(wgru_jspi)]
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    wait::block_on(future)
}

#[link(wasm_import_module = "../host.mjs")]
unsafe extern "C" {
    /// Receives the message of a panic, as UTF-8.
    fn panicked(message: *const u8, len: usize);
}

/// Runs one test, and reports the message of a panic to the page.
pub fn run<T: Outcome>(test: fn() -> T) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        std::panic::set_hook(Box::new(|info| {
            let text = info.to_string();
            // SAFETY: the page copies the text before it returns.
            unsafe { panicked(text.as_ptr(), text.len()) }
        }));
    });
    test().check();
}

/// A type that a test may return.
pub trait Outcome {
    /// Panics if the test returned an error.
    fn check(self);
}

impl Outcome for () {
    fn check(self) {}
}

impl<E: Debug> Outcome for Result<(), E> {
    fn check(self) {
        self.expect("the test returned an error");
    }
}
