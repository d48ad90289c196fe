//! Notices: lost devices, recoveries, errors.

use std::time::Duration;

use eframe::egui::{self, Align, Label, Layout};

use super::theme::{card, palette};
use crate::session::Session;
use crate::worker::EventKind;

/// Maximum number of notices shown at once.
const MOST: usize = 3;

/// Returns how long a notice stays.
fn life(kind: EventKind) -> Duration {
    match kind {
        EventKind::Note => Duration::from_secs(6),
        EventKind::Loss | EventKind::Recovery => Duration::from_secs(20),
        EventKind::Error => Duration::MAX,
    }
}

/// Draws the newest notices, if there are any.
pub fn show(ui: &mut egui::Ui, session: &mut Session) {
    let colors = palette(ui);
    let events = &mut session.worker.shared.lock().events;
    let mut closed = None;
    let shown =
        events.iter().enumerate().rev().filter(|(_, event)| event.is_open && event.when.elapsed() < life(event.kind));
    let mut shown: Vec<_> = shown.take(MOST).collect();
    shown.reverse();
    for (index, event) in shown {
        let color = match event.kind {
            EventKind::Note => colors.faint,
            EventKind::Loss | EventKind::Error => colors.alarm,
            EventKind::Recovery => colors.good,
        };
        let frame = card(&colors).inner_margin(egui::Margin::symmetric(12, 7)).stroke((1.0, color.gamma_multiply(0.7)));
        frame.show(ui, |ui| {
            let line = egui::vec2(ui.available_width(), 20.0);
            ui.allocate_ui_with_layout(line, Layout::right_to_left(Align::Center), |ui| {
                if ui.small_button("Close").clicked() {
                    closed = Some(index);
                }
                ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                    let (rect, _) = ui.allocate_exact_size(egui::vec2(8.0, 8.0), egui::Sense::hover());
                    ui.painter().circle_filled(rect.center(), 4.0, color);
                    ui.add(Label::new(&event.text).wrap());
                });
            });
        });
    }
    if let Some(index) = closed {
        events[index].is_open = false;
    }
}
