//! The plot: the end of the test part, the errors side by side, and every forecast against the actual value.

use std::error::Error;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::report::{Entry, NETWORK, PERSISTENCE};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn Error>>;

const INK: RGBColor = RGBColor(38, 50, 56);
const NET: RGBColor = RGBColor(216, 67, 21);
const PALE: RGBColor = RGBColor(120, 160, 190);
/// Minimum number of rows in the upper chart.
const ROWS: usize = 120;

/// Content of the plot.
pub struct Picture<'a> {
    pub title: String,
    /// The forecast column.
    pub unit: &'a str,
    pub entries: &'a [Entry],
    /// Actual values by origin and step, as in the entries.
    pub actual: &'a [f64],
    pub horizon: usize,
    /// Names a row of the test part, counted from its first target.
    pub label: &'a dyn Fn(usize) -> String,
}

impl Picture<'_> {
    /// Writes the plot as SVG.
    ///
    /// # Errors
    /// Errors from writing the file.
    pub fn draw(&self, path: &Path) -> Drawn {
        let mut svg = String::new();
        {
            let root = SVGBackend::with_string(&mut svg, (1200, 860)).into_drawing_area();
            root.fill(&WHITE)?;
            let body = root.titled(&self.title, font(24))?;
            let (top, bottom) = body.split_vertically(460);
            self.draw_series(&top)?;
            let (left, right) = bottom.split_horizontally(600);
            self.draw_errors(&left)?;
            self.draw_scatter(&right)?;
            root.present()?;
        }
        wgru::io::write_atomically(path, svg.as_bytes())?;
        Ok(())
    }

    fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|e| e.name == name)
    }

    /// Returns consecutive forecasts with their rows: those made every `horizon` rows.
    fn joined<'a>(&self, values: &'a [f64]) -> Vec<(usize, &'a [f64])> {
        let h = self.horizon;
        let mut blocks: Vec<_> = values.chunks_exact(h).enumerate().rev().step_by(h).collect();
        blocks.truncate(ROWS.max(7 * h).div_ceil(h));
        blocks.reverse();
        blocks
    }

    fn draw_series(&self, area: &Area) -> Drawn {
        let actual = self.joined(self.actual);
        let (Some(first), Some(last)) = (actual.first(), actual.last()) else { return Ok(()) };
        let (from, to) = (first.0, last.0 + self.horizon - 1);
        let lines = [(PERSISTENCE, PALE.to_rgba(), 2), (NETWORK, NET.to_rgba(), 3)];
        let mut shown: Vec<f64> = actual.iter().flat_map(|(_, v)| *v).copied().collect();
        for (name, ..) in lines {
            let blocks = self.entry(name).map(|e| self.joined(&e.forecast)).unwrap_or_default();
            shown.extend(blocks.iter().flat_map(|(_, v)| *v));
        }
        let (low, high) = bounds(&shown);
        let mut chart = ChartBuilder::on(area)
            .margin(12)
            .x_label_area_size(34)
            .y_label_area_size(64)
            .build_cartesian_2d(from..to.max(from + 1), low..high)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(INK.mix(0.12))
            .axis_style(INK.mix(0.5))
            .label_style(font(14))
            .x_labels(7)
            .x_label_formatter(&|row| (self.label)(*row))
            .y_desc(self.unit)
            .axis_desc_style(font(16))
            .draw()?;
        let points = |blocks: Vec<(usize, &[f64])>| -> Vec<(usize, f64)> {
            let rows = |(first, values): (usize, &[f64])| (first..).zip(values.to_vec()).collect::<Vec<_>>();
            blocks.into_iter().flat_map(rows).collect()
        };
        for (name, color, width) in lines {
            let Some(entry) = self.entry(name) else { continue };
            let style = color.stroke_width(width);
            chart
                .draw_series(LineSeries::new(points(self.joined(&entry.forecast)), style))?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 24, y)], style));
        }
        let actual = points(actual);
        let dots = actual.iter().filter(|_| actual.len() <= 2 * ROWS).map(|&p| Circle::new(p, 3, INK.filled()));
        chart.draw_series(LineSeries::new(actual.clone(), INK.stroke_width(1)))?;
        chart
            .draw_series(dots)?
            .label("actual")
            .legend(|(x, y)| PathElement::new([(x, y), (x + 24, y)], INK.stroke_width(2)));
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE.mix(0.85))
            .border_style(INK.mix(0.2))
            .label_font(font(15))
            .legend_area_size(32)
            .draw()?;
        Ok(())
    }

    /// Draws the RMSE as bars, the smallest on top.
    fn draw_errors(&self, area: &Area) -> Drawn {
        let mut entries: Vec<&Entry> = self.entries.iter().collect();
        entries.sort_by(|a, b| b.rmse.total_cmp(&a.rmse));
        let widest = entries.first().map_or(1.0, |e| e.rmse).max(1e-9);
        let mut chart = ChartBuilder::on(area)
            .caption("RMSE over the whole test part", font(18))
            .margin(12)
            .margin_right(40)
            .x_label_area_size(34)
            .y_label_area_size(8)
            .build_cartesian_2d(0.0..1.2 * widest, 0.0..entries.len() as f64)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(INK.mix(0.12))
            .axis_style(INK.mix(0.5))
            .label_style(font(14))
            .y_labels(0)
            .draw()?;
        for (i, entry) in entries.iter().enumerate() {
            let color = if entry.name == NETWORK { NET } else { PALE };
            let y = i as f64;
            let corners = [(0.0, y + 0.14), (entry.rmse, y + 0.58)];
            chart.draw_series([Rectangle::new(corners, color.filled())])?;
            let text = format!("{}  {:.3}", entry.name, entry.rmse);
            chart.draw_series([Text::new(text, (0.01 * widest, y + 0.86), font(16))])?;
        }
        Ok(())
    }

    /// Draws each forecast of the last step of the horizon against the actual value.
    fn draw_scatter(&self, area: &Area) -> Drawn {
        let Some(network) = self.entry(NETWORK) else { return Ok(()) };
        let last = |values: &[f64]| values.chunks_exact(self.horizon).map(|c| c[self.horizon - 1]).collect::<Vec<_>>();
        let (forecast, actual) = (last(&network.forecast), last(self.actual));
        let (low, high) = bounds(&[&forecast[..], &actual[..]].concat());
        let step = if self.horizon == 1 { String::new() } else { format!(", {} steps ahead", self.horizon) };
        let mut chart = ChartBuilder::on(area)
            .caption(format!("{NETWORK} against actual values{step}"), font(18))
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(64)
            .build_cartesian_2d(low..high, low..high)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(INK.mix(0.12))
            .axis_style(INK.mix(0.5))
            .label_style(font(14))
            .axis_desc_style(font(15))
            .x_desc("actual")
            .y_desc("forecast")
            .draw()?;
        let dot = |(&a, &f): (&f64, &f64)| Circle::new((a, f), 3, NET.mix(0.45).filled());
        // At most about 1,500 dots, which limits the file to a few hundred kilobytes.
        let every = actual.len().div_ceil(1500).max(1);
        chart.draw_series([PathElement::new([(low, low), (high, high)], INK.mix(0.6).stroke_width(2))])?;
        chart.draw_series(actual.iter().zip(&forecast).step_by(every).map(dot))?;
        Ok(())
    }
}

fn font<'a>(size: u32) -> TextStyle<'a> {
    ("sans-serif", size).into_font().color(&INK)
}

/// Returns the range of the values, with a small margin.
fn bounds(values: &[f64]) -> (f64, f64) {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let pad = (0.05 * (high - low)).max(1e-6 * high.abs().max(1.0));
    (low - pad, high + pad)
}
