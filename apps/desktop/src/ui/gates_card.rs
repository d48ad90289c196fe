//! The gates of the GRU over the test year, drawn from their GPU buffers.

use std::sync::Arc;

use eframe::egui::{self, Align2, DragValue, Rect, RichText, pos2, vec2};

use super::charts::nothing;
use super::labels::{short_date, title};
use super::theme::{Palette, palette};
use crate::gates::{Picture, Which};
use crate::gpu::Host;
use crate::session::Session;
use crate::weather::Weather;
use crate::worker::Gates;

const ROWS: [(Which, &str, [&str; 2]); 3] = [
    (Which::Reset, "reset r", ["0", "1"]),
    (Which::Update, "update z", ["0", "1"]),
    (Which::Candidate, "candidate n", ["−1", "1"]),
];
/// Space for the names on the left, the color scale on the right, and the dates below.
const LEFT: f32 = 26.0;
const RIGHT: f32 = 44.0;
const BELOW: f32 = 18.0;
const GAP: f32 = 7.0;

/// Draws the three pictures.
pub fn show(ui: &mut egui::Ui, session: &mut Session, host: &Host) {
    title(ui, "Gates", "every unit over the days, drawn from the GPU buffer, not read back");
    let gates = session.worker.shared.lock().gates.clone();
    // The gates of a lost device cannot be drawn by another one.
    let Some(gates) = gates.filter(|gates| gates.window == host.window) else {
        return nothing(ui, "The model is not ready yet.");
    };
    let year = session.weather.test();
    let Session { settings, weather, .. } = session;
    ui.horizontal(|ui| {
        let faint = palette(ui).faint;
        ui.spacing_mut().interact_size.y = 20.0;
        ui.spacing_mut().button_padding = egui::vec2(8.0, 2.0);
        ui.label(RichText::new("days").small().color(faint));
        ui.add(DragValue::new(&mut settings.gates_days).range(14..=364).speed(1.0));
        ui.label(RichText::new("from").small().color(faint));
        let latest = 364 - settings.gates_days;
        settings.gates_from = settings.gates_from.min(latest);
        ui.spacing_mut().slider_width = (ui.available_width() - 80.0).clamp(30.0, 150.0);
        let date = |day: f64, _: std::ops::RangeInclusive<usize>| short_date(weather.date(year.start + day as usize));
        ui.add(egui::Slider::new(&mut settings.gates_from, 0..=latest).custom_formatter(date));
    });
    let room = ui.available_rect_before_wrap();
    ui.allocate_rect(room, egui::Sense::hover());
    let (first, days) = (year.start + settings.gates_from, settings.gates_days);
    let area = Rect::from_min_max(room.min + vec2(LEFT, 0.0), room.max - vec2(RIGHT, BELOW));
    let height = (area.height() - 2.0 * GAP) / 3.0;
    if height < 8.0 {
        return;
    }
    for (row, (which, name, ends)) in ROWS.into_iter().enumerate() {
        let top = area.top() + row as f32 * (height + GAP);
        let rect = Rect::from_min_size(pos2(area.left(), top), vec2(area.width(), height));
        let picture = Picture {
            gates: gates.clone(),
            which,
            first: first - gates.start,
            days,
            dark: ui.visuals().dark_mode,
            ramp: false,
        };
        scale(ui, &picture, rect, ends);
        picture.paint(ui, rect);
        upright(ui, rect, name);
        hover(ui, weather, &gates, (rect, row), (first, days));
        if row == 2 {
            dates(ui, weather, rect, (first, days));
        }
    }
}

/// Draws the color scale beside a picture.
fn scale(ui: &egui::Ui, picture: &Picture, rect: Rect, ends: [&str; 2]) {
    let bar = Rect::from_min_size(pos2(rect.right() + 8.0, rect.top()), vec2(10.0, rect.height()));
    Picture { ramp: true, ..picture.clone() }.paint(ui, bar);
    let (font, color) = (small(ui), palette(ui).faint);
    let x = bar.right() + 5.0;
    ui.painter().text(pos2(x, bar.bottom()), Align2::LEFT_BOTTOM, ends[0], font.clone(), color);
    ui.painter().text(pos2(x, bar.top()), Align2::LEFT_TOP, ends[1], font, color);
}

fn small(ui: &egui::Ui) -> egui::FontId {
    egui::TextStyle::Small.resolve(ui.style())
}

/// Draws the name of a picture, from bottom to top.
fn upright(ui: &egui::Ui, rect: Rect, name: &str) {
    let Palette { faint, .. } = palette(ui);
    let galley = ui.painter().layout_no_wrap(name.to_string(), small(ui), faint);
    let at = pos2(rect.left() - 20.0, rect.center().y + galley.size().x / 2.0);
    ui.painter().add(egui::epaint::TextShape::new(at, galley, faint).with_angle(-std::f32::consts::FRAC_PI_2));
}

/// Draws as many dates below the pictures as fit.
fn dates(ui: &egui::Ui, weather: &Weather, rect: Rect, (first, days): (usize, usize)) {
    let (font, color) = (small(ui), palette(ui).faint);
    let marks = ((rect.width() / 80.0) as usize).clamp(2, 8);
    for mark in 0..=marks {
        let share = mark as f32 / marks as f32;
        let day = first + (share * (days - 1) as f32) as usize;
        let align = match mark {
            0 => Align2::LEFT_TOP,
            _ if mark == marks => Align2::RIGHT_TOP,
            _ => Align2::CENTER_TOP,
        };
        let at = pos2(rect.left() + share * rect.width(), rect.bottom() + 4.0);
        ui.painter().text(at, align, short_date(weather.date(day)), font.clone(), color);
    }
}

/// Describes the cell under the pointer.
fn hover(
    ui: &mut egui::Ui,
    weather: &Weather,
    gates: &Arc<Gates>,
    (rect, row): (Rect, usize),
    (first, days): (usize, usize),
) {
    let response = ui.interact(rect, ui.scope_id().with(("gate", row)), egui::Sense::hover());
    let Some(at) = response.hover_pos() else { return };
    let share = |value: f32, from: f32, length: f32| ((value - from) / length).clamp(0.0, 0.999);
    let day = first + (share(at.x, rect.left(), rect.width()) * days as f32) as usize;
    let unit = (share(rect.bottom() - at.y, 0.0, rect.height()) * gates.hidden as f32) as usize;
    let text = format!("unit {unit} on {}, {:.1} °C", weather.date(day), weather.highest(day));
    response.on_hover_text_at_pointer(text);
}
