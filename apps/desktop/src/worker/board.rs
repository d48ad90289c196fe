//! Messages from the training thread to the window.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use wgru::nn;
use wgru::{BufferPart, Stream};

use crate::gpu::Fuse;
use crate::options::Place;

/// State of the training thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Opening the device and building the model.
    Starting,
    Training,
    Paused,
    /// Waiting for a new device of the window, because the old one was lost.
    WaitingForWindow,
    /// Stopped by an error; training waits for the user.
    Failed(String),
}

/// A notice for the user.
#[derive(Clone, Debug)]
pub struct Event {
    pub when: Instant,
    pub kind: EventKind,
    pub text: String,
    /// False once the user has dismissed it.
    pub is_open: bool,
}

/// How an event is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    Note,
    Loss,
    Recovery,
    Error,
}

/// The forecast of the test days.
pub struct Forecast {
    /// First day.
    pub start: usize,
    /// For each day, the forecast for the next day, as a standardized change.
    pub change: Vec<f32>,
}

/// Gates in GPU memory.
pub struct Gates {
    /// Reset gate, update gate and candidate: `[days, hidden]` each.
    pub parts: Vec<BufferPart>,
    /// Keeps the tensors alive, because buffers of dropped tensors are recycled.
    pub _alive: nn::Gates,
    /// [`Host::window`](crate::gpu::Host::window) of the device that owns the buffers.
    pub window: u32,
    pub start: usize,
    pub days: usize,
    pub hidden: usize,
    /// Serial number, which distinguishes the gates of successive snapshots.
    pub serial: u64,
}

/// The trained model on the CPU, for the sensor.
#[derive(Clone)]
pub struct Trained {
    pub stream: Stream,
    pub serial: u64,
}

/// Losses of an epoch, as root mean square errors in °C.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Losses {
    pub training: f32,
    pub validation: f32,
}

/// The state of training, as the window shows it.
pub struct Board {
    pub status: Status,
    pub place: Place,
    pub hidden: usize,
    pub rate: f64,
    pub device: String,
    pub epoch: usize,
    /// Number of updates of the model since it was created.
    pub updates: u64,
    /// Number of updates since the program started, including repeated ones.
    pub made: u64,
    pub history: Vec<Losses>,
    pub forecast: Option<Arc<Forecast>>,
    pub gates: Option<Arc<Gates>>,
    pub trained: Option<Trained>,
    pub events: Vec<Event>,
    /// Destroys the training device.
    pub fuse: Option<Fuse>,
    /// When the device was lost, until training continues.
    pub lost_at: Option<Instant>,
    /// Number of lost devices, and of recoveries.
    pub lost: u32,
    pub recovered: u32,
    /// Whether the model was found in the state folder.
    pub resumed: bool,
    /// Number of updates in the last snapshot, and of epochs in the last one in the state folder.
    pub snapshot: u64,
    pub saved: Option<usize>,
}

/// A [`Board`] that both threads share.
#[derive(Clone)]
pub struct Shared(Arc<Mutex<Board>>);

impl Shared {
    /// Creates a board, before the first device is opened.
    pub fn new(place: Place, hidden: usize, rate: f64) -> Self {
        Self(Arc::new(Mutex::new(Board {
            status: Status::Starting,
            place,
            hidden,
            rate,
            device: String::new(),
            epoch: 0,
            updates: 0,
            made: 0,
            history: Vec::new(),
            forecast: None,
            gates: None,
            trained: None,
            events: Vec::new(),
            fuse: None,
            lost_at: None,
            lost: 0,
            recovered: 0,
            resumed: false,
            snapshot: 0,
            saved: None,
        })))
    }

    /// Locks the board. No thread waits for a device while it holds the lock.
    pub fn lock(&self) -> MutexGuard<'_, Board> {
        // The state of a thread that panicked can still be shown.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Adds an event.
    pub fn tell(&self, kind: EventKind, text: impl Into<String>) {
        let text = text.into();
        log::info!("{text}");
        self.lock().events.push(Event { when: Instant::now(), kind, text, is_open: true });
    }
}
