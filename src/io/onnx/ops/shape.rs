//! Shape operators: arithmetic on the host, or at most one copy of the elements.

use super::{Args, Builder, Op, Operator, axes_of, axis_of, copied, function, host};
use crate::error::{Error, Result};
use crate::io::onnx::element::ElementType;
use crate::io::onnx::ints::{Ints, MOST_AXES, elements, extent, limited, shown};
use crate::io::onnx::meter::Cost;
use crate::io::onnx::proto::AttributeValue;
use crate::io::onnx::value::{Value, from_proto};
use crate::ops::movement;
use crate::tensor::Tensor;

const fn one(name: &'static str, inputs: usize, build: fn(&mut Builder) -> Result<Op>) -> Operator {
    Operator::new(name, 1..=inputs, build).folds().whole(1)
}

pub const TABLE: &[Operator] = &[
    Operator::new("Constant", 0..=0, constant).folds(),
    Operator::new("ConstantOfShape", 1..=1, constant_of_shape).since(9).folds(),
    Operator::new("Expand", 2..=2, expand).since(8).folds().whole(1),
    one("Shape", 1, shape).of_extents(),
    one("Size", 1, |_| function(|_| Ok(Cost::ints(1)), |args| Ok(vec![size(args.value(0)?)?]))).of_extents(),
    one("Reshape", 2, reshape),
    one("Transpose", 1, transpose),
    one("Squeeze", 2, squeeze),
    one("Unsqueeze", 2, unsqueeze),
    one("Flatten", 1, flatten),
];

/// Returns the same elements with a different shape.
pub fn view(x: &Value, dims: &[usize]) -> Result<Value> {
    Ok(match x {
        Value::Tensor(y) | Value::Whole(y) => x.like(y.reshape(dims)?),
        Value::Ints(y) => y.reshaped(dims)?.into(),
    })
}

fn size(x: &Value) -> Result<Value> {
    Value::ints(&[x.count() as i64], &[])
}

fn constant(b: &mut Builder) -> Result<Op> {
    let value: Value = if let Some(value) = b.value("value") {
        let AttributeValue::Tensor(proto) = value else { return Err(b.refuse("attribute \"value\" is not a tensor")) };
        from_proto(proto, b.host)?
    } else if let Some(v) = b.float("value_float")? {
        Tensor::from_slice(b.host, &[v], &[])?.into()
    } else if let Some(v) = b.int("value_int")? {
        Ints::new(vec![], vec![v])?.into()
    } else if let Some(v) = b.ints("value_ints")? {
        Ints::list(v).into()
    } else {
        let v = b.floats("value_floats")?;
        if v.is_empty() {
            b.finish()?;
            return Err(b.refuse("no value"));
        }
        Tensor::from_slice(b.host, &v, &[v.len()])?.into()
    };
    // The value is part of the file and costs nothing, as an initializer does.
    function(|_| Ok(Cost::default()), move |_| Ok(vec![value.clone()]))
}

fn constant_of_shape(b: &mut Builder) -> Result<Op> {
    let fill = match b.value("value") {
        None => Value::from(Tensor::zeros(b.host, &[1])?),
        Some(AttributeValue::Tensor(proto)) => from_proto(proto, b.host)?,
        Some(_) => return Err(b.refuse("attribute \"value\" is not a tensor")),
    };
    if fill.count() != 1 {
        return Err(b.refuse(format!("attribute \"value\" of {} elements", fill.count())));
    }
    let (is_float, number, integer) = match &fill {
        Value::Ints(v) => (false, 0.0, v.values()[0]),
        Value::Tensor(t) | Value::Whole(t) => (true, t.item_now()?, 0),
    };
    let cost = move |args: &Args| {
        let n = extent(&host::extents(args.ints(0)?)?)?;
        Ok(if is_float { Cost::floats(n) } else { Cost::ints(n) })
    };
    function(cost, move |args| {
        let dims = host::extents(args.ints(0)?)?;
        Ok(vec![if dims.contains(&0) {
            let kind = if is_float { ElementType::Float } else { ElementType::Int64 };
            Ints::new(dims, Vec::new())?.of_kind(kind).into()
        } else if is_float {
            Tensor::full(args.device, number, &dims)?.into()
        } else {
            let n = limited(&dims)?;
            Ints::new(dims, vec![integer; n])?.into()
        }])
    })
}

fn expanded(args: &Args) -> Result<Vec<usize>> {
    host::broadcast(args.value(0)?.dims(), &host::extents(args.ints(1)?)?)
}

fn expand(_: &mut Builder) -> Result<Op> {
    let cost = |args: &Args| {
        let n = extent(&expanded(args)?)?;
        Ok(if let Value::Ints(_) = args.value(0)? { Cost::ints(n) } else { Cost::floats(n) })
    };
    function(cost, |args| {
        let dims = expanded(args)?;
        Ok(vec![match args.value(0)? {
            x if x.dims() == dims => x.clone(),
            value @ (Value::Tensor(x) | Value::Whole(x)) => value.like(movement::expand(x, &dims)?),
            Value::Ints(x) => host::expand(x, &dims)?.of_kind(x.kind()).into(),
        }])
    })
}

fn shape(b: &mut Builder) -> Result<Op> {
    let (start, end) = if b.opset >= 15 { (b.int("start")?, b.int("end")?) } else { (None, None) };
    function(
        |_| Ok(Cost::ints(MOST_AXES)),
        move |args| {
            let dims = args.value(0)?.dims();
            let rank = dims.len() as i64;
            let bound = |v: i64| (if v < 0 { v.saturating_add(rank) } else { v }).clamp(0, rank) as usize;
            let (start, end) = (bound(start.unwrap_or(0)), bound(end.unwrap_or(rank)));
            let part = dims.get(start..end).unwrap_or_default();
            Ok(vec![Ints::list(part.iter().map(|&d| d as i64).collect()).into()])
        },
    )
}

fn reshape(b: &mut Builder) -> Result<Op> {
    if b.opset < 5 {
        return Err(b.refuse("its definition before operator set 5"));
    }
    let allow_zero = b.opset >= 14 && b.flag("allowzero", false)?;
    function(copied, move |args| {
        let (x, target) = (args.value(0)?, args.ints(1)?);
        let wrong = || Error::value("onnx", "shape", format!("a shape for {:?}", x.dims()), shown(target));
        if target.len() > MOST_AXES {
            return Err(wrong());
        }
        let mut dims = Vec::with_capacity(target.len());
        for (axis, &extent) in target.iter().enumerate() {
            dims.push(match extent {
                -1 => 1,
                0 if !allow_zero => *x.dims().get(axis).ok_or_else(wrong)?,
                _ => usize::try_from(extent).map_err(|_| wrong())?,
            });
        }
        let known = elements(&dims)?;
        match target.iter().filter(|&&d| d == -1).count() {
            0 => {}
            1 if known > 0 && x.count() % known == 0 => {
                let free = target.iter().position(|&d| d == -1).unwrap_or(0);
                dims[free] = x.count() / known;
            }
            _ => return Err(wrong()),
        }
        Ok(vec![view(x, &dims)?])
    })
}

fn transpose(b: &mut Builder) -> Result<Op> {
    let perm = b.ints("perm")?;
    function(copied, move |args| {
        let x = args.value(0)?;
        let rank = x.dims().len();
        let axes: Vec<usize> = match &perm {
            None => (0..rank).rev().collect(),
            Some(perm) if perm.len() != rank => {
                return Err(Error::value("onnx", "perm", format!("a permutation of 0..{rank}"), shown(perm)));
            }
            Some(perm) => host::extents(perm)?,
        };
        let mut sorted = axes.clone();
        sorted.sort_unstable();
        if sorted != (0..rank).collect::<Vec<_>>() {
            return Err(Error::value("onnx", "perm", format!("a permutation of 0..{rank}"), format!("{axes:?}")));
        }
        Ok(vec![match x {
            Value::Tensor(y) | Value::Whole(y) => x.like(y.permute(&axes)?),
            Value::Ints(y) => host::permute(y, &axes)?.of_kind(y.kind()).into(),
        }])
    })
}

/// Returns the axes if they are an attribute, as before operator set 13. Since then, they are an input.
fn axes_attribute(b: &mut Builder) -> Result<Option<Vec<i64>>> {
    if b.opset < 13 && b.has(1) {
        return Err(b.refuse("axes as an input before operator set 13"));
    }
    if b.opset < 13 { b.ints("axes") } else { Ok(None) }
}

fn squeeze(b: &mut Builder) -> Result<Op> {
    let attribute = axes_attribute(b)?;
    function(copied, move |args| {
        let x = args.value(0)?;
        // Without axes, all axes of extent 1 are removed, as in ONNX Runtime.
        let axes = match host::optional(args, 1)?.or(attribute.as_deref()) {
            Some(axes) if !axes.is_empty() => axes_of(axes, x.dims().len())?,
            _ => (0..x.dims().len()).filter(|&a| x.dims()[a] == 1).collect(),
        };
        if axes.iter().any(|&a| x.dims()[a] != 1) {
            return Err(Error::shape("onnx", "data", format!("extent 1 on axes {axes:?}"), x.dims()));
        }
        let dims: Vec<usize> = (0..x.dims().len()).filter(|a| !axes.contains(a)).map(|a| x.dims()[a]).collect();
        Ok(vec![view(x, &dims)?])
    })
}

fn unsqueeze(b: &mut Builder) -> Result<Op> {
    let attribute = axes_attribute(b)?;
    if attribute.is_none() && !b.has(1) {
        return Err(b.refuse("no axes"));
    }
    function(copied, move |args| {
        let x = args.value(0)?;
        let axes = host::optional(args, 1)?.or(attribute.as_deref()).unwrap_or_default();
        let rank = x.dims().len().saturating_add(axes.len());
        let axes = axes_of(axes, rank)?;
        let mut kept = x.dims().iter();
        let extent = |axis: usize| if axes.contains(&axis) { 1 } else { *kept.next().unwrap_or(&1) };
        let dims: Vec<usize> = (0..rank).map(extent).collect();
        Ok(vec![view(x, &dims)?])
    })
}

fn flatten(b: &mut Builder) -> Result<Op> {
    let axis = b.int("axis")?.unwrap_or(1);
    function(copied, move |args| {
        let x = args.value(0)?;
        let rank = x.dims().len();
        let axis = if axis == rank as i64 { rank } else { axis_of(axis, rank)? };
        let sides = [elements(&x.dims()[..axis])?, elements(&x.dims()[axis..])?];
        Ok(vec![view(x, &sides)?])
    })
}
