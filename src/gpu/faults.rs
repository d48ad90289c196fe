//! Error scopes, which return driver errors from the call that caused them, and detection of device loss.
//!
//! On an adopted device, the host's error handler and device-lost callback stay in place. Error scopes catch the errors
//! of our own calls, and a probe detects the loss of the device.

#[cfg(not(target_arch = "wasm32"))]
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
#[cfg(not(target_arch = "wasm32"))]
use std::time::Duration;

use super::lock;
use crate::error::{Error, Result};

/// The kinds of errors that calls are checked for.
const FILTERS: [wgpu::ErrorFilter; 3] =
    [wgpu::ErrorFilter::Internal, wgpu::ErrorFilter::OutOfMemory, wgpu::ErrorFilter::Validation];

/// Error state of one device. Clones share it.
#[derive(Clone)]
pub(super) struct Faults(Arc<Inner>);

struct Inner {
    device: wgpu::Device,
    /// Why the device was lost.
    lost: OnceLock<String>,
    /// An error that was reported after its call returned, as in a browser.
    late: Mutex<Option<Error>>,
    /// Number of allocation failures reported after the call returned.
    exhausted: AtomicUsize,
    /// Error scopes of an adopted device whose results the browser has not reported yet.
    #[cfg(target_arch = "wasm32")]
    scopes: OnceLock<Mutex<pending::Scopes>>,
    #[cfg(not(target_arch = "wasm32"))]
    probe: probe::Probe,
}

impl Faults {
    pub fn new(device: &wgpu::Device) -> Self {
        Self(Arc::new(Inner {
            lost: OnceLock::new(),
            late: Mutex::default(),
            exhausted: AtomicUsize::new(0),
            #[cfg(target_arch = "wasm32")]
            scopes: OnceLock::new(),
            #[cfg(not(target_arch = "wasm32"))]
            probe: probe::Probe::new(device),
            device: device.clone(),
        }))
    }

    /// Runs wgpu calls inside error scopes and returns the first error that they cause. Scopes are per thread, so this
    /// is never the error of another thread. Browsers report errors after the call: a later [`check`](Self::check)
    /// returns them.
    pub fn guard<T>(&self, op: &'static str, calls: impl FnOnce() -> T) -> Result<T> {
        #[cfg(target_arch = "wasm32")]
        {
            let Some(scopes) = self.0.scopes.get() else { return Ok(calls()) };
            let open = FILTERS.map(|filter| self.0.device.push_error_scope(filter));
            let out = calls();
            lock(scopes).close(op, open);
            Ok(out)
        }
        #[cfg(not(target_arch = "wasm32"))]
        {
            let (mut calls, mut out) = (Some(calls), None);
            self.guard_calls(op, &mut || out = calls.take().map(|calls| calls()))?;
            out.ok_or_else(|| Error::Gpu(format!("{op}: not called")))
        }
    }

    /// [`guard`](Self::guard), compiled once for all calls.
    #[cfg(not(target_arch = "wasm32"))]
    fn guard_calls(&self, op: &'static str, calls: &mut dyn FnMut()) -> Result<()> {
        let scopes = FILTERS.map(|filter| self.0.device.push_error_scope(filter));
        let out = catch_unwind(AssertUnwindSafe(calls));
        let mut first = None;
        for scope in scopes.into_iter().rev() {
            // Outside a browser, the future is ready at once.
            first = first.or(crate::wait::block_on(scope.pop()));
        }
        match (out, first) {
            (Ok(()), None) => Ok(()),
            // While a device is being lost, calls fail with arbitrary messages, and wgpu may panic.
            _ if self.is_lost() => Err(self.lost()),
            (Ok(()), Some(error)) => Err(typed(op, &error)),
            (Err(panic), _) => resume_unwind(panic),
        }
    }

    /// Installs an error handler and a device-lost callback. Only for our own devices.
    pub fn listen(&self) {
        // The device keeps its handlers, and we keep the device: without `Weak`, neither would ever be dropped.
        let faults = Arc::downgrade(&self.0);
        self.0.device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            log::error!("GPU: {error}");
            if let Some(faults) = faults.upgrade() {
                Self(faults).arrived("an earlier call", &error);
            }
        }));
        let faults = Arc::downgrade(&self.0);
        self.0.device.set_device_lost_callback(move |reason, message| {
            if let Some(faults) = faults.upgrade() {
                Self(faults).lose(format!("{reason:?}: {message}"));
            }
        });
    }

    /// Opens error scopes around all calls. Only for adopted devices, whose error handler is the host's.
    #[cfg(target_arch = "wasm32")]
    pub fn use_scopes(&self) {
        self.0.scopes.get_or_init(Mutex::default);
    }

    /// Stores an error that was reported after its call returned.
    fn arrived(&self, op: &'static str, error: &wgpu::Error) {
        if matches!(error, wgpu::Error::OutOfMemory { .. }) {
            self.0.exhausted.fetch_add(1, Ordering::Relaxed);
        }
        lock(&self.0.late).get_or_insert(typed(op, error));
    }

    /// Number of allocations whose failure was reported after the call returned. Buffers created before the last such
    /// report must not be reused, because any of them may be invalid.
    pub fn exhausted(&self) -> usize {
        self.0.exhausted.load(Ordering::Relaxed)
    }

    pub fn lose(&self, why: String) {
        let _ = self.0.lost.set(why);
    }

    /// Replaces `error` by the loss of the device if the device is lost.
    pub fn explain(&self, error: Error) -> Error {
        if self.is_lost() { self.lost() } else { error }
    }

    /// Whether the device is lost. Probes it if no loss is known yet.
    pub fn is_lost(&self) -> bool {
        if self.0.lost.get().is_some() {
            return true;
        }
        #[cfg(not(target_arch = "wasm32"))]
        if self.0.probe.is_refused() {
            self.lose("it was destroyed, or its driver was reset".into());
            return true;
        }
        false
    }

    pub fn lost(&self) -> Error {
        Error::DeviceLost(self.0.lost.get().cloned().unwrap_or_else(|| "the reason is unknown".into()))
    }

    /// Returns the loss of the device, or an error that was reported late.
    pub fn check(&self) -> Result<()> {
        if self.is_lost() {
            return Err(self.lost());
        }
        #[cfg(target_arch = "wasm32")]
        if let Some(scopes) = self.0.scopes.get() {
            lock(scopes).poll(|op, error| self.arrived(op, &error));
        }
        lock(&self.0.late).take().map_or(Ok(()), Err)
    }

    /// [`check`](Self::check) without the cost of probing the device, for frequent calls. The next allocation,
    /// submission or readback detects a loss.
    pub fn check_known(&self) -> Result<()> {
        match self.0.lost.get() {
            Some(_) => Err(self.lost()),
            None => Ok(()),
        }
    }

    /// Whether a submission reached the queue.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn was_submitted(&self, index: &wgpu::SubmissionIndex) -> bool {
        self.poll(wgpu::PollType::Wait { submission_index: Some(index.clone()), timeout: Some(Duration::ZERO) }).is_ok()
    }

    /// Polls the device, as [`wgpu::Device::poll`] does, and returns a loss as an error. wgpu panics if the driver
    /// reports the loss during a poll.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn poll(&self, how: wgpu::PollType) -> Result<()> {
        match catch_unwind(AssertUnwindSafe(|| self.0.device.poll(how))) {
            // A timeout is not an error.
            Ok(Ok(_) | Err(wgpu::PollError::Timeout)) => Ok(()),
            Ok(Err(error)) => Err(Error::Gpu(error.to_string())),
            // wgpu panics when the driver reports a loss here. Panics in host callbacks are left to the host.
            Err(panic) => match self.is_lost() {
                true => Err(self.lost()),
                false => resume_unwind(panic),
            },
        }
    }
}

/// Converts a wgpu error of the call `op`.
fn typed(op: &'static str, error: &wgpu::Error) -> Error {
    match error {
        wgpu::Error::OutOfMemory { .. } => Error::OutOfMemory { op },
        _ => Error::Gpu(format!("{op}: {error}")),
    }
}

/// Error scopes whose results arrive after the call, as promises in a browser.
#[cfg(target_arch = "wasm32")]
mod pending {
    use std::collections::VecDeque;
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    type Scope = Pin<Box<dyn Future<Output = Option<wgpu::Error>> + Send>>;

    /// In the order in which the scopes were closed, which is also the order of their results. Results arrive only when
    /// the program returns to the browser's event loop.
    #[derive(Default)]
    pub(super) struct Scopes(VecDeque<(&'static str, Scope)>);

    impl Scopes {
        /// Closes the scopes of the call `op`, given in the order in which they were opened.
        pub fn close(&mut self, op: &'static str, open: [wgpu::ErrorScopeGuard; 3]) {
            self.0.extend(open.into_iter().rev().map(|scope| (op, Box::pin(scope.pop()) as Scope)));
        }

        /// Calls `arrived` for each error that has been reported, and drops scopes that reported none.
        pub fn poll(&mut self, mut arrived: impl FnMut(&'static str, wgpu::Error)) {
            while let Some((op, scope)) = self.0.front_mut()
                && let Poll::Ready(error) = scope.as_mut().poll(&mut Context::from_waker(Waker::noop()))
            {
                error.into_iter().for_each(|error| arrived(op, error));
                self.0.pop_front();
            }
        }
    }
}

/// Detects the loss of a device without its device-lost callback, which belongs to the host.
#[cfg(not(target_arch = "wasm32"))]
mod probe {
    use std::sync::atomic::AtomicBool;

    use super::*;

    /// A small buffer that is mapped and unmapped at once. A lost device refuses the mapping within the call.
    pub(super) struct Probe {
        device: wgpu::Device,
        buffer: wgpu::Buffer,
        /// Serializes probes.
        turn: Mutex<()>,
    }

    impl Probe {
        pub fn new(device: &wgpu::Device) -> Self {
            let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
            let descriptor =
                wgpu::BufferDescriptor { label: Some("wgru probe"), size: 16, usage, mapped_at_creation: false };
            let scope = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
            let buffer = device.create_buffer(&descriptor);
            crate::wait::block_on(scope.pop());
            Self { device: device.clone(), buffer, turn: Mutex::default() }
        }

        /// Whether the device refuses to map the buffer. A concurrent poll on another thread may be completing a
        /// mapping, which looks like a refusal, so only repeated refusals count.
        pub fn is_refused(&self) -> bool {
            const TRIES: u32 = 4;
            let _turn = lock(&self.turn);
            (0..TRIES).all(|i| {
                if i > 0 {
                    std::thread::sleep(Duration::from_micros(100));
                }
                self.try_map()
            })
        }

        fn try_map(&self) -> bool {
            let refused = Arc::new(AtomicBool::new(false));
            let seen = refused.clone();
            // The buffer is invalid if the device was lost before the buffer was created.
            let scope = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
            // wgpu panics if a buffer of a lost device is freed while it is mapped.
            let map = AssertUnwindSafe(|| {
                self.buffer.slice(..).map_async(wgpu::MapMode::Read, move |result| {
                    seen.store(result.is_err(), Ordering::Relaxed);
                });
                refused.load(Ordering::Relaxed)
            });
            let is_refused = catch_unwind(map).unwrap_or(true);
            let _ = catch_unwind(AssertUnwindSafe(|| self.buffer.unmap()));
            crate::wait::block_on(scope.pop());
            is_refused
        }
    }
}
