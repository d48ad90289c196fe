//! The top bar: the title, the status and the theme.

use eframe::egui::{self, Align, Layout, RichText};

use super::theme::{self, palette};
use crate::options::ThemeChoice;
use crate::session::Session;
use crate::worker::Status;

/// Draws the bar.
pub fn show(ui: &mut egui::Ui, session: &mut Session) {
    let colors = palette(ui);
    let board = session.worker.shared.lock();
    let (status, device) = (board.status.clone(), board.device.clone());
    drop(board);
    ui.horizontal(|ui| {
        ui.label(RichText::new("wgru").size(21.0).strong());
        ui.label(RichText::new("Tomorrow's temperature in Seattle, by a GRU").color(colors.faint));
        ui.add_space(10.0);
        let (color, text) = match &status {
            Status::Starting => (colors.faint, "opening the device".to_string()),
            Status::Training => (colors.good, "training".to_string()),
            Status::Paused => (colors.faint, "paused".to_string()),
            Status::WaitingForWindow => (colors.alarm, "waiting for a new device".to_string()),
            Status::Failed(_) => (colors.alarm, "stopped by an error".to_string()),
        };
        dot(ui, color);
        ui.label(RichText::new(text).color(color));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let choice = &mut session.settings.theme;
            let before = *choice;
            for (value, text) in
                [(ThemeChoice::System, "System"), (ThemeChoice::Light, "Light"), (ThemeChoice::Dark, "Dark")]
            {
                ui.selectable_value(choice, value, text);
            }
            if *choice != before {
                ui.ctx().set_theme(theme::preference(*choice));
            }
            ui.add_space(8.0);
            ui.add(egui::Label::new(RichText::new(device).small().color(colors.faint)).truncate());
        });
    });
}

fn dot(ui: &mut egui::Ui, color: egui::Color32) {
    let (rect, _) = ui.allocate_exact_size(egui::vec2(10.0, 10.0), egui::Sense::hover());
    ui.painter().circle_filled(rect.center(), 4.0, color);
}
