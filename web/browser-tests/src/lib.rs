//! The tests of wgru in a browser. Their bodies are those of `tests/`, unchanged: each file there that can run in a
//! browser is compiled as a module of its own (an example of this package; `Cargo.toml` says which are not), with
//! `#[test]` from here. `host.mjs` calls its exports one by one, and `run.mjs` opens a browser that does.
#![allow(unsafe_code, reason = "calls of the page that hosts the tests")]

use std::fmt::Debug;
use std::sync::Once;

pub use test_macro::test;

// What the library waits with.
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
    /// Takes the message of a panic, as UTF-8.
    fn panicked(message: *const u8, len: usize);
}

/// Runs a test.
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

/// What a test may return.
pub trait Outcome {
    /// Panics where it is an error.
    fn check(self);
}

impl Outcome for () {
    fn check(self) {}
}

impl<E: Debug> Outcome for Result<(), E> {
    fn check(self) {
        self.expect("the test gives no error");
    }
}
