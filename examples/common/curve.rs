//! The learning curve: losses by epoch, and their chart.

use plotters::prelude::*;
use serde_json::{Value, json};

pub use super::axes::{Area, Drawn, INK, NET, PALE, font};
use super::axes::{axes, bounds, legend, line};

/// The losses of one epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    pub loss: f32,
    pub held_out: Option<f32>,
}

/// The losses of each epoch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curve(pub Vec<Point>);

impl Curve {
    /// Returns the curve as a list of pairs.
    pub fn to_json(&self) -> Value {
        self.0.iter().map(|point| json!([point.loss, point.held_out])).collect()
    }

    /// Reads a curve of [`to_json`](Self::to_json).
    pub fn from_json(value: &Value) -> Option<Self> {
        let number = |value: &Value| value.as_f64().map(|v| v as f32);
        let point = |pair: &Value| {
            let loss = number(pair.get(0)?)?;
            Some(Point { loss, held_out: number(pair.get(1)?) })
        };
        value.as_array()?.iter().map(point).collect::<Option<_>>().map(Self)
    }

    /// Returns the last losses as a message beside a progress bar.
    pub fn message(&self) -> String {
        match self.0.last() {
            None => String::new(),
            Some(Point { loss, held_out: None }) => format!("epoch {}: loss {loss:.4}", self.0.len()),
            Some(Point { loss, held_out: Some(other) }) => {
                format!("epoch {}: loss {loss:.4}, held out {other:.4}", self.0.len())
            }
        }
    }

    /// Draws both losses over the epochs, and `others` as horizontal lines with their names.
    ///
    /// # Errors
    /// Errors from drawing.
    pub fn draw(&self, area: &Area, title: &str, held_out: &str, others: &[(String, f64)]) -> Drawn {
        let points = |get: fn(&Point) -> Option<f32>| -> Vec<(f64, f64)> {
            let point = |(i, point): (usize, &Point)| Some((i as f64 + 1.0, f64::from(get(point)?)));
            self.0.iter().enumerate().filter_map(point).collect()
        };
        let lines = [("training", PALE, points(|p| Some(p.loss))), (held_out, NET, points(|p| p.held_out))];
        let values = || lines.iter().flat_map(|(.., points)| points).map(|(_, y)| *y).chain(others.iter().map(|o| o.1));
        if values().next().is_none() {
            return Ok(());
        }
        let range = bounds(values());
        let pad = 0.05 * (range.end - range.start);
        let last = self.0.len().max(2) as f64;
        let mut chart = ChartBuilder::on(area)
            .caption(title, font(18))
            .margin(12)
            .margin_right(24)
            .x_label_area_size(44)
            .y_label_area_size(64)
            .build_cartesian_2d(1.0..last, range)?;
        axes(&mut chart)
            .x_labels(self.0.len().clamp(2, 10))
            .x_label_formatter(&|epoch| if epoch.fract() == 0.0 { format!("{epoch}") } else { String::new() })
            .x_desc("epoch")
            .draw()?;
        for (name, value) in others {
            let ends = [(1.0, *value), (last, *value)];
            chart.draw_series([PathElement::new(ends, INK.mix(0.35).stroke_width(1))])?;
            chart.draw_series([Text::new(name.clone(), (1.0 + 0.62 * (last - 1.0), *value + 0.4 * pad), font(13))])?;
        }
        for (name, color, points) in lines.into_iter().filter(|(.., points)| !points.is_empty()) {
            let dots = points.iter().map(|&point| Circle::new(point, 3, color.filled()));
            chart.draw_series(dots)?;
            line(&mut chart, name, points, color.stroke_width(2))?;
        }
        legend(&mut chart, SeriesLabelPosition::UpperRight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_survive_json() {
        let point = |loss, held_out| Point { loss, held_out };
        let curve = Curve(vec![point(1.5, None), point(0.1, Some(0.3))]);
        assert_eq!(Curve::from_json(&curve.to_json()), Some(curve));
        for text in ["3", "[[]]", "[[\"a\", 1]]"] {
            assert_eq!(Curve::from_json(&serde_json::from_str(text).unwrap()), None, "{text}");
        }
    }
}
