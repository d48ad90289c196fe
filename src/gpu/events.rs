//! State and condition variable through which the driver thread and other threads wake each other.

use std::sync::MutexGuard;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use futures_channel::oneshot::Sender;

use super::lock;
use crate::error::Result;

/// State shared between the threads that record work, the callbacks of wgpu and the driver thread. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Events(Arc<(Mutex<State>, Condvar)>);

#[derive(Default)]
pub(super) struct State {
    /// Submitted readbacks that have not completed, by number.
    pub readbacks: Vec<(u64, Sender<Result<()>>)>,
    next: u64,
    /// Paced submissions that the GPU has not finished.
    pub running: usize,
    /// Number of commands, counted since the device was opened, that the driver thread has been asked to submit.
    pub wanted: u64,
    /// Whether the device was dropped.
    pub is_closed: bool,
    /// Futures waiting for the driver thread to catch up.
    pub waiting: Vec<Sender<()>>,
}

impl State {
    /// Registers the sender of a readback and returns the readback's number.
    pub fn expect(&mut self, done: Sender<Result<()>>) -> u64 {
        self.next += 1;
        self.readbacks.push((self.next, done));
        self.next
    }
}

impl Events {
    /// Completes a readback. Wakes the waiting task after releasing the lock.
    pub fn arrive(&self, number: u64, result: Result<()>) {
        let done = self.update(|state| {
            let at = state.readbacks.iter().position(|(n, _)| *n == number)?;
            Some(state.readbacks.swap_remove(at).1)
        });
        if let Some(done) = done {
            let _ = done.send(result);
        }
    }

    /// Changes the state and wakes the driver thread.
    pub fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let out = change(&mut lock(&self.0.0));
        self.0.1.notify_all();
        out
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0.0)
    }

    /// Waits until `is_done` holds, for at most `timeout`. Returns whether it holds.
    pub fn wait(&self, timeout: Duration, is_done: impl Fn(&State) -> bool) -> bool {
        let state = lock(&self.0.0);
        let wait = self.0.1.wait_timeout_while(state, timeout, |state| !is_done(state));
        let (state, _) = wait.expect("nothing panics while it holds the state");
        is_done(&state)
    }
}
