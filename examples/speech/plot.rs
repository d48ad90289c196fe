//! The plot: what the network heard in a string and where, and which digits it confuses.

use std::error::Error;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::audio::RATE;
use crate::mel::{BANDS, HOP};
use crate::model::{CLASSES, Heard};
use crate::strings::Utterance;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn Error>>;

const INK: RGBColor = RGBColor(38, 50, 56);
const SPIKE: RGBColor = RGBColor(216, 67, 21);
/// Frames of the front end per step of the network.
const STRIDE: usize = 2;
/// Preferred number of digits in the string shown.
const SHOWN: usize = 5;

/// Content of the plot.
pub struct Picture<'a> {
    pub title: String,
    pub strings: &'a [Utterance],
    pub heard: &'a [Heard],
    pub singles: &'a [Utterance],
    pub heard_singles: &'a [Heard],
}

impl Picture<'_> {
    /// Writes the plot as SVG.
    ///
    /// # Errors
    /// Errors from writing the file.
    pub fn draw(&self, path: &Path) -> Drawn {
        let mut svg = String::new();
        {
            let root = SVGBackend::with_string(&mut svg, (1240, 720)).into_drawing_area();
            root.fill(&WHITE)?;
            let body = root.titled(&self.title, font(24))?;
            let (left, right) = body.split_horizontally(760);
            let longest = (0..self.strings.len()).find(|&i| self.strings[i].digits.len() == SHOWN).unwrap_or(0);
            let (top, bottom) = left.split_vertically(330);
            draw_sound(&top, &self.strings[longest])?;
            draw_spikes(&bottom, &self.strings[longest], &self.heard[longest])?;
            self.draw_confusion(&right)?;
            root.present()?;
        }
        wgru::io::write_atomically(path, svg.as_bytes())?;
        Ok(())
    }

    /// Draws the confusion matrix of single digits, with a column for recordings not heard as exactly one digit.
    fn draw_confusion(&self, area: &Area) -> Drawn {
        let mut counts = [[0usize; 11]; 10];
        for (said, heard) in self.singles.iter().zip(self.heard_singles) {
            let column = match heard.greedy[..] {
                [digit] => usize::from(digit),
                _ => 10,
            };
            counts[usize::from(said.digits[0])][column] += 1;
        }
        let area = area.margin(12, 12, 24, 16);
        let mut chart = ChartBuilder::on(&area)
            .caption("single digits: said (down), heard (across)", font(18))
            .x_label_area_size(8)
            .y_label_area_size(8)
            .build_cartesian_2d(-1.0..11.0, -10.2..1.2)?;
        for (row, counts) in counts.iter().enumerate() {
            let (total, y) = (counts.iter().sum::<usize>().max(1), -(row as f64));
            chart.draw_series([label(row.to_string(), (-0.5, y - 0.5), 18, INK)])?;
            for (column, &count) in counts.iter().enumerate() {
                let (x, depth) = (column as f64, count as f64 / total as f64);
                let corners = [(x + 0.03, y - 0.03), (x + 0.97, y - 0.97)];
                chart.draw_series([Rectangle::new(corners, heat(depth).filled())])?;
                let ink = if depth > 0.5 { WHITE } else { INK };
                if count > 0 {
                    chart.draw_series([label(count.to_string(), (x + 0.5, y - 0.5), 16, ink)])?;
                }
            }
        }
        let names = (0..10).map(|d| d.to_string()).chain(["other".to_string()]);
        chart.draw_series(names.enumerate().map(|(i, name)| label(name, (i as f64 + 0.5, 0.5), 16, INK)))?;
        Ok(())
    }
}

fn seconds(step: usize) -> f64 {
    (step * STRIDE * HOP) as f64 / f64::from(RATE)
}

/// Draws the energy of every band, averaged over two frames at a time.
fn draw_sound(area: &Area, said: &Utterance) -> Drawn {
    let pairs = said.features.chunks(STRIDE * BANDS);
    let end = seconds(pairs.len());
    let digits: Vec<String> = said.digits.iter().map(u8::to_string).collect();
    let mut chart = ChartBuilder::on(area)
        .caption(format!("what was said: {}", digits.join(" ")), font(18))
        .margin(12)
        .margin_right(20)
        .x_label_area_size(8)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..end, 0.0..BANDS as f64)?;
    chart.configure_mesh().disable_mesh().x_labels(0).y_labels(0).y_desc("band").axis_desc_style(font(15)).draw()?;
    for (step, pair) in pairs.enumerate() {
        for band in 0..BANDS {
            let values: Vec<f32> = pair.iter().skip(band).step_by(BANDS).copied().collect();
            let level = f64::from(values.iter().sum::<f32>() / values.len() as f32);
            let corners = [(seconds(step), band as f64), (seconds(step + 1), band as f64 + 1.0)];
            let depth = ((level + 2.0) / 4.0).clamp(0.0, 1.0);
            chart.draw_series([Rectangle::new(corners, heat(depth).filled())])?;
        }
    }
    Ok(())
}

/// Draws the probability of the blank and of every digit over time.
fn draw_spikes(area: &Area, said: &Utterance, heard: &Heard) -> Drawn {
    let steps = heard.probabilities.len() / CLASSES;
    let digits: Vec<String> = heard.greedy.iter().map(u8::to_string).collect();
    let end = seconds(said.features.chunks(STRIDE * BANDS).len());
    let mut chart = ChartBuilder::on(area)
        .caption(format!("what was heard: {}", digits.join(" ")), font(18))
        .margin(12)
        .margin_right(20)
        .x_label_area_size(40)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..end, 0.0..1.15)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(INK.mix(0.12))
        .axis_style(INK.mix(0.5))
        .label_style(font(14))
        .axis_desc_style(font(15))
        .x_desc("seconds")
        .y_desc("probability")
        .y_labels(6)
        .draw()?;
    let line =
        |class: usize| (0..steps).map(move |t| (seconds(t), f64::from(heard.probabilities[t * CLASSES + class])));
    chart.draw_series(LineSeries::new(line(0), INK.mix(0.3).stroke_width(2)))?;
    for class in 1..CLASSES {
        chart.draw_series(LineSeries::new(line(class), SPIKE.stroke_width(2)))?;
        // Each spike is labeled with its digit, at the highest step.
        let points: Vec<(f64, f64)> = line(class).collect();
        for (t, &(x, y)) in points.iter().enumerate() {
            let before = t.checked_sub(1).map_or(0.0, |t| points[t].1);
            let after = points.get(t + 1).map_or(0.0, |p| p.1);
            if y > 0.5 && y >= before && y > after {
                chart.draw_series([label((class - 1).to_string(), (x, y + 0.06), 18, INK)])?;
            }
        }
    }
    Ok(())
}

/// Returns a color from white to dark blue.
fn heat(depth: f64) -> RGBColor {
    let mix = |from: f64, to: f64| (from + (to - from) * depth) as u8;
    RGBColor(mix(250.0, 18.0), mix(251.0, 70.0), mix(252.0, 120.0))
}

fn label<'a>(text: String, at: (f64, f64), size: u32, color: RGBColor) -> Text<'a, (f64, f64), String> {
    use plotters::style::text_anchor::{HPos, Pos, VPos};
    let style = ("sans-serif", size).into_font().color(&color).pos(Pos::new(HPos::Center, VPos::Center));
    Text::new(text, at, style)
}

fn font<'a>(size: u32) -> TextStyle<'a> {
    ("sans-serif", size).into_font().color(&INK)
}
