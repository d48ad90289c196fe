//! The plot: the learning curve, and the attention to the words of some texts.

use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::common::curve::{Area, Curve, Drawn, INK, NET, font};
use crate::common::files::write;

const WIDTH: i32 = 1200;
/// Height of a line of text, and approximate width of a letter.
const LINE: i32 = 30;
const LETTER: i32 = 9;

/// A text with the attention to its words.
pub struct Shown {
    pub words: Vec<String>,
    pub weights: Vec<f32>,
    /// The predicted class and the true one.
    pub note: String,
}

/// Content of the plot.
pub struct Picture<'a> {
    pub title: String,
    pub curve: &'a Curve,
    pub texts: &'a [Shown],
    /// Whether the words are letters, which are drawn without gaps.
    pub letters: bool,
}

impl Picture<'_> {
    /// Writes the plot as SVG.
    ///
    /// # Errors
    /// Errors from writing the file.
    pub fn draw(&self, path: &Path) -> Drawn {
        let lines: Vec<Vec<Placed>> = self.texts.iter().map(|text| self.place(text)).collect();
        let rows: i32 = lines.iter().map(|words| 2 + words.last().map_or(0, |word| word.line)).sum();
        let height = 470 + LINE * rows + 40;
        let mut svg = String::new();
        {
            let root = SVGBackend::with_string(&mut svg, (WIDTH as u32, height as u32)).into_drawing_area();
            root.fill(&WHITE)?;
            let body = root.titled(&self.title, font(24))?;
            let (top, bottom) = body.split_vertically(400);
            self.curve.draw(&top, "cross-entropy by epoch", "validation", &[])?;
            self.draw_texts(&bottom, &lines)?;
            root.present()?;
        }
        write(path, svg.as_bytes())?;
        Ok(())
    }

    /// Breaks a text into lines.
    fn place(&self, text: &Shown) -> Vec<Placed> {
        let (mut x, mut line, gap) = (16, 0, if self.letters { 2 } else { 6 });
        let place = |word: &String| {
            let width = LETTER * word.chars().count() as i32 + 8;
            if x + width > WIDTH - 16 {
                (x, line) = (16, line + 1);
            }
            let placed = Placed { x, width, line };
            x += width + gap;
            placed
        };
        text.words.iter().map(place).collect()
    }

    fn draw_texts(&self, area: &Area, lines: &[Vec<Placed>]) -> Drawn {
        let note = "attention to the words of some texts of the test; full color is the largest weight of a text";
        area.draw(&Text::new(note, (16, 4), font(14)))?;
        let mut y = LINE;
        for (text, words) in self.texts.iter().zip(lines) {
            area.draw(&Text::new(text.note.clone(), (16, y + 8), font(14)))?;
            y += LINE;
            let most = text.weights.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
            for ((word, weight), placed) in text.words.iter().zip(&text.weights).zip(words) {
                let (left, top) = (placed.x, y + LINE * placed.line);
                let corners = [(left, top), (left + placed.width, top + LINE - 4)];
                area.draw(&Rectangle::new(corners, INK.mix(0.04).filled()))?;
                area.draw(&Rectangle::new(corners, NET.mix(0.8 * f64::from(weight / most)).filled()))?;
                let middle = (left + placed.width / 2, top + LINE / 2 - 2);
                area.draw(&Text::new(word.clone(), middle, font(15).pos(Pos::new(HPos::Center, VPos::Center))))?;
            }
            y += LINE * (1 + words.last().map_or(0, |word| word.line));
        }
        Ok(())
    }
}

/// Position of a word.
struct Placed {
    x: i32,
    width: i32,
    line: i32,
}
