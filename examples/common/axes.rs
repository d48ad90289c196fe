//! Style of the charts: colors, axes and legends.

use std::error::Error;
use std::ops::Range;

use plotters::chart::{ChartContext, MeshStyle};
use plotters::coord::Shift;
use plotters::coord::ranged1d::{Ranged, ValueFormatter};
use plotters::prelude::*;

pub const INK: RGBColor = RGBColor(38, 50, 56);
pub const NET: RGBColor = RGBColor(216, 67, 21);
pub const PALE: RGBColor = RGBColor(120, 160, 190);

pub type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
pub type Drawn = Result<(), Box<dyn Error>>;
pub type Chart<'a, 'b, X, Y> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<X, Y>>;

/// Returns grid and axes of a chart, to add descriptions to and to draw.
pub fn axes<'a, 'b, 'c, X, Y>(chart: &'c mut Chart<'a, 'b, X, Y>) -> MeshStyle<'a, 'c, X, Y, SVGBackend<'b>>
where
    X: Ranged + ValueFormatter<X::ValueType>,
    Y: Ranged + ValueFormatter<Y::ValueType>,
{
    let mut mesh = chart.configure_mesh();
    mesh.light_line_style(TRANSPARENT)
        .bold_line_style(INK.mix(0.12))
        .axis_style(INK.mix(0.5))
        .label_style(font(14))
        .axis_desc_style(font(15));
    mesh
}

/// Draws a line that the legend names.
///
/// # Errors
/// Errors from drawing.
pub fn line<'a, X, Y>(
    chart: &mut Chart<'a, '_, X, Y>,
    name: &str,
    points: Vec<(X::ValueType, Y::ValueType)>,
    style: ShapeStyle,
) -> Drawn
where
    X: Ranged,
    Y: Ranged,
    X::ValueType: Clone + 'static,
    Y::ValueType: Clone + 'static,
{
    chart
        .draw_series(LineSeries::new(points, style))?
        .label(name)
        .legend(move |(x, y)| PathElement::new([(x, y), (x + 24, y)], style));
    Ok(())
}

/// Draws the legend.
///
/// # Errors
/// Errors from drawing.
pub fn legend<'a, X: Ranged, Y: Ranged>(chart: &mut Chart<'a, 'a, X, Y>, position: SeriesLabelPosition) -> Drawn {
    chart
        .configure_series_labels()
        .position(position)
        .background_style(WHITE.mix(0.85))
        .border_style(INK.mix(0.2))
        .label_font(font(15))
        .legend_area_size(32)
        .draw()?;
    Ok(())
}

pub fn font<'a>(size: u32) -> TextStyle<'a> {
    ("sans-serif", size).into_font().color(&INK)
}

/// Returns the range of the values that are finite, with a small margin.
pub fn bounds(values: impl Iterator<Item = f64>) -> Range<f64> {
    let (low, high) = values
        .filter(|v| v.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    if low > high {
        return 0.0..1.0;
    }
    let pad = (0.05 * (high - low)).max(1e-6 * high.abs().max(1.0));
    low - pad..high + pad
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_leave_a_margin() {
        assert_eq!(bounds([1.0, f64::NAN, 3.0].into_iter()), 0.9..3.1);
        let flat = bounds([5.0].into_iter());
        assert!(flat.start < 5.0 && flat.end > 5.0);
        assert_eq!(bounds([f64::INFINITY].into_iter()), 0.0..1.0);
    }
}
