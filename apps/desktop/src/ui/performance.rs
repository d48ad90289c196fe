//! Frame times, and the rate of training.

use eframe::egui::{self, RichText};
use egui_plot::{Bar, BarChart, GridMark, Plot, VLine};

use super::theme::palette;
use crate::session::Session;

/// Number of bars of the histogram.
const BINS: usize = 30;

/// Draws the figures, and the histogram of recent frames.
pub fn show(ui: &mut egui::Ui, session: &Session) {
    let colors = palette(ui);
    let (recent, rate) = (session.meter.frames.recent(), session.meter.rate());
    let (p50, p99) = (recent.quantile(0.5).unwrap_or(0.0), recent.quantile(0.99).unwrap_or(0.0));
    ui.set_width(ui.available_width());
    ui.label(RichText::new("Speed").heading().strong());
    egui::Grid::new("figures").num_columns(2).spacing([10.0, 5.0]).show(ui, |ui| {
        let wgru = session.meter.wgru.recent().quantile(0.5).unwrap_or(0.0);
        for (name, value) in [
            ("Updates", format!("{rate:.1} /s")),
            ("Frame, median", format!("{p50:.1} ms")),
            ("Frame, 99 %", format!("{p99:.1} ms")),
            ("wgru in a frame", format!("{:.0} µs", wgru * 1e3)),
            ("GRU step on the CPU", format!("{:.1} µs", session.player.step.as_secs_f64() * 1e6)),
        ] {
            ui.label(RichText::new(name).color(colors.faint));
            ui.label(RichText::new(value).monospace());
            ui.end_row();
        }
    });
    // Bars are multiples of half a millisecond wide, and together reach beyond the 99th percentile.
    let width = ((p99 * 1.3 / BINS as f32).max(0.5) * 2.0).ceil() / 2.0;
    let counts = recent.histogram(width, BINS);
    let total = recent.len().max(1) as f64;
    let bars = counts.iter().enumerate().map(|(bin, count)| {
        let middle = f64::from(width) * (bin as f64 + 0.5);
        Bar::new(middle, 100.0 * *count as f64 / total).width(f64::from(width) * 0.9)
    });
    let chart = BarChart::new("frames", bars.collect()).color(colors.forecast.gamma_multiply(0.8)).allow_hover(false);
    let end = f64::from(width) * BINS as f64;
    Plot::new("frame times")
        .height(118.0)
        .allow_drag(false)
        .allow_zoom(false)
        .allow_scroll(false)
        .allow_boxed_zoom(false)
        .show_background(false)
        .show_grid([false, true])
        .grid_color(colors.grid)
        .y_grid_spacer(|input| {
            let step = if input.bounds.1 > 30.0 { 20.0 } else { 5.0 };
            let marks = 0..=(input.bounds.1.max(0.0) / step) as usize;
            marks.map(|mark| GridMark { value: mark as f64 * step, step_size: step }).collect()
        })
        .include_y(10.0)
        .set_margin_fraction(egui::vec2(0.0, 0.06))
        .x_axis_formatter(|mark, _| format!("{:.0} ms", mark.value))
        .y_axis_formatter(|mark, _| format!("{:.0} %", mark.value))
        .y_axis_min_width(34.0)
        .label_formatter(|_| None)
        .show(ui, |plot| {
            plot.set_plot_bounds_x(0.0..=end);
            plot.bar_chart(chart);
            plot.vline(VLine::new("median", f64::from(p50)).color(colors.good).width(1.5));
            plot.vline(VLine::new("99 %", f64::from(p99)).color(colors.validation).width(1.5));
        });
    ui.horizontal(|ui| {
        for (color, text) in [(colors.good, "median"), (colors.validation, "99 %")] {
            let (rect, _) = ui.allocate_exact_size(egui::vec2(12.0, 12.0), egui::Sense::hover());
            ui.painter().hline(rect.x_range(), rect.center().y, (2.0, color));
            ui.label(RichText::new(text).small().color(colors.faint));
        }
        ui.label(RichText::new(format!("of the last {} frames", recent.len())).small().color(colors.faint));
    });
}
