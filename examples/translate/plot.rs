//! The plot: the attention weight of each source token for each output token.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

const INK: RGBColor = RGBColor(38, 50, 56);
const NET: RGBColor = RGBColor(216, 67, 21);
/// Size of a cell in pixels.
const CELL: i32 = 30;

/// Source tokens across, output tokens down, and `weights` by output and source.
pub struct Picture<'a> {
    pub title: &'a str,
    pub source: &'a [String],
    pub output: &'a [String],
    pub weights: &'a [f32],
    /// Whether the source tokens are words, which are drawn vertically.
    pub words: bool,
}

impl Picture<'_> {
    /// Writes the plot as SVG.
    ///
    /// # Errors
    /// Errors from writing the file.
    pub fn draw(&self, path: &Path) -> Result<(), Box<dyn Error>> {
        let longest = |tokens: &[String]| tokens.iter().map(|token| token.chars().count()).max().unwrap_or(1) as i32;
        let (left, above) =
            (34 + 10 * longest(self.output), if self.words { 74 + 9 * longest(self.source) } else { 92 });
        let (across, down) = (self.source.len() as i32 * CELL, self.output.len() as i32 * CELL);
        let titled = 40 + 11 * self.title.chars().count() as i32;
        let size = ((left + across + 30).max(titled).max(540), above + down + 56);
        let mut svg = String::new();
        {
            let root = SVGBackend::with_string(&mut svg, (size.0 as u32, size.1 as u32)).into_drawing_area();
            root.fill(&WHITE)?;
            root.draw(&Text::new(self.title, (14, 14), font(20)))?;
            for (i, token) in self.source.iter().enumerate() {
                let at = (left + i as i32 * CELL + CELL / 2, above - 10);
                let style = if self.words {
                    let up = font(15).transform(FontTransform::Rotate270);
                    up.pos(Pos::new(HPos::Left, VPos::Center))
                } else {
                    font(17).pos(Pos::new(HPos::Center, VPos::Bottom))
                };
                root.draw(&Text::new(visible(token), at, style))?;
            }
            for (i, token) in self.output.iter().enumerate() {
                let at = (left - 12, above + i as i32 * CELL + CELL / 2);
                root.draw(&Text::new(visible(token), at, font(17).pos(Pos::new(HPos::Right, VPos::Center))))?;
            }
            for (i, &weight) in self.weights.iter().enumerate() {
                let (row, column) = (i / self.source.len(), i % self.source.len());
                let corner = (left + column as i32 * CELL, above + row as i32 * CELL);
                let cell = [(corner.0 + 1, corner.1 + 1), (corner.0 + CELL - 1, corner.1 + CELL - 1)];
                root.draw(&Rectangle::new(cell, INK.mix(0.04).filled()))?;
                root.draw(&Rectangle::new(cell, NET.mix(f64::from(weight.clamp(0.0, 1.0))).filled()))?;
            }
            let note = "each row: attention weights for the token on its left; full color is a weight of 1";
            root.draw(&Text::new(note, (14, above + down + 26), font(13)))?;
            root.present()?;
        }
        wgru::io::write_atomically(path, svg.as_bytes())?;
        Ok(())
    }
}

/// Makes a space visible.
fn visible(token: &str) -> String {
    if token == " " { "␣".into() } else { token.into() }
}

fn font<'a>(size: u32) -> TextStyle<'a> {
    ("sans-serif", size).into_font().color(&INK)
}
