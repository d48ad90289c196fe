//! The training thread: takes commands, trains epoch by epoch, and puts what there is to see on the board

mod board;
mod keep;
mod run;
mod snapshot;
mod training;
mod view;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub use board::{Board, EventKind, Gates, Losses, Shared, Status, Trained};

use crate::gpu::Host;
use crate::options::Place;
use crate::weather::Weather;

/// How long the thread may take to end: an update of the largest model on a slow adapter, and the file.
const PATIENCE: Duration = Duration::from_secs(20);

/// Commands of the user.
pub enum Command {
    Train,
    Pause,
    /// A new model of so many units.
    Reset(usize),
    Rate(f64),
    /// Train elsewhere from now on.
    Place(Place),
    /// The window has a device, its first or a new one.
    Window(Host),
    /// The device that trains was destroyed: find out, even when paused.
    Look,
    Quit,
}

/// A running training thread.
pub struct Worker {
    commands: Sender<Command>,
    thread: Option<JoinHandle<()>>,
    pub shared: Shared,
}

/// How a worker begins.
pub struct Start {
    pub state: PathBuf,
    pub weather: Arc<Weather>,
    pub place: Place,
    pub hidden: usize,
    /// Whether a saved model of another size is to be left aside.
    pub hidden_is_asked_for: bool,
    pub rate: f64,
    pub train: bool,
    /// Asks the window to be drawn again.
    pub wake: crate::session::Wake,
}

impl Worker {
    /// Starts the thread. It does nothing until the window has a device.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(start: Start) -> std::io::Result<Self> {
        let shared = Shared::new(start.place, start.hidden, start.rate);
        let (commands, inbox) = channel();
        let board = shared.clone();
        let thread =
            std::thread::Builder::new().name("training".into()).spawn(move || run::run(start, inbox, board))?;
        Ok(Self { commands, thread: Some(thread), shared })
    }

    /// Sends a command. A thread that has ended takes none, and its status says why.
    pub fn send(&self, command: Command) {
        let _ = self.commands.send(command);
    }

    /// Ends the thread after it saved the model. One that a driver keeps waiting is left behind.
    pub fn finish(&mut self) {
        self.send(Command::Quit);
        let Some(thread) = self.thread.take() else { return };
        let since = Instant::now();
        while !thread.is_finished() && since.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(5));
        }
        match thread.is_finished() {
            true => _ = thread.join(),
            false => log::error!("the training thread does not end"),
        }
    }

    /// Whether the thread has ended without being asked, which is a fault of this program.
    pub fn has_died(&self) -> bool {
        self.thread.as_ref().is_some_and(JoinHandle::is_finished)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.finish();
    }
}
