//! Blocks on a future where a thread may block: natively, and in the tests in a browser, under the cfg `wgru_jspi`.
//! Those run as calls that the browser can suspend (JavaScript Promise Integration).
#![cfg_attr(wgru_jspi, allow(unsafe_code, reason = "calls functions of the page that hosts the tests"))]

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use pollster::block_on;

#[cfg(all(target_arch = "wasm32", wgru_jspi))]
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    use std::sync::Arc;
    use std::task::{Context, Poll, Wake};

    // web/browser-tests/host.mjs
    #[link(wasm_import_module = "../host.mjs")]
    unsafe extern "C" {
        /// Suspends this call until `resume` is called, or returns at once if it was called since the last `suspend`
        /// returned.
        safe fn suspend();
        safe fn resume();
    }
    struct Resume;
    impl Wake for Resume {
        fn wake(self: Arc<Self>) {
            resume();
        }
    }
    let (mut future, waker) = (std::pin::pin!(future), Arc::new(Resume).into());
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(out) => return out,
            Poll::Pending => suspend(),
        }
    }
}
