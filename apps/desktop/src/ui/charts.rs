//! The learning curve, and the forecast against the measured values.

use eframe::egui::{self, Align2, RichText, Vec2b};
use egui_plot::{Axis, Corner, GridInput, GridMark, HLine, Legend, Line, LineStyle, Plot, PlotPoints, Span};

use super::labels::{short_date, title};
use super::theme::palette;
use crate::session::Session;

/// Width of a card in points below which a plot has no legend.
const NARROW: f32 = 340.0;

/// Creates a plot that shows all of its data, with a legend.
pub fn plot<'a>(ui: &egui::Ui, name: &str, corner: Corner) -> Plot<'a> {
    let legend = Legend::default().position(corner).background_alpha(0.6).text_style(egui::TextStyle::Small);
    let plot = Plot::new(name.to_owned())
        .grid_color(palette(ui).grid)
        .allow_drag(false)
        .allow_zoom(false)
        .allow_scroll(false)
        .allow_boxed_zoom(false)
        .show_background(false)
        .set_margin_fraction(egui::vec2(0.01, 0.08))
        .y_axis_min_width(44.0);
    // In a small window, the legend would hide the lines.
    if ui.available_width() < NARROW { plot } else { plot.legend(legend) }
}

/// Returns marks at the beginning of months. Labels of every `every`-th month have priority.
pub fn months<'a>(input: GridInput, every: usize, date: impl Fn(usize) -> &'a str) -> Vec<GridMark> {
    let (start, end) = (input.bounds.0.max(0.0) as usize, input.bounds.1.max(0.0) as usize);
    let mark = |day: usize| {
        let month = date(day).strip_suffix("-01")?.rsplit('-').next()?.parse::<usize>().ok()?;
        let days = if (month - 1).is_multiple_of(every) { 30 * every } else { 30 };
        Some(GridMark { value: day as f64, step_size: days as f64 })
    };
    (start..=end).filter_map(mark).collect()
}

/// Returns marks at whole numbers.
fn whole(input: GridInput) -> Vec<GridMark> {
    let step = 10f64.powf((input.base_step_size * 4.0).log10().floor()).max(1.0);
    let (first, last) = ((input.bounds.0 / step).ceil() as i64, (input.bounds.1 / step).floor() as i64);
    let mark = |n: i64| {
        let steps = [100, 50, 20, 10, 5, 2].into_iter().find(|steps| n % steps == 0).unwrap_or(1);
        GridMark { value: n as f64 * step, step_size: steps as f64 * step }
    };
    (first..=last).map(mark).collect()
}

/// Draws a message in the middle of an empty card.
pub fn nothing(ui: &mut egui::Ui, text: &str) {
    let rect = ui.available_rect_before_wrap();
    ui.allocate_rect(rect, egui::Sense::hover());
    let font = egui::TextStyle::Body.resolve(ui.style());
    ui.painter().text(rect.center(), Align2::CENTER_CENTER, text, font, palette(ui).faint);
}

/// Draws the losses by epoch.
pub fn learning(ui: &mut egui::Ui, session: &Session) {
    let colors = palette(ui);
    title(ui, "Learning", "error of the next day's temperature, by epoch");
    let history = session.worker.shared.lock().history.clone();
    if history.is_empty() {
        return nothing(ui, "Press Start: the curve begins with the first epoch.");
    }
    let points = |value: fn(&crate::worker::Losses) -> f32| -> PlotPoints<'static> {
        history.iter().enumerate().map(|(epoch, losses)| [(epoch + 1) as f64, f64::from(value(losses))]).collect()
    };
    let persistence = f64::from(session.weather.persistence(session.weather.validation()));
    let last = history[history.len() - 1];
    ui.horizontal(|ui| {
        for (color, name, value) in
            [(colors.training, "training", last.training), (colors.validation, "validation", last.validation)]
        {
            ui.label(RichText::new(format!("{name} {value:.2} °C")).small().color(color));
        }
        let best = history.iter().map(|l| l.validation).fold(f32::INFINITY, f32::min);
        ui.label(RichText::new(format!("best {best:.2} °C")).small().color(colors.faint));
    });
    plot(ui, "learning", Corner::RightTop)
        .include_x(1.0)
        .x_grid_spacer(whole)
        .include_y(persistence)
        .x_axis_label("epoch")
        .y_axis_formatter(|mark, _| format!("{:.2} °C", mark.value))
        .y_axis_min_width(56.0)
        .label_formatter(|_| None)
        .auto_bounds(Vec2b::TRUE)
        .show(ui, |plot| {
            let line = HLine::new("as warm as today", persistence).color(colors.faint);
            plot.hline(line.style(LineStyle::dashed_loose()).width(1.0));
            plot.line(Line::new("training, 2012–13", points(|l| l.training)).color(colors.training).width(1.8));
            plot.line(Line::new("validation, 2014", points(|l| l.validation)).color(colors.validation).width(1.8));
        });
}

/// Draws the forecast of the test year against the measured values.
pub fn forecast(ui: &mut egui::Ui, session: &Session) {
    let (colors, weather) = (palette(ui), &session.weather);
    title(ui, "Forecast", "highest temperature of 2015, each day from the days before it");
    let Some(forecast) = session.worker.shared.lock().forecast.clone() else {
        return nothing(ui, "The model is not ready yet.");
    };
    let days = weather.test();
    let made = |day: usize| {
        let change = forecast.change[day - 1 - forecast.start];
        weather.highest(day - 1) + change * weather.deviation()
    };
    let squares: f32 = days.clone().map(|day| (made(day) - weather.highest(day)).powi(2)).sum();
    let (error, naive) = ((squares / days.len() as f32).sqrt(), weather.persistence(days.start - 1..days.end - 1));
    let text = format!("error {error:.2} °C; \"as warm as today\" {naive:.2} °C");
    ui.label(RichText::new(text).small().color(if error < naive { colors.good } else { colors.faint }));
    let series = |value: &dyn Fn(usize) -> f32| -> PlotPoints<'static> {
        days.clone().map(|day| [day as f64, f64::from(value(day))]).collect()
    };
    let seen = days.start + session.settings.gates_from;
    let span = Span::new("gates below", seen as f64..=(seen + session.settings.gates_days) as f64).axis(Axis::X);
    let every = if ui.available_width() < NARROW { 6 } else { 3 };
    plot(ui, "forecast", Corner::LeftTop)
        .allow_zoom([true, false])
        .allow_drag([true, false])
        .x_grid_spacer(move |input| months(input, every, |day| weather.date(day)))
        .x_axis_formatter(|mark, _| short_date(weather.date(mark.value as usize)))
        .y_axis_formatter(|mark, _| format!("{:.0} °C", mark.value))
        .label_formatter(|_| None)
        .show(ui, |plot| {
            plot.span(span.fill(colors.faint.gamma_multiply(0.12)).border_width(0.0));
            let measured = series(&|day| weather.highest(day));
            plot.line(Line::new("measured", measured).color(colors.measured).width(1.2));
            plot.line(Line::new("forecast", series(&made)).color(colors.forecast).width(1.6));
        });
}
