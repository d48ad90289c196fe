//! The session: the training thread, the sensor and the measurements, which outlive the windows.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use crate::gpu::Host;
use crate::meter::Meter;
use crate::options::{Options, Place};
use crate::player::Player;
use crate::report;
use crate::settings::{Settings, default_folder};
use crate::wake::Wake;
use crate::weather::Weather;
use crate::worker::{EventKind, Start, Status, Worker};

/// Learning rate of a new model.
const RATE: f64 = 3e-3;
/// Hidden units of a new model.
const HIDDEN: usize = 32;

/// The state of the application.
pub struct Session {
    pub options: Options,
    pub folder: PathBuf,
    pub settings: Settings,
    pub weather: Arc<Weather>,
    pub worker: Worker,
    pub player: Player,
    pub meter: Meter,
    pub wake: Wake,
    /// Number of frames drawn, in all windows together.
    pub frame: u64,
    /// Whether the window was closed to be reopened, because its device is lost.
    pub reopen: bool,
    /// Number of windows that were reopened.
    pub reopened: u32,
    /// The device of the window.
    pub host: Option<Host>,
    /// Whether to destroy the training device at the next frame.
    pub lose_device: bool,
    /// Whether training was on when the window was closed.
    pub was_training: bool,
}

impl Session {
    /// Reads settings and data, and starts the training thread.
    ///
    /// # Errors
    /// A message for the user.
    pub fn new(options: Options) -> Result<Self, String> {
        let folder = match &options.state {
            Some(folder) => folder.clone(),
            None => default_folder()?,
        };
        let (mut settings, mistake) = match Settings::open(&folder) {
            Ok(settings) => (settings, None),
            Err(mistake) => (Settings::default(), Some(mistake)),
        };
        settings.theme = options.theme.unwrap_or(settings.theme);
        settings.place = options.device.unwrap_or(settings.place);
        let weather = Arc::new(Weather::read().map_err(|error| format!("the weather table cannot be read: {error}"))?);
        let wake = Wake::default();
        let worker = Worker::start(Start {
            state: folder.clone(),
            weather: weather.clone(),
            place: settings.place,
            hidden: options.hidden.map_or(HIDDEN, usize::from),
            hidden_is_requested: options.hidden.is_some(),
            rate: RATE,
            train: options.train,
            wake: wake.clone(),
        });
        let worker = worker.map_err(|error| format!("the training thread cannot be started: {error}"))?;
        if let Some(mistake) = mistake {
            worker
                .shared
                .tell(EventKind::Error, format!("The settings cannot be read: {mistake}. The defaults are used."));
        }
        let mut player = Player::new(weather.clone());
        (player.speed, player.threshold) = (settings.speed, settings.threshold);
        Ok(Self {
            options,
            folder,
            settings,
            weather,
            worker,
            player,
            meter: Meter::new(),
            wake,
            frame: 0,
            reopen: false,
            reopened: 0,
            host: None,
            lose_device: false,
            was_training: false,
        })
    }

    /// Whether the window's device is lost.
    pub fn is_window_lost(&self) -> bool {
        self.host.as_ref().is_some_and(Host::is_lost)
    }

    /// Ends the training thread, and saves the model and the settings.
    ///
    /// # Errors
    /// A message for the user.
    pub fn save(&mut self) -> Result<(), String> {
        self.worker.finish();
        (self.settings.speed, self.settings.threshold) = (self.player.speed, self.player.threshold);
        self.settings.save(&self.folder)
    }

    /// Saves, and reports if that was requested.
    ///
    /// # Errors
    /// A message for the user.
    pub fn finish(mut self) -> Result<(), String> {
        self.save()?;
        if let Some(path) = &self.options.report {
            let run = report::Run {
                reopened: self.reopened,
                restarted: self.options.after_loss,
                training: self.was_training,
                steps: self.player.steps,
            };
            report::write(path, &report::report(&self.meter, &self.worker.shared.lock(), &run))?;
        }
        Ok(())
    }

    /// Destroys the training device, like a driver reset, if that was requested. Returns whether it
    /// was the window's device.
    ///
    /// Call this only at the beginning of a frame: egui-wgpu 0.37 panics when it paints on a lost device, so nothing
    /// may be drawn afterwards.
    pub fn lose_device_if_requested(&mut self) -> bool {
        let board = self.worker.shared.lock();
        let (fuse, place) = (board.fuse.clone(), board.place);
        drop(board);
        let Some(fuse) = fuse.filter(|_| std::mem::take(&mut self.lose_device)) else { return false };
        self.worker.shared.lock().lost_at = Some(Instant::now());
        fuse.blow();
        self.worker.send(crate::worker::Command::Look);
        place == Place::Window
    }

    /// Whether training is running.
    pub fn is_training(&self) -> bool {
        self.worker.shared.lock().status == Status::Training
    }

    /// Records that the window must be reopened, because its device is lost.
    pub fn note_window_loss(&mut self, why: &str) {
        let place = self.worker.shared.lock().place;
        self.reopen = true;
        let tail = match place {
            Place::Window => "It is reopened with a new device, and training continues there.",
            Place::Own => "It is reopened with a new device; training continues on its own device.",
        };
        self.worker.shared.tell(EventKind::Loss, format!("The device of the window was lost ({why}). {tail}"));
    }
}
