//! The training thread: handles commands, trains epoch by epoch, and publishes its state on the board.

mod board;
mod command;
mod keep;
mod run;
mod snapshot;
mod training;
mod view;

use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub use board::{Board, EventKind, Gates, Losses, Shared, Status, Trained};
pub use command::{Command, Start};

/// Maximum time that the thread may take to end: enough for an update of the largest model on a slow adapter, and for
/// saving the file.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running training thread.
pub struct Worker {
    commands: Sender<Command>,
    thread: Option<JoinHandle<()>>,
    pub shared: Shared,
}

impl Worker {
    /// Starts the thread. It does nothing until the window has a device.
    ///
    /// # Errors
    /// If the system cannot create a thread.
    pub fn start(start: Start) -> std::io::Result<Self> {
        let shared = Shared::new(start.place, start.hidden, start.rate);
        let (commands, inbox) = channel();
        let board = shared.clone();
        let thread =
            std::thread::Builder::new().name("training".into()).spawn(move || run::run(start, inbox, board))?;
        Ok(Self { commands, thread: Some(thread), shared })
    }

    /// Sends a command. A thread that has ended ignores it; its status says why it ended.
    pub fn send(&self, command: Command) {
        let _ = self.commands.send(command);
    }

    /// Ends the thread after it has saved the model. A thread that is blocked in a driver is left behind.
    pub fn finish(&mut self) {
        self.send(Command::Quit);
        let Some(thread) = self.thread.take() else { return };
        let since = Instant::now();
        while !thread.is_finished() && since.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(5));
        }
        match thread.is_finished() {
            true => _ = thread.join(),
            false => log::error!("the training thread did not end"),
        }
    }

    /// Whether the thread has ended without a command, which is a bug in this program.
    pub fn has_died(&self) -> bool {
        self.thread.as_ref().is_some_and(JoinHandle::is_finished)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.finish();
    }
}
