//! Operators, shapes of up to eight axes, flips, extremes, masked reductions and dropout: on every backend against f64,
//! with gradients against central differences.

// This also provides `block_on`.
#[cfg(wgru_jspi)]
#[macro_use]
extern crate browser_tests as pollster;

mod common;
mod reference;

use common::{assert_close, fill, mix};
use reference::elementwise::{indices, place};
use reference::{differences, dot, normalize, wide};
use wgru::train::accuracy;
use wgru::{Device, Error, Result, Rng, Tensor};

/// A few roundings of values near 1.
const FORWARD: f64 = 4e-7;
/// Sums of up to a few dozen products; the differences in f64 are accurate to 1e-9.
const GRADIENT: f64 = 1e-6;

on_every_backend![
    operators_match_f64,
    operators_accept_every_mix_of_operands,
    eight_axes_are_permuted_exactly,
    eight_axes_broadcast,
    operations_on_eight_axes_match_f64,
    batches_of_products_broadcast,
    movements_match_f64,
    flips_reverse_exactly,
    sums_and_means_over_axes_match_f64,
    extremes_match_f64,
    extremes_of_long_axes_are_exact,
    extremes_of_long_axes_find_nan,
    ranges_exclude_their_end,
    extremes_take_the_first_of_equals_and_nan,
    positions_select_rows,
    masked_mean_and_max_ignore_padding,
    masked_softmax_accepts_any_number_of_axes,
    dropout_draws_one_mask_on_every_device,
    values_are_read_and_copied_both_ways,
    accuracy_counts_the_rows_that_are_right,
];

/// Values and extents of a leaf.
type Input = (Vec<f32>, Vec<usize>);

fn input(stream: u32, dims: &[usize]) -> Input {
    (fill(stream, dims.iter().product(), 1.0), dims.to_vec())
}

fn tensor(device: &Device, (values, dims): &Input) -> Tensor {
    Tensor::from_slice(device, values, dims).expect("uploaded")
}

fn read(y: Result<Tensor>) -> Vec<f32> {
    y.and_then(|y| y.read_blocking()).expect("computed")
}

fn read_indices(y: Result<Tensor>) -> Vec<u32> {
    y.and_then(|y| y.read_indices_blocking()).expect("computed")
}

/// Checks `f`, and the gradient of `Σ f·dy` for a random `dy`, with respect to every input.
#[track_caller]
fn check(
    (device, name): (&Device, &str),
    inputs: &[Input],
    f: impl Fn(&[Tensor]) -> Result<Tensor>,
    reference: impl Fn(&[Vec<f64>]) -> Vec<f64>,
) {
    let leaves: Vec<Tensor> = inputs.iter().map(|input| tensor(device, input).requires_grad()).collect();
    let y = f(&leaves).expect("forward");
    let dy = fill(99, y.len(), 1.0);
    y.backward_with(&Tensor::from_slice(device, &dy, y.dims()).expect("uploaded")).expect("backward");
    let (values, dy): (Vec<Vec<f64>>, _) = (inputs.iter().map(|(v, _)| wide(v)).collect(), wide(&dy));
    assert_close(&format!("{name}: forward"), &y.read_blocking().expect("read"), &reference(&values), FORWARD);
    let want = differences(&values, |moved| dot(&reference(moved), &dy));
    for (i, (leaf, want)) in leaves.iter().zip(&want).enumerate() {
        let grad = leaf.grad().unwrap_or_else(|| panic!("{name}: input {i} has no gradient"));
        assert_eq!(grad.dims(), leaf.dims(), "{name}: extents of gradient {i}");
        assert_close(&format!("{name}: gradient {i}"), &grad.read_blocking().expect("read"), want, GRADIENT);
    }
}

/// The result of rearranging elements, given the source index of each.
fn moved(x: &[f64], from: impl Iterator<Item = usize>) -> Vec<f64> {
    from.map(|i| x[i]).collect()
}

fn operators_match_f64(device: &Device) {
    type Case = (&'static str, fn(&Tensor, &Tensor) -> Result<Tensor>, fn(f64, f64) -> f64);
    let cases: [Case; 14] = [
        ("a + b", |a, b| a + b, |a, b| a + b),
        ("a - b", |a, b| a - b, |a, b| a - b),
        ("a * b", |a, b| a * b, |a, b| a * b),
        ("a / b", |a, b| a / b, |a, b| a / b),
        ("-a", |a, b| (-a)? + (b * 0.0)?, |a, _| -a),
        ("a + 2", |a, b| (a + 2.0)? * b, |a, b| (a + 2.0) * b),
        ("a - 2", |a, b| (a - 2.0)? * b, |a, b| (a - 2.0) * b),
        ("a * 3", |a, b| (a * 3.0)? * b, |a, b| a * 3.0 * b),
        ("a / 3", |a, b| (a / 3.0)? * b, |a, b| a / 3.0 * b),
        ("2 + b", |a, b| (2.0 + b)? * a, |a, b| (2.0 + b) * a),
        ("2 - b", |a, b| (2.0 - b)? * a, |a, b| (2.0 - b) * a),
        ("3 * b", |a, b| (3.0 * b)? * a, |a, b| 3.0 * b * a),
        ("3 / b", |a, b| (3.0 / b)? * a, |a, b| 3.0 / b * a),
        ("(1 - b) * a + b * a", |a, b| ((1.0 - b)? * a)? + (b * a)?, |a, b| (1.0 - b) * a + b * a),
    ];
    for (name, f, g) in cases {
        let (mut b, dims) = input(2, &[4]);
        // Away from 0, for the quotients.
        b.iter_mut().for_each(|v| *v += 1f32.copysign(*v));
        let reference = |x: &[Vec<f64>]| (0..12).map(|i| g(x[0][i], x[1][i % 4])).collect();
        check((device, name), &[input(1, &[3, 4]), (b, dims)], |x| f(&x[0], &x[1]), reference);
    }
    // One rounding, not two.
    let x = tensor(device, &(vec![5.0, 7.0, 11.0], vec![3]));
    let quotients = read(&x / 49.0);
    assert_close("by 49", &quotients, &[5.0 / 49.0, 7.0 / 49.0, 11.0 / 49.0], 1.3e-7);
    // WGSL allows an error of a few ulp in a division.
    if !device.is_gpu() {
        assert_eq!(quotients, [5.0f32 / 49.0, 7.0 / 49.0, 11.0 / 49.0]);
    }
}

fn operators_accept_every_mix_of_operands(device: &Device) {
    let (a, b) = (Tensor::full(device, 3.0, &[2]).expect("a"), Tensor::full(device, 2.0, &[2]).expect("b"));
    let owned = || (a.clone(), b.clone());
    assert_eq!(read(&a + b.clone()), [5.0; 2]);
    assert_eq!(read(a.clone() - &b), [1.0; 2]);
    assert_eq!(read(owned().0 * owned().1), [6.0; 2]);
    assert_eq!(read(2.0 - a.clone()), [-1.0; 2]);
    assert_eq!(read(-a.clone()), [-3.0; 2]);
    let chain = || -> Result<Tensor> { (((&a + &b)? * &b)? - 4.0)? / 3.0 };
    assert_eq!(read(chain()), [2.0; 2]);
    let three = Tensor::ones(device, &[3]).expect("three");
    assert!(matches!(&a + &three, Err(Error::Shape { op: "add", arg: "rhs", .. })));
    assert!(matches!(three.argmax(0).and_then(|i| -i), Err(Error::DType { .. })));
}

/// Eight axes, of which few stay adjacent under most permutations.
const EIGHT: [usize; 8] = [2, 3, 2, 2, 3, 2, 2, 3];

fn eight_axes_are_permuted_exactly(device: &Device) {
    let len = EIGHT.iter().product::<usize>() as u32;
    let values: Vec<u32> = (0..len).collect();
    let x = Tensor::from_indices(device, &values, &EIGHT).expect("x");
    let mut rng = Rng::new(5);
    let mut orders = vec![[7, 6, 5, 4, 3, 2, 1, 0], [1, 0, 3, 2, 5, 4, 7, 6], [4, 5, 6, 7, 0, 1, 2, 3]];
    orders.extend((0..12).map(|_| {
        let mut order = [0, 1, 2, 3, 4, 5, 6, 7];
        rng.shuffle(&mut order);
        order
    }));
    for axes in orders {
        let dims = axes.map(|axis| EIGHT[axis]);
        let from = |index: &Vec<usize>| {
            let mut source = [0; 8];
            axes.iter().zip(index).for_each(|(&axis, &i)| source[axis] = i);
            place(&EIGHT, &source) as u32
        };
        let y = x.permute(&axes).expect("permuted");
        assert_eq!(y.dims(), dims);
        let want: Vec<u32> = indices(&dims).iter().map(from).collect();
        assert_eq!(read_indices(Ok(y)), want, "{axes:?}");
    }
}

fn eight_axes_broadcast(device: &Device) {
    let pairs: [(&[usize], &[usize]); 5] = [
        (&[2, 1, 2, 1, 2, 1, 2, 1], &[1, 2, 1, 2, 1, 2, 1, 2]),
        (&[2, 2, 2, 1, 2, 2, 2, 1], &[2, 1, 2, 1, 2, 1, 2, 3]),
        (&[2, 1, 3, 1, 2, 1], &[2, 2, 2, 3, 1, 2, 1, 2]),
        (&[2, 1, 3, 1, 2], &[3, 1, 2, 1]),
        (&[1, 1, 1, 1, 1, 1, 1, 3], &[2, 1, 1, 1, 1, 1, 1, 1]),
    ];
    for (da, db) in pairs {
        let sum = |x: &[Vec<f64>]| {
            let dims = reference::elementwise::broadcast_dims(da, db);
            indices(&dims).iter().map(|i| x[0][place(da, i)] * x[1][place(db, i)]).collect()
        };
        check((device, &format!("{da:?} * {db:?}")), &[input(3, da), input(4, db)], |x| &x[0] * &x[1], sum);
        let a = tensor(device, &input(3, da));
        let big = reference::elementwise::broadcast_dims(da, db);
        let want: Vec<f32> = indices(&big).iter().map(|i| a.read_blocking().expect("read")[place(da, i)]).collect();
        assert_eq!(read(a.expand(&big)), want, "{da:?} to {big:?}");
    }
}

fn operations_on_eight_axes_match_f64(device: &Device) {
    let dims = [2, 1, 2, 2, 1, 2, 2, 3];
    let x = || [input(5, &dims)];
    let all = indices(&dims);
    let check = |name: &str, f: &dyn Fn(&Tensor) -> Result<Tensor>, reference: &dyn Fn(&[f64]) -> Vec<f64>| {
        check((device, name), &x(), |x| f(&x[0]), |x| reference(&x[0]));
    };
    let with = |axis: usize, i: usize| all.iter().enumerate().filter(move |(_, at)| at[axis] == i).map(|(k, _)| k);
    check("slice", &|x| x.slice(3, 1..2), &|x| moved(x, with(3, 1)));
    let turned = |x: &[f64]| [moved(x, with(0, 1)), moved(x, with(0, 0))].concat();
    check("concat", &|x| Tensor::concat(&[&x.slice(0, 1..2)?, &x.slice(0, 0..1)?], 0), &turned);
    let halves = |x: &Tensor| {
        let parts = x.split(5, &[1, 1])?;
        &parts[0] - &parts[1]
    };
    check("split", &halves, &|x| with(5, 0).zip(with(5, 1)).map(|(a, b)| x[a] - x[b]).collect());
    let rows = |x: &[f64]| with(6, 0).zip(with(6, 1)).map(|(a, b)| x[a] + x[b]).collect::<Vec<f64>>();
    check("sum_axis", &|x| x.sum_axis(6), &rows);
    check("max", &|x| x.max(6), &|x| with(6, 0).zip(with(6, 1)).map(|(a, b)| x[a].max(x[b])).collect());
    check("softmax", &|x| x.softmax(), &|x| reference::dense::softmax(x, 3));
    check("tanh", &|x| x.tanh(), &|x| x.iter().map(|v| v.tanh()).collect());
    check("reshape", &|x| x.reshape(&[96])?.reshape(&[1, 1, 1, 1, 1, 4, 24, 1]), &|x| x.to_vec());
    let weight = tensor(device, &input(6, &[2, 3]));
    let products = |x: &[f64]| {
        let w = wide(&input(6, &[2, 3]).0);
        let dot = |row: &[f64], w: &[f64]| row.iter().zip(w).map(|(a, b)| a * b).sum::<f64>();
        x.chunks(3).flat_map(|row| w.chunks(3).map(|w| dot(row, w)).collect::<Vec<f64>>()).collect()
    };
    check("linear", &|x| x.linear(&weight, None), &products);

    let x = tensor(device, &input(5, &dims));
    let index = Tensor::from_indices(device, &[1; 8], &[1, 2, 1, 2, 1, 2, 1]).expect("index");
    let rows = x.reshape(&[32, 3]).and_then(|table| table.gather(&index)).expect("rows");
    assert_eq!(rows.dims(), [1, 2, 1, 2, 1, 2, 1, 3]);
    assert_eq!(rows.read_blocking().expect("read"), x.read_blocking().expect("read")[3..6].repeat(8));
    let nine = |y: Result<Tensor>| {
        let text = y.expect_err("nine axes").to_string();
        assert!(text.contains("at most 8 axes"), "{text}");
    };
    nine(x.reshape(&[2, 1, 2, 2, 1, 2, 2, 3, 1]));
    nine(x.unsqueeze(0));
    nine(x.expand(&[2; 9]));
    nine(x.reshape(&[32, 3]).and_then(|table| table.gather(&index.reshape(&[8, 1, 1, 1, 1, 1, 1, 1])?)));
}

fn batches_of_products_broadcast(device: &Device) {
    let cases: [(&[usize], &[usize]); 5] = [
        (&[2, 3, 2, 4], &[2, 3, 4, 2]),
        (&[2, 1, 2, 4], &[3, 4, 2]),
        (&[2, 4], &[3, 4, 2]),
        (&[3, 2, 4], &[1, 4, 3]),
        (&[2, 1, 2, 1, 2, 1, 2, 3], &[1, 2, 1, 1, 1, 2, 3, 1]),
    ];
    for (da, db) in cases {
        let ([a_batch @ .., m, k], [b_batch @ .., _, n]) = (da, db) else { unreachable!("two axes") };
        let batch = reference::elementwise::broadcast_dims(a_batch, b_batch);
        let product = |x: &[Vec<f64>]| {
            let item = |at: &Vec<usize>| {
                let (a, b) = (place(a_batch, at) * m * k, place(b_batch, at) * k * n);
                reference::dense::matmul([*m, *n, *k], |i, j| x[0][a + i * k + j], |i, j| x[1][b + i * n + j])
            };
            indices(&batch).iter().flat_map(item).collect()
        };
        let inputs = [input(12, da), input(13, db)];
        check((device, &format!("{da:?} by {db:?}")), &inputs, |x| x[0].matmul(&x[1]), product);
        let y = tensor(device, &inputs[0]).matmul(&tensor(device, &inputs[1])).expect("product");
        assert_eq!(y.dims(), [&batch[..], &[*m, *n]].concat());
    }
}

fn movements_match_f64(device: &Device) {
    let dims = [2, 3, 4];
    let x = || [input(7, &dims)];
    let from = |to: [usize; 3], f: fn(&[usize]) -> [usize; 3]| {
        indices(&to).into_iter().map(move |index| place(&dims, &f(&index)))
    };
    let transposed = |x: &[Vec<f64>]| moved(&x[0], from([2, 4, 3], |i| [i[0], i[2], i[1]]));
    check((device, "t"), &x(), |x| x[0].t(), transposed);
    let flipped = |x: &[Vec<f64>]| moved(&x[0], from(dims, |i| [1 - i[0], i[1], 3 - i[2]]));
    check((device, "flip"), &x(), |x| x[0].flip(&[2, 0]), flipped);
    let same = |x: &[Vec<f64>]| x[0].clone();
    check((device, "squeeze"), &x(), |x| x[0].unsqueeze(3)?.unsqueeze(1)?.squeeze(1)?.squeeze(3), same);
    let repeated = |x: &[Vec<f64>]| x[0].iter().flat_map(|&v| [v; 5]).collect::<Vec<f64>>().repeat(2);
    check((device, "expand"), &x(), |x| x[0].unsqueeze(3)?.expand(&[2, 2, 3, 4, 5]), repeated);

    let x = tensor(device, &x()[0]);
    assert_eq!(x.unsqueeze(3).expect("at the end").dims(), [2, 3, 4, 1]);
    assert!(matches!(x.unsqueeze(4), Err(Error::Value { op: "unsqueeze", arg: "axis", .. })));
    assert!(matches!(x.squeeze(3), Err(Error::Value { op: "squeeze", arg: "axis", .. })));
    assert!(matches!(x.squeeze(1), Err(Error::Shape { op: "squeeze", .. })));
    assert!(matches!(x.expand(&[2, 3, 8]), Err(Error::Shape { op: "expand", .. })));
    assert!(matches!(x.expand(&[3, 4]), Err(Error::Shape { op: "expand", .. })));
    assert!(matches!(x.sum().and_then(|x| x.t()), Err(Error::Shape { op: "t", .. })));
    assert!(matches!(x.flip(&[0, 3]), Err(Error::Value { op: "flip", arg: "axes", .. })));
    assert!(matches!(x.flip(&[1, 1]), Err(Error::Value { op: "flip", arg: "axes", .. })));
}

fn flips_reverse_exactly(device: &Device) {
    let dims = [3, 1, 5, 2];
    let values: Vec<u32> = (0..30).map(|i| i + 100).collect();
    let x = Tensor::from_indices(device, &values, &dims).expect("x");
    for axes in [vec![], vec![0], vec![1], vec![3], vec![2, 0], vec![0, 1, 2, 3]] {
        let from = |index: &Vec<usize>| {
            let flip = |(a, &i): (usize, &usize)| if axes.contains(&a) { dims[a] - 1 - i } else { i };
            values[place(&dims, &index.iter().enumerate().map(flip).collect::<Vec<_>>())]
        };
        let want: Vec<u32> = indices(&dims).iter().map(from).collect();
        assert_eq!(read_indices(x.flip(&axes)), want, "{axes:?}");
    }
}

fn sums_and_means_over_axes_match_f64(device: &Device) {
    let dims = [2, 3, 2, 5];
    for axes in [vec![1], vec![0, 1], vec![3, 1], vec![0, 2], vec![2, 3, 1], vec![0, 1, 2, 3]] {
        let kept: Vec<usize> = (0..4).map(|a| if axes.contains(&a) { 1 } else { dims[a] }).collect();
        let count: usize = axes.iter().map(|&a| dims[a]).product();
        let sums = |x: &[f64]| {
            let mut out = vec![0.0; kept.iter().product()];
            indices(&dims).iter().zip(x).for_each(|(index, v)| out[place(&kept, index)] += v);
            out
        };
        let name = format!("over {axes:?}");
        check((device, &name), &[input(8, &dims)], |x| x[0].sum_axes(&axes), |x| sums(&x[0]));
        let means = |x: &[Vec<f64>]| sums(&x[0]).iter().map(|v| v / count as f64).collect();
        check((device, &name), &[input(8, &dims)], |x| x[0].mean_axes(&axes), means);
        if let [axis] = axes[..] {
            check((device, &name), &[input(8, &dims)], |x| x[0].mean_axis(axis), means);
        }
        assert_eq!(tensor(device, &input(8, &dims)).sum_axes(&axes).expect("sums").dims(), kept);
    }
    let x = tensor(device, &input(8, &dims));
    for axes in [&[][..], &[4], &[1, 1]] {
        assert!(matches!(x.sum_axes(axes), Err(Error::Value { op: "sum_axes", arg: "axes", .. })), "{axes:?}");
        assert!(matches!(x.mean_axes(axes), Err(Error::Value { op: "mean_axes", arg: "axes", .. })), "{axes:?}");
    }
}

/// The largest element of each column of the middle axis, and its position.
fn greatest(x: &[f64], [outer, axis, inner]: [usize; 3]) -> Vec<(f64, u32)> {
    let column = |o: usize, i: usize| {
        let at = |a: usize| x[(o * axis + a) * inner + i];
        let best = (1..axis).fold(0, |best, a| if at(a) > at(best) { a } else { best });
        (at(best), best as u32)
    };
    (0..outer).flat_map(|o| (0..inner).map(move |i| column(o, i))).collect()
}

fn extremes_match_f64(device: &Device) {
    for (dims, axis, extents) in [
        (vec![7], 0, [1, 7, 1]),
        (vec![2, 3, 5], 0, [1, 2, 15]),
        (vec![2, 3, 5], 1, [2, 3, 5]),
        (vec![2, 3, 5], 2, [6, 5, 1]),
        (vec![150, 2], 0, [1, 150, 2]),
    ] {
        let x = [input(9, &dims)];
        let max = |x: &[f64]| greatest(x, extents).iter().map(|best| best.0).collect::<Vec<f64>>();
        let min = |x: &[Vec<f64>]| {
            let negated: Vec<f64> = x[0].iter().map(|v| -v).collect();
            max(&negated).iter().map(|v| -v).collect()
        };
        check((device, &format!("max of {dims:?} over {axis}")), &x, |x| x[0].max(axis), |x| max(&x[0]));
        check((device, &format!("min of {dims:?} over {axis}")), &x, |x| x[0].min(axis), min);
        let mut kept = dims.clone();
        kept[axis] = 1;
        assert_eq!(tensor(device, &x[0]).argmax(axis).expect("argmax").dims(), kept);
    }
    let x = tensor(device, &input(9, &[2, 3]));
    assert!(matches!(x.max(2), Err(Error::Value { op: "max", arg: "axis", .. })));
    assert!(matches!(x.argmin(2), Err(Error::Value { op: "argmin", arg: "axis", .. })));
    assert!(matches!(x.argmax(1).and_then(|i| i.max(0)), Err(Error::DType { op: "max", .. })));
}

fn extremes_of_long_axes_are_exact(device: &Device) {
    for extents @ [outer, axis, inner] in
        [[1, 128, 1], [1, 129, 1], [3, 130, 2], [2, 4097, 3], [1, 8193, 1], [1, 70_000, 1]]
    {
        // Few distinct values, so that ties are common.
        let values: Vec<f32> = (0..outer * axis * inner).map(|i| (mix(i as u32) % 50) as f32 - 25.0).collect();
        let x = Tensor::from_slice(device, &values, &extents).expect("x");
        let want = greatest(&wide(&values), extents);
        assert_eq!(wide(&read(x.max(1))), want.iter().map(|best| best.0).collect::<Vec<_>>(), "{extents:?}");
        assert_eq!(read_indices(x.argmax(1)), want.iter().map(|best| best.1).collect::<Vec<_>>(), "{extents:?}");
        let least = greatest(&values.iter().map(|&v| -f64::from(v)).collect::<Vec<_>>(), extents);
        assert_eq!(read_indices(x.argmin(1)), least.iter().map(|best| best.1).collect::<Vec<_>>(), "{extents:?}");
    }
}

/// NaN in a later chunk of an axis that takes several passes, beside infinities and an earlier number.
fn extremes_of_long_axes_find_nan(device: &Device) {
    let mut values = vec![1.0; 4097];
    (values[7], values[4000], values[4050]) = (f32::INFINITY, f32::NAN, f32::NAN);
    let x = Tensor::from_slice(device, &values, &[4097]).expect("x");
    assert!(read(x.max(0))[0].is_nan() && read(x.min(0))[0].is_nan());
    assert_eq!((read_indices(x.argmax(0)), read_indices(x.argmin(0))), (vec![4000], vec![4000]));
}

fn ranges_exclude_their_end(device: &Device) {
    for (start, end, step, want) in [
        (0.0, 0.3, 0.1, &[0.0, 0.1, 0.2][..]),
        (0.0, 0.6, 0.2, &[0.0, 0.2, 0.4]),
        (1.0, 0.5, -0.25, &[1.0, 0.75]),
        (5.0, 6.0, 9.0, &[5.0]),
    ] {
        assert_eq!(read(Tensor::arange(device, start, end, step)), want, "{start} to {end}");
    }
    for (start, end, step) in [(0.0, 1.0, 0.0), (1.0, 0.0, 1.0), (0.0, f32::INFINITY, 1.0), (f32::NAN, 1.0, 1.0)] {
        assert!(matches!(Tensor::arange(device, start, end, step), Err(Error::Value { op: "Tensor::arange", .. })));
    }
}

fn extremes_take_the_first_of_equals_and_nan(device: &Device) {
    const NAN: f32 = f32::NAN;
    const INF: f32 = f32::INFINITY;
    let rows = [
        [1.0, 3.0, 3.0, 3.0],
        [0.0, -0.0, 0.0, -0.0],
        [1.0, NAN, 9.0, NAN],
        [NAN, 5.0, -INF, INF],
        [-INF, -INF, -INF, -INF],
        [-INF, -1.0, INF, INF],
    ];
    let x = Tensor::from_slice(device, rows.as_flattened(), &[6, 4]).expect("x").requires_grad();
    assert_eq!(read_indices(x.argmax(1)), [1, 0, 1, 0, 0, 2]);
    assert_eq!(read_indices(x.argmin(1)), [0, 0, 1, 0, 0, 0]);
    let y = x.max(1).expect("max");
    let values = y.read_blocking().expect("read");
    assert!(values[2].is_nan() && values[3].is_nan(), "{values:?}");
    assert_eq!([values[0], values[1], values[4], values[5]], [3.0, 0.0, -INF, INF]);
    // All of the gradient goes to one element, even beside NaN.
    y.sum().and_then(|y| y.backward()).expect("backward");
    let mut want = [[0.0; 4]; 6];
    [1, 0, 1, 0, 0, 2].into_iter().zip(&mut want).for_each(|(i, row): (usize, _)| row[i] = 1.0);
    assert_eq!(x.grad().expect("gradient").read_blocking().expect("read"), want.as_flattened());
}

fn positions_select_rows(device: &Device) {
    let scores = Tensor::from_slice(device, &[0.1, 0.7, 0.2, 0.9, 0.0, 0.1], &[2, 3]).expect("scores");
    let table = Tensor::from_slice(device, &[0.0, 1.0, 10.0, 11.0, 20.0, 21.0], &[3, 2]).expect("table");
    let best = scores.argmax(1).and_then(|best| best.squeeze(1)).expect("best");
    assert_eq!(read(table.gather(&best)), [10.0, 11.0, 0.0, 1.0]);
    // The bound of the positions is that of the axis.
    let short = table.slice(0, 0..2).expect("short");
    assert!(matches!(short.gather(&best), Err(Error::Value { op: "gather", arg: "index", .. })));
    assert!(matches!(scores.read_indices_blocking(), Err(Error::DType { .. })));
    assert!(matches!(best.read_blocking(), Err(Error::DType { .. })));
}

fn masked_mean_and_max_ignore_padding(device: &Device) {
    let lengths = [5, 3, 0, 1];
    for (dims, inner) in [(vec![5, 4], 1), (vec![5, 4, 3], 3), (vec![5, 4, 2, 3], 6)] {
        let (mut x, _) = input(10, &dims);
        for (i, v) in x.iter_mut().enumerate() {
            let (step, row) = (i / (4 * inner), i / inner % 4);
            // Padding may be NaN, infinite, or greater than every step.
            *v = if step < lengths[row] { *v - 2.0 } else { [f32::NAN, f32::INFINITY, 1e30][i % 3] };
        }
        let reduced = |x: &[f64], f: &dyn Fn(&[f64]) -> f64| {
            let column = |i: usize| (0..lengths[i / inner]).map(|step| x[step * 4 * inner + i]).collect::<Vec<f64>>();
            (0..4 * inner).map(|i| if lengths[i / inner] == 0 { 0.0 } else { f(&column(i)) }).collect::<Vec<f64>>()
        };
        let mean = |x: &[Vec<f64>]| reduced(&x[0], &|steps| steps.iter().sum::<f64>() / steps.len() as f64);
        let max = |x: &[Vec<f64>]| reduced(&x[0], &|steps| steps.iter().fold(f64::MIN, |max, &v| max.max(v)));
        let x = [(x, dims.clone())];
        check((device, &format!("masked_mean of {dims:?}")), &x, |x| x[0].masked_mean(&lengths), mean);
        check((device, &format!("masked_max of {dims:?}")), &x, |x| x[0].masked_max(&lengths), max);
        assert_eq!(tensor(device, &x[0]).masked_max(&lengths).expect("max").dims(), &dims[1..]);
    }
    let x = tensor(device, &input(10, &[5, 4, 3]));
    assert!(matches!(x.masked_mean(&[5, 3, 0]), Err(Error::Shape { op: "masked_mean", arg: "lengths", .. })));
    assert!(matches!(x.masked_max(&[5, 3, 0, 6]), Err(Error::Value { op: "masked_max", arg: "lengths", .. })));
    let flat = x.reshape(&[60]).expect("flat");
    assert!(matches!(flat.masked_mean(&[5]), Err(Error::Shape { op: "masked_mean", arg: "self", .. })));
}

fn masked_softmax_accepts_any_number_of_axes(device: &Device) {
    let keep = [true, false, true, true, false, false, false, false];
    let marks: Vec<u32> = keep.iter().map(|&k| u32::from(k)).collect();
    for (dims, rows) in [(vec![2, 4], 1), (vec![2, 3, 4], 3), (vec![2, 3, 2, 4], 6)] {
        let f = |x: &[Tensor]| x[0].masked_softmax(&Tensor::from_indices(x[0].device(), &marks, &[2, 4])?);
        let want = |x: &[Vec<f64>]| normalize::masked_softmax(&x[0], &keep, rows, 4);
        check((device, &format!("masked_softmax of {dims:?}")), &[input(11, &dims)], f, want);
    }
}

fn dropout_draws_one_mask_on_every_device(device: &Device) {
    let ones = |device: &Device| Tensor::ones(device, &[40, 30]).expect("ones").requires_grad();
    let x = ones(device);
    let mut rng = Rng::new(3);
    let y = x.dropout(0.25, &mut rng).expect("dropout");
    let mask = y.read_blocking().expect("read");
    assert_eq!(mask, read(ones(&common::twin()).dropout(0.25, &mut Rng::new(3))));
    let zeros = mask.iter().filter(|&&v| v == 0.0).count();
    assert!((240..360).contains(&zeros), "{zeros} of 1200 elements are 0");
    assert!(mask.iter().all(|&v| v == 0.0 || v == 1.0 / 0.75));
    assert_ne!(mask, read(x.dropout(0.25, &mut rng)), "every call draws a new mask");
    y.sum().and_then(|y| y.backward()).expect("backward");
    assert_eq!(x.grad().expect("gradient").read_blocking().expect("read"), mask);

    let before = rng.clone();
    assert_eq!(read(x.dropout(0.0, &mut rng)), read(Ok(x.clone())));
    assert_eq!(rng, before, "nothing is drawn for p = 0");
    for p in [-0.1, 1.0, f32::NAN] {
        assert!(matches!(x.dropout(p, &mut rng), Err(Error::Value { op: "dropout", arg: "p", .. })), "{p}");
    }
}

fn values_are_read_and_copied_both_ways(device: &Device) {
    let one = tensor(device, &(vec![2.5], vec![1, 1]));
    assert_eq!((pollster::block_on(one.item()).expect("read"), one.item_blocking().expect("read")), (2.5, 2.5));
    let two = tensor(device, &(vec![1.0, -0.0], vec![2]));
    for item in [pollster::block_on(two.item()), two.item_blocking()] {
        assert!(matches!(item, Err(Error::Shape { op: "Tensor::item", .. })));
    }
    let classes = Tensor::from_indices(device, &[7, 0, 9], &[3]).expect("classes");
    let other = Device::cpu();
    for copy in [pollster::block_on(classes.to_device(&other)), classes.to_device_blocking(&other)] {
        let copy = copy.expect("copied");
        assert_eq!((copy.device() == &other, copy.dims()), (true, &[3][..]));
        assert_eq!(copy.read_indices_blocking().expect("read"), [7, 0, 9]);
        assert_eq!(pollster::block_on(copy.read_indices()).expect("read"), [7, 0, 9]);
    }
}

fn accuracy_counts_the_rows_that_are_right(device: &Device) {
    // The first of equal values counts, and NaN as the largest.
    let logits = [0.0, 1.0, -1.0, 5.0, 5.0, 2.0, f32::NAN, 9.0, 0.0, -3.0, -2.0, -1.0];
    let logits = tensor(device, &(logits.to_vec(), vec![2, 2, 3]));
    for (classes, want) in [([1, 0, 0, 2], 1.0), ([1, 1, 1, 2], 0.5), ([0, 2, 2, 0], 0.0)] {
        let classes = Tensor::from_indices(device, &classes, &[2, 2]).expect("classes");
        assert_eq!(read(accuracy(&logits, &classes)), [want]);
    }
}
