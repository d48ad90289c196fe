//! Casts. Floats are f32 on the device.
//!
//! A cast to float16 or bfloat16 only marks its result; the next cast, or an output, rounds it. A node between them
//! computes in f32, as ONNX Runtime does on the CPU, which drops the casts around nodes that it runs in f32.

use super::{Args, Builder, Op, Operator, copied, function};
use crate::error::Result;
use crate::io::onnx::element::ElementType;
use crate::io::onnx::ints::Ints;
use crate::io::onnx::value::Value;
use crate::kernels::MapOp;
use crate::ops::elementwise::map;
use crate::tensor::Tensor;

pub const TABLE: &[Operator] = &[
    Operator::new("Cast", 1..=1, cast).since(6).folds().whole(1),
    Operator::new("CastLike", 2..=2, cast_like).since(15).folds().whole(2),
];

fn cast(b: &mut Builder) -> Result<Op> {
    let to = b.int("to")?.ok_or_else(|| b.refuse("no attribute \"to\""))?;
    let to = ElementType::of(to).map_err(|name| b.refuse(format!("a cast to {name}")))?;
    // These only affect casts to 8-bit floats, which are not supported.
    if b.opset >= 19 {
        b.flag("saturate", true)?;
    }
    let from = b.narrow_input(0);
    b.narrow = Some(to).filter(|to| to.rounding().is_some());
    function(|args| Ok(copied(args)?.times(2)), move |args| Ok(vec![converted(args, from, to)?]))
}

fn cast_like(b: &mut Builder) -> Result<Op> {
    let from = b.narrow_input(0);
    let like = b.narrow_input(1);
    b.narrow = like;
    function(
        |args| Ok(copied(args)?.times(2)),
        move |args| {
            let to = match args.value(1)? {
                Value::Tensor(_) => like.unwrap_or(ElementType::Float),
                Value::Ints(ints) => ints.kind(),
                Value::Whole(_) => ElementType::Int64,
            };
            Ok(vec![converted(args, from, to)?])
        },
    )
}

/// Converts the first input. `from` is the type that the cast before named, if that is narrower than f32.
fn converted(args: &Args, from: Option<ElementType>, to: ElementType) -> Result<Value> {
    let rounded = |x: &Tensor| match from.and_then(ElementType::rounding) {
        Some(op) => map(op, x),
        None => Ok(x.clone()),
    };
    let whole = |x: &Tensor| map(if to == ElementType::Bool { MapOp::IsNotZero } else { MapOp::Trunc }, x);
    Ok(match args.value(0)? {
        Value::Tensor(x) if to.is_float() => rounded(x)?.into(),
        Value::Tensor(x) => Value::Whole(whole(&rounded(x)?)?),
        Value::Whole(x) if to.is_float() => x.clone().into(),
        Value::Whole(x) if to == ElementType::Bool => Value::Whole(whole(x)?),
        Value::Whole(x) => Value::Whole(x.clone()),
        Value::Ints(x) if to.is_float() && x.values().is_empty() => x.clone().of_kind(to).into(),
        Value::Ints(x) if to.is_float() => {
            let values: Vec<f32> = x.values().iter().map(|&v| v as f32).collect();
            Tensor::from_slice(args.device, &values, x.dims())?.into()
        }
        Value::Ints(x) => {
            let values = x.values().iter().map(|&v| to.wrap(v)).collect();
            Ints::new(x.dims().to_vec(), values)?.of_kind(to).into()
        }
    })
}
