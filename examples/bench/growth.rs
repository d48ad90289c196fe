//! Measures how time grows with T, B and H, as a table and a plot on logarithmic axes.
//!
//! With one thread on Linux, it measures CPU time, so that other load on the machine does not distort the curves.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use plotters::coord::Shift;
use plotters::prelude::*;
use wgru::nn::{Mode, Module, RunOptions};
use wgru::{Cell, Device, Result, Rng};

use crate::workloads::Work;

/// One of the three sizes, which varies while the others are fixed.
struct Axis {
    name: &'static str,
    base: Work,
    /// Largest size.
    top: usize,
    set: fn(&mut Work, usize),
    /// Maximum exponent with which time grows in this size.
    power: i32,
}

const BASE: Work = Work { name: "growth", layers: 1, batch: 4, steps: 16, hidden: 64 };

const AXES: [Axis; 3] = [
    Axis { name: "T", base: BASE, top: 4096, set: |w, n| w.steps = n, power: 1 },
    Axis { name: "B", base: BASE, top: 2048, set: |w, n| w.batch = n, power: 1 },
    Axis { name: "H", base: BASE, top: 2048, set: |w, n| w.hidden = n, power: 2 },
];

/// A size, with the times of a forward pass, and of a forward and backward pass.
pub struct Point {
    size: usize,
    seconds: [f64; 2],
    flops: f64,
}

/// How a run is timed.
#[derive(Clone, Copy)]
pub struct Timer {
    /// Minimum duration of a measurement in seconds.
    pub budget: f64,
    /// Whether all work is on the calling thread.
    pub one_thread: bool,
}

impl Timer {
    /// Returns the seconds since `start`, or this thread's CPU time in seconds.
    fn now(self, start: Instant) -> f64 {
        let on_processor = || {
            let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
            text.split(' ').next()?.parse::<f64>().ok().map(|ns| ns * 1e-9)
        };
        self.one_thread.then(on_processor).flatten().unwrap_or_else(|| start.elapsed().as_secs_f64())
    }

    /// Returns the seconds per call, over as many calls as fill the budget.
    fn time(self, mut f: impl FnMut() -> Result<()>) -> Result<f64> {
        (0..2).try_for_each(|_| f())?;
        let (start, mut calls) = (Instant::now(), 1);
        loop {
            let before = self.now(start);
            (0..calls).try_for_each(|_| f())?;
            let spent = self.now(start) - before;
            if spent >= self.budget {
                return Ok(spent / calls as f64);
            }
            calls *= 2;
        }
    }
}

/// Yields 1, 2, 3, 4, 6, 8, 12, … up to `top`.
fn sizes(top: usize) -> impl Iterator<Item = usize> {
    let halves = |n: usize| [Some(n), (n > 1).then_some(n + n / 2)];
    std::iter::successors(Some(1), |n| Some(n * 2)).flat_map(halves).flatten().take_while(move |&n| n <= top)
}

fn measure(device: &Device, work: &Work, timer: Timer) -> Result<[f64; 2]> {
    let (gru, x) = (work.layer(device, Cell::Gru)?, work.input_on(device)?);
    let forward = timer.time(|| {
        let _y = std::hint::black_box(gru.run(&x, RunOptions::default(), &mut Mode::Eval)?);
        device.wait_blocking()
    })?;
    let (x, mut rng) = (x.requires_grad(), Rng::new(1));
    let both = timer.time(|| {
        gru.parameters().iter().chain([&("x".to_string(), x.clone())]).for_each(|(_, p)| p.set_grad(None));
        gru.run(&x, RunOptions::default(), &mut Mode::Train(&mut rng))?.output.square()?.mean()?.backward()?;
        device.wait_blocking()
    })?;
    Ok([forward, both])
}

/// Measures, prints the table, and reports where the time per FLOP grew most.
pub fn run(device: &Device, timer: Timer) -> Result<Vec<Vec<Point>>> {
    let mut all = Vec::new();
    for axis in &AXES {
        println!("\n{}, others T = {}, B = {}, H = {}", axis.name, BASE.steps, BASE.batch, BASE.hidden);
        println!("{:>6} {:>12} {:>12} {:>9} {:>9}", "size", "forward µs", "and back", "GFLOP/s", "GFLOP/s");
        let mut points = Vec::new();
        for size in sizes(axis.top) {
            let mut work = axis.base;
            (axis.set)(&mut work, size);
            let seconds = measure(device, &work, timer)?;
            let flops = 12.0 * (work.steps * work.batch) as f64 * (work.hidden as f64).powi(2);
            let rates = [flops / seconds[0] / 1e9, 3.0 * flops / seconds[1] / 1e9];
            let us = seconds.map(|s| s * 1e6);
            println!("{size:>6} {:>12.1} {:>12.1} {:>9.1} {:>9.1}", us[0], us[1], rates[0], rates[1]);
            points.push(Point { size, seconds, flops });
        }
        for (which, what) in ["forward", "forward and backward"].into_iter().enumerate() {
            let beyond = |w: &[Point]| w[1].seconds[which] / w[0].seconds[which] / (w[1].flops / w[0].flops);
            let steepest = points.windows(2).max_by(|a, b| beyond(a).total_cmp(&beyond(b)));
            if let Some(w) = steepest {
                let (from, to, ratio) = (w[0].size, w[1].size, beyond(w));
                println!("{what}: time per FLOP grows most from {from} to {to}, by a factor of {ratio:.2}");
            }
        }
        all.push(points);
    }
    Ok(all)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
const COLORS: [RGBColor; 2] = [RGBColor(21, 101, 192), RGBColor(216, 67, 21)];

fn font(size: i32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&RGBColor(38, 50, 56))
}

/// Draws the measurements of [`run`].
///
/// # Errors
/// Errors from writing the file.
pub fn draw(all: &[Vec<Point>], device: &str, path: &Path) -> std::result::Result<(), Box<dyn Error>> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (1280, 460)).into_drawing_area();
        root.fill(&WHITE)?;
        let Work { batch, steps, hidden, .. } = BASE;
        let title =
            format!("Time of a GRU layer on {device}; unless varied, T = {steps}, B = {batch}, I = H = {hidden}");
        let body = root.titled(&title, font(20))?;
        for (area, (axis, points)) in body.split_evenly((1, 3)).iter().zip(AXES.iter().zip(all)) {
            draw_axis(area, axis, points)?;
        }
        root.present()?;
    }
    wgru::io::write_atomically(path, svg.as_bytes())?;
    Ok(())
}

fn draw_axis(area: &Area, axis: &Axis, points: &[Point]) -> std::result::Result<(), Box<dyn Error>> {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return Ok(()) };
    let (x0, x1) = (first.size as f64, last.size as f64);
    let (low, high) = (first.seconds[0] * 1e3 / 2.0, last.seconds[1] * 1e3 * 2.0);
    let mut chart = ChartBuilder::on(&area.margin(4, 12, 8, 12))
        .x_label_area_size(42)
        .y_label_area_size(64)
        .build_cartesian_2d((x0..x1 * 1.2).log_scale(), (low..high).log_scale())?;
    let label = |ms: &f64| if *ms >= 1.0 { format!("{ms:.0}") } else { format!("{ms}") };
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc(axis.name)
        .y_desc("ms")
        .x_label_formatter(&|n| format!("{n:.0}"))
        .y_label_formatter(&label)
        .label_style(font(14))
        .axis_desc_style(font(16))
        .draw()?;
    let gray = RGBColor(144, 164, 174);
    let end = last.seconds[0] * 1e3;
    let law = |x: f64| end * (x / x1).powi(axis.power);
    // Only the part inside the plot.
    let xs = sizes(axis.top).map(|n| n as f64).filter(|&x| law(x) > low);
    chart
        .draw_series(LineSeries::new(xs.map(|x| (x, law(x))), gray))?
        .label(format!("∝ {}{}", axis.name, if axis.power == 2 { "²" } else { "" }))
        .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], gray));
    for (which, (name, color)) in ["forward", "and backward"].into_iter().zip(COLORS).enumerate() {
        let line: Vec<(f64, f64)> = points.iter().map(|p| (p.size as f64, p.seconds[which] * 1e3)).collect();
        chart
            .draw_series(LineSeries::new(line.clone(), color.stroke_width(2)))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2)));
        chart.draw_series(line.iter().map(|&at| Circle::new(at, 2, color.filled())))?;
    }
    chart.configure_series_labels().position(SeriesLabelPosition::UpperLeft).label_font(font(14)).draw()?;
    Ok(())
}
