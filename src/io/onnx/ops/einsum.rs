//! Sums of products by index letters.

use super::linear::{product, product_cost};
use super::{Args, Builder, Op, Operator, function};
use crate::error::{Error, Result};
use crate::io::onnx::ints::extent;
use crate::io::onnx::meter::Cost;
use crate::ops::{movement, reduce};
use crate::tensor::Tensor;

pub const TABLE: &[Operator] = &[Operator::new("Einsum", 1..=2, einsum).since(12)];

/// The letters of each operand and of the result.
#[derive(Clone)]
struct Equation {
    operands: Vec<Vec<char>>,
    output: Vec<char>,
}

/// One or two operands, without repeated letters in an operand and without an ellipsis.
fn einsum(b: &mut Builder) -> Result<Op> {
    let Some(text) = b.text("equation")? else { return Err(b.refuse("no equation")) };
    let plain: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let refuse = |b: &Builder| b.refuse(format!("equation {text:?}"));
    let (left, right) = match plain.split_once("->") {
        Some((left, right)) => (left, Some(right)),
        None => (plain.as_str(), None),
    };
    let operands: Vec<Vec<char>> = left.split(',').map(|letters| letters.chars().collect()).collect();
    let count = |c: char| operands.iter().flatten().filter(|&&other| other == c).count();
    let output: Vec<char> = match right {
        Some(right) => right.chars().collect(),
        None => {
            let mut letters: Vec<char> = operands.concat().into_iter().filter(|&c| count(c) == 1).collect();
            letters.sort_unstable();
            letters
        }
    };
    let distinct = |letters: &[char]| letters.iter().enumerate().all(|(i, c)| !letters[..i].contains(c));
    let valid = operands.len() == b.node.inputs
        && operands.iter().chain([&output]).all(|list| distinct(list) && list.iter().all(char::is_ascii_alphabetic))
        && output.iter().all(|&c| count(c) > 0);
    if !valid {
        return Err(refuse(b));
    }
    let equation = Equation { operands, output };
    let of_cost = equation.clone();
    let cost = move |args: &Args| {
        let copies: Cost = args.inputs.iter().flatten().map(|x| Cost::copy(x)).sum();
        let [a, b] = &of_cost.operands[..] else { return Ok(copies.times(4)) };
        let extent_of = |c: &char| of_cost.extent(args, *c);
        let parts = of_cost.parts(a, b);
        let sizes: Vec<usize> = parts
            .iter()
            .map(|part| extent(&part.iter().map(extent_of).collect::<Result<Vec<_>>>()?))
            .collect::<Result<_>>()?;
        let [batch, left, right, inner] = sizes[..] else { return Ok(copies) };
        Ok(copies.times(4) + product_cost(&[batch, left, inner], &[batch, inner, right])?.times(2))
    };
    function(cost, move |args| Ok(vec![equation.run(args)?.into()]))
}

impl Equation {
    /// Letters of both operands that remain, of only one that remain, and of both that are summed.
    fn parts(&self, a: &[char], b: &[char]) -> [Vec<char>; 4] {
        let pick = |of: &[char], in_other: bool, other: &[char], stays: bool| -> Vec<char> {
            of.iter().copied().filter(|c| other.contains(c) == in_other && self.output.contains(c) == stays).collect()
        };
        [pick(a, true, b, true), pick(a, false, b, true), pick(b, false, a, true), pick(a, true, b, false)]
    }

    fn extent(&self, args: &Args, letter: char) -> Result<usize> {
        let mut found = None;
        for (i, letters) in self.operands.iter().enumerate() {
            let x = args.tensor(i)?;
            if x.dims().len() != letters.len() {
                return Err(Error::shape("onnx", "inputs", format!("{} axes", letters.len()), x.dims()));
            }
            if let Some(at) = letters.iter().position(|&c| c == letter) {
                match found {
                    Some(extent) if extent != x.dims()[at] => {
                        return Err(Error::shape("onnx", "inputs", format!("{letter} = {extent}"), x.dims()));
                    }
                    _ => found = Some(x.dims()[at]),
                }
            }
        }
        Ok(found.unwrap_or(1))
    }

    fn run(&self, args: &Args) -> Result<Tensor> {
        // Sums over letters that only one operand has and that do not remain.
        let mut operands = Vec::with_capacity(2);
        for (i, letters) in self.operands.iter().enumerate() {
            let mut x = args.tensor(i)?.clone();
            letters.iter().try_for_each(|&c| self.extent(args, c).map(drop))?;
            let others = |c: &char| self.operands.iter().enumerate().any(|(j, list)| j != i && list.contains(c));
            let gone: Vec<usize> =
                (0..letters.len()).filter(|&a| !self.output.contains(&letters[a]) && !others(&letters[a])).collect();
            for &axis in &gone {
                x = reduce::sum_axis(&x, axis, 1.0)?;
            }
            let rest: Vec<usize> = (0..letters.len()).filter(|a| !gone.contains(a)).collect();
            let dims: Vec<usize> = rest.iter().map(|&a| x.dims()[a]).collect();
            operands.push((x.reshape(&dims)?, rest.iter().map(|&a| letters[a]).collect::<Vec<char>>()));
        }
        let ordered = |x: &Tensor, from: &[char], to: &[char]| -> Result<Tensor> {
            let axes: Vec<usize> = to.iter().filter_map(|c| from.iter().position(|f| f == c)).collect();
            if axes.is_sorted() { Ok(x.clone()) } else { movement::permute(x, &axes) }
        };
        let [(a, of_a), (b, of_b)] = &operands[..] else {
            return ordered(&operands[0].0, &operands[0].1, &self.output);
        };
        let [batch, left, right, inner] = self.parts(of_a, of_b);
        let size = |letters: &[char]| -> Result<usize> {
            extent(&letters.iter().map(|&c| self.extent(args, c)).collect::<Result<Vec<_>>>()?)
        };
        let [n, m, k, w] = [size(&batch)?, size(&left)?, size(&right)?, size(&inner)?];
        let a = ordered(a, of_a, &[&batch[..], &left, &inner].concat())?.reshape(&[n, m, w])?;
        let b = ordered(b, of_b, &[&batch[..], &inner, &right].concat())?.reshape(&[n, w, k])?;
        let letters = [&batch[..], &left, &right].concat();
        let dims = letters.iter().map(|&c| self.extent(args, c)).collect::<Result<Vec<_>>>()?;
        ordered(&product(&a, &b)?.reshape(&dims)?, &letters, &self.output)
    }
}
