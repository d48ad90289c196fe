//! Messages from the window to the training thread.

use std::path::PathBuf;
use std::sync::Arc;

use crate::gpu::Host;
use crate::options::Place;
use crate::wake::Wake;
use crate::weather::Weather;

/// Commands of the user.
pub enum Command {
    Train,
    Pause,
    /// Start a new model with this many units.
    Reset(usize),
    Rate(f64),
    /// Train on this device from now on.
    Place(Place),
    /// The window has a device: its first or a new one.
    Window(Host),
    /// The training device was destroyed: check it, even when paused.
    Look,
    Quit,
}

/// Initial state of a worker.
pub struct Start {
    pub state: PathBuf,
    pub weather: Arc<Weather>,
    pub place: Place,
    pub hidden: usize,
    /// Whether to ignore a saved model of a different size.
    pub hidden_is_requested: bool,
    pub rate: f64,
    pub train: bool,
    /// Requests repaints of the window.
    pub wake: Wake,
}
