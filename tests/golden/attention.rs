//! Layer normalization and attention against PyTorch, and properties of attention in general.
//!
//! The fixtures come from `tests/golden/generate_attention.py`.

use serde_json::Value;
use wgru::nn::{Attention, AttentionConfig, AttentionOutput, KeyMask, LayerNorm, Mode, Module, Score};
use wgru::{Device, Result, Rng, Tensor};

use crate::common::{assert_close, fill};
use crate::on_every_backend;
use crate::reference::{differences, dot, normalize, wide};

/// Single precision against PyTorch's f64: a few roundings, sums of up to 67 products. Worst measured: 3e-7.
const GOLDEN: f64 = 1e-6;
/// Gradients in f32 against central differences in f64, accurate to 1e-9. Worst measured: 4e-7.
const GRADIENT: f64 = 1e-6;

on_every_backend![
    layer_norm_matches_pytorch,
    attention_matches_pytorch,
    attention_gradients_match_differences,
    attention_reads_no_masked_key,
    attention_without_keys_is_zero,
    selected_memory_gives_the_context_of_its_rows,
    self_attention_of_equal_steps_is_their_value,
];

fn fixtures(part: &str) -> Vec<Value> {
    let json: Value = serde_json::from_str(include_str!("attention.json")).expect("attention.json");
    json[part].as_array().expect("cases").clone()
}

fn numbers(json: &Value) -> Vec<f64> {
    json.as_array().expect("a list").iter().map(|v| v.as_f64().expect("a number")).collect()
}

fn size(json: &Value, key: &str) -> usize {
    json[key].as_u64().unwrap_or_else(|| panic!("{key}")) as usize
}

fn leaf(device: &Device, stream: u32, dims: &[usize], scale: f32) -> Tensor {
    let values = fill(stream, dims.iter().product(), scale);
    Tensor::from_slice(device, &values, dims).expect("uploaded").requires_grad()
}

fn read(tensor: &Tensor) -> Vec<f32> {
    tensor.read_blocking().expect("read back")
}

/// The gradient, or zeros if there is none.
fn grad(tensor: &Tensor) -> Vec<f32> {
    tensor.grad().map_or(vec![0.0; tensor.len()], |g| read(&g))
}

/// Compares values relative to at least 1, so that all expected values may be 0.
#[track_caller]
fn close(what: &str, got: &[f32], want: &[f64]) {
    let (got, want) = ([got, &[1.0]].concat(), [want, &[1.0]].concat());
    assert_close(what, &got, &want, GOLDEN);
}

fn layer_norm_matches_pytorch(device: &Device) {
    let cases = fixtures("layer_norm");
    assert_eq!(cases.len(), 5);
    for case in cases {
        let dims: Vec<usize> = numbers(&case["dims"]).iter().map(|&n| n as usize).collect();
        let (groups, width) = (size(&case, "groups"), dims[dims.len() - 1]);
        let x = leaf(device, 2000, &dims, 2.0);
        let (weight, bias) = (fill(2001, groups * width, 1.0), fill(2002, groups * width, 1.0));
        let dy = leaf(device, 2003, &dims, 1.0).detach();
        let (y, dweight, dbias) = if groups == 1 {
            let norm = LayerNorm::new(device, width).expect("layer");
            let parameters = norm.parameters();
            assert_eq!(parameters.iter().map(|(name, _)| &name[..]).collect::<Vec<_>>(), ["weight", "bias"]);
            parameters[0].1.assign(&weight).and_then(|_| parameters[1].1.assign(&bias)).expect("assigned");
            let y = norm.forward_with(&x, &mut Mode::Train(&mut Rng::new(0))).expect("forward");
            y.backward_with(&dy).expect("backward");
            (y, grad(&parameters[0].1), grad(&parameters[1].1))
        } else {
            let weights = [2001, 2002].map(|stream| leaf(device, stream, &[groups, width], 1.0));
            let y = x.layer_norm(&weights[0], &weights[1], 1e-5).expect("forward");
            y.backward_with(&dy).expect("backward");
            (y, grad(&weights[0]), grad(&weights[1]))
        };
        let what = |name: &str| format!("{name} of layer_norm {dims:?}");
        close(&what("y"), &read(&y), &numbers(&case["y"]));
        close(&what("dx"), &grad(&x), &numbers(&case["dx"]));
        close(&what("dweight"), &dweight, &numbers(&case["dweight"]));
        close(&what("dbias"), &dbias, &numbers(&case["dbias"]));
    }
}

/// Swaps the axes of `x` `[B, steps, ..]` to the layer's order, and back.
fn swapped(x: &Tensor, batch_first: bool) -> Tensor {
    if batch_first { x.clone() } else { x.permute(&[1, 0, 2]).expect("three axes") }
}

fn config(case: &Value, batch_first: bool) -> AttentionConfig {
    let score = match case["score"].as_str() {
        Some("dot") => Score::Dot,
        Some("general") => Score::General,
        _ => Score::Additive { units: size(case, "units") },
    };
    let scaled = case["scaled"].as_bool().expect("scaled");
    AttentionConfig { query: size(case, "query"), key: size(case, "key"), score, scaled, batch_first }
}

fn load(attention: &Attention) {
    for (i, (_, weight)) in attention.parameters().iter().enumerate() {
        weight.assign(&fill(2110 + i as u32, weight.len(), 0.7)).expect("assigned");
    }
}

fn attention_matches_pytorch(device: &Device) {
    let cases = fixtures("attention");
    assert_eq!(cases.len(), 10);
    for (case, batch_first) in cases.iter().flat_map(|case| [(case, false), (case, true)]) {
        let attention = config(case, batch_first).build(device, &mut Rng::new(0)).expect("a legal configuration");
        load(&attention);
        let [batch, queries, steps, value] = ["batch", "queries", "steps", "value"].map(|key| size(case, key));
        let query = leaf(device, 2100, &[batch, queries, size(case, "query")], 1.0);
        let keys = leaf(device, 2101, &[batch, steps, size(case, "key")], 1.0);
        let values = leaf(device, 2102, &[batch, steps, value], 1.0);
        let list = |key: &str| case[key].as_array().map(|_| numbers(&case[key]));
        let lengths = list("lengths").map(|l| l.iter().map(|&n| n as usize).collect::<Vec<_>>());
        let keep = list("keep").map(|l| l.iter().map(|&n| n == 1.0).collect::<Vec<_>>());
        let mask = match (&lengths, &keep) {
            (Some(lengths), _) => KeyMask::Lengths(lengths),
            (_, Some(keep)) => KeyMask::Keep(keep),
            _ => KeyMask::None,
        };
        let [q, k, v] = [&query, &keys, &values].map(|x| swapped(x, batch_first));
        let out = attention.run(&q, &k, &v, mask, &Mode::Train(&mut Rng::new(0))).expect("run");
        let context = swapped(&out.context, batch_first);
        let loss = context.mul(&leaf(device, 2103, &[batch, queries, value], 1.0).detach()).and_then(|x| x.sum());
        let other = out.weights.mul(&leaf(device, 2104, &[batch, queries, steps], 1.0).detach()).and_then(|x| x.sum());
        loss.and_then(|loss| loss.add(&other?)?.backward()).expect("backward");

        let what = |name: &str| format!("{name} of {}, batch first {batch_first}", case["name"]);
        close(&what("context"), &read(&context), &numbers(&case["context"]));
        close(&what("weights"), &read(&out.weights), &numbers(&case["weights"]));
        for (name, tensor) in [("dquery", &query), ("dkeys", &keys), ("dvalues", &values)] {
            close(&what(name), &grad(tensor), &numbers(&case[name]));
        }
        assert_eq!(attention.parameters().len(), case["gradients"].as_object().expect("gradients").len());
        for (name, weight) in attention.parameters() {
            close(&what(&name), &grad(&weight), &numbers(&case["gradients"][&name]));
        }
    }
}

const BATCH: usize = 2;
const STEPS: usize = 4;
const QUERIES: usize = 2;
const WIDTH: usize = 3;

fn layer(device: &Device, score: Score, scaled: bool) -> Attention {
    let config = AttentionConfig { query: WIDTH, key: WIDTH, score, scaled, batch_first: true };
    config.build(device, &mut Rng::new(3)).expect("a legal configuration")
}

const SCORES: [Score; 3] = [Score::Dot, Score::General, Score::Additive { units: 5 }];

/// Query, keys and values, batch-first.
fn inputs(device: &Device) -> [Tensor; 3] {
    let dims = |steps| [BATCH, steps, WIDTH];
    [leaf(device, 1, &dims(QUERIES), 1.0), leaf(device, 2, &dims(STEPS), 1.0), leaf(device, 3, &dims(STEPS), 1.0)]
}

const KEEP: [bool; BATCH * STEPS] = [true, false, true, true, false, true, false, true];

/// The context in f64, element by element; `v` holds query, keys and values, then the weights.
fn by_hand(score: Score, scaled: bool, v: &[Vec<f64>]) -> Vec<f64> {
    let at = |x: &[f64], row: usize| x[row * WIDTH..][..WIDTH].to_vec();
    let through = |w: &[f64], x: &[f64]| w.chunks(WIDTH).map(|row| dot(row, x)).collect::<Vec<f64>>();
    let mut scores = Vec::new();
    for b in 0..BATCH {
        for (q, k) in (0..QUERIES).flat_map(|q| (0..STEPS).map(move |k| (q, k))) {
            let (query, key) = (at(&v[0], b * QUERIES + q), at(&v[1], b * STEPS + k));
            let (score, products) = match score {
                Score::Dot => (dot(&query, &key), WIDTH),
                Score::General => (dot(&query, &through(&v[3], &key)), WIDTH),
                Score::Additive { units } => {
                    let sums = through(&v[3], &key).into_iter().zip(through(&v[4], &query));
                    (sums.zip(&v[5]).map(|((a, b), v)| (a + b).tanh() * v).sum(), units)
                }
            };
            scores.push(if scaled { score / (products as f64).sqrt() } else { score });
        }
    }
    let weights = normalize::masked_softmax(&scores, &KEEP, QUERIES, STEPS);
    let mut context = Vec::new();
    for (row, i) in (0..BATCH * QUERIES).flat_map(|row| (0..WIDTH).map(move |i| (row, i))) {
        let value = |s: usize| v[2][(row / QUERIES * STEPS + s) * WIDTH + i];
        context.push((0..STEPS).map(|s| weights[row * STEPS + s] * value(s)).sum());
    }
    context
}

fn attention_gradients_match_differences(device: &Device) {
    for (score, scaled) in SCORES.into_iter().flat_map(|score| [(score, false), (score, true)]) {
        let attention = layer(device, score, scaled);
        let [query, keys, values] = inputs(device);
        let mode = &Mode::Train(&mut Rng::new(0));
        let out = attention.run(&query, &keys, &values, KeyMask::Keep(&KEEP), mode).expect("run");
        let dy = fill(9, out.context.len(), 1.0);
        let cotangent = Tensor::from_slice(device, &dy, out.context.dims()).expect("uploaded");
        out.context.backward_with(&cotangent).expect("backward");

        let weights: Vec<Tensor> = attention.parameters().into_iter().map(|(_, weight)| weight).collect();
        let leaves: Vec<&Tensor> = [&query, &keys, &values].into_iter().chain(&weights).collect();
        let at: Vec<Vec<f64>> = leaves.iter().map(|t| wide(&read(t))).collect();
        let what = format!("{score:?}, scaled {scaled}");
        assert_close(&what, &read(&out.context), &by_hand(score, scaled, &at), GRADIENT);
        let want = differences(&at, |moved| dot(&by_hand(score, scaled, moved), &wide(&dy)));
        for (i, (leaf, want)) in leaves.iter().zip(&want).enumerate() {
            assert_close(&format!("gradient {i} of {what}"), &grad(leaf), want, GRADIENT);
        }
    }
}

fn run(attention: &Attention, [q, k, v]: [&Tensor; 3], mask: KeyMask) -> Result<AttentionOutput> {
    attention.run(q, k, v, mask, &Mode::Eval)
}

fn attention_reads_no_masked_key(device: &Device) {
    for score in SCORES {
        let attention = layer(device, score, false);
        let [query, keys, values] = inputs(device);
        let out = run(&attention, [&query, &keys, &values], KeyMask::Keep(&KEEP)).expect("run");
        // Changing masked keys and values does not change a single bit.
        let other = |x: &Tensor| {
            let mut changed = read(x);
            changed.iter_mut().enumerate().filter(|(i, _)| !KEEP[i / WIDTH]).for_each(|(i, v)| *v = 1e30 * i as f32);
            Tensor::from_slice(device, &changed, x.dims()).expect("uploaded")
        };
        let again = run(&attention, [&query, &other(&keys), &other(&values)], KeyMask::Keep(&KEEP)).expect("run");
        assert_eq!(read(&again.context), read(&out.context), "{score:?}");
        for (i, weight) in read(&again.weights).iter().enumerate() {
            let (b, s) = (i / STEPS / QUERIES, i % STEPS);
            assert_eq!(*weight == 0.0, !KEEP[b * STEPS + s], "{score:?}: weight {i} is {weight}");
        }
    }
}

fn attention_without_keys_is_zero(device: &Device) {
    for score in SCORES {
        let attention = layer(device, score, true);
        let [query, keys, values] = inputs(device);
        let mode = &Mode::Train(&mut Rng::new(0));
        let out = attention.run(&query, &keys, &values, KeyMask::Lengths(&[0, 1]), mode).expect("run");
        let half = QUERIES * WIDTH;
        assert_eq!(read(&out.context)[..half], vec![0.0; half], "{score:?}");
        assert_eq!(read(&out.context)[half..], read(&values)[STEPS * WIDTH..][..WIDTH].repeat(QUERIES), "{score:?}");
        out.context.sum().and_then(|loss| loss.backward()).expect("backward");
        for tensor in [&query, &keys, &values] {
            let grad = grad(tensor);
            assert!(grad[..grad.len() / 2].iter().all(|&v| v == 0.0), "{score:?}: {grad:?}");
        }
        assert_eq!(grad(&values)[STEPS * WIDTH..][..WIDTH], [QUERIES as f32; WIDTH], "{score:?}");
    }
}

fn selected_memory_gives_the_context_of_its_rows(device: &Device) {
    let rows = [1, 0, 1, 1];
    for score in SCORES {
        let attention = layer(device, score, false);
        let [query, keys, values] = inputs(device);
        let mode = &Mode::Eval;
        let memory = attention.prepare(&keys, &values, KeyMask::Keep(&KEEP), mode).expect("prepared");
        let whole = attention.attend(&query, &memory, mode).expect("attended");
        let part = |x: &Tensor| {
            let values = read(x);
            let width = values.len() / x.dims()[0];
            rows.iter().flat_map(|&row| values[row * width..][..width].to_vec()).collect::<Vec<f32>>()
        };
        let picked = Tensor::from_slice(device, &part(&query), &[4, QUERIES, WIDTH]).expect("uploaded");
        let some = attention.attend(&picked, &memory.select(&rows).expect("rows"), mode).expect("attended");
        // Products with a different number of rows may sum in a different order.
        assert_close("contexts", &read(&some.context), &wide(&part(&whole.context)), GOLDEN);
        assert_close("weights", &read(&some.weights), &wide(&part(&whole.weights)), GOLDEN);
        assert!(memory.select(&[2]).is_err() && memory.select(&[]).is_err());
    }
}

fn self_attention_of_equal_steps_is_their_value(device: &Device) {
    let x = Tensor::from_slice(device, &[0.5, -2.0, 0.5, -2.0, 0.5, -2.0], &[3, 1, 2]).expect("uploaded");
    let config = AttentionConfig { query: 2, key: 2, score: Score::General, ..AttentionConfig::default() };
    let attention = config.build(device, &mut Rng::new(1)).expect("layer");
    let y = attention.forward(&x).expect("forward");
    assert_eq!(y.dims(), [3, 1, 2]);
    assert_close("equal steps", &read(&y), &wide(&read(&x)), GOLDEN);
}

/// Negative control: the comparison rejects scores without their scale.
#[test]
#[should_panic(expected = "error")]
fn unscaled_scores_are_rejected() {
    let cases = fixtures("attention");
    let case = cases.iter().find(|case| case["name"] == "dot_scaled_lengths").expect("one");
    let config = AttentionConfig { scaled: false, ..config(case, true) };
    let device = Device::cpu();
    let attention = config.build(&device, &mut Rng::new(0)).expect("layer");
    let [query, keys, values] = [(2100, 2), (2101, 5), (2102, 5)].map(|(s, n)| leaf(&device, s, &[3, n, 4], 1.0));
    let values = values.slice(2, 0..3).expect("a part");
    let out = run(&attention, [&query, &keys, &values], KeyMask::Lengths(&[5, 1, 3])).expect("run");
    close("weights", &read(&out.weights), &numbers(&case["weights"]));
}
