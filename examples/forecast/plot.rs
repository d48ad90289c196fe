//! The plot: the end of the test part and the forecast beyond the table with their intervals, the errors side by side,
//! and the coverage of the quantiles.

use std::path::Path;

use plotters::coord::types::{RangedCoordf64, RangedCoordusize};
use plotters::prelude::*;

use crate::baselines::PERSISTENCE;
use crate::calibrate::Forecast;
use crate::common::axes::{Area, Chart, Drawn, INK, NET, PALE, axes, bounds, font, legend, line};
use crate::common::files::write;
use crate::data::Example;
use crate::evaluate::Tested;
use crate::output::Outlook;
use crate::report::NETWORK;
use crate::score::Entry;
use crate::series::{Panel, Series};

/// Minimum number of rows in the upper chart.
const ROWS: usize = 120;
/// Width below which a chart has no labels of rows, in pixels.
const NARROW: u32 = 260;
/// Largest number of series that are drawn.
const SERIES: usize = 4;

/// Content of the plot.
pub struct Picture<'a> {
    pub title: String,
    /// The forecast column.
    pub unit: &'a str,
    pub panel: &'a Panel,
    /// `None` for a table that is too short for a test.
    pub tested: Option<&'a Tested>,
    pub horizon: usize,
    /// Coverage that the intervals are made for.
    pub interval: f64,
    /// The forecast beyond the end of the table.
    pub outlook: Option<&'a Outlook>,
}

/// Points of a line, by row.
type Line = Vec<(usize, f64)>;

/// A forecast with its interval, by row.
#[derive(Default)]
struct Band {
    center: Line,
    lower: Line,
    upper: Line,
}

impl Picture<'_> {
    /// Writes the plot as SVG.
    ///
    /// # Errors
    /// Errors from writing the file.
    pub fn draw(&self, path: &Path) -> Drawn {
        let mut svg = String::new();
        {
            let height = if self.tested.is_some() { 860 } else { 500 };
            let root = SVGBackend::with_string(&mut svg, (1200, height)).into_drawing_area();
            root.fill(&WHITE)?;
            let body = root.titled(&self.title, font(24))?;
            let (top, bottom) = body.split_vertically(460);
            let shown = self.panel.series.len().min(SERIES);
            let columns = if shown > 1 { 2 } else { 1 };
            for (series, area) in top.split_evenly((shown.div_ceil(columns), columns)).iter().enumerate().take(shown) {
                self.draw_series(area, series)?;
            }
            if let Some(tested) = self.tested {
                let (left, right) = bottom.split_horizontally(600);
                draw_errors(&left, &tested.entries)?;
                draw_coverage(&right, tested)?;
            }
            root.present()?;
        }
        write(path, svg.as_bytes())?;
        Ok(())
    }

    /// Returns consecutive windows of a series with their places: those that begin every `horizon` rows.
    fn joined(&self, tested: &Tested, series: usize) -> Vec<(usize, Example)> {
        let own = tested.examples.iter().copied().enumerate().filter(|(_, example)| example.series == series);
        let mut own: Vec<(usize, Example)> = own.collect();
        let last = own.last().map_or(0, |(_, example)| example.origin);
        own.retain(|(_, example)| (last - example.origin).is_multiple_of(self.horizon));
        let most = ROWS.max(7 * self.horizon).div_ceil(self.horizon);
        own.split_off(own.len().saturating_sub(most))
    }

    fn band(&self, tested: &Tested, entry: &Entry, windows: &[(usize, Example)]) -> Band {
        let mut band = Band::default();
        for (place, example) in windows {
            for step in 0..self.horizon {
                let (at, row) = (place * self.horizon + step, example.origin + step);
                band.center.push((row, entry.forecast.point[at]));
                if let Some([lower, upper]) = entry.interval(at, &tested.actual) {
                    band.lower.push((row, lower));
                    band.upper.push((row, upper));
                }
            }
        }
        band
    }

    /// Returns the forecast beyond the table.
    fn beyond(&self, series: &Series) -> Band {
        let mut band = Band::default();
        let Some(outlook) = self.outlook else { return band };
        for step in outlook.steps.iter().filter(|step| step.series == series.name) {
            let row = series.rows() + step.step - 1;
            band.center.push((row, step.point));
            band.lower.push((row, step.quantiles[outlook.ends[0]]));
            band.upper.push((row, step.quantiles[outlook.ends[1]]));
        }
        band
    }

    /// Draws the end of the test part, and beside it the end of the table with the forecast beyond it.
    fn draw_series(&self, area: &Area, number: usize) -> Drawn {
        let series = &self.panel.series[number];
        let is_small = self.panel.series.len() > 1;
        let Some(tested) = self.tested else { return self.draw_beyond(area, series, ROWS) };
        let width = area.dim_in_pixel().0;
        let (left, right) = area.split_horizontally(width * if is_small { 62 } else { 70 } / 100);
        self.draw_beyond(&right, series, self.horizon.max(14))?;
        let windows = self.joined(tested, number);
        let of = |name: &str| {
            let entry = tested.entries.iter().find(|entry| entry.name == name);
            entry.map(|entry| self.band(tested, entry, &windows)).unwrap_or_default()
        };
        let (network, persistence) = (of(NETWORK), of(PERSISTENCE));
        // Its interval is not drawn.
        let shown = Band { center: persistence.center.clone(), ..Band::default() };
        let rows = network.center.iter().map(|(row, _)| *row);
        let actual: Line = rows.filter(|&row| series.observed[row]).map(|row| (row, series.columns[0][row])).collect();
        let name = if series.name.is_empty() { String::new() } else { format!("{}: ", series.name) };
        let mut chart = self.chart(&left, series, &format!("{name}end of the test"), &[&network, &shown], &actual)?;
        chart.draw_series([network.polygon(0.16)])?;
        line(&mut chart, PERSISTENCE, persistence.center, PALE.stroke_width(2))?;
        let name = format!("{NETWORK}, {:.0} % interval", 100.0 * self.interval);
        line(&mut chart, &name, network.center, NET.stroke_width(3))?;
        let dots: Line = actual.iter().filter(|_| actual.len() <= 2 * ROWS).copied().collect();
        line(&mut chart, "actual", actual, INK.stroke_width(1))?;
        chart.draw_series(dots.into_iter().map(|point| Circle::new(point, 2, INK.filled())))?;
        if is_small { Ok(()) } else { legend(&mut chart, SeriesLabelPosition::UpperLeft) }
    }

    /// Draws the last rows of the table, and the forecast beyond them.
    fn draw_beyond(&self, area: &Area, series: &Series, rows: usize) -> Drawn {
        let beyond = self.beyond(series);
        let rows = series.rows().saturating_sub(rows)..series.rows();
        let actual: Line = rows.filter(|&row| series.observed[row]).map(|row| (row, series.columns[0][row])).collect();
        let title = match beyond.center.last() {
            None => "end of the table".into(),
            // The labels below have no room.
            Some((row, _)) if area.dim_in_pixel().0 < NARROW => format!("forecast to {}", series.label(*row)),
            Some(_) => "forecast beyond the table".into(),
        };
        let mut chart = self.chart(area, series, &title, &[&beyond], &actual)?;
        chart.draw_series([beyond.polygon(0.3)])?;
        // A forecast of one step is a point.
        if let ([lower], [upper]) = (&beyond.lower[..], &beyond.upper[..]) {
            chart.draw_series([PathElement::new([*lower, *upper], NET.mix(0.5).stroke_width(5))])?;
            chart.draw_series(beyond.center.iter().map(|&point| Circle::new(point, 5, NET.filled())))?;
        }
        chart.draw_series(LineSeries::new(beyond.center, NET.stroke_width(3)))?;
        chart.draw_series(LineSeries::new(actual.clone(), INK.stroke_width(1)))?;
        chart.draw_series(actual.into_iter().map(|point| Circle::new(point, 2, INK.filled())))?;
        Ok(())
    }

    /// Draws the axes of a chart that has room for the lines.
    fn chart<'a, 'b>(
        &self,
        area: &DrawingArea<SVGBackend<'b>, plotters::coord::Shift>,
        series: &Series,
        title: &str,
        bands: &[&Band],
        actual: &Line,
    ) -> Result<Chart<'a, 'b, RangedCoordusize, RangedCoordf64>, Box<dyn std::error::Error>> {
        let all = || bands.iter().flat_map(|band| [&band.center, &band.lower, &band.upper]).chain([actual]).flatten();
        let first = all().map(|(row, _)| *row).min().unwrap_or(0);
        let last = all().map(|(row, _)| *row).max().unwrap_or(0);
        let mut chart = ChartBuilder::on(area)
            .caption(title, font(16))
            .margin(12)
            .margin_right(36)
            .x_label_area_size(34)
            .y_label_area_size(64)
            .build_cartesian_2d(first..last.max(first + 1), bounds(all().map(|(_, value)| *value)))?;
        let width = area.dim_in_pixel().0;
        let label = |row: &usize| if width < NARROW { String::new() } else { series.label(*row) };
        axes(&mut chart).x_labels((width as usize / 150).max(3)).x_label_formatter(&label).y_desc(self.unit).draw()?;
        Ok(chart)
    }
}

impl Band {
    /// Returns the area between the ends of the intervals.
    fn polygon(&self, opacity: f64) -> Polygon<(usize, f64)> {
        let back = self.lower.iter().rev();
        Polygon::new(self.upper.iter().chain(back).copied().collect::<Line>(), NET.mix(opacity))
    }
}

/// Draws the RMSE as bars, the smallest on top.
fn draw_errors(area: &Area, entries: &[Entry]) -> Drawn {
    let mut entries: Vec<&Entry> = entries.iter().collect();
    entries.sort_by(|a, b| b.scores.rmse.total_cmp(&a.scores.rmse));
    let widest = entries.first().map_or(1.0, |e| e.scores.rmse).max(1e-9);
    let mut chart = ChartBuilder::on(area)
        .caption("RMSE and CRPS over the whole test part", font(18))
        .margin(12)
        .margin_right(40)
        .x_label_area_size(34)
        .y_label_area_size(8)
        .build_cartesian_2d(0.0..1.2 * widest, 0.0..entries.len() as f64)?;
    axes(&mut chart).disable_y_mesh().y_labels(0).draw()?;
    for (i, Entry { name, scores, .. }) in entries.into_iter().enumerate() {
        let (y, color) = (i as f64, if name == NETWORK { NET } else { PALE });
        chart.draw_series([Rectangle::new([(0.0, y + 0.08), (scores.rmse, y + 0.52)], color.filled())])?;
        let text = format!("{name}:  RMSE {:.3},  CRPS {:.3}", scores.rmse, scores.crps);
        chart.draw_series([Text::new(text, (0.01 * widest, y + 0.88), font(15))])?;
    }
    Ok(())
}

/// Draws the share of actual values below each predicted quantile, which is its level if the forecast is calibrated.
fn draw_coverage(area: &Area, tested: &Tested) -> Drawn {
    let mut chart = ChartBuilder::on(area)
        .caption("Share of actual values below each quantile", font(18))
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..1.0, 0.0..1.0)?;
    axes(&mut chart).x_desc("level of the quantile").y_desc("share in the test").draw()?;
    chart.draw_series([PathElement::new([(0.0, 0.0), (1.0, 1.0)], INK.mix(0.6).stroke_width(2))])?;
    for (name, color) in [(PERSISTENCE, PALE), (NETWORK, NET)] {
        let Some(entry) = tested.entries.iter().find(|entry| entry.name == name) else { continue };
        let points: Vec<(f64, f64)> = (0..tested.actual.levels.len())
            .map(|level| (tested.actual.levels[level], share_below(tested, &entry.forecast, level)))
            .collect();
        let dots: Vec<_> = points.iter().map(|&point| Circle::new(point, 4, color.filled())).collect();
        chart.draw_series(dots)?;
        line(&mut chart, name, points, color.stroke_width(2))?;
    }
    legend(&mut chart, SeriesLabelPosition::UpperLeft)
}

fn share_below(tested: &Tested, forecast: &Forecast, level: usize) -> f64 {
    let levels = tested.actual.levels.len();
    let Some(quantiles) = &forecast.quantiles else { return f64::NAN };
    let known = || tested.actual.values.iter().enumerate().filter(|(_, value)| !value.is_nan());
    let below = known().filter(|&(i, &value)| value <= quantiles[i * levels + level]).count();
    below as f64 / known().count() as f64
}
