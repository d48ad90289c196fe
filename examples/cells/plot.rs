//! The plot: quality by distance, learning curves, and the quality of all tasks as bars.

use std::collections::BTreeMap;
use std::path::Path;

use plotters::prelude::*;

use crate::args::TaskName;
use crate::cell::{Kind, Sizing};
use crate::common::curve::{Area, Drawn, INK, font};
use crate::common::files::write;
use crate::plan::Plan;
use crate::report::{Block, Row, Spread};

const WIDTH: u32 = 1480;
/// Panels side by side.
const COLUMNS: usize = 4;
const HEIGHT: u32 = 270;
const TITLE: u32 = 40;

/// Two families of tasks that differ in their distance.
const FAMILIES: [(&str, [TaskName; 3]); 2] = [
    ("adding problem", [TaskName::Adding50, TaskName::Adding200, TaskName::Adding1000]),
    ("copying memory", [TaskName::Copying50, TaskName::Copying200, TaskName::Copying1000]),
];

/// Draws a panel.
type Panel<'a> = Box<dyn Fn(&Area) -> Drawn + 'a>;

/// Writes the plot as SVG.
///
/// # Errors
/// Errors from drawing and from writing the file.
pub fn draw(blocks: &[Block], plan: &Plan, path: &Path) -> Drawn {
    let mut sections: Vec<(&str, Vec<Panel>)> = Vec::new();
    let mut distances: Vec<Panel> = Vec::new();
    for (family, tasks) in &FAMILIES {
        let of: Vec<&Block> = blocks.iter().filter(|block| tasks.contains(&block.task.name)).collect();
        if of.len() > 1 {
            for sizing in Sizing::ALL {
                let of = of.clone();
                distances.push(Box::new(move |area| draw_distances(area, family, sizing, &of)));
            }
        }
    }
    if !distances.is_empty() {
        sections.push(("Quality by distance T, mean and standard deviation over the seeds", distances));
    }
    let curves = blocks.iter().map(|block| -> Panel { Box::new(|area| draw_curves(area, block)) }).collect();
    sections.push(("Validation by updates, equal units, mean over the seeds", curves));
    let bars = blocks.iter().map(|block| -> Panel { Box::new(|area| draw_bars(area, block)) }).collect();
    sections.push((
        "Test, equal units (dark) and equal parameters (light), mean and standard deviation; some axes begin above 0",
        bars,
    ));

    let rows = |panels: &[Panel]| panels.len().div_ceil(COLUMNS) as u32;
    let height: u32 = sections.iter().map(|(_, panels)| TITLE + HEIGHT * rows(panels)).sum();
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (WIDTH, TITLE + height + 10)).into_drawing_area();
        root.fill(&WHITE)?;
        let (head, mut rest) = root.split_vertically(TITLE);
        draw_legend(&head, &plan.cells)?;
        for (title, panels) in &sections {
            let (line, below) = rest.split_vertically(TITLE);
            line.draw(&Text::new(*title, (16, 12), font(20)))?;
            let count = rows(panels);
            let (body, after) = below.split_vertically(HEIGHT * count);
            for (area, panel) in body.split_evenly((count as usize, COLUMNS)).iter().zip(panels) {
                panel(area)?;
            }
            rest = after;
        }
        root.present()?;
    }
    write(path, svg.as_bytes())?;
    Ok(())
}

fn color(kind: Kind) -> RGBColor {
    match kind {
        Kind::Gru => RGBColor(216, 67, 21),
        Kind::Lstm => RGBColor(21, 101, 192),
        Kind::Rnn => RGBColor(117, 117, 117),
        Kind::MinGru => RGBColor(0, 137, 123),
        Kind::GruAttention => RGBColor(142, 36, 170),
    }
}

fn draw_legend(area: &Area, cells: &[Kind]) -> Drawn {
    for (i, &kind) in cells.iter().enumerate() {
        let x = 16 + 180 * i as i32;
        area.draw(&Rectangle::new([(x, 14), (x + 22, 28)], color(kind).filled()))?;
        area.draw(&Text::new(kind.title(), (x + 30, 14), font(18)))?;
    }
    Ok(())
}

/// Returns the range of some values from 0, or near them if they are far from 0.
fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values
        .filter(|value| value.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    if low > high {
        return (0.0, 1.0);
    }
    let low = if low < 0.5 * high { 0.0_f64.min(low) } else { low - 0.3 * (high - low).max(1e-3 * high.abs()) };
    (low, high + 0.08 * (high - low).max(1e-9))
}

/// A line of a chart with its color, and the deviation of each point.
struct Line {
    color: RGBColor,
    points: Vec<(f64, f64)>,
    deviations: Vec<f64>,
}

/// Draws lines, and a horizontal line at `level`.
fn draw_lines(area: &Area, title: &str, x: &str, labels: &dyn Fn(f64) -> String, lines: &[Line], level: f64) -> Drawn {
    let points = || lines.iter().flat_map(|line| &line.points);
    let ends = |line: &Line| {
        let pairs = line.points.iter().zip(&line.deviations);
        pairs.flat_map(|((_, y), sd)| [y - sd, y + sd]).collect::<Vec<_>>()
    };
    let (low, high) = range(lines.iter().flat_map(ends).chain([level]));
    let first = points().map(|point| point.0).fold(f64::INFINITY, f64::min);
    let last = points().map(|point| point.0).fold(f64::NEG_INFINITY, f64::max);
    if first > last {
        area.draw(&Text::new(format!("{title}: no run yet"), (16, 12), font(15)))?;
        return Ok(());
    }
    let pad = 0.04 * (last - first).max(1e-3);
    let mut chart = ChartBuilder::on(area)
        .caption(title, font(15))
        .margin(8)
        .margin_right(16)
        .x_label_area_size(38)
        .y_label_area_size(48)
        .build_cartesian_2d((first - pad)..(last + pad), low..high)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(INK.mix(0.12))
        .axis_style(INK.mix(0.5))
        .label_style(font(12))
        .x_labels(5)
        .y_labels(5)
        .x_label_formatter(&|x| labels(*x))
        .x_desc(x)
        .axis_desc_style(font(13))
        .draw()?;
    chart.draw_series([PathElement::new([(first - pad, level), (last + pad, level)], INK.mix(0.4).stroke_width(1))])?;
    for Line { color, points, deviations } in lines {
        for ((x, y), sd) in points.iter().zip(deviations).filter(|(_, sd)| **sd > 0.0) {
            chart.draw_series([PathElement::new([(*x, y - sd), (*x, y + sd)], color.mix(0.6).stroke_width(1))])?;
        }
        chart.draw_series(LineSeries::new(points.clone(), color.stroke_width(2)))?;
        chart.draw_series(points.iter().filter(|_| points.len() < 10).map(|&p| Circle::new(p, 3, color.filled())))?;
    }
    Ok(())
}

fn draw_distances(area: &Area, family: &str, sizing: Sizing, blocks: &[&Block]) -> Drawn {
    let mut lines: BTreeMap<Kind, Line> = BTreeMap::new();
    for (place, block) in blocks.iter().enumerate() {
        for row in block.rows.iter().filter(|row| row.sizing == sizing) {
            let Some(Spread { mean, sd, .. }) = row.quality().filter(|spread| spread.mean.is_finite()) else {
                continue;
            };
            let line = lines.entry(row.kind).or_insert(Line {
                color: color(row.kind),
                points: Vec::new(),
                deviations: Vec::new(),
            });
            line.points.push((place as f64, mean));
            line.deviations.push(sd);
        }
    }
    let lines: Vec<Line> = lines.into_values().collect();
    let measure = blocks.first().map_or("", |block| block.task.measure.title());
    let title = format!("{family}: {measure}, {}", sizing.title());
    let labels = |x: f64| {
        let block = blocks.get(x.round() as usize).filter(|_| (x - x.round()).abs() < 1e-6);
        block.and_then(|block| block.task.name.distance()).map_or_else(String::new, |steps| steps.to_string())
    };
    let guess = blocks.first().map_or(0.0, |block| block.task.guess.1);
    draw_lines(area, &title, "T", &labels, &lines, guess)
}

/// Returns the mean validation of all runs by updates.
fn mean_curve(row: &Row) -> Vec<(f64, f64)> {
    let mut values: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    for (updates, quality) in row.runs.iter().flat_map(|run| &run.curve).filter(|(_, quality)| quality.is_finite()) {
        values.entry(*updates).or_default().push(*quality);
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    values.into_iter().map(|(updates, values)| (updates as f64, mean(&values))).collect()
}

fn draw_curves(area: &Area, block: &Block) -> Drawn {
    let rows = block.rows.iter().filter(|row| row.sizing == Sizing::Units);
    let line = |row: &Row| {
        let points = mean_curve(row);
        Line { color: color(row.kind), deviations: vec![0.0; points.len()], points }
    };
    let lines: Vec<Line> = rows.map(line).filter(|line| !line.points.is_empty()).collect();
    let title = format!("{}: {}", block.task.name.name(), block.task.measure.title());
    draw_lines(area, &title, "updates; the line is the threshold", &|x| format!("{x:.0}"), &lines, block.task.threshold)
}

fn draw_bars(area: &Area, block: &Block) -> Drawn {
    let finite = |row: &Row| row.quality().filter(|spread| spread.mean.is_finite());
    let bars: Vec<(&Row, Spread)> = block.rows.iter().filter_map(|row| Some((row, finite(row)?))).collect();
    if bars.is_empty() {
        area.draw(&Text::new(format!("{}: no run yet", block.task.name.name()), (16, 12), font(15)))?;
        return Ok(());
    }
    let guess = block.task.guess.1;
    let (low, high) = range(bars.iter().flat_map(|(_, s)| [s.mean - s.sd, s.mean + s.sd]).chain([guess]));
    let mut kinds: Vec<Kind> = bars.iter().map(|(row, _)| row.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let mut chart = ChartBuilder::on(area)
        .caption(format!("{}: {}", block.task.name.name(), block.task.measure.title()), font(15))
        .margin(8)
        .x_label_area_size(20)
        .y_label_area_size(48)
        .build_cartesian_2d(0.0..kinds.len().max(1) as f64, low..high)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(INK.mix(0.12))
        .axis_style(INK.mix(0.5))
        .label_style(font(12))
        .x_labels(0)
        .y_labels(5)
        .x_desc(format!("the line is a guess: {}", block.task.guess.0))
        .axis_desc_style(font(13))
        .draw()?;
    for (row, Spread { mean, sd, .. }) in bars {
        let place = kinds.iter().position(|kind| *kind == row.kind).unwrap_or(0) as f64;
        let (x, share) = if row.sizing == Sizing::Units { (place + 0.1, 1.0) } else { (place + 0.5, 0.45) };
        chart.draw_series([Rectangle::new([(x, low), (x + 0.38, mean)], color(row.kind).mix(share).filled())])?;
        let middle = x + 0.19;
        chart.draw_series([PathElement::new([(middle, mean - sd), (middle, mean + sd)], INK.stroke_width(2))])?;
    }
    let ends = [(0.0, guess), (kinds.len().max(1) as f64, guess)];
    chart.draw_series([PathElement::new(ends, INK.mix(0.4).stroke_width(1))])?;
    Ok(())
}
