//! The sensor in real time, and its anomalies.

use eframe::egui::{self, DragValue, RichText};
use egui_plot::{Axis, Corner, GridInput, HLine, Line, LineStyle, MarkerShape, Plot, PlotPoints, Points, Span};

use super::charts::{months, nothing, plot};
use super::labels::{short_date, title};
use super::theme::{Palette, palette};
use crate::player::{Day, SHOWN};
use crate::session::Session;

/// Draws the sensor's values, their forecasts, and the anomaly score.
pub fn show(ui: &mut egui::Ui, session: &mut Session) {
    let colors = palette(ui);
    title(ui, "Sensor", "2014 and 2015, day by day through a stream on the CPU");
    controls(ui, session, &colors);
    let player = &session.player;
    if player.days.is_empty() {
        return nothing(ui, "Waiting for a model.");
    }
    let days: Vec<Day> = player.days.iter().copied().collect();
    let end = days[days.len() - 1].number.max(SHOWN) as f64;
    let start = end - SHOWN as f64;
    let room = ui.available_height();
    let series = |value: &dyn Fn(&Day) -> f32| -> PlotPoints<'static> {
        days.iter().map(|day| [day.number as f64, f64::from(value(day))]).collect()
    };
    let row_of = |number: usize| {
        let first = days[0];
        let all = session.weather.validation().start..session.weather.test().end;
        let ahead = number as isize - first.number as isize;
        all.start + (first.row as isize - all.start as isize + ahead).rem_euclid(all.len() as isize) as usize
    };
    let date_of = |number: usize| session.weather.date(row_of(number));
    let found: Vec<Day> = days.iter().filter(|day| day.score > player.threshold).copied().collect();
    let bands = |color: egui::Color32| -> Vec<Span> {
        let band = |day: &Day| Span::new("", day.number as f64 - 0.7..=day.number as f64 + 0.7).axis(Axis::X);
        found.iter().map(|day| band(day).fill(color.gamma_multiply(0.22)).border_width(0.0)).collect()
    };
    let linked = |plot: Plot<'static>| plot.include_x(start).include_x(end).label_formatter(|_| None);

    ui.spacing_mut().item_spacing.y = 2.0;
    linked(plot(ui, "sensor", Corner::LeftTop))
        .height(room * 0.62)
        .show_axes([false, true])
        .y_axis_formatter(|mark, _| format!("{:.0} °C", mark.value))
        .show(ui, |plot| {
            bands(colors.alarm).into_iter().for_each(|band| plot.span(band));
            plot.line(Line::new("sensor", series(&|day| day.measured)).color(colors.measured).width(1.2));
            plot.line(Line::new("expected", series(&|day| day.forecast)).color(colors.forecast).width(1.6));
            let marks: PlotPoints<'_> = found.iter().map(|day| [day.number as f64, f64::from(day.measured)]).collect();
            plot.points(Points::new("anomaly", marks).color(colors.alarm).radius(4.0).shape(MarkerShape::Circle));
        });
    let threshold = f64::from(player.threshold);
    linked(plot(ui, "score", Corner::LeftTop))
        .include_y(0.0)
        .include_y(threshold * 1.3)
        .x_grid_spacer(move |input: GridInput| months(input, 1, date_of))
        .x_axis_formatter(move |mark, _| short_date(date_of(mark.value.max(0.0) as usize)))
        .y_axis_formatter(|mark, _| format!("{:.0} σ", mark.value))
        .show(ui, |plot| {
            bands(colors.alarm).into_iter().for_each(|band| plot.span(band));
            let line = Line::new("anomaly score", series(&|day| day.score)).color(colors.validation).width(1.4);
            plot.line(line.fill(0.0).fill_alpha(0.12));
            let line = HLine::new("threshold", threshold).color(colors.alarm).style(LineStyle::dashed_loose());
            plot.hline(line.width(1.0));
        });
}

fn controls(ui: &mut egui::Ui, session: &mut Session, colors: &Palette) {
    let player = &mut session.player;
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().interact_size.y = 20.0;
        ui.spacing_mut().button_padding = egui::vec2(8.0, 2.0);
        if ui.button(if player.is_running { "Stop" } else { "Play" }).clicked() {
            player.is_running = !player.is_running;
        }
        if ui.button("Inject a fault").on_hover_text("Shifts tomorrow's measurement by 13 °C").clicked() {
            player.inject();
        }
        let mut fails = player.fails;
        if ui.checkbox(&mut fails, "faults").on_hover_text("The sensor fails at random every month or two").changed() {
            player.set_fails(fails);
        }
        ui.add(DragValue::new(&mut player.speed).range(1.0..=200.0).speed(0.5).suffix(" days/s").max_decimals(0))
            .on_hover_text("Days per second; drag to change it");
        ui.add(
            DragValue::new(&mut player.threshold)
                .range(1.0..=6.0)
                .speed(0.02)
                .prefix("> ")
                .suffix(" σ")
                .fixed_decimals(1),
        )
        .on_hover_text("Threshold for anomalies, in standard errors of the forecast; drag to change it");
        let (found, faults) = player.found();
        let text = format!("{found} found, {faults} faults");
        ui.add(egui::Label::new(RichText::new(text).small().color(colors.faint)).truncate());
    });
}
