//! The plot: the learning curve, beside n-grams.

use std::path::Path;

use plotters::prelude::*;

use crate::common::curve::{Curve, Drawn, font};
use crate::common::files::write;
use crate::report::name;

/// Writes the plot as SVG.
///
/// # Errors
/// Errors from writing the file.
pub fn draw(path: &Path, title: &str, curve: &Curve, ngrams: &[f64]) -> Drawn {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (1000, 620)).into_drawing_area();
        root.fill(&WHITE)?;
        let body = root.titled(title, font(24))?;
        // Histories of 0 and 1 characters are so far off that the curve would be flat.
        let lines: Vec<(String, f64)> = ngrams
            .iter()
            .enumerate()
            .skip(2)
            .map(|(length, nats)| (format!("after {}", name(length)), *nats))
            .collect();
        curve.draw(&body, "nats per character, by epoch", "held out", &lines)?;
        root.present()?;
    }
    write(path, svg.as_bytes())?;
    Ok(())
}
