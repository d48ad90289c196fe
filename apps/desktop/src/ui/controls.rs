//! The controls: start, pause and reset; learning rate, size and device.

use eframe::egui::{self, Button, ComboBox, RichText, Slider};

use super::theme::{Palette, palette};
use crate::options::Place;
use crate::session::Session;
use crate::worker::{Command, Status};

/// Sizes of the hidden state to choose from.
const SIZES: [usize; 6] = [8, 16, 32, 64, 128, 256];

/// Color of the start button, in both themes.
const ACCENT: egui::Color32 = egui::Color32::from_rgb(22, 110, 214);

/// Draws the controls.
pub fn show(ui: &mut egui::Ui, session: &mut Session) {
    let colors = palette(ui);
    let board = session.worker.shared.lock();
    let (status, hidden, mut rate, place) = (board.status.clone(), board.hidden, board.rate, board.place);
    let (epoch, updates, snapshot, saved) = (board.epoch, board.updates, board.snapshot, board.saved);
    let can_lose = board.fuse.is_some();
    drop(board);

    ui.set_width(ui.available_width());
    ui.label(RichText::new("Training").heading().strong());
    ui.horizontal(|ui| {
        let (text, command) = match status {
            Status::Training => ("Pause", Command::Pause),
            _ if epoch == 0 => ("Start", Command::Train),
            _ => ("Resume", Command::Train),
        };
        let button = Button::new(RichText::new(text).strong().color(egui::Color32::WHITE))
            .fill(if status == Status::Training { colors.faint.gamma_multiply(0.7) } else { ACCENT })
            .min_size(egui::vec2(96.0, 30.0));
        if ui.add(button).clicked() {
            session.worker.send(command);
        }
        let reset = ui.add(Button::new("Reset").min_size(egui::vec2(72.0, 30.0)));
        if reset.on_hover_text("New weights; the learning curve starts over").clicked() {
            session.worker.send(Command::Reset(hidden));
        }
    });
    ui.add_space(2.0);
    egui::Grid::new("settings").num_columns(2).spacing([10.0, 8.0]).show(ui, |ui| {
        name(ui, &colors, "Learning rate");
        ui.spacing_mut().slider_width = 76.0;
        let slider = Slider::new(&mut rate, 1e-4..=3e-2).logarithmic(true).custom_formatter(|v, _| format!("{v:.1e}"));
        if ui.add(slider).on_hover_text("Takes effect in the next epoch").changed() {
            session.worker.send(Command::Rate(rate));
        }
        ui.end_row();
        name(ui, &colors, "Hidden units");
        ComboBox::from_id_salt("hidden").selected_text(hidden.to_string()).width(96.0).show_ui(ui, |ui| {
            for size in SIZES {
                if ui.selectable_label(size == hidden, size.to_string()).clicked() && size != hidden {
                    session.worker.send(Command::Reset(size));
                }
            }
        });
        ui.end_row();
        name(ui, &colors, "Device");
        ui.horizontal(|ui| {
            for (choice, text, what) in [
                (Place::Window, "Window's", "Trains on the device that draws this window"),
                (Place::Own, "Own", "Trains on a second device of the same adapter"),
            ] {
                if ui.selectable_label(place == choice, text).on_hover_text(what).clicked() && place != choice {
                    session.settings.place = choice;
                    session.worker.send(Command::Place(choice));
                }
            }
        });
        ui.end_row();
        for (text, value) in [
            ("Epoch", epoch.to_string()),
            ("Updates", updates.to_string()),
            ("Snapshot", format!("at update {snapshot}")),
            ("Saved", saved.map_or("not yet".into(), |epoch| format!("epoch {epoch}"))),
        ] {
            name(ui, &colors, text);
            ui.label(value);
            ui.end_row();
        }
    });
    ui.add_space(2.0);
    let what = match place {
        Place::Window => {
            "Destroys the training device, which also draws this window. The window closes and reopens with a new \
             device, and training continues from the last snapshot"
        }
        Place::Own => {
            "Destroys the training device. The window stays, and training continues from the last snapshot on a new \
             device"
        }
    };
    let button = Button::new(RichText::new("Lose the device").color(colors.alarm));
    if ui.add_enabled(can_lose, button).on_hover_text(what).clicked() {
        session.lose_device = true;
        ui.ctx().request_repaint();
    }
}

fn name(ui: &mut egui::Ui, colors: &Palette, text: &str) {
    ui.label(RichText::new(text).color(colors.faint));
}
