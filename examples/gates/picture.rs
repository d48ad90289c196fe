//! The plot: the series on top, and the gates below it, with one row per unit and one column per day.

use std::error::Error;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::color::{SHARE, SIGNED, STEPS, color, step};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn Error>>;

const INK: RGBColor = RGBColor(38, 50, 56);
const FORECAST: RGBColor = RGBColor(216, 67, 21);
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/// Width of a day and height of a gate, in pixels. Cells are whole pixels, so that they meet without seams.
const DAY: i32 = 3;
const HIGH: i32 = 192;
const LEFT: i32 = 96;
const SERIES: (i32, i32) = (92, 252);
const FIRST: i32 = 300;
const GAP: i32 = 44;

/// Values of one gate: `[days, units]`.
pub struct Heat {
    values: Vec<f32>,
    units: usize,
}

impl Heat {
    pub fn new(values: Vec<f32>, units: usize) -> Self {
        Self { values, units }
    }

    fn days(&self) -> usize {
        self.values.len() / self.units
    }

    fn at(&self, day: usize, unit: usize) -> f32 {
        self.values[day * self.units + unit]
    }

    fn mean(&self, unit: usize) -> f32 {
        (0..self.days()).map(|day| self.at(day, unit)).sum::<f32>() / self.days() as f32
    }
}

/// Content of the plot.
pub struct Picture<'a> {
    pub dates: &'a [String],
    /// °C
    pub actual: &'a [f32],
    pub forecast: &'a [f32],
    pub reset: Heat,
    pub update: Heat,
    pub candidate: Heat,
}

impl Picture<'_> {
    /// Writes the plot as SVG.
    ///
    /// # Errors
    /// Errors from writing the file.
    pub fn draw(&self, path: &Path) -> Drawn {
        // The slowest units first.
        let mut order: Vec<usize> = (0..self.update.units).collect();
        order.sort_by(|&a, &b| self.update.mean(b).total_cmp(&self.update.mean(a)));
        let unit = (HIGH / order.len() as i32).max(1);
        let high = unit * order.len() as i32;
        let width = LEFT + DAY * self.update.days() as i32 + 96;
        let mut svg = String::new();
        {
            let root = SVGBackend::with_string(&mut svg, (width as u32, (FIRST + 3 * high + 2 * GAP + 44) as u32))
                .into_drawing_area();
            root.fill(&WHITE)?;
            let title = "What a GRU keeps and forgets: a year of daily weather in Seattle";
            text(&root, title, (LEFT, 26), 24, HPos::Left)?;
            let units = order.len();
            let below = format!(
                "{units} units learned to forecast the next day. A row is a unit, the slowest on top; a column is a day. \
                 Each day the state becomes h′ = (1 − z)⊙n + z⊙h."
            );
            text(&root, &below, (LEFT, 54), 16, HPos::Left)?;
            self.draw_series(&root)?;
            let panels = [
                (&self.reset, &SHARE, "reset gate r: how much of its past state the unit reads"),
                (&self.update, &SHARE, "update gate z: how much of its past state the unit keeps"),
                (&self.candidate, &SIGNED, "candidate n: the new value of the unit"),
            ];
            for (k, (heat, scale, caption)) in panels.into_iter().enumerate() {
                let top = FIRST + k as i32 * (high + GAP);
                text(&root, caption, (LEFT, top - 13), 17, HPos::Left)?;
                draw_heat(&root, heat, &order, scale, (top, unit))?;
                self.draw_month_lines(&root, (top, top + high), WHITE.mix(0.35))?;
                draw_scale(&root, scale, top, high)?;
                self.draw_units(&root, &order, (top, unit))?;
            }
            self.draw_months(&root, FIRST + 3 * high + 2 * GAP)?;
            root.present()?;
        }
        wgru::io::write_atomically(path, svg.as_bytes())?;
        Ok(())
    }

    fn draw_series(&self, root: &Area) -> Drawn {
        let (top, bottom) = SERIES;
        let all = || self.actual.iter().chain(self.forecast).copied();
        let low = (all().fold(f32::INFINITY, f32::min) / 10.0).floor() * 10.0;
        let high = (all().fold(f32::NEG_INFINITY, f32::max) / 10.0).ceil() * 10.0;
        let y = |v: f32| bottom - ((v - low) / (high - low) * (bottom - top) as f32).round() as i32;
        let right = LEFT + DAY * self.actual.len() as i32;
        for k in 0..=((high - low) / 10.0) as i32 {
            let degrees = low + 10.0 * k as f32;
            root.draw(&PathElement::new([(LEFT, y(degrees)), (right, y(degrees))], INK.mix(0.12)))?;
            text(root, &format!("{degrees:.0}"), (LEFT - 8, y(degrees)), 14, HPos::Right)?;
        }
        self.draw_month_lines(root, SERIES, INK.mix(0.12))?;
        upright(root, "highest temperature, °C", (LEFT - 50, (top + bottom) / 2))?;
        let line = |values: &[f32]| -> Vec<(i32, i32)> {
            values.iter().enumerate().map(|(day, &v)| (LEFT + DAY * day as i32 + DAY / 2, y(v))).collect()
        };
        root.draw(&PathElement::new(line(self.actual), INK.stroke_width(1)))?;
        root.draw(&PathElement::new(line(self.forecast), FORECAST.stroke_width(2)))?;
        let legend = [("measured", INK.stroke_width(1)), ("forecast the day before", FORECAST.stroke_width(2))];
        for (k, (name, style)) in legend.into_iter().enumerate() {
            let x = right - 300 + 106 * k as i32;
            root.draw(&PathElement::new([(x, top - 12), (x + 22, top - 12)], style))?;
            text(root, name, (x + 28, top - 12), 14, HPos::Left)?;
        }
        Ok(())
    }

    /// Labels rows with the memory of their units.
    fn draw_units(&self, root: &Area, order: &[usize], (top, unit): (i32, i32)) -> Drawn {
        let last = order.len() - 1;
        for row in [0, last / 4, last / 2, 3 * last / 4, last] {
            let days = 1.0 / (1.0 - self.update.mean(order[row])).max(1e-6);
            let y = top + unit * row as i32 + unit / 2;
            root.draw(&PathElement::new([(LEFT - 5, y), (LEFT, y)], INK))?;
            let label = if days < 10.0 { format!("{days:.1}") } else { format!("{days:.0}") };
            text(root, &label, (LEFT - 9, y), 14, HPos::Right)?;
        }
        upright(root, "memory 1/(1 − z̄), days", (LEFT - 50, top + unit * order.len() as i32 / 2))
    }

    /// Iterates over the days on which a month begins.
    fn months(&self) -> impl Iterator<Item = (i32, &String)> {
        let begins = |(day, date): (usize, _)| (LEFT + DAY * day as i32, date);
        self.dates.iter().enumerate().filter(|(_, date)| date.ends_with("-01")).map(begins)
    }

    fn draw_month_lines(&self, root: &Area, (top, bottom): (i32, i32), color: RGBAColor) -> Drawn {
        for (x, _) in self.months().skip(1) {
            root.draw(&PathElement::new([(x, top), (x, bottom)], color))?;
        }
        Ok(())
    }

    fn draw_months(&self, root: &Area, y: i32) -> Drawn {
        for (x, date) in self.months() {
            root.draw(&PathElement::new([(x, y), (x, y + 6)], INK))?;
            let month = date.split('-').nth(1).and_then(|m| m.parse::<usize>().ok()).and_then(|m| MONTHS.get(m - 1));
            text(root, month.unwrap_or(&""), (x + 4, y + 12), 14, HPos::Left)?;
        }
        let year = self.dates.first().and_then(|date| date.split('-').next()).unwrap_or_default();
        text(root, year, (LEFT + DAY * self.dates.len() as i32 / 2, y + 30), 14, HPos::Center)
    }
}

/// Draws a gate. Consecutive days of a unit with the same color step become one rectangle.
fn draw_heat(root: &Area, heat: &Heat, order: &[usize], scale: &[[u8; 3]; 9], (top, high): (i32, i32)) -> Drawn {
    let signed = std::ptr::eq(scale, &SIGNED);
    for (row, &unit) in order.iter().enumerate() {
        let y = top + high * row as i32;
        let at = |day: usize| step(if signed { (heat.at(day, unit) + 1.0) / 2.0 } else { heat.at(day, unit) });
        let mut from = 0;
        for day in 1..=heat.days() {
            if day < heat.days() && at(day) == at(from) {
                continue;
            }
            let corners = [(LEFT + DAY * from as i32, y), (LEFT + DAY * day as i32, y + high)];
            root.draw(&Rectangle::new(corners, color(scale, at(from)).filled()))?;
            from = day;
        }
    }
    Ok(())
}

fn draw_scale(root: &Area, scale: &[[u8; 3]; 9], top: i32, high: i32) -> Drawn {
    let (width, _) = root.dim_in_pixel();
    let x = width as i32 - 78;
    let edge = |k: usize| top + high - (high * k as i32) / STEPS as i32;
    for k in 0..STEPS {
        root.draw(&Rectangle::new([(x, edge(k + 1)), (x + 14, edge(k))], color(scale, k).filled()))?;
    }
    let labels = if std::ptr::eq(scale, &SIGNED) { ["−1", "0", "1"] } else { ["0", "0.5", "1"] };
    for (k, label) in labels.into_iter().enumerate() {
        text(root, label, (x + 20, top + high - high * k as i32 / 2), 14, HPos::Left)?;
    }
    Ok(())
}

fn text(root: &Area, what: &str, at: (i32, i32), size: u32, side: HPos) -> Drawn {
    let style = ("sans-serif", size).into_font().color(&INK).pos(Pos::new(side, VPos::Center));
    root.draw(&Text::new(what.to_string(), at, style))?;
    Ok(())
}

/// Draws text from bottom to top, centered.
fn upright(root: &Area, what: &str, at: (i32, i32)) -> Drawn {
    let font = ("sans-serif", 14).into_font().transform(FontTransform::Rotate270);
    let style = font.color(&INK).pos(Pos::new(HPos::Center, VPos::Center));
    root.draw(&Text::new(what.to_string(), at, style))?;
    Ok(())
}
