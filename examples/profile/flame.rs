//! The flame graph: a bar for the whole step, below it one per phase, and below those one per kernel. Widths are
//! proportional to times.

use std::fmt::Write;

/// A part of the training step: `(kernel, dispatches, milliseconds)`.
pub struct Phase {
    pub name: &'static str,
    pub kernels: Vec<(&'static str, usize, f64)>,
}

impl Phase {
    pub fn ms(&self) -> f64 {
        self.kernels.iter().map(|k| k.2).sum()
    }

    pub fn dispatches(&self) -> usize {
        self.kernels.iter().map(|k| k.1).sum()
    }
}

const WIDTH: f64 = 1160.0;
const LEFT: f64 = 20.0;
const ROW: f64 = 40.0;
/// Approximate width of a character in the labels.
const LETTER: f64 = 7.0;

/// Returns the hue of a kernel, which is always the same.
fn hue(name: &str) -> u32 {
    name.bytes().fold(7, |h: u32, b| h.wrapping_mul(31).wrapping_add(b.into())) % 360
}

fn bar(out: &mut String, [x, width]: [f64; 2], row: usize, fill: &str, label: &str, ms: f64) {
    let y = 44.0 + ROW * row as f64;
    let _ = write!(
        out,
        "<g><title>{label}: {ms:.3} ms</title>\
         <rect x=\"{x:.2}\" y=\"{y}\" width=\"{width:.2}\" height=\"{}\" fill=\"{fill}\" stroke=\"white\"/>",
        ROW - 2.0,
    );
    let room = ((width - 8.0) / LETTER) as usize;
    for (line, text) in [label.to_string(), format!("{ms:.1} ms")].into_iter().enumerate() {
        if text.len() <= room {
            let _ = write!(out, "<text x=\"{:.2}\" y=\"{}\">{text}</text>", x + 4.0, y + 15.0 + 15.0 * line as f64);
        }
    }
    out.push_str("</g>\n");
}

/// Returns the flame graph as SVG. Bars too narrow for their name show it as a tooltip.
pub fn svg(title: &str, phases: &[Phase]) -> String {
    let all: f64 = phases.iter().map(Phase::ms).sum::<f64>().max(f64::MIN_POSITIVE);
    let (width, height) = (WIDTH + 2.0 * LEFT, 44.0 + 3.0 * ROW + 16.0);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"monospace\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"26\" font-size=\"15\">{title}</text>\n"
    );
    bar(&mut out, [LEFT, WIDTH], 0, "#d8d8d8", "training step", all);
    let mut x = LEFT;
    for phase in phases {
        let wide = |ms: f64| WIDTH * ms / all;
        bar(&mut out, [x, wide(phase.ms())], 1, "#b8c4d0", phase.name, phase.ms());
        for &(kernel, count, ms) in &phase.kernels {
            let fill = format!("hsl({}, 60%, 78%)", hue(kernel));
            bar(&mut out, [x, wide(ms)], 2, &fill, &format!("{kernel} × {count}"), ms);
            x += wide(ms);
        }
    }
    out + "</svg>\n"
}
