//! A window of the application: draws its frames, and decides when to close it.

use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use eframe::egui::{self, ColorImage, ScreenshotCallback, ViewportCommand};
use image::ImageEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};

use crate::gates;
use crate::gpu::Host;
use crate::infer::{Inference, Pending};
use crate::options::Options;
use crate::session::Session;
use crate::ui;
use crate::worker::{Command, EventKind, Status};

/// Maximum number of frames to wait for a screenshot.
const SCREENSHOT_FRAMES: u64 = 100;
/// Interval between frames while idle, so that the statistics keep updating.
const IDLE: Duration = Duration::from_millis(250);

/// A window of the session.
pub struct App<'s> {
    session: &'s mut Session,
    host: Host,
    inference: Option<Pending>,
    played: Instant,
    /// A requested screenshot: the frame of the request, and whether the file is written.
    screenshot: Option<(u64, Arc<AtomicBool>)>,
    is_closing: bool,
}

impl<'s> App<'s> {
    /// Sets up the window, and sends its device to the training thread.
    ///
    /// # Errors
    /// A message for the user if the window is not drawn by wgpu.
    pub fn new(session: &'s mut Session, context: &eframe::CreationContext<'_>) -> Result<Self, String> {
        let state = context.wgpu_render_state.as_ref().ok_or("this window is not drawn by wgpu")?;
        let host = Host::of(state, session.reopened);
        gates::install(state);
        ui::theme::install(&context.egui_ctx, session.settings.theme);
        session.host = Some(host.clone());
        session.wake.set(context.egui_ctx.clone());
        session.worker.send(Command::Window(host.clone()));
        let inference = session.options.infer_every.map(|_| Inference::prepare(&host));
        Ok(Self { session, host, inference, played: Instant::now(), screenshot: None, is_closing: false })
    }

    /// Plays the sensor, and records an inference if one is due in this frame.
    fn work(&mut self) {
        let Session { player, meter, worker, options, frame, .. } = &mut *self.session;
        let board = worker.shared.lock();
        let (trained, error) = (board.trained.clone(), board.history.last().map_or(0.0, |l| l.validation));
        drop(board);
        if let Some(trained) = trained {
            player.take(&trained, error);
        }
        let elapsed = std::mem::replace(&mut self.played, Instant::now()).elapsed();
        if let Err(error) = meter.time(|| player.advance(elapsed)) {
            player.is_running = false;
            worker.shared.tell(EventKind::Error, format!("The sensor stopped: {error}"));
        }
        if let (Some(every), Some(inference)) = (options.infer_every, &mut self.inference)
            && let Err(error) = inference.frame(meter, *frame % every == 0)
            && self.host.loss.reason().is_none()
        {
            worker.shared.tell(EventKind::Error, format!("Inference stopped: {error}"));
        }
    }

    /// Returns why the window's device was lost, if it was.
    fn window_loss(&mut self) -> Option<String> {
        let Options { lose_at, while_painting, .. } = self.session.options;
        if !while_painting && lose_at == Some(self.session.frame) {
            self.session.lose_device = true;
        }
        if self.session.lose_device_if_requested() {
            // wgpu reports the loss only after the submitted work is done.
            return Some(self.host.loss.reason().unwrap_or("Destroyed").to_string());
        }
        self.host.loss.reason().map(String::from)
    }

    /// Closes the window if its device is lost, or if the command line says so.
    fn close_if_due(&mut self, ctx: &egui::Context) {
        if self.is_closing {
            return;
        }
        if let Some(why) = self.window_loss() {
            self.session.note_window_loss(&why);
            return self.close(ctx);
        }
        let Session { options, frame, meter, worker, .. } = &*self.session;
        let has_limit = options.frames.is_some() || options.seconds.is_some();
        let is_over = options.frames.is_some_and(|frames| *frame >= frames)
            || options.seconds.is_some_and(|seconds| meter.elapsed() >= seconds);
        let is_due = match options.until_updates {
            Some(updates) => worker.shared.lock().made >= updates && (is_over || !has_limit),
            None => is_over,
        };
        match (&self.screenshot, &options.screenshot) {
            _ if !is_due => {}
            (None, Some(path)) => self.screenshot = Some((*frame, ask_for_screenshot(ctx, path.clone()))),
            (None, None) => self.close(ctx),
            (Some((since, is_kept)), _) => {
                if is_kept.load(Ordering::Acquire) {
                    self.close(ctx);
                } else if *frame > since + SCREENSHOT_FRAMES {
                    log::error!("no screenshot: the window returned no frame");
                    self.close(ctx);
                }
            }
        }
    }

    fn close(&mut self, ctx: &egui::Context) {
        self.is_closing = true;
        ctx.send_viewport_cmd(ViewportCommand::Close);
    }
}

impl eframe::App for App<'_> {
    fn logic(&mut self, ctx: &egui::Context, _: &mut eframe::Frame) {
        let made = self.session.worker.shared.lock().made;
        self.session.meter.frame(made);
        self.close_if_due(ctx);
        if !self.session.reopen {
            self.work();
        }
        self.session.frame += 1;
        if self.session.worker.has_died() {
            let mut board = self.session.worker.shared.lock();
            if !matches!(board.status, Status::Failed(_)) {
                board.status = Status::Failed("the training thread ended unexpectedly, which is a bug".into());
            }
        }
        let is_moving = self.session.is_training() || self.session.player.is_running;
        let is_limited = self.session.options.frames.is_some() || self.session.options.seconds.is_some();
        match is_moving || is_limited {
            true => ctx.request_repaint(),
            false => ctx.request_repaint_after(IDLE),
        }
    }

    fn ui(&mut self, ui: &mut egui::Ui, _: &mut eframe::Frame) {
        // Nothing can be drawn on a lost device.
        if !self.session.reopen {
            ui::show(ui, self.session, &self.host);
            if self.session.options.while_painting && self.session.options.lose_at == Some(self.session.frame) {
                self.host.device.destroy();
            }
        }
    }

    fn on_exit(&mut self) {
        self.session.was_training = self.session.is_training();
    }

    fn clear_color(&self, visuals: &egui::Visuals) -> [f32; 4] {
        visuals.panel_fill.to_normalized_gamma_f32()
    }
}

/// Requests the next frame as a PNG. The returned flag is set when the file is written.
fn ask_for_screenshot(ctx: &egui::Context, path: PathBuf) -> Arc<AtomicBool> {
    let is_kept = Arc::new(AtomicBool::new(false));
    let done = is_kept.clone();
    let keep = move |picture: Arc<ColorImage>| {
        if let Err(error) = write_png(&path, &picture) {
            log::error!("{}: {error}", path.display());
        }
        done.store(true, Ordering::Release);
    };
    ctx.send_viewport_cmd(ViewportCommand::Screenshot(ScreenshotCallback::new(keep)));
    is_kept
}

fn write_png(path: &std::path::Path, picture: &ColorImage) -> image::ImageResult<()> {
    let bytes: Vec<u8> = picture.pixels.iter().flat_map(|pixel| pixel.to_array()).collect();
    let [width, height] = picture.size.map(|side| side as u32);
    let file = BufWriter::new(File::create(path)?);
    let encoder = PngEncoder::new_with_quality(file, CompressionType::Best, FilterType::Adaptive);
    encoder.write_image(&bytes, width, height, image::ExtendedColorType::Rgba8)
}
