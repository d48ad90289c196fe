//! The windows of a session, one after another.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use eframe::{egui, egui_wgpu};

use crate::app::App;
use crate::options::Options;
use crate::session::Session;
use crate::worker::Status;
use crate::{gpu, restart};

/// Maximum number of windows reopened in a row, each of which drew fewer than `FEW_FRAMES` frames, before the
/// application gives up.
const MOST_REOPENED: u32 = 3;
const FEW_FRAMES: u64 = 30;

/// Opens the window, and reopens it whenever its device is lost; then saves and reports.
///
/// # Errors
/// A message for the user.
pub fn run(mut session: Session) -> Result<(), String> {
    let mut in_a_row = 0;
    loop {
        let (frames, options) = (session.frame, native_options(&session.options));
        let current = &mut session;
        let create: eframe::AppCreator<'_> =
            Box::new(move |context| Ok(Box::new(App::new(current, context)?) as Box<dyn eframe::App + '_>));
        let open = || eframe::run_native("wgru", options, create).map_err(|error| no_window(&error));
        let closed = match catch_unwind(AssertUnwindSafe(open)) {
            Ok(closed) => closed,
            Err(panic) if session.is_window_lost() => return save_and_restart(session, panic_text(&*panic)),
            Err(panic) => resume_unwind(panic),
        };
        let lost = std::mem::take(&mut session.reopen);
        closed?;
        if !lost {
            break;
        }
        in_a_row = if session.frame - frames < FEW_FRAMES { in_a_row + 1 } else { 0 };
        if in_a_row == MOST_REOPENED {
            return Err("the GPU was lost repeatedly; the model is saved".into());
        }
        session.reopened += 1;
        session.meter.interrupt();
    }
    session.finish()
}

/// Saves, and restarts the program: egui-wgpu 0.37 panics when its device is lost while it paints, and winit's event
/// loop cannot be used again after that.
fn save_and_restart(mut session: Session, why: &str) -> Result<(), String> {
    log::error!("the device of the window was lost while it was painted: {why}");
    let train = session.worker.shared.lock().status != Status::Paused;
    session.save()?;
    restart::run(&session.options, train).map(|_| ())
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
            .with_title("wgru: a GRU in a desktop application")
            .with_inner_size([width, height])
            .with_min_inner_size([900.0, 620.0]),
        centered: true,
        wgpu_options: egui_wgpu::WgpuConfiguration { wgpu_setup: setup.into(), ..Default::default() },
        ..Default::default()
    }
}
