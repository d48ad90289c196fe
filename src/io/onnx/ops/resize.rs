//! Resizing by the nearest element.

use super::index::select_rows;
use super::{Args, Builder, Op, Operator, axis_of, function, host};
use crate::error::{Error, Result};
use crate::io::onnx::ints::{extent, shown};
use crate::io::onnx::meter::Cost;
use crate::io::onnx::value::Value;

pub const TABLE: &[Operator] =
    &[Operator::new("Resize", 1..=4, resize).since(10), Operator::new("Upsample", 1..=2, resize)];

/// How a position of the output becomes one of the input.
#[derive(Clone, Copy)]
enum Transform {
    Asymmetric,
    HalfPixel,
    PytorchHalfPixel,
    AlignCorners,
}

/// How a position between two elements is rounded.
#[derive(Clone, Copy)]
enum Nearest {
    PreferFloor,
    PreferCeil,
    Floor,
    Ceil,
}

struct Resize {
    transform: Transform,
    nearest: Nearest,
    axes: Option<Vec<i64>>,
    /// Places of the inputs with scales and extents.
    inputs: [usize; 2],
    /// Constant scales.
    scales: Option<Vec<f32>>,
}

fn resize(b: &mut Builder) -> Result<Op> {
    let is_old = b.opset < 11;
    let mode = b.text("mode")?;
    if !matches!(mode.as_deref(), None | Some("nearest")) {
        return Err(b.refuse(format!("mode {:?}; nearest is supported", mode.unwrap_or_default())));
    }
    let transform = match b.text("coordinate_transformation_mode")?.as_deref() {
        None if is_old => Transform::Asymmetric,
        Some("asymmetric") => Transform::Asymmetric,
        None | Some("half_pixel") => Transform::HalfPixel,
        Some("pytorch_half_pixel") => Transform::PytorchHalfPixel,
        Some("align_corners") => Transform::AlignCorners,
        Some(other) => return Err(b.refuse(format!("coordinate_transformation_mode {other:?}"))),
    };
    let nearest = match b.text("nearest_mode")?.as_deref() {
        None if is_old => Nearest::Floor,
        None | Some("round_prefer_floor") => Nearest::PreferFloor,
        Some("round_prefer_ceil") => Nearest::PreferCeil,
        Some("floor") => Nearest::Floor,
        Some("ceil") => Nearest::Ceil,
        Some(other) => return Err(b.refuse(format!("nearest_mode {other:?}"))),
    };
    // These do not matter for the nearest element.
    b.float("cubic_coeff_a")?;
    b.flag("exclude_outside", false)?;
    b.float("extrapolation_value")?;
    if let Some(policy) = b.text("keep_aspect_ratio_policy")?.filter(|policy| policy != "stretch") {
        return Err(b.refuse(format!("keep_aspect_ratio_policy {policy:?}")));
    }
    b.flag("antialias", false)?;
    let axes = b.ints("axes")?;
    let inputs = if is_old { [1, usize::MAX] } else { [2, 3] };
    let mut scales = if b.opset < 9 { Some(b.floats("scales")?) } else { None };
    match b.constant(inputs[0]) {
        Some(Value::Tensor(constant)) => {
            scales = Some(constant.read_now()?);
            b.absorbed.push(inputs[0]);
        }
        // An empty list.
        Some(_) => b.absorbed.push(inputs[0]),
        None => {}
    }
    // The region, which only another transformation reads.
    if !is_old && b.has(1) {
        b.absorbed.push(1);
    }
    let resize = Resize { transform, nearest, axes, inputs, scales: scales.filter(|scales| !scales.is_empty()) };
    let resize = std::sync::Arc::new(resize);
    let of_cost = resize.clone();
    let cost = move |args: &Args| {
        let (mut dims, mut cost) = (args.tensor(0)?.dims().to_vec(), Cost::default());
        for (axis, to, _) in of_cost.axes(args)? {
            dims[axis] = to;
            cost = cost + Cost::floats(extent(&dims)?).times(3) + Cost::ints(to);
        }
        Ok(cost)
    };
    function(cost, move |args| {
        let mut y = args.tensor(0)?.clone();
        for (axis, to, scale) in resize.axes(args)? {
            let from = y.dims()[axis];
            let at: Vec<usize> = (0..to).map(|i| resize.place(i, from, to, scale)).collect();
            y = select_rows(&y, axis, at)?;
        }
        Ok(vec![y.into()])
    })
}

impl Resize {
    /// Returns the axes that change, with their new extents and their scales.
    fn axes(&self, args: &Args) -> Result<Vec<(usize, usize, f64)>> {
        let x = args.tensor(0)?;
        let rank = x.dims().len();
        let axes: Vec<usize> = match &self.axes {
            Some(axes) => axes.iter().map(|&axis| axis_of(axis, rank)).collect::<Result<_>>()?,
            None => (0..rank).collect(),
        };
        let wrong = |got: String| Error::value("onnx", "scales", "a scale or an extent above 0 for each axis", got);
        let sizes = if self.inputs[1] < args.inputs.len() { host::optional(args, self.inputs[1])? } else { None };
        let to: Vec<(usize, f64)> = match (sizes, &self.scales) {
            (Some(sizes), _) => {
                let sizes = host::extents(sizes)?;
                if sizes.len() != axes.len() {
                    return Err(wrong(shown(&sizes)));
                }
                axes.iter().zip(sizes).map(|(&a, size)| (size, size as f64 / x.dims()[a] as f64)).collect()
            }
            (None, given) => {
                let read;
                let scales = match given {
                    Some(scales) => scales,
                    None => {
                        read = args.read(self.inputs[0])?;
                        &read
                    }
                };
                if scales.len() != axes.len() || scales.iter().any(|s| s.is_nan() || *s <= 0.0 || *s > 1e9) {
                    return Err(wrong(shown(scales)));
                }
                let of = |(&a, &s): (&usize, &f32)| ((x.dims()[a] as f64 * f64::from(s)).floor() as usize, s.into());
                axes.iter().zip(scales).map(of).collect()
            }
        };
        if to.iter().any(|(extent, _)| *extent == 0) {
            return Err(wrong("an extent of 0".into()));
        }
        let all = axes.into_iter().zip(to).map(|(axis, (extent, scale))| (axis, extent, scale));
        Ok(all.filter(|&(axis, extent, _)| extent != x.dims()[axis]).collect())
    }

    /// Returns the position in the input of position `at` of the output.
    fn place(&self, at: usize, from: usize, to: usize, scale: f64) -> usize {
        let i = at as f64;
        let place = match self.transform {
            Transform::Asymmetric => i / scale,
            Transform::HalfPixel => (i + 0.5) / scale - 0.5,
            Transform::PytorchHalfPixel if to == 1 => 0.0,
            Transform::PytorchHalfPixel => (i + 0.5) / scale - 0.5,
            Transform::AlignCorners if to == 1 => 0.0,
            Transform::AlignCorners => i * (from - 1) as f64 / (to - 1) as f64,
        };
        let near = match self.nearest {
            Nearest::Floor => place.floor(),
            Nearest::Ceil => place.ceil(),
            Nearest::PreferFloor => (place - 0.5).ceil(),
            Nearest::PreferCeil => (place + 0.5).floor(),
        };
        near.clamp(0.0, (from - 1) as f64) as usize
    }
}
