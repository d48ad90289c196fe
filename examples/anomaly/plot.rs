//! The plots.

use std::ops::Range;
use std::path::Path;

use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use crate::common::axes::{Area, Chart, Drawn, INK, NET, PALE, axes, bounds, font, legend, line};
use crate::common::curve::Curve;
use crate::common::files::write;
use crate::fleet::Outcome;

const WIDTH: u32 = 1400;
/// Height of a row with a series and its p-values.
const ROW: u32 = 260;
const AMBER: RGBColor = RGBColor(255, 179, 0);
/// Points of a line.
const POINTS: usize = 2000;

const NOTE: &str = "amber: known anomalies; red dots: alarms; blue: the p-value, above the line for an alarm";

/// A scored series.
pub struct Scored<'a> {
    pub title: String,
    pub values: Vec<f32>,
    pub p: Vec<f64>,
    pub alpha: f64,
    /// Places of known anomalies, with their names.
    pub anomalies: Vec<(Range<usize>, &'a str)>,
    pub alarms: Vec<Range<usize>>,
    /// Number of rows of the plot.
    pub rows: usize,
    pub unit: &'a str,
    pub step: f64,
    pub axis: &'a str,
    pub curve: Option<&'a Curve>,
}

impl Scored<'_> {
    /// Writes the plot as SVG: series, p-values, alarms and known anomalies, and the learning curve.
    ///
    /// # Errors
    /// Errors from writing the file.
    pub fn draw(&self, path: &Path) -> Drawn {
        let learning = if self.curve.is_some() { 300 } else { 0 };
        let height = 68 + ROW * self.rows as u32 + learning;
        draw_svg(path, height, |root| {
            let body = root.titled(&self.title, font(22))?;
            body.draw(&Text::new(NOTE, (16, 2), font(13)))?;
            let (_, body) = body.split_vertically(18);
            let (series, bottom) = body.split_vertically((ROW * self.rows as u32) as i32);
            let length = self.values.len().div_ceil(self.rows);
            for (i, area) in series.split_evenly((self.rows, 1)).iter().enumerate() {
                self.draw_row(area, i * length..((i + 1) * length).min(self.values.len()))?;
            }
            self.curve.map_or(Ok(()), |curve| curve.draw(&bottom, "loss by epoch", "held out", &[]))
        })
    }

    fn draw_row(&self, area: &Area, part: Range<usize>) -> Drawn {
        let (upper, lower) = area.split_vertically(150);
        let x = |i: usize| i as f64 * self.step;
        let range = x(part.start)..x(part.end.max(part.start + 1));
        let y = bounds(self.values.iter().map(|v| f64::from(*v)));
        let inside = |place: &Range<usize>| place.start < part.end && place.end > part.start;
        let mut chart = build(&upper, range.clone(), y.clone(), 0)?;
        axes(&mut chart).x_labels(0).y_labels(4).y_label_formatter(&short).y_desc(self.unit).draw()?;
        let boxes = self.anomalies.iter().filter(|(place, _)| inside(place));
        chart.draw_series(boxes.clone().map(|(place, _)| {
            Rectangle::new([(x(place.start), y.start), (x(place.end), y.end)], AMBER.mix(0.3).filled())
        }))?;
        chart.draw_series(boxes.map(|(place, name)| Text::new(name.to_string(), (x(place.start), y.end), font(11))))?;
        let points = thinned(part.clone(), x, |i| f64::from(self.values[i]));
        chart.draw_series(LineSeries::new(points, INK.stroke_width(1)))?;

        let score = |i: usize| -self.p[i].log10();
        let most = self.p.iter().map(|p| -p.log10()).fold(-self.alpha.log10(), f64::max);
        let mut chart = build(&lower, range.clone(), 0.0..1.15 * most, 34)?;
        axes(&mut chart)
            .y_labels(3)
            .y_desc("−log10 p")
            .y_label_formatter(&short)
            .x_labels(12)
            .x_label_formatter(&short)
            .x_desc(self.axis)
            .draw()?;
        chart.draw_series(LineSeries::new(thinned(part.clone(), x, score), PALE.stroke_width(1)))?;
        let threshold = -self.alpha.log10();
        let ends = [(range.start, threshold), (range.end, threshold)];
        chart.draw_series(LineSeries::new(ends, INK.mix(0.5).stroke_width(1)))?;
        let alarms = self.alarms.iter().filter(|place| inside(place));
        chart.draw_series(alarms.map(|place| Circle::new((x(place.start), 1.08 * most), 4, NET.filled())))?;
        Ok(())
    }
}

/// Formats a number at an axis.
fn short(value: &f64) -> String {
    if value.abs() >= 10.0 || value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}

type Built<'a> = Result<Chart<'a, 'a, RangedCoordf64, RangedCoordf64>, Box<dyn std::error::Error>>;

/// Builds a chart of a row; charts below one another have the same margins.
fn build<'a>(area: &Area<'a>, x: Range<f64>, y: Range<f64>, below: u32) -> Built<'a> {
    let mut builder = ChartBuilder::on(area);
    builder.margin_left(12).margin_right(24).margin_top(6).x_label_area_size(below).y_label_area_size(72);
    Ok(builder.build_cartesian_2d(x, y)?)
}

/// Returns the points of a line, with the lowest and the highest value of each interval if there are many.
fn thinned(part: Range<usize>, x: impl Fn(usize) -> f64, y: impl Fn(usize) -> f64) -> Vec<(f64, f64)> {
    let each = part.len().div_ceil(POINTS / 2).max(1);
    if each < 3 {
        return part.map(|i| (x(i), y(i))).collect();
    }
    let interval = |start: usize| {
        let places = start..(start + each).min(part.end);
        let by = |a: &usize, b: &usize| y(*a).total_cmp(&y(*b));
        let mut ends: Vec<usize> = places.clone().min_by(by).into_iter().chain(places.max_by(by)).collect();
        ends.sort_unstable();
        ends
    };
    part.clone().step_by(each).flat_map(interval).map(|i| (x(i), y(i))).collect()
}

/// Writes the plot of the remaining life as SVG: predicted against true cycles, the courses of some engines, and the
/// learning curve.
///
/// # Errors
/// Errors from writing the file.
pub fn draw_engines(path: &Path, title: &str, outcome: &Outcome, curve: Option<&Curve>) -> Drawn {
    let learning = if curve.is_some() { 300 } else { 0 };
    draw_svg(path, 50 + 520 + learning, |root| {
        let body = root.titled(title, font(22))?;
        let (top, bottom) = body.split_vertically(520);
        let (left, right) = top.split_horizontally(600);
        draw_predictions(&left, outcome)?;
        draw_courses(&right, outcome)?;
        curve.map_or(Ok(()), |curve| curve.draw(&bottom, "loss by epoch", "held out", &[]))
    })
}

const LAST: f64 = 150.0;

fn draw_predictions(area: &Area, outcome: &Outcome) -> Drawn {
    let mut chart = ChartBuilder::on(area)
        .caption("predicted and true remaining cycles", font(18))
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(56)
        .build_cartesian_2d(0.0..LAST, 0.0..LAST)?;
    axes(&mut chart).x_label_formatter(&short).y_label_formatter(&short).x_desc("true").y_desc("predicted").draw()?;
    line(&mut chart, "equal", vec![(0.0, 0.0), (LAST, LAST)], INK.mix(0.4).stroke_width(1))?;
    for (entry, color) in outcome.entries.iter().zip([NET, PALE]).rev() {
        let points = outcome.remaining.iter().zip(&entry.predicted).map(|(r, p)| (f64::from(*r), f64::from(*p)));
        chart
            .draw_series(points.map(|point| Circle::new(point, 3, color.mix(0.7).filled())))?
            .label(entry.name)
            .legend(move |(x, y)| Circle::new((x + 12, y), 4, color.filled()));
    }
    legend(&mut chart, SeriesLabelPosition::UpperLeft)
}

/// Number of engines whose courses are drawn.
const COURSES: usize = 6;

fn draw_courses(area: &Area, outcome: &Outcome) -> Drawn {
    let courses = &outcome.courses[..outcome.courses.len().min(COURSES)];
    let most = courses.iter().map(Vec::len).max().unwrap_or(1) as f64;
    let mut chart = ChartBuilder::on(area)
        .caption("predicted course of some engines", font(18))
        .margin(12)
        .margin_right(24)
        .x_label_area_size(44)
        .y_label_area_size(56)
        .build_cartesian_2d(-most..0.0, 0.0..LAST)?;
    axes(&mut chart)
        .x_label_formatter(&short)
        .y_label_formatter(&short)
        .x_desc("cycles before the failure")
        .y_desc("predicted remaining cycles")
        .draw()?;
    line(&mut chart, "true", vec![(-LAST, LAST), (0.0, 0.0)], INK.stroke_width(2))?;
    for course in courses {
        let point = |(i, y): (usize, &f32)| ((i + 1) as f64 - course.len() as f64, f64::from(*y));
        let points = course.iter().enumerate().map(point);
        chart.draw_series(LineSeries::new(points, NET.mix(0.6).stroke_width(1)))?;
    }
    legend(&mut chart, SeriesLabelPosition::LowerLeft)
}

fn draw_svg(path: &Path, height: u32, draw: impl FnOnce(&Area) -> Drawn) -> Drawn {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        root.fill(&WHITE)?;
        draw(&root)?;
        root.present()?;
    }
    write(path, svg.as_bytes())?;
    Ok(())
}
