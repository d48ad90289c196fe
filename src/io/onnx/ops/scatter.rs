//! Gathers and scatters by lists of positions, which are computed on the host.

use super::{Args, Builder, Op, Operator, axis_of, copied, function};
use crate::error::{Error, Result};
use crate::io::onnx::ints::{Ints, elements, extent};
use crate::io::onnx::meter::Cost;
use crate::io::onnx::value::Value;
use crate::kernels::ScatterAdd;
use crate::tensor::Tensor;

pub const TABLE: &[Operator] = &[
    Operator::new("GatherND", 2..=2, gather_nd).since(11).folds().whole(1),
    Operator::new("GatherElements", 2..=2, gather_elements).since(11).folds().whole(1),
    Operator::new("ReverseSequence", 2..=2, reverse_sequence).since(10).folds().whole(1),
    Operator::new("ScatterND", 3..=3, scatter_nd).since(11).folds().whole(1),
    Operator::new("ScatterElements", 3..=3, scatter_elements).since(11).folds().whole(1),
    Operator::new("Scatter", 3..=3, scatter_elements).since(9).folds().whole(1),
];

/// Returns rows `at` of a value, seen as rows of `width` elements, with the shape `dims`.
fn picked(x: &Value, width: usize, at: Vec<usize>, dims: &[usize]) -> Result<Value> {
    Ok(match x {
        Value::Ints(x) => {
            let values = at.iter().flat_map(|&row| &x.values()[row * width..][..width]).copied().collect();
            Ints::new(dims.to_vec(), values)?.of_kind(x.kind()).into()
        }
        Value::Tensor(_) | Value::Whole(_) if at.is_empty() => {
            return Err(Error::value("onnx", "indices", "at least one index into floats", "none"));
        }
        Value::Tensor(y) | Value::Whole(y) => {
            let at: Vec<u32> = at.into_iter().map(|row| row as u32).collect();
            x.like(taken(y, width, &at)?.reshape(dims)?)
        }
    })
}

/// Returns rows `at` of a tensor, seen as rows of `width` elements. Rows that stay together are taken as one row.
fn taken(x: &Tensor, width: usize, at: &[u32]) -> Result<Tensor> {
    let rows = x.len() / width;
    // A divisor of the numbers of rows, and of both places where rows begin that do not follow the row before.
    let together = at.iter().enumerate().fold(divisor(rows, at.len()), |all, (i, &row)| {
        let follows = i > 0 && at[i - 1].checked_add(1) == Some(row);
        if all == 1 || follows { all } else { divisor(divisor(all, i), row as usize) }
    });
    let index: Vec<u32> = at.iter().step_by(together).map(|&row| row / together as u32).collect();
    let index = Tensor::from_indices(x.device(), &index, &[index.len()])?;
    x.reshape(&[rows / together, width * together])?.gather(&index)
}

/// The greatest common divisor.
fn divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { divisor(b, a % b) }
}

/// Returns the row that an index vector of `[.., k]` points to, for each of them, and the extents after the first `k`.
fn rows_of(dims: &[usize], index: &Value, skipped: usize) -> Result<(Vec<usize>, usize)> {
    let wrong = |k: usize| Error::shape("onnx", "indices", format!("[.., 1 to {}]", dims.len()), &[k]);
    let depth = *index.dims().last().ok_or_else(|| wrong(0))?;
    let end = skipped.saturating_add(depth);
    let indexed = dims.get(skipped..end).filter(|_| depth > 0).ok_or_else(|| wrong(depth))?;
    let row = |vector: &[i64]| {
        let mut each = vector.iter().zip(indexed);
        each.try_fold(0, |row: usize, (&i, &n)| Ok(row * n + axis_of(i, n).map_err(|_| outside(n))?))
    };
    let rows = index.as_ints()?.chunks_exact(depth).map(row).collect::<Result<_>>()?;
    Ok((rows, end))
}

fn outside(extent: usize) -> Error {
    Error::value("onnx", "indices", format!("within ±{extent}"), "an index outside")
}

fn gather_nd(b: &mut Builder) -> Result<Op> {
    let batch = b.int("batch_dims")?.unwrap_or(0);
    let Some(batch) = usize::try_from(batch).ok().filter(|&batch| batch < 8) else {
        return Err(b.refuse(format!("batch_dims {batch}")));
    };
    let shape = move |args: &Args| -> Result<(Vec<usize>, usize)> {
        let (x, index) = (args.value(0)?.dims(), args.value(1)?.dims());
        let depth = index.last().copied().unwrap_or(0);
        let rest = x.get(batch.saturating_add(depth)..);
        let wrong = || Error::shape("onnx", "indices", format!("[.., 1 to {}]", x.len()), index);
        let rest =
            rest.filter(|_| depth > 0 && batch < index.len() && x[..batch] == index[..batch]).ok_or_else(wrong)?;
        Ok(([&index[..index.len() - 1], rest].concat(), elements(rest)?))
    };
    let cost = move |args: &Args| {
        let n = extent(&shape(args)?.0)?;
        Ok(Cost::ints(args.value(1)?.count()).times(2) + Cost::ints(n))
    };
    function(cost, move |args| {
        let (dims, width) = shape(args)?;
        let (x, index) = (args.value(0)?, args.value(1)?);
        let (mut rows, end) = rows_of(x.dims(), index, batch)?;
        // Each part of the batch has its own rows.
        let (parts, own) = (elements(&x.dims()[..batch])?, elements(&x.dims()[batch..end])?);
        let each = rows.len() / parts.max(1);
        rows.iter_mut().enumerate().for_each(|(i, row)| *row += i / each.max(1) * own);
        Ok(vec![picked(x, width, rows, &dims)?])
    })
}

/// Returns the position of each element of `index` in a value of shape `dims`, where the index replaces the coordinate
/// along an axis.
fn places(dims: &[usize], index: &Value, axis: usize) -> Result<Vec<usize>> {
    let to = index.dims();
    let fits = to.len() == dims.len() && (0..to.len()).all(|a| a == axis || to[a] <= dims[a]);
    if !fits {
        return Err(Error::shape("onnx", "indices", format!("within {dims:?}, but for axis {axis}"), to));
    }
    let place = |(at, &i): (usize, &i64)| {
        let (mut at, mut place, mut stride) = (at, 0, 1);
        for a in (0..to.len()).rev() {
            let own = at % to[a];
            at /= to[a];
            place += stride * if a == axis { axis_of(i, dims[a]).map_err(|_| outside(dims[a]))? } else { own };
            stride *= dims[a];
        }
        Ok(place)
    };
    index.as_ints()?.iter().enumerate().map(place).collect()
}

fn gather_elements(b: &mut Builder) -> Result<Op> {
    let axis = b.int("axis")?.unwrap_or(0);
    let cost = |args: &Args| Ok(Cost::ints(args.value(1)?.count()).times(4));
    function(cost, move |args| {
        let (x, index) = (args.value(0)?, args.value(1)?);
        let axis = axis_of(axis, x.dims().len())?;
        Ok(vec![picked(x, 1, places(x.dims(), index, axis)?, index.dims())?])
    })
}

/// Reverses the first steps of each sequence, as many as its length.
fn reverse_sequence(b: &mut Builder) -> Result<Op> {
    let (batch, time) = (b.int("batch_axis")?.unwrap_or(1), b.int("time_axis")?.unwrap_or(0));
    if !matches!((batch, time), (0, 1) | (1, 0)) {
        return Err(b.refuse(format!("batch_axis {batch} and time_axis {time}")));
    }
    let cost = |args: &Args| Ok(copied(args)?.times(2) + Cost::ints(args.value(0)?.count()));
    function(cost, move |args| {
        let (x, lengths) = (args.value(0)?, args.ints(1)?);
        let &[outer, inner, ref rest @ ..] = x.dims() else {
            return Err(Error::shape("onnx", "input", "at least two axes", x.dims()));
        };
        let (steps, sequences) = if time == 0 { (outer, inner) } else { (inner, outer) };
        if lengths.len() != sequences || lengths.iter().any(|&l| !(0..=steps as i64).contains(&l)) {
            let expected = format!("{sequences} lengths of 0 to {steps}");
            return Err(Error::value("onnx", "sequence_lens", expected, super::shown(lengths)));
        }
        let from = |row: usize| {
            let (step, sequence) = if time == 0 { (row / inner, row % inner) } else { (row % inner, row / inner) };
            let length = lengths[sequence] as usize;
            let step = if step < length { length - 1 - step } else { step };
            if time == 0 { step * inner + sequence } else { sequence * inner + step }
        };
        let rows = (0..elements(&[outer, inner])?).map(from).collect();
        Ok(vec![picked(x, elements(rest)?, rows, x.dims())?])
    })
}

/// How a scatter combines an update with the element that it meets.
#[derive(Clone, Copy, PartialEq)]
enum Reduction {
    Replace,
    Add,
}

fn reduction(b: &mut Builder) -> Result<Reduction> {
    match b.text("reduction")?.as_deref() {
        None | Some("none") => Ok(Reduction::Replace),
        Some("add") => Ok(Reduction::Add),
        Some(other) => Err(b.refuse(format!("reduction {other:?}"))),
    }
}

/// Writes rows of `width` elements into a copy of `x`; where several updates meet, the last one wins.
fn scattered(args: &Args, width: usize, at: Vec<usize>, how: Reduction) -> Result<Value> {
    let (x, updates) = (args.value(0)?, args.value(2)?);
    if updates.count() != at.len() * width {
        let expected = format!("{} updates of {width} elements", at.len());
        return Err(Error::shape("onnx", "updates", expected, updates.dims()));
    }
    if at.is_empty() || width == 0 {
        return Ok(x.clone());
    }
    if let (Value::Ints(x), Value::Ints(updates)) = (x, updates) {
        let (kind, dims) = (x.kind(), x.dims().to_vec());
        let mut values = x.values().to_vec();
        for (row, update) in at.into_iter().zip(updates.values().chunks_exact(width)) {
            for (value, &update) in values[row * width..].iter_mut().zip(update) {
                *value = match how {
                    Reduction::Replace => update,
                    Reduction::Add => value.checked_add(update).ok_or_else(super::host::overflow)?,
                };
            }
        }
        return Ok(Ints::new(dims, values)?.of_kind(kind).into());
    }
    if x.is_float() != updates.is_float() {
        return Err(Error::value("onnx", "updates", "the type of data", "another type"));
    }
    let (floats, updates) = (x.to_floats(args.device)?, updates.to_floats(args.device)?);
    let rows = floats.len() / width;
    if how == Reduction::Add {
        let index: Vec<u32> = at.iter().map(|&row| row as u32).collect();
        let index = Tensor::from_indices(args.device, &index, &[index.len()])?;
        let sum = floats.scale(1.0)?;
        let [n, width, table_rows] = [at.len(), width, rows].map(|n| n as u32);
        args.device.run(&ScatterAdd { rows: n, width, table_rows }, [&updates, &index], [&sum])?;
        return Ok(x.like(sum));
    }
    // A gather from the elements followed by the updates.
    let mut from: Vec<u32> = (0..rows as u32).collect();
    at.iter().enumerate().for_each(|(i, &row)| from[row] = (rows + i) as u32);
    let both = [floats.reshape(&[rows, width])?, updates.reshape(&[at.len(), width])?];
    let both = Tensor::concat(&[&both[0], &both[1]], 0)?;
    Ok(x.like(taken(&both, width, &from)?.reshape(x.dims())?))
}

fn scatter_cost(args: &Args) -> Result<Cost> {
    Ok(copied(args)?.times(3) + Cost::copy(args.value(2)?).times(2) + Cost::ints(args.value(1)?.count()).times(2))
}

fn scatter_nd(b: &mut Builder) -> Result<Op> {
    let how = reduction(b)?;
    function(scatter_cost, move |args| {
        let x = args.value(0)?;
        let (rows, end) = rows_of(x.dims(), args.value(1)?, 0)?;
        Ok(vec![scattered(args, elements(&x.dims()[end..])?, rows, how)?])
    })
}

fn scatter_elements(b: &mut Builder) -> Result<Op> {
    let (axis, how) = (b.int("axis")?.unwrap_or(0), reduction(b)?);
    function(scatter_cost, move |args| {
        let x = args.value(0)?;
        let axis = axis_of(axis, x.dims().len())?;
        Ok(vec![scattered(args, 1, places(x.dims(), args.value(1)?, axis)?, how)?])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;

    #[test]
    fn rows_that_stay_together_are_taken_in_order() {
        let table: Vec<f32> = (0..24).map(|v| v as f32).collect();
        let x = Tensor::from_slice(&Device::cpu(), &table, &[24]).expect("table");
        for (width, at) in [
            (1, vec![4, 5, 6, 7, 16, 17, 18, 19]),
            (1, vec![5, 6, 7, 8]),
            (2, vec![6, 7, 8, 2, 3, 4]),
            (1, vec![0]),
            (3, vec![7, 7, 0]),
            (24, vec![0]),
            (1, (12..24).chain(0..12).collect()),
        ] {
            let want: Vec<f32> = at.iter().flat_map(|&row| table[row as usize * width..][..width].to_vec()).collect();
            let got = taken(&x, width, &at).and_then(|y| y.read_blocking()).expect("taken");
            assert_eq!(got, want, "{width}, {at:?}");
        }
    }
}
