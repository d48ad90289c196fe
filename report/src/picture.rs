//! The report as a picture: time per step by plan, and speed of products, as SVG.

use std::fmt::Write;

use crate::report::{Report, Timing};

const WIDTH: f64 = 960.0;
const CHART: [f64; 2] = [400.0, 240.0];
/// Colors that differ in lightness, for printing and color vision deficiency.
const COLORS: [&str; 9] =
    ["#1f6feb", "#d9480f", "#2b8a3e", "#862e9c", "#868e96", "#e8a90c", "#0c8599", "#c2255c", "#495057"];

/// A line of a chart: a name, and its points.
type Line = (String, Vec<(f64, f64)>);

/// Draws the report.
pub fn picture(report: &Report) -> String {
    let adapter = report.adapter.as_ref();
    let name = adapter.map_or("no adapter", |a| if a.name.is_empty() { &a.vendor } else { &a.name });
    let right = report.checks.iter().filter(|check| check.is_right()).count();
    let backend = adapter.map_or("", |a| &a.backend);
    let facts =
        format!("{backend}; {right} of {} checks right; {}; {}", report.checks.len(), report.ended, report.time);
    let mut charts = Vec::new();
    for (kind, title) in [("forward", "inference"), ("training", "training step")] {
        for batch in [1, 32] {
            let of = |t: &Timing| {
                let known = t.kind == kind && t.of == "gru" && t.dims.len() == 3 && t.dims[1] == batch && t.dims[0] > 0;
                known.then(|| (t.dims[2] as f64, t.times.median / t.dims[0] as f64))
            };
            let title = format!("GRU, {title}, {batch} sequence{}: µs per step", if batch == 1 { "" } else { "s" });
            charts.push((title, "units", lines(report, of)));
        }
    }
    for layout in ["along", "across"] {
        let of = |t: &Timing| {
            let known = t.kind == "product" && t.of == layout && t.dims.len() == 3;
            let square = known && t.dims[0] == t.dims[1] && t.dims[1] == t.dims[2];
            square.then(|| {
                (t.dims[0] as f64, 2.0 * t.dims.iter().map(|&n| n as f64).product::<f64>() / t.times.median / 1e3)
            })
        };
        charts.push((format!("square products, operands {layout} k: GFLOP/s"), "rows", lines(report, of)));
    }
    charts.retain(|(.., lines)| lines.iter().any(|(_, points)| !points.is_empty()));
    let rows = charts.len().div_ceil(2);
    let height = 90.0 + rows as f64 * 320.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"system-ui, sans-serif\" \
         font-size=\"12\" fill=\"#1c2128\" role=\"img\">\n<title>wgru on {0}</title>\n<rect width=\"{WIDTH}\" \
         height=\"{height}\" fill=\"#fff\"/>\n<text x=\"40\" y=\"36\" font-size=\"20\">wgru on {0}</text>\n<text x=\"40\" \
         y=\"58\">{1}</text>\n",
        escape(name),
        escape(&facts)
    );
    for (i, (title, axis, lines)) in charts.iter().enumerate() {
        let at = [60.0 + (i % 2) as f64 * 470.0, 100.0 + (i / 2) as f64 * 320.0];
        chart(&mut svg, at, title, axis, lines);
    }
    svg + "</svg>\n"
}

/// Collects the points of all choices.
fn lines(report: &Report, of: impl Fn(&Timing) -> Option<(f64, f64)>) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for timing in &report.timings {
        let Some(point) = of(timing).filter(|(x, y)| *x > 0.0 && *y > 0.0 && x.is_finite() && y.is_finite()) else {
            continue;
        };
        match lines.iter_mut().find(|(name, _)| *name == timing.choice) {
            Some((_, points)) => points.push(point),
            None => lines.push((timing.choice.clone(), vec![point])),
        }
    }
    lines.iter_mut().for_each(|(_, points)| points.sort_by(|a, b| a.0.total_cmp(&b.0)));
    lines
}

/// Draws a chart with logarithmic axes.
fn chart(svg: &mut String, [left, top]: [f64; 2], title: &str, axis: &str, lines: &[Line]) {
    let points = || lines.iter().flat_map(|(_, points)| points);
    let range = |f: fn(&(f64, f64)) -> f64, base: f64| {
        let (low, high) = points().map(f).fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(v), h.max(v)));
        let low = low.log(base).floor();
        [low, high.log(base).ceil().max(low + 1.0)]
    };
    let (x, y) = (range(|p| p.0, 2.0), range(|p| p.1, 10.0));
    let [width, height] = CHART;
    let at_x = |v: f64| left + (v.log2() - x[0]) / (x[1] - x[0]) * width;
    let at_y = |v: f64| top + height - (v.log10() - y[0]) / (y[1] - y[0]) * height;
    let _ = writeln!(svg, "<text x=\"{left}\" y=\"{}\" font-weight=\"600\">{}</text>", top - 10.0, escape(title));
    let tick = |from: [f64; 2], to: [f64; 2]| {
        format!("<path d=\"M{:.1} {:.1}L{:.1} {:.1}\" stroke=\"#d0d7de\"/>", from[0], from[1], to[0], to[1])
    };
    for power in x[0] as i32..=x[1] as i32 {
        let (v, end) = (2f64.powi(power), top + height);
        let _ = write!(svg, "{}", tick([at_x(v), top], [at_x(v), end]));
        let _ = writeln!(svg, "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{v}</text>", at_x(v), end + 16.0);
    }
    for power in y[0] as i32..=y[1] as i32 {
        let v = 10f64.powi(power);
        let _ = write!(svg, "{}", tick([left, at_y(v)], [left + width, at_y(v)]));
        let _ =
            writeln!(svg, "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{v}</text>", left - 6.0, at_y(v) + 4.0);
    }
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{axis}</text>",
        left + width,
        top + height + 32.0
    );
    let mut from = left;
    for (i, (name, points)) in lines.iter().enumerate() {
        let color = COLORS[i % COLORS.len()];
        let path: Vec<String> = points.iter().map(|p| format!("{:.1} {:.1}", at_x(p.0), at_y(p.1))).collect();
        let _ = writeln!(svg, "<path d=\"M{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"/>", path.join("L"));
        for p in points {
            let _ = writeln!(svg, "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{color}\"/>", at_x(p.0), at_y(p.1));
        }
        let _ = writeln!(
            svg,
            "<text x=\"{from:.1}\" y=\"{:.1}\" fill=\"{color}\">{}</text>",
            top + height + 48.0,
            escape(name)
        );
        from += 14.0 + 6.4 * name.chars().count() as f64;
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
