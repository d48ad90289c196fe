//! Spectrograms before and after.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;

use crate::failure::{Failure, Result};
use crate::stft::{Stft, root_hann};
use crate::wav::Recording;

const INK: RGBColor = RGBColor(38, 50, 56);
/// Number of rectangles across and up.
const COLUMNS: usize = 200;
const ROWS: usize = 64;
/// Number of colors. Neighbors of the same color are drawn as one rectangle.
const COLORS: usize = 20;
/// Decibels below the loudest rectangle that have a color.
const RANGE: f64 = 70.0;

/// Levels in decibels `[COLUMNS][ROWS]`, and their highest frequency in Hz.
struct Spectrogram {
    levels: Vec<[f64; ROWS]>,
    top: f64,
}

impl Spectrogram {
    fn new(recording: &Recording) -> Self {
        // About 32 ms, with at least as many bins as rows.
        let size = (recording.rate as usize / 32).next_power_of_two().max(2 * ROWS.next_power_of_two());
        let hop = size / 4;
        let mut stft = Stft::new(root_hann(size), hop);
        let frames = recording.samples.len().div_ceil(hop);
        let mut powers = vec![[0.0f64; ROWS]; COLUMNS.min(frames)];
        let columns = powers.len();
        let mut frame = vec![0.0; hop];
        for (t, chunk) in recording.samples.chunks(hop).enumerate() {
            frame.fill(0.0);
            frame[..chunk.len()].copy_from_slice(chunk);
            stft.analyze(&frame);
            let column = &mut powers[t * columns / frames];
            for (row, power) in column.iter_mut().enumerate() {
                let edge = |row: usize| row * (size / 2) / ROWS;
                let bins = &stft.spectrum[edge(row)..edge(row + 1)];
                let mean = bins.iter().map(|c| f64::from(c.norm_sqr())).sum::<f64>() / bins.len() as f64;
                *power = power.max(mean);
            }
        }
        let level = |power: f64| 10.0 * power.max(1e-12).log10();
        let levels = powers.into_iter().map(|column| column.map(level)).collect();
        Self { levels, top: f64::from(recording.rate) / 2.0 }
    }

    fn loudest(&self) -> f64 {
        self.levels.iter().flatten().copied().fold(f64::MIN, f64::max)
    }
}

/// Writes an SVG with the spectrograms of the recordings before and after, in the same colors.
///
/// # Errors
/// If the file cannot be written.
pub fn draw(path: &Path, title: &str, recordings: [&Recording; 2]) -> Result<()> {
    let svg = picture(title, recordings).map_err(|e| Failure::Plot { path: path.into(), why: e.to_string() })?;
    wgru::io::write_atomically(path, svg.as_bytes())?;
    Ok(())
}

fn picture(title: &str, recordings: [&Recording; 2]) -> std::result::Result<String, Box<dyn Error>> {
    let spectrograms = recordings.map(Spectrogram::new);
    let loudest = spectrograms[0].loudest();
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (1160, 760)).into_drawing_area();
        root.fill(&WHITE)?;
        let body = root.titled(title, font(22))?;
        let (plots, legend) = body.split_horizontally(1050);
        let names = ["before", "after"];
        for (area, (name, (spectrogram, recording))) in
            plots.split_evenly((2, 1)).iter().zip(names.iter().zip(spectrograms.iter().zip(recordings)))
        {
            let (end, columns) = (recording.seconds(), spectrogram.levels.len());
            let mut chart = ChartBuilder::on(area)
                .caption(name, font(18))
                .margin(8)
                .margin_right(20)
                .x_label_area_size(40)
                .y_label_area_size(64)
                .build_cartesian_2d(0.0..end, 0.0..spectrogram.top / 1e3)?;
            for (t, column) in spectrogram.levels.iter().enumerate() {
                let x = [t, t + 1].map(|t| end * t as f64 / columns as f64);
                let color = |level: f64| ((level - loudest) / RANGE + 1.0).clamp(0.0, 1.0) * (COLORS - 1) as f64;
                let colors = column.map(|level| color(level).round() as usize);
                let mut row = 0;
                for run in colors.chunk_by(|a, b| a == b) {
                    let y = [row, row + run.len()].map(|row| spectrogram.top / 1e3 * row as f64 / ROWS as f64);
                    let style = heat(run[0] as f64 / (COLORS - 1) as f64).filled();
                    chart.draw_series([Rectangle::new([(x[0], y[0]), (x[1], y[1])], style)])?;
                    row += run.len();
                }
            }
            chart
                .configure_mesh()
                .disable_mesh()
                .axis_style(INK.mix(0.5))
                .label_style(font(14))
                .axis_desc_style(font(15))
                .x_desc("seconds")
                .y_desc("kHz")
                .draw()?;
        }
        let mut scale = ChartBuilder::on(&legend)
            .caption("dB", font(15))
            .margin(8)
            .margin_bottom(48)
            .y_label_area_size(44)
            .build_cartesian_2d(0.0..1.0, -RANGE..0.0)?;
        for step in 0..COLORS {
            let y = [step, step + 1].map(|s| RANGE * (s as f64 / COLORS as f64 - 1.0));
            let color = heat(step as f64 / (COLORS - 1) as f64);
            scale.draw_series([Rectangle::new([(0.0, y[0]), (1.0, y[1])], color.filled())])?;
        }
        scale.configure_mesh().disable_mesh().disable_x_axis().axis_style(INK.mix(0.5)).label_style(font(14)).draw()?;
        root.present()?;
    }
    Ok(svg)
}

/// Returns a color from nearly white over blue to nearly black.
fn heat(depth: f64) -> RGBColor {
    const STOPS: [[f64; 3]; 4] = [[250.0, 251.0, 252.0], [150.0, 190.0, 220.0], [18.0, 90.0, 150.0], [8.0, 20.0, 40.0]];
    let place = depth.clamp(0.0, 1.0) * 3.0;
    let from = (place as usize).min(2);
    let mix = |i: usize| (STOPS[from][i] + (STOPS[from + 1][i] - STOPS[from][i]) * (place - from as f64)) as u8;
    RGBColor(mix(0), mix(1), mix(2))
}

fn font<'a>(size: u32) -> TextStyle<'a> {
    ("sans-serif", size).into_font().color(&INK)
}
