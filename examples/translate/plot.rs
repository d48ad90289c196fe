//! The plot: the learning curve, and the attention weight of each source token for each output token.

use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::common::curve::{Area, Curve, Drawn, INK, NET, font};
use crate::common::files::write;
use crate::model::Attention;

/// Size of a cell in pixels.
const CELL: i32 = 30;
/// Height of the learning curve.
const CURVE: i32 = 420;

/// Content of the plot.
pub struct Picture<'a> {
    pub title: &'a str,
    pub attention: &'a Attention,
    /// Of the text whose attention is drawn, and of its translation.
    pub texts: [&'a str; 2],
    pub curve: Option<&'a Curve>,
}

impl Picture<'_> {
    /// Writes the plot as SVG.
    ///
    /// # Errors
    /// Errors from writing the file.
    pub fn draw(&self, path: &Path) -> Drawn {
        let Attention { source, output, .. } = self.attention;
        let longest = |tokens: &[String]| tokens.iter().map(|token| token.chars().count()).max().unwrap_or(1) as i32;
        let corner = (34 + 10 * longest(output), 100 + 9 * longest(source));
        let (across, down) = (source.len() as i32 * CELL, output.len() as i32 * CELL);
        let texts = format!("{} → {}", self.texts[0], self.texts[1]);
        let width = [corner.0 + across + 30, 40 + 11 * texts.chars().count() as i32, 900].into_iter().max();
        let above = if self.curve.is_some() { CURVE } else { 0 };
        let size = (width.unwrap_or(900) as u32, (50 + above + corner.1 + down + 56) as u32);
        let mut svg = String::new();
        {
            let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
            root.fill(&WHITE)?;
            let body = root.titled(self.title, font(22))?;
            let (top, bottom) = body.split_vertically(above);
            if let Some(curve) = self.curve {
                curve.draw(&top, "cross-entropy per token, by epoch", "held out", &[])?;
            }
            bottom.draw(&Text::new(texts, (14, 14), font(18)))?;
            self.draw_attention(&bottom, corner)?;
            let note = "each row: attention for the token on its left; full color is a weight of 1; ␣ begins a word";
            bottom.draw(&Text::new(note, (14, corner.1 + down + 26), font(13)))?;
            root.present()?;
        }
        write(path, svg.as_bytes())?;
        Ok(())
    }

    fn draw_attention(&self, area: &Area, (left, above): (i32, i32)) -> Drawn {
        let Attention { source, output, weights } = self.attention;
        for (i, token) in source.iter().enumerate() {
            let at = (left + i as i32 * CELL + CELL / 2, above - 10);
            let up = font(15).transform(FontTransform::Rotate270).pos(Pos::new(HPos::Left, VPos::Center));
            area.draw(&Text::new(visible(token), at, up))?;
        }
        for (i, token) in output.iter().enumerate() {
            let at = (left - 12, above + i as i32 * CELL + CELL / 2);
            area.draw(&Text::new(visible(token), at, font(17).pos(Pos::new(HPos::Right, VPos::Center))))?;
        }
        for (i, &weight) in weights.iter().enumerate() {
            let (row, column) = (i / source.len(), i % source.len());
            let corner = (left + column as i32 * CELL, above + row as i32 * CELL);
            let cell = [(corner.0 + 1, corner.1 + 1), (corner.0 + CELL - 1, corner.1 + CELL - 1)];
            area.draw(&Rectangle::new(cell, INK.mix(0.04).filled()))?;
            area.draw(&Rectangle::new(cell, NET.mix(f64::from(weight.clamp(0.0, 1.0))).filled()))?;
        }
        Ok(())
    }
}

/// Makes spaces visible.
fn visible(token: &str) -> String {
    token.replace(' ', "␣")
}
