//! The window's content: a bar, controls on the left, and four cards.

mod bar;
mod charts;
mod controls;
mod gates_card;
mod labels;
mod notices;
mod performance;
mod sensor;
pub mod theme;

use eframe::egui::{self, CentralPanel, Frame, Margin, Panel, Rect, ScrollArea, UiBuilder, pos2, vec2};

use crate::gpu::Host;
use crate::session::Session;
use theme::{Palette, card, palette};

/// Space between two cards, in points.
const GAP: f32 = 12.0;
const CONTROLS: f32 = 304.0;

/// Draws a frame.
pub fn show(ui: &mut egui::Ui, session: &mut Session, host: &Host) {
    let colors = palette(ui);
    let plain = |left, right, top, bottom| Frame::new().inner_margin(Margin { left, right, top, bottom });
    Panel::top("bar").frame(plain(18, 18, 12, 8)).show_separator_line(false).show(ui, |ui| bar::show(ui, session));
    Panel::left("controls")
        .resizable(false)
        .exact_size(CONTROLS)
        .frame(plain(18, 12, 4, 14))
        .show_separator_line(false)
        .show(ui, |ui| {
            ScrollArea::vertical().show(ui, |ui| {
                card(&colors).show(ui, |ui| controls::show(ui, session));
                ui.add_space(GAP - 6.0);
                card(&colors).show(ui, |ui| performance::show(ui, session));
            });
        });
    CentralPanel::default().frame(plain(0, 18, 4, 14)).show(ui, |ui| {
        notices::show(ui, session);
        let room = ui.available_rect_before_wrap();
        let [[upper_left, upper_right], [lower_left, lower_right]] = quarters(room);
        place(ui, upper_left, &colors, |ui| charts::learning(ui, session));
        place(ui, upper_right, &colors, |ui| charts::forecast(ui, session));
        place(ui, lower_left, &colors, |ui| gates_card::show(ui, session, host));
        place(ui, lower_right, &colors, |ui| sensor::show(ui, session));
        ui.allocate_rect(room, egui::Sense::hover());
    });
}

/// Divides the area into two rows of two.
fn quarters(room: Rect) -> [[Rect; 2]; 2] {
    let size = vec2((room.width() - GAP) / 2.0, (room.height() - GAP) / 2.0);
    let at = |column: f32, row: f32| {
        let corner = pos2(room.left() + column * (size.x + GAP), room.top() + row * (size.y + GAP));
        Rect::from_min_size(corner, size)
    };
    [[at(0.0, 0.0), at(1.0, 0.0)], [at(0.0, 1.0), at(1.0, 1.0)]]
}

/// Draws a card in `rect`.
fn place(ui: &mut egui::Ui, rect: Rect, colors: &Palette, content: impl FnOnce(&mut egui::Ui)) {
    ui.scope_builder(UiBuilder::new().max_rect(rect), |ui| {
        ui.set_clip_rect(rect.intersect(ui.clip_rect()));
        card(colors).show(ui, |ui| {
            // Without the frame's margins and border.
            ui.set_min_size(rect.size() - vec2(30.0, 24.0));
            content(ui);
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_fill_the_available_width() {
        let room = Rect::from_min_size(pos2(10.0, 20.0), vec2(212.0, 112.0));
        let [[first, _], [_, last]] = quarters(room);
        assert_eq!((first.min, last.max), (room.min, room.max));
        assert_eq!(first.size(), vec2(100.0, 50.0));
    }
}
