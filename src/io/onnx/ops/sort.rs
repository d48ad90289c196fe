//! Positions of extremes, and the largest elements.

use super::compare::chosen;
use super::{Args, Builder, Op, Operator, axis_of, copied, function, host};
use crate::error::{Error, Result};
use crate::io::onnx::ints::{Ints, extent};
use crate::io::onnx::meter::Cost;
use crate::io::onnx::value::Value;
use crate::kernels::ZipOp;
use crate::ops::elementwise::zip;
use crate::ops::extreme::extreme;
use crate::tensor::Tensor;

pub const TABLE: &[Operator] = &[
    Operator::new("ArgMax", 1..=1, |b| arg_extreme(b, false)).folds(),
    Operator::new("ArgMin", 1..=1, |b| arg_extreme(b, true)).folds(),
    Operator::new("TopK", 1..=2, top_k).outputs(2).folds(),
];

/// Counts along an axis of a shape, as floats with extent 1 on the other axes.
fn ramp(x: &Tensor, axis: usize) -> Result<Tensor> {
    let mut dims = vec![1; x.dims().len()];
    dims[axis] = x.dims()[axis];
    let values: Vec<f32> = (0..dims[axis]).map(|i| i as f32).collect();
    Tensor::from_slice(x.device(), &values, &dims)
}

/// Returns the extreme along an axis, and its first or last position, as floats.
fn found(x: &Tensor, axis: usize, least: bool, last: bool) -> Result<[Tensor; 2]> {
    let ramp = ramp(x, axis)?;
    let [value, _] = extreme("onnx", x, axis, least)?;
    let is_it = zip(ZipOp::Equal, x, &value)?;
    let none = if last { -1.0 } else { x.dims()[axis] as f32 };
    let places = chosen(&is_it, &ramp, &Tensor::full(x.device(), none, &[])?)?;
    let [place, _] = extreme("onnx", &places, axis, !last)?;
    Ok([value, place])
}

fn arg_extreme(b: &mut Builder, least: bool) -> Result<Op> {
    let (axis, keep) = (b.int("axis")?.unwrap_or(0), b.flag("keepdims", true)?);
    let last = b.opset >= 12 && b.flag("select_last_index", false)?;
    function(
        |args| Ok(copied(args)?.times(8)),
        move |args| {
            let x = args.value(0)?;
            let axis = axis_of(axis, x.dims().len())?;
            let mut dims = x.dims().to_vec();
            let n = std::mem::replace(&mut dims[axis], 1);
            if !keep {
                dims.remove(axis);
            }
            Ok(vec![match x {
                Value::Ints(x) if n > 0 => {
                    let inner: usize = x.dims()[axis + 1..].iter().product();
                    let key = |at: usize| if least { -i128::from(x.values()[at]) } else { x.values()[at].into() };
                    let row = |row: usize| {
                        let at = |i: &usize| key((row / inner * n + i) * inner + row % inner);
                        // `max_by_key` returns the last of equal elements.
                        let best = if last { (0..n).max_by_key(at) } else { (0..n).rev().max_by_key(at) };
                        best.unwrap_or(0) as i64
                    };
                    Ints::new(dims, (0..x.values().len() / n).map(row).collect())?.into()
                }
                Value::Tensor(x) => {
                    let [_, place] = found(x, axis, least, last)?;
                    Value::Whole(place.reshape(&dims)?)
                }
                _ => return Err(Error::shape("onnx", "data", "at least one element", x.dims())),
            }])
        },
    )
}

/// The `k` largest or smallest elements along an axis, in order, and their positions. One search for each of them.
fn top_k(b: &mut Builder) -> Result<Op> {
    let (axis, largest) = (b.int("axis")?.unwrap_or(-1), b.flag("largest", true)?);
    b.flag("sorted", true)?;
    let attribute = if b.opset < 10 { b.int("k")? } else { None };
    let k = move |args: &Args| -> Result<(usize, usize)> {
        let axis = axis_of(axis, args.value(0)?.dims().len())?;
        let k = match (attribute, host::optional(args, 1)?) {
            (Some(k), _) | (None, Some(&[k])) => host::extents(&[k])?[0],
            _ => return Err(Error::value("onnx", "K", "one number", "none or several")),
        };
        match k <= args.value(0)?.dims()[axis] && k > 0 {
            true => Ok((axis, k)),
            false => Err(Error::value("onnx", "K", format!("1 to {}", args.value(0)?.dims()[axis]), k)),
        }
    };
    let cost = move |args: &Args| {
        let n = extent(&[k(args)?.1, args.value(0)?.count()])?;
        Ok(Cost { bytes: 12 * args.value(0)?.bytes(), ..Cost::floats(n).times(12) })
    };
    function(cost, move |args| {
        let (axis, k) = k(args)?;
        if let Value::Ints(x) = args.value(0)? {
            return top_ints(x, axis, k, largest);
        }
        let mut rest = args.tensor(0)?.clone();
        let ramp = ramp(&rest, axis)?;
        let gone = Tensor::full(rest.device(), if largest { f32::NEG_INFINITY } else { f32::INFINITY }, &[])?;
        let (mut values, mut places) = (Vec::with_capacity(k), Vec::with_capacity(k));
        for _ in 0..k {
            let [value, place] = found(&rest, axis, !largest, false)?;
            rest = chosen(&zip(ZipOp::Equal, &ramp, &place)?, &gone, &rest)?;
            values.push(value);
            places.push(place);
        }
        let all = |parts: &[Tensor]| Tensor::concat(&parts.iter().collect::<Vec<_>>(), axis);
        Ok(vec![all(&values)?.into(), Value::Whole(all(&places)?)])
    })
}

fn top_ints(x: &Ints, axis: usize, k: usize, largest: bool) -> Result<Vec<Value>> {
    let mut dims = x.dims().to_vec();
    let n = std::mem::replace(&mut dims[axis], k);
    let inner: usize = dims[axis + 1..].iter().product();
    let len = x.values().len() / n * k;
    let (mut values, mut places) = (vec![0; len], vec![0; len]);
    for row in 0..len / k {
        let at = |i: usize, n: usize| (row / inner * n + i) * inner + row % inner;
        let mut order: Vec<usize> = (0..n).collect();
        let key = |&i: &usize| i128::from(x.values()[at(i, n)]) * if largest { -1 } else { 1 };
        order.sort_by_key(key);
        for (i, from) in order.into_iter().take(k).enumerate() {
            values[at(i, k)] = x.values()[at(from, n)];
            places[at(i, k)] = from as i64;
        }
    }
    Ok(vec![Ints::new(dims.clone(), values)?.of_kind(x.kind()).into(), Ints::new(dims, places)?.into()])
}
