//! What a device's driver thread waits for, and what others wait for from it. There is no such thread in a browser.

use std::collections::HashMap;
#[cfg(not(target_arch = "wasm32"))]
use std::sync::MutexGuard;
use std::sync::{Arc, Condvar, Mutex};
#[cfg(not(target_arch = "wasm32"))]
use std::time::Duration;

use futures_channel::oneshot::Sender;

use super::lock;
use crate::error::Result;

/// State shared between the threads that record work, the callbacks of wgpu and the driver thread. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Events(Arc<(Mutex<State>, Condvar)>);

#[derive(Default)]
pub(super) struct State {
    /// Readbacks that were submitted and have not arrived, by number.
    pub readbacks: HashMap<u64, Sender<Result<()>>>,
    next: u64,
    /// Paced submissions that the GPU has not finished.
    #[cfg(not(target_arch = "wasm32"))]
    pub running: usize,
    /// Commands, counted from the first ever recorded, up to which the driver thread is to submit.
    #[cfg(not(target_arch = "wasm32"))]
    pub wanted: u64,
    /// Whether the device is dropped.
    #[cfg(not(target_arch = "wasm32"))]
    pub is_closed: bool,
    /// Futures that wait until the driver thread has caught up.
    #[cfg(not(target_arch = "wasm32"))]
    pub waiting: Vec<Sender<()>>,
}

impl State {
    /// Keeps the sender of a readback until it arrives.
    pub fn expect(&mut self, done: Sender<Result<()>>) -> u64 {
        self.next += 1;
        self.readbacks.insert(self.next, done);
        self.next
    }

    /// Ends a readback.
    pub fn arrive(&mut self, number: u64, result: Result<()>) {
        if let Some(done) = self.readbacks.remove(&number) {
            let _ = done.send(result);
        }
    }
}

impl Events {
    /// Changes the state and wakes the driver thread.
    pub fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let out = change(&mut lock(&self.0.0));
        self.0.1.notify_all();
        out
    }

    #[cfg(not(target_arch = "wasm32"))]
    pub fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0.0)
    }

    /// Waits for a change, at most for `timeout`, unless `is_done` holds already.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn wait(&self, timeout: Duration, is_done: impl Fn(&State) -> bool) -> bool {
        let state = lock(&self.0.0);
        let wait = self.0.1.wait_timeout_while(state, timeout, |state| !is_done(state));
        let (state, _) = wait.expect("nothing panics while it holds the state");
        is_done(&state)
    }
}
