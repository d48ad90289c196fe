//! The session: opens windows one after another, and owns the state that outlives them: the training thread, the
//! sensor, and the measurements.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use eframe::{egui, egui_wgpu};

use crate::app::App;
use crate::gpu::Host;
use crate::meter::Meter;
use crate::options::{Options, Place};
use crate::player::Player;
use crate::settings::{Settings, default_folder};
use crate::weather::Weather;
use crate::worker::{EventKind, Start, Status, Worker};
use crate::{gpu, report, restart};

/// Learning rate of a new model.
const RATE: f64 = 3e-3;
/// Hidden units of a new model.
const HIDDEN: usize = 32;
/// Maximum number of windows reopened in a row, each of which drew fewer than `FEW_FRAMES` frames, before the
/// application gives up.
const MOST_REOPENED: u32 = 3;
const FEW_FRAMES: u64 = 30;

/// Requests repaints of the current window.
#[derive(Clone, Default)]
pub struct Wake(Arc<Mutex<Option<egui::Context>>>);

impl Wake {
    /// Makes the window of `context` the current one.
    pub fn set(&self, context: egui::Context) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(context);
    }

    /// Requests a repaint.
    pub fn repaint(&self) {
        if let Some(context) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            context.request_repaint();
        }
    }
}

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

    /// Opens the window, and reopens it whenever its device is lost; then saves and reports.
    ///
    /// # Errors
    /// A message for the user.
    pub fn run(mut self) -> Result<(), String> {
        let mut in_a_row = 0;
        loop {
            let (frames, options) = (self.frame, native_options(&self.options));
            let session = &mut self;
            let create: eframe::AppCreator<'_> =
                Box::new(move |context| Ok(Box::new(App::new(session, context)?) as Box<dyn eframe::App + '_>));
            let run = || eframe::run_native("wgru", options, create).map_err(|error| no_window(&error));
            let closed = match catch_unwind(AssertUnwindSafe(run)) {
                Ok(closed) => closed,
                Err(panic) if self.is_window_lost() => return self.save_and_restart(panic_text(&*panic)),
                Err(panic) => resume_unwind(panic),
            };
            let lost = std::mem::take(&mut self.reopen);
            closed?;
            if !lost {
                break;
            }
            in_a_row = if self.frame - frames < FEW_FRAMES { in_a_row + 1 } else { 0 };
            if in_a_row == MOST_REOPENED {
                return Err("the GPU was lost repeatedly; the model is saved".into());
            }
            self.reopened += 1;
            self.meter.interrupt();
        }
        self.finish()
    }

    fn is_window_lost(&self) -> bool {
        self.host.as_ref().is_some_and(Host::is_lost)
    }

    /// Saves, and restarts the program: egui-wgpu 0.37 panics when its device is lost while it paints, and winit's
    /// event loop cannot be used again after that.
    fn save_and_restart(mut self, why: &str) -> Result<(), String> {
        log::error!("the device of the window was lost while it was painted: {why}");
        let train = self.worker.shared.lock().status != Status::Paused;
        self.save()?;
        restart::run(&self.options, train).map(|_| ())
    }

    fn save(&mut self) -> Result<(), String> {
        self.worker.finish();
        (self.settings.speed, self.settings.threshold) = (self.player.speed, self.player.threshold);
        self.settings.save(&self.folder)
    }

    fn finish(mut self) -> Result<(), String> {
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

    /// Destroys the training device, as a driver that resets the GPU would, if that was requested. Returns whether it
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

fn no_window(error: &eframe::Error) -> String {
    match error {
        eframe::Error::Wgpu(_) => {
            let help = "It needs Vulkan, Metal or DirectX 12; on Debian, mesa-vulkan-drivers has a software driver.";
            format!("the window cannot be drawn: {error}. {help}")
        }
        error => format!("the window cannot be opened: {error}"),
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a panic")
}

fn native_options(options: &Options) -> eframe::NativeOptions {
    let mut setup = egui_wgpu::WgpuSetupCreateNew::without_display_handle();
    // OpenGL cannot run wgru's kernels.
    setup.instance_descriptor.backends &= eframe::wgpu::Backends::PRIMARY;
    setup.device_descriptor = Arc::new(gpu::descriptor);
    let (width, height) = options.size;
    eframe::NativeOptions {
        viewport: egui::ViewportBuilder::default()
            .with_app_id("wgru-desktop")
            .with_title("wgru: a GRU at work")
            .with_inner_size([width, height])
            .with_min_inner_size([900.0, 620.0]),
        centered: true,
        wgpu_options: egui_wgpu::WgpuConfiguration { wgpu_setup: setup.into(), ..Default::default() },
        ..Default::default()
    }
}

/// Interval between frames while idle, so that the figures keep moving.
pub const IDLE: Duration = Duration::from_millis(250);
