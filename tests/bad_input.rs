//! Invalid input returns an error that names the operation and the argument; it never panics or hangs.

mod common;

use common::recurrent::states;
use wgru::io::{self, TensorFile};
use wgru::nn::{
    AttentionConfig, Axes, Conv1dConfig, Dropout, Embedding, Gru, KeyMask, LayerNorm, LayerNormGruConfig, Linear,
    MinGruConfig, Mode, Module, RecurrentConfig, RecurrentOptions, RunOptions, Score,
};
use wgru::ops::recurrent::Plan;
use wgru::train::loss::{self, CrossEntropyOptions, CtcOptions};
use wgru::train::{
    AdamConfig, Batch, Data, HostData, Method, Optimizer, Reduction, SgdConfig, TrainOptions, Trainer, accuracy,
    clip_grad_norm,
};
use wgru::{Activation, Cell, CpuOptions, Device, Result, Rng, Tensor};

on_every_backend![
    gru_refuses_wrong_input,
    recurrent_layers_refuse_wrong_options,
    recurrent_layers_refuse_wrong_sequences,
    tensors_refuse_wrong_shapes,
    operations_refuse_wrong_operands,
    layers_refuse_wrong_sizes,
    attention_refuses_wrong_input,
    nan_comes_out_as_nan,
    devices_do_not_mix,
    losses_refuse_wrong_targets,
    ctc_refuses_wrong_labels_and_lengths,
    conv1d_refuses_wrong_windows,
    kernels_refuse_invalid_parameters,
];

/// Asserts that the error message names each of `words`.
#[track_caller]
fn refused<T>(result: Result<T>, words: &[&str]) {
    match result {
        Ok(_) => panic!("accepted, but should name {words:?}"),
        Err(error) => {
            let text = error.to_string();
            assert!(words.iter().all(|w| text.contains(w)), "{text:?} does not name {words:?}");
        }
    }
}

fn gru(device: &Device) -> Gru {
    let config = RecurrentConfig { layers: 2, ..RecurrentConfig::gru(4, 5) };
    config.build(device, &mut Rng::new(0)).expect("gru")
}

fn zeros(device: &Device, dims: &[usize]) -> Tensor {
    Tensor::zeros(device, dims).expect("zeros")
}

fn gru_refuses_wrong_input(device: &Device) {
    let gru = gru(device);
    let run = |x: &Tensor, input: RunOptions| gru.run(x, input, &mut Mode::Eval);
    let none = RunOptions::default();
    let x = zeros(device, &[6, 3, 4]);
    assert!(run(&x, none).is_ok());
    refused(run(&zeros(device, &[6, 4]), none), &["gru", "x", "[steps, batch, 4]", "[6, 4]"]);
    refused(run(&zeros(device, &[6, 3, 5]), none), &["gru", "x", "[6, 3, 5]"]);
    refused(run(&zeros(device, &[6, 3, 4, 1]), none), &["gru", "x"]);
    let indices = Tensor::from_indices(device, &[0; 72], &[6, 3, 4]).expect("indices");
    refused(run(&indices, none), &["gru", "x", "f32", "u32"]);
    for dims in [[2, 3, 4], [1, 3, 5], [2, 2, 5]] {
        let h0 = zeros(device, &dims);
        refused(run(&x, RunOptions { h0: Some(&h0), ..Default::default() }), &["gru", "h0", "[2, 3, 5]"]);
    }
    for (lengths, word) in [(vec![6, 7, 1], "7"), (vec![usize::MAX, 1, 1], "0..=6")] {
        refused(run(&x, RunOptions { lengths: Some(&lengths), ..Default::default() }), &["gru", "lengths", word]);
    }
    refused(run(&x, RunOptions { lengths: Some(&[6, 6]), ..Default::default() }), &["gru", "lengths", "[3]", "[2]"]);
}

/// The operation named in the errors of each cell's layer.
const OPS: [(Cell, &str); 5] = [
    (Cell::Gru, "gru"),
    (Cell::GruResetBefore, "gru"),
    (Cell::Lstm, "lstm"),
    (Cell::Rnn, "rnn"),
    (Cell::RnnRelu, "rnn"),
];

fn recurrent_layers_refuse_wrong_options(device: &Device) {
    let build = |config: &RecurrentConfig| config.clone().build(device, &mut Rng::new(0)).map(|_| ());
    for (cell, op) in OPS {
        let good = RecurrentConfig::new(cell, 2, 3);
        assert!(build(&good).is_ok());
        for share in [-0.1, 1.0, 1.5, f32::NAN, f32::INFINITY] {
            let with = |arg: &str, set: fn(&mut RecurrentConfig, f32)| {
                let mut config = good.clone();
                set(&mut config, share);
                refused(build(&config), &[op, arg, "0 ≤ p < 1", &share.to_string()]);
            };
            with("dropout", |s, p| s.dropout = p);
            with("input_dropout", |s, p| s.options.input_dropout = p);
            with("recurrent_dropout", |s, p| s.options.recurrent_dropout = p);
            with("zoneout", |s, p| s.options.zoneout = p);
            with("zoneout_cell", |s, p| s.options.zoneout_cell = p);
            with("weight_dropout", |s, p| s.options.weight_dropout = p);
        }
        for clip in [0.0, -1.0, f32::NAN, f32::NEG_INFINITY] {
            let options = RecurrentOptions { clip: Some(clip), ..Default::default() };
            refused(build(&RecurrentConfig { options, ..good.clone() }), &[op, "clip", "above 0", &clip.to_string()]);
        }
        let options = RecurrentOptions { zoneout_cell: 0.1, ..Default::default() };
        if cell == Cell::Lstm {
            assert!(build(&RecurrentConfig { options, ..good.clone() }).is_ok());
        } else {
            refused(build(&RecurrentConfig { options, ..good.clone() }), &[op, "zoneout_cell", "0.1"]);
        }
        for plan in [Plan::Whole, Plan::Chain] {
            let clips = RecurrentOptions { clip: Some(1.0), ..Default::default() };
            let config = RecurrentConfig { plan: Some(plan), ..good.clone() };
            assert!(build(&config).is_ok());
            let activations = vec![Activation::Softsign; cell.activations().len()];
            refused(build(&RecurrentConfig { activations, ..config.clone() }), &["plan", "steps", &plan.to_string()]);
            refused(
                build(&RecurrentConfig { options: clips, ..config }),
                &["recurrent", "plan", "steps", &plan.to_string()],
            );
        }
        refused(build(&RecurrentConfig { reverse: true, bidirectional: true, ..good.clone() }), &[op, "reverse"]);
        refused(build(&RecurrentConfig { input: 0, ..good.clone() }), &[op, "input", "at least 1"]);
        refused(build(&RecurrentConfig { hidden: 0, ..good.clone() }), &[op, "hidden", "at least 1"]);
        refused(build(&RecurrentConfig { layers: 0, ..good.clone() }), &[op, "layers", "at least 1"]);
        refused(build(&RecurrentConfig { hidden: usize::MAX / 2, ..good.clone() }), &[op]);
        refused(build(&RecurrentConfig { input: usize::MAX, ..good.clone() }), &[op]);
        if cell == Cell::Lstm {
            refused(build(&RecurrentConfig { projection: usize::MAX, ..good }), &[op]);
        }
    }
}

fn recurrent_layers_refuse_wrong_sequences(device: &Device) {
    for (cell, op) in OPS {
        let projection = if cell == Cell::Lstm { 2 } else { 0 };
        let config = RecurrentConfig { projection, bidirectional: true, ..RecurrentConfig::new(cell, 2, 3) };
        let layer = config.clone().build(device, &mut Rng::new(0)).expect("layer");
        let x = zeros(device, &[4, 5, 2]);
        let run = |input: RunOptions| layer.run(&x, input, &mut Mode::Eval).map(|_| ());
        let none = RunOptions::default();
        assert!(run(none).is_ok());
        for count in [0, 19, 21] {
            let (flags, got) = (vec![true; count], format!("[{count}]"));
            refused(run(RunOptions { mask: Some(&flags), ..none }), &[op, "mask", "20", &got]);
            refused(run(RunOptions { resets: Some(&flags), ..none }), &[op, "resets", "20", &got]);
        }
        refused(run(RunOptions { lengths: Some(&[4; 4]), ..none }), &[op, "lengths", "[5]", "[4]"]);
        refused(run(RunOptions { lengths: Some(&[4, 0, 5, 1, 1]), ..none }), &[op, "lengths", "0..=4", "5"]);
        let [h, c] = states(&config, 5);
        for wrong in [[h[0] + 1, h[1], h[2]], [h[0], h[1] + 1, h[2]], [h[0], h[1], h[2] + 1]] {
            let (wrong, words) = (zeros(device, &wrong), [op, "h0", &format!("{h:?}"), &format!("{wrong:?}")]);
            refused(run(RunOptions { h0: Some(&wrong), ..none }), &words);
        }
        let good = zeros(device, &c);
        if cell != Cell::Lstm {
            refused(run(RunOptions { c0: Some(&good), ..none }), &[op, "c0", "no cell state"]);
            continue;
        }
        assert!(run(RunOptions { c0: Some(&good), ..none }).is_ok());
        for wrong in [[c[0] - 1, c[1], c[2]], [c[0], c[1] + 1, c[2]], [c[0], c[1], c[2] - 1]] {
            let (wrong, words) = (zeros(device, &wrong), [op, "c0", &format!("{c:?}"), &format!("{wrong:?}")]);
            refused(run(RunOptions { c0: Some(&wrong), ..none }), &words);
        }
        let indices = Tensor::from_indices(device, &vec![0; good.len()], &c).expect("indices");
        refused(run(RunOptions { c0: Some(&indices), ..none }), &[op, "c0", "f32", "u32"]);
        let elsewhere = zeros(&common::twin(), &c);
        refused(run(RunOptions { c0: Some(&elsewhere), ..none }), &[op, "c0"]);
    }
}

fn tensors_refuse_wrong_shapes(device: &Device) {
    refused(Tensor::zeros(device, &[3, 0]), &["shape", "at least 1"]);
    refused(Tensor::zeros(device, &[1; 9]), &["at most 8"]);
    refused(Tensor::zeros(device, &[usize::MAX, 2]), &["elements"]);
    refused(Tensor::from_slice(device, &[], &[0]), &["at least 1"]);
    refused(Tensor::from_slice(device, &[1.0], &[2]), &["values", "2 values"]);
    refused(Tensor::from_indices(device, &[1], &[2]), &["values"]);
    let x = zeros(device, &[2, 3]);
    refused(x.reshape(&[4]), &["reshape"]);
    refused(x.item_blocking(), &["item", "one element"]);
    refused(x.assign(&[0.0; 5]), &["assign"]);
    refused(x.permute(&[0, 0]), &["permute", "axes"]);
    refused(x.slice(2, 0..1), &["slice", "axis"]);
    for (start, end) in [(0, 0), (2, 1), (0, 4), (5, 6)] {
        refused(x.slice(1, start..end), &["slice", "range"]);
    }
    refused(x.sum_axis(2), &["sum_axis", "axis"]);
    refused(x.split(2, &[1]), &["split", "axis", "below 2"]);
    for sizes in [&[1, 1][..], &[3, 0], &[], &[usize::MAX, 4]] {
        refused(x.split(1, sizes), &["split", "sizes", "add up to 3"]);
    }
    refused(Tensor::concat(&[], 0), &["concat"]);
    refused(Tensor::concat(&[&x], 2), &["concat", "axis"]);
    refused(Tensor::concat(&[&x, &zeros(device, &[2, 4])], 0), &["concat"]);
}

fn operations_refuse_wrong_operands(device: &Device) {
    let (a, b) = (zeros(device, &[2, 3]), zeros(device, &[2, 4]));
    refused(a.add(&b), &["add", "rhs", "[2, 4]"]);
    refused(a.matmul(&b), &["matmul", "rhs", "[3, n]"]);
    refused(a.matmul(&zeros(device, &[3])), &["matmul", "rhs", "at least two axes"]);
    refused(zeros(device, &[3]).matmul(&a), &["matmul", "self", "at least two axes"]);
    refused(zeros(device, &[4, 2, 3, 5]).matmul(&zeros(device, &[3, 5, 2])), &["matmul", "rhs", "[4, 2, 5, n]"]);
    refused(zeros(device, &[2, 3, 4]).matmul(&zeros(device, &[3, 4, 5])), &["matmul", "[2, 4, n]"]);
    refused(a.linear(&b, None), &["linear", "x", "[.., 4]"]);
    let index = Tensor::from_indices(device, &[0, 3], &[2]).expect("indices");
    refused(a.gather(&index), &["gather", "index", "below 2", "3"]);
    refused(a.gather(&a), &["gather", "u32", "f32"]);
    refused(index.add(&a), &["add", "u32"]);
    refused(a.mul(&index), &["mul", "rhs"]);
    refused(index.relu(), &["u32"]);
    refused(index.read_blocking(), &["u32"]);
    refused(a.backward(), &["backward", "one element"]);
    refused(zeros(device, &[]).backward(), &["backward", "requires_grad()", "Mode::Eval"]);
    refused(a.softmax().and_then(|_| zeros(device, &[]).softmax()), &["softmax"]);
    let (rows, other) = (zeros(device, &[3]), zeros(device, &[2]));
    refused(a.layer_norm(&other, &other, 1e-5), &["layer_norm", "weight", "[3] or [2, 3]", "[2]"]);
    refused(a.layer_norm(&rows, &other, 1e-5), &["layer_norm", "bias", "[3]", "[2]"]);
    refused(a.layer_norm(&rows, &rows, -1.0), &["layer_norm", "eps", "-1"]);
    refused(a.layer_norm(&rows, &rows, f32::NAN), &["layer_norm", "eps", "NaN"]);
    refused(zeros(device, &[]).layer_norm(&rows, &rows, 0.0), &["layer_norm", "self", "at least one axis"]);
    refused(index.layer_norm(&rows, &rows, 0.0), &["layer_norm", "self", "u32"]);
    refused(zeros(device, &[3]).masked_softmax(&index), &["masked_softmax", "self", "[batch, .., width]", "[3]"]);
    refused(zeros(device, &[1, 2, 3]).masked_softmax(&index), &["masked_softmax", "keep", "[1, 3]", "[2]"]);
    refused(zeros(device, &[1, 2, 3]).masked_softmax(&a), &["masked_softmax", "keep", "u32", "f32"]);
    // A kernel run directly is checked like any other.
    let fill = wgru::kernels::Fill { len: 7, value: 1.0 };
    refused(device.run(&fill, [], [&a]), &["fill", "out", "at least 7", "6"]);
    let unary = wgru::kernels::Unary { len: 6, op: 0, alpha: 1.0 };
    refused(device.run(&unary, [&a], [&a]), &["unary", "y", "not read too"]);
}

fn attention_refuses_wrong_input(device: &Device) {
    let rng = &mut Rng::new(0);
    let config = AttentionConfig { query: 2, key: 3, score: Score::General, ..AttentionConfig::default() };
    for (wrong, words) in [
        (AttentionConfig { query: 0, ..config.clone() }, ["query", "at least 1"]),
        (AttentionConfig { key: 0, ..config.clone() }, ["key", "at least 1"]),
        (AttentionConfig { score: Score::Additive { units: 0 }, ..config.clone() }, ["units", "at least 1"]),
        (AttentionConfig { score: Score::Dot, ..config.clone() }, ["key", "dot product"]),
    ] {
        refused(wrong.build(device, rng), &words);
    }
    let attention = config.build(device, rng).expect("a legal configuration");
    let (query, keys) = (zeros(device, &[1, 2, 2]), zeros(device, &[4, 2, 3]));
    let run = |q: &Tensor, k: &Tensor, v: &Tensor, mask: KeyMask| attention.run(q, k, v, mask, &Mode::Eval);
    assert!(run(&query, &keys, &keys, KeyMask::None).is_ok());
    refused(run(&keys, &keys, &keys, KeyMask::None), &["attention", "query", "[steps, batch, 2]", "[4, 2, 3]"]);
    refused(run(&zeros(device, &[1, 3, 2]), &keys, &keys, KeyMask::None), &["query", "[1, 2, 2]", "[1, 3, 2]"]);
    refused(run(&query, &query, &keys, KeyMask::None), &["attention", "keys", "[steps, batch, 3]"]);
    refused(run(&query, &keys, &query, KeyMask::None), &["attention", "values", "[4, 2, V]"]);
    refused(run(&query, &keys, &zeros(device, &[4, 2]), KeyMask::None), &["attention", "values"]);
    refused(run(&query, &keys, &keys, KeyMask::Lengths(&[4])), &["attention", "lengths", "[2]", "[1]"]);
    refused(run(&query, &keys, &keys, KeyMask::Lengths(&[5, 1])), &["attention", "lengths", "0..=4", "5"]);
    refused(run(&query, &keys, &keys, KeyMask::Keep(&[true; 7])), &["attention", "keep", "2 · 4", "[7]"]);
    refused(LayerNorm::new(device, 0), &["LayerNorm", "width"]);
}

fn layers_refuse_wrong_sizes(device: &Device) {
    let mut rng = Rng::new(0);
    let base = RecurrentConfig::gru(2, 3);
    for (config, word) in [
        (RecurrentConfig { hidden: 0, ..base.clone() }, "hidden"),
        (RecurrentConfig { input: 0, ..base.clone() }, "input"),
        (RecurrentConfig { layers: 0, ..base.clone() }, "layers"),
        (RecurrentConfig { dropout: 1.0, ..base.clone() }, "p"),
        (RecurrentConfig { dropout: f32::NAN, ..base.clone() }, "p"),
        (RecurrentConfig { bidirectional: true, reverse: true, ..base.clone() }, "reverse"),
        (RecurrentConfig { hidden: usize::MAX, ..base.clone() }, "shape"),
        (RecurrentConfig { hidden: 1 << 20, ..base.clone() }, "shape"),
        (RecurrentConfig { input: usize::MAX, ..base.clone() }, "shape"),
        (RecurrentConfig { layers: 1 << 40, ..base.clone() }, "layers"),
        (RecurrentConfig { layers: usize::MAX, bidirectional: true, ..base.clone() }, "layers"),
    ] {
        refused(config.build(device, &mut rng), &[word]);
    }
    for huge in [1 << 33, 1 << 62, usize::MAX] {
        refused(RecurrentConfig::lstm(2, huge).build(device, &mut rng), &["shape"]);
        refused(
            LayerNormGruConfig { input: 2, hidden: huge, ..Default::default() }.build(device, &mut rng),
            &["shape"],
        );
        refused(LayerNormGruConfig { layers: huge, ..Default::default() }.build(device, &mut rng), &["layers"]);
        refused(MinGruConfig { input: 2, hidden: huge, ..Default::default() }.build(device, &mut rng), &["shape"]);
        refused(MinGruConfig { layers: huge, ..Default::default() }.build(device, &mut rng), &["layers"]);
        refused(Conv1dConfig { input: huge, output: huge, ..Default::default() }.build(device, &mut rng), &["shape"]);
        refused(Linear::new(device, huge, 1, true, &mut rng), &["shape"]);
        refused(Embedding::new(device, huge, huge, &mut rng), &["shape"]);
        refused(LayerNorm::new(device, huge), &["shape"]);
        refused(Tensor::zeros(device, &[huge]), &["elements"]);
        // Refused before any memory is allocated.
        refused(Tensor::from_slice(device, &[1.0], &[1 << 31]), &["values"]);
    }
    refused(Linear::new(device, 0, 1, true, &mut rng), &["Linear"]);
    refused(Embedding::new(device, 3, 0, &mut rng), &["Embedding"]);
    refused(Dropout::new(-0.1), &["Dropout"]);
    if device.is_gpu() {
        let wide = RecurrentConfig { hidden: 257, plan: Some(Plan::Whole), ..base };
        refused(wide.build(device, &mut rng), &["recurrent", "whole-sequence", "257", "256"]);
    }
}

fn nan_comes_out_as_nan(device: &Device) {
    for plan in [Plan::Whole, Plan::Chain] {
        for cell in Cell::ALL {
            let config = RecurrentConfig { plan: Some(plan), ..RecurrentConfig::new(cell, 4, 19) };
            let gru = config.build(device, &mut Rng::new(0)).expect("gru");
            let mut values = vec![0.5; 6 * 3 * 4];
            values[(2 * 3 + 1) * 4] = f32::NAN; // step 2 of sequence 1
            let x = Tensor::from_slice(device, &values, &[6, 3, 4]).expect("x");
            let run = gru.run(&x, RunOptions::default(), &mut Mode::Eval).expect("run");
            let y = run.output.read_blocking().expect("read");
            for (i, v) in y.iter().enumerate() {
                let (step, row) = (i / (3 * 19), i / 19 % 3);
                assert_eq!(v.is_nan(), row == 1 && step >= 2, "{plan} step {step} row {row}");
            }
        }
    }
}

fn devices_do_not_mix(device: &Device) {
    let other = Device::cpu();
    let (a, b) = (zeros(device, &[2, 3]), zeros(&other, &[2, 3]));
    refused(a.add(&b), &["add", "rhs", "another device"]);
    refused(a.matmul(&zeros(&other, &[3, 1])), &["matmul", "another device"]);
    refused(gru(device).run(&zeros(&other, &[2, 1, 4]), RunOptions::default(), &mut Mode::Eval), &["gru", "x"]);
    let h0 = zeros(&other, &[2, 1, 5]);
    let input = RunOptions { h0: Some(&h0), ..Default::default() };
    refused(gru(device).run(&zeros(device, &[2, 1, 4]), input, &mut Mode::Eval), &["gru", "h0"]);
    // Tensors move between devices only explicitly.
    assert!(a.add(&b.to_device_blocking(device).expect("moved")).is_ok());
}

fn losses_refuse_wrong_targets(device: &Device) {
    let x = zeros(device, &[2, 3]);
    refused(loss::mse(&x, &zeros(device, &[3, 2])), &["loss", "target", "[2, 3]"]);
    refused(loss::huber_with(&x, &x, 0.0, Reduction::Mean), &["huber", "delta"]);
    let labels = |l: &[u32]| Tensor::from_indices(device, l, &[l.len()]).expect("labels");
    let options = CrossEntropyOptions::default();
    refused(loss::cross_entropy_with(&x, &labels(&[0, 3]), options), &["cross_entropy", "target", "below 3", "3"]);
    refused(loss::cross_entropy_with(&x, &labels(&[0]), options), &["cross_entropy", "target", "[2]"]);
    refused(loss::cross_entropy_with(&x, &x, options), &["cross_entropy"]);
    let smooth = CrossEntropyOptions { label_smoothing: 1.5, ..options };
    refused(loss::cross_entropy_with(&x, &labels(&[0, 1]), smooth), &["label_smoothing"]);
    let ignore = CrossEntropyOptions { ignore_index: Some(9), ..options };
    assert!(loss::cross_entropy_with(&x, &labels(&[0, 9]), ignore).is_ok());
}

fn conv1d_refuses_wrong_windows(device: &Device) {
    let base = Conv1dConfig { input: 4, output: 6, kernel: 3, ..Conv1dConfig::default() };
    let mut rng = Rng::new(0);
    for (config, word) in [
        (Conv1dConfig { input: 0, ..base.clone() }, "input"),
        (Conv1dConfig { output: 0, ..base.clone() }, "output"),
        (Conv1dConfig { kernel: 0, ..base.clone() }, "kernel"),
        (Conv1dConfig { stride: 0, ..base.clone() }, "stride"),
        (Conv1dConfig { dilation: 0, ..base.clone() }, "dilation"),
        (Conv1dConfig { groups: 0, ..base.clone() }, "groups"),
        (Conv1dConfig { groups: 3, ..base.clone() }, "groups"),
        (Conv1dConfig { groups: 4, ..base.clone() }, "groups"),
        (Conv1dConfig { kernel: usize::MAX, ..base.clone() }, "elements"),
    ] {
        refused(config.build(device, &mut rng), &["Conv1d", word]);
    }
    let mut run = |config: Conv1dConfig, dims: &[usize]| {
        let conv = config.build(device, &mut rng).expect("a legal configuration");
        conv.forward(&zeros(device, dims))
    };
    assert!(run(base.clone(), &[3, 2, 4]).is_ok());
    refused(run(base.clone(), &[2, 2, 4]), &["conv1d", "x", "3 taps", "[2, 2, 4]"]);
    refused(run(base.clone(), &[3, 2, 5]), &["conv1d", "x", "[steps, batch, 4]", "[3, 2, 5]"]);
    refused(run(base.clone(), &[3, 4]), &["conv1d", "x", "[steps, batch, 4]"]);
    let torch = Conv1dConfig { axes: Axes::ChannelsFirst, ..base.clone() };
    refused(run(torch, &[2, 3, 4]), &["conv1d", "x", "[batch, 4, steps]", "[2, 3, 4]"]);
    refused(run(Conv1dConfig { padding: usize::MAX, ..base.clone() }, &[3, 2, 4]), &["conv1d", "x"]);
    refused(run(Conv1dConfig { padding: 1 << 40, ..base.clone() }, &[3, 2, 4]), &["conv1d", "padding"]);
    refused(run(Conv1dConfig { padding: 1 << 31, ..base.clone() }, &[3, 2, 4]), &["conv1d"]);
    refused(run(Conv1dConfig { stride: 1 << 40, ..base.clone() }, &[3, 2, 4]), &["conv1d", "stride"]);
    refused(run(Conv1dConfig { dilation: usize::MAX, ..base }, &[3, 2, 4]), &["conv1d", "x"]);
}

fn ctc_refuses_wrong_labels_and_lengths(device: &Device) {
    let log_probs = zeros(device, &[4, 2, 3]);
    let options = CtcOptions::default();
    let run = |targets: &[u32], steps: &[usize], labels: &[usize]| {
        loss::ctc_with(&log_probs, targets, steps, labels, options)
    };
    assert!(run(&[1, 2, 1], &[4, 3], &[2, 1]).is_ok());
    assert!(run(&[1, 2, 1, 9], &[4, 3], &[2, 1]).is_ok());
    refused(run(&[1, 2, 0], &[4, 3], &[2, 1]), &["ctc", "targets", "not the blank 0"]);
    refused(run(&[1, 3, 1], &[4, 3], &[2, 1]), &["ctc", "targets", "below 3", "3"]);
    refused(run(&[1, 2], &[4, 3], &[2, 1]), &["ctc", "targets", "3 concatenated labels", "[2]"]);
    refused(run(&[1, 2, 1, 1, 1], &[4, 3], &[2, 1]), &["ctc", "targets", "3 concatenated labels", "[5]"]);
    refused(run(&[1, 2], &[4, 3], &[usize::MAX, 1]), &["ctc", "targets"]);
    refused(run(&[1, 2, 1], &[5, 3], &[2, 1]), &["ctc", "input_lengths", "at most 4", "5"]);
    refused(run(&[1, 2, 1], &[4], &[2, 1]), &["ctc", "input_lengths", "[2]", "[1]"]);
    refused(run(&[1, 2, 1], &[4, 3], &[3]), &["ctc", "target_lengths", "[2]", "[1]"]);
    refused(loss::ctc_with(&zeros(device, &[4, 3]), &[1], &[4], &[1], options), &["ctc", "log_probs", "[4, 3]"]);
    let past = CtcOptions { blank: 3, ..options };
    refused(loss::ctc_with(&log_probs, &[1, 2], &[4, 4], &[1, 1], past), &["ctc", "blank", "below 3"]);
    let indices = Tensor::from_indices(device, &[0; 24], &[4, 2, 3]).expect("indices");
    refused(loss::ctc_with(&indices, &[1, 2], &[4, 4], &[1, 1], options), &["ctc", "log_probs", "f32"]);
}

fn kernels_refuse_invalid_parameters(device: &Device) {
    use wgru::kernels::fused::{GRU, GRU_RESET_BEFORE, LSTM};
    use wgru::kernels::*;
    let [a, b, c] = [(); 3].map(|()| zeros(device, &[64]));
    let index = Tensor::from_indices(device, &[0; 64], &[64]).expect("indices");
    let matmul = |p: MatMul| device.run(&p, [&a, &a, &a], [&b]);
    let small = MatMul::new(2, 2, 2);
    for (p, word) in [
        (MatMul { m: 0, ..small }, "m"),
        (MatMul { k: 0, ..small }, "k"),
        (MatMul { c_row: 0, ..small }, "c_row"),
        (MatMul { bias: 2, ..small }, "bias"),
        (MatMul { a_row: u32::MAX, ..small }, "a"),
        (MatMul { b_offset: u32::MAX - 1, ..small }, "b"),
        (MatMul { batch: 3, k_all: 4, c_batch: 4, ..small }, "k_all"),
        // The first item of this split reads 100 elements of `a`, the last only one.
        (MatMul { batch: 2, k: 100, k_all: 101, c_batch: 1, ..MatMul::new(1, 1, 1) }, "a"),
    ] {
        refused(matmul(p), &["matmul", word]);
    }
    refused(device.run(&Unary { len: 4, op: 99, alpha: 0.0 }, [&a], [&b]), &["unary", "op", "99"]);
    let grid = Binary { dims: [1, 1, 1, 4], a_strides: [0, 0, 0, 1], b_strides: [0, 0, 0, 1], op: 0 };
    refused(device.run(&Binary { op: 9, ..grid }, [&a, &a], [&b]), &["binary", "op"]);
    refused(device.run(&Binary { dims: [1, 1, 0, 4], ..grid }, [&a, &a], [&b]), &["binary", "dims"]);
    refused(device.run(&Binary { dims: [u32::MAX; 4], ..grid }, [&a, &a], [&b]), &["binary", "dims"]);
    refused(device.run(&Copy { dims: [1, 1, 1, 0], ..Copy::default() }, [&a], [&b]), &["copy", "dims"]);
    let sum = Sum { outer: 1, axis: 4, inner: 1, chunk: 2, scale: 1.0, ..Sum::default() };
    refused(device.run(&Sum { chunk: 0, ..sum }, [&a], [&b]), &["sum", "chunk"]);
    refused(device.run(&Sum { inner: 0, ..sum }, [&a], [&b]), &["sum", "inner"]);
    refused(device.run(&Softmax { rows: 1, width: 0, log: 0 }, [&a], [&b]), &["softmax", "width"]);
    refused(device.run(&Loss { len: 4, kind: 7, delta: 0.0 }, [&a, &a], [&b]), &["loss", "kind"]);
    let unfold =
        Unfold { steps: 4, outputs: 4, batch: 2, channels: 2, groups: 1, taps: 1, stride: 1, dilation: 1, padding: 0 };
    for (p, word) in [
        (Unfold { groups: 0, ..unfold }, "groups"),
        (Unfold { groups: 3, ..unfold }, "groups"),
        (Unfold { taps: 0, ..unfold }, "taps"),
        (Unfold { stride: u32::MAX, ..unfold }, "stride"),
        (Unfold { padding: u32::MAX, ..unfold }, "stride"),
        (Unfold { taps: 1 << 28, ..unfold }, "outputs"),
    ] {
        refused(device.run(&p, [&a], [&b]), &["unfold", word]);
        refused(device.run(&Fold(p), [&a], [&b]), &["fold", word]);
    }
    let ctc = Ctc { steps: 2, batch: 1, classes: 3, labels: 1, ..Ctc::default() };
    for (p, word) in [
        (Ctc { blank: 3, ..ctc }, "blank"),
        (Ctc { labels: 0, ..ctc }, "labels"),
        (Ctc { labels: u32::MAX, ..ctc }, "labels"),
        (Ctc { zero_infinity: 2, ..ctc }, "zero_infinity"),
        (Ctc { batch: 1 << 16, steps: 1 << 16, ..ctc }, "steps"),
    ] {
        refused(device.run(&CtcAlpha(p), [&index, &index, &a], [&b, &c, &zeros(device, &[64])]), &["ctc_alpha", word]);
    }
    let gru = Fused { steps: 1, batch: 1, hidden: 2, directions: 1, ..Fused::default() };
    for (p, word) in [
        (Fused { cell: 2, ..gru }, "cell"),
        (Fused { directions: 3, ..gru }, "directions"),
        (Fused { directions: 2, reverse: 1, ..gru }, "reverse"),
        (Fused { hidden: 0, ..gru }, "hidden"),
        (Fused { batch: 0, ..gru }, "batch"),
        (Fused { steps: u32::MAX, ..gru }, "steps"),
        (Fused { batch: 1 << 20, steps: 1 << 12, ..gru }, "steps"),
    ] {
        let d = zeros(device, &[64]);
        let name = "recurrent_sequence_gru";
        refused(device.run(&RecurrentSequence::<GRU>::new(p), [&a, &a, &index], [&b, &c, &d]), &[name, word]);
        let step = RecurrentStep::<GRU>::new(Fused { step: 1, ..p });
        refused(device.run(&step, [&a, &a, &index], [&b, &c, &d]), &["recurrent_step_gru"]);
    }
    let d = zeros(device, &[64]);
    for cell in [0, 5] {
        let p = RecurrentSequence::<LSTM>::new(Fused { cell, ..gru });
        refused(device.run(&p, [&a, &a, &index], [&b, &c, &d]), &["recurrent_sequence_lstm", "cell"]);
    }
    let half = RecurrentStep::<GRU_RESET_BEFORE>::new(Fused { cell: 1, half: 1, ..gru });
    refused(device.run(&half, [&a, &a, &index], [&b, &c, &d]), &["recurrent_step_gru_reset_before", "save"]);
    // No failed call leaves a lock held.
    assert_eq!(a.add(&b).and_then(|s| s.read_blocking()).expect("still works"), [0.0; 64]);
}

#[test]
fn optimizers_and_trainers_refuse_wrong_options() {
    let device = Device::cpu();
    let w = || vec![("w".to_string(), zeros(&device, &[2]).requires_grad())];
    refused(Optimizer::new(w(), Method::Adam(AdamConfig::default()), -1.0), &["rate"]);
    refused(Optimizer::new(w(), Method::Adam(AdamConfig::default()), f64::NAN), &["rate"]);
    let betas = AdamConfig { betas: (1.0, 0.9), ..AdamConfig::default() };
    refused(Optimizer::new(w(), Method::Adam(betas), 0.1), &["betas.0"]);
    let nesterov = SgdConfig { nesterov: true, ..SgdConfig::default() };
    refused(Optimizer::new(w(), Method::Sgd(nesterov), 0.1), &["nesterov"]);
    refused(clip_grad_norm(&w(), 0.0), &["max_norm"]);

    let model = Linear::new(&device, 2, 1, true, &mut Rng::new(0)).expect("linear");
    let pairs = |inputs| {
        HostData::new(&device, inputs, &[2]).and_then(|data| data.with_targets(vec![0.0; 2], &[1])).expect("data")
    };
    let data = pairs(vec![0.0; 4]);
    let optimizer = Optimizer::new(model.parameters(), Method::Sgd(SgdConfig::default()), 0.1).expect("sgd");
    let options = TrainOptions { batch: 0, ..TrainOptions::default() };
    refused(Trainer::new(optimizer, options, Rng::new(0)).fit_blocking(&model, &data, None, loss::mse), &["batch"]);

    // A non-finite loss stops the run with an error.
    let nan = pairs(vec![f32::NAN; 4]);
    let optimizer = Optimizer::new(model.parameters(), Method::Sgd(SgdConfig::default()), 0.1).expect("sgd");
    let mut trainer = Trainer::new(optimizer, TrainOptions::default(), Rng::new(0));
    refused(trainer.fit_blocking(&model, &nan, None, loss::mse), &["diverged", "NaN", "learning rate"]);
}

#[test]
fn data_sets_refuse_mismatched_lengths() {
    let device = Device::cpu();
    refused(HostData::new(&device, vec![], &[2]), &["HostData::new", "inputs", "[2]"]);
    refused(HostData::new(&device, vec![0.0; 3], &[2]), &["inputs", "[3]"]);
    refused(HostData::new(&device, vec![0.0; 3], &[3, 0]), &["at least 1", "[3, 0]"]);
    refused(HostData::new(&device, vec![0.0; 3], &[1; 8]), &["dims", "7 axes"]);
    refused(HostData::new(&device, vec![0.0; 3], &[usize::MAX, 2]), &["HostData::new"]);
    refused(HostData::from_indices(&device, vec![1; 3], &[2]), &["HostData::from_indices", "inputs"]);
    refused(HostData::from_sequences(&device, &[], 1), &["HostData::from_sequences", "sequences", "at least one"]);
    refused(HostData::from_sequences(&device, &[vec![1.0]], 0), &["0 features"]);
    refused(HostData::from_sequences(&device, &[vec![1.0; 2], vec![1.0; 3]], 2), &["3 values in sequence 1"]);
    refused(HostData::from_index_sequences(&device, &[vec![], vec![]]), &["HostData::from_index_sequences", "2"]);
    let classes = Tensor::from_indices(&device, &[0, 2], &[2]).expect("classes");
    refused(accuracy(&zeros(&device, &[2, 2]), &classes), &["accuracy", "target", "2"]);
    refused(accuracy(&zeros(&device, &[3, 3]), &classes), &["accuracy", "target", "[3]", "[2]"]);
    refused(Embedding::from_weight(zeros(&device, &[4])), &["Embedding", "[rows, width]", "[4]"]);
    refused(Embedding::from_weight(classes), &["Embedding", "f32"]);

    // Two sequences of three steps.
    let data = || HostData::new(&device, vec![0.5; 6], &[3, 1]).expect("data");
    refused(data().with_targets(vec![0.0; 3], &[1]), &["HostData::with_targets", "targets", "2 of [1]", "[3]"]);
    refused(data().with_targets(vec![0.0; 2], &[0]), &["HostData::with_targets", "at least 1"]);
    refused(data().with_input(vec![0.0; 9], &[4]), &["HostData::with_input", "inputs", "2 of [4]", "[9]"]);
    refused(data().with_indices(vec![0; 9], &[4]), &["HostData::with_indices", "inputs", "2 of [4]", "[9]"]);
    refused(data().with_classes(vec![0; 3]), &["HostData::with_classes", "classes", "[2], or [2, 3]", "[3]"]);
    refused(data().with_classes(vec![]), &["classes", "[0]"]);
    refused(data().with_lengths(vec![3]), &["HostData::with_lengths", "lengths", "[2]", "[1]"]);
    refused(data().with_lengths(vec![3, 4]), &["HostData::with_lengths", "lengths", "0 to 3", "4 for example 1"]);
    let numbers = || HostData::new(&device, vec![0.5; 6], &[]).expect("data");
    refused(numbers().with_lengths(vec![1; 6]), &["lengths", "time"]);
    refused(numbers().with_classes(vec![1; 5]), &["classes", "[6]", "[5]"]);
    refused(data().batch(&[0, 2]), &["HostData::batch", "examples", "below 2", "2"]);
    refused(data().batch(&[]), &["at least 1"]);
}

#[test]
fn training_refuses_data_that_the_model_cannot_use() {
    let device = Device::cpu();
    let model = Linear::new(&device, 2, 3, true, &mut Rng::new(0)).expect("linear");
    let before = model.weight().read_blocking().expect("read");
    let trainer = || {
        let optimizer = Optimizer::new(model.parameters(), Method::Sgd(SgdConfig::default()), 0.1).expect("sgd");
        Trainer::new(optimizer, TrainOptions::default(), Rng::new(0))
    };
    let data = || HostData::new(&device, vec![0.5; 8], &[2]).expect("data");
    let fit = |data: HostData| trainer().fit_blocking(&model, &data, None, loss::cross_entropy);
    // A class that has no logit.
    let past = data().with_classes(vec![0, 1, 2, 3]).expect("classes");
    refused(fit(past), &["cross_entropy", "target", "below 3", "3"]);
    // A module takes one input, and needs targets.
    refused(fit(data()), &["Trainer::fit", "data", "with_targets", "with_classes"]);
    let classes = || data().with_classes(vec![0, 1, 2, 0]).expect("classes");
    // Lengths make the input of each example a sequence, of which this layer computes every step.
    refused(fit(classes().with_lengths(vec![2; 4]).expect("lengths")), &["Trainer::fit", "targets", "LastState"]);
    refused(fit(classes().with_input(vec![0.0; 4], &[1]).expect("input")), &["Trainer::fit", "2 inputs", "fit_with"]);
    // A step function gets the lengths too.
    let lengths = classes().with_lengths(vec![2; 4]).expect("lengths");
    let step =
        |batch: &Batch, mode: &mut Mode| loss::cross_entropy(&model.forward_with(batch.x(), mode)?, batch.targets());
    refused(trainer().evaluate_with_blocking(&data(), step), &["cross_entropy", "target"]);
    assert_eq!(model.weight().read_blocking().expect("read"), before, "nothing was trained");
    assert!(trainer().fit_with_blocking(&lengths, None, step).is_ok());
}

#[test]
fn cpu_options_are_checked() {
    let with = |threads, isa: Option<&str>| {
        Device::cpu_with(CpuOptions { threads, isa: isa.map(String::from), reference: false })
    };
    refused(with(Some(0), None), &["threads"]);
    refused(with(None, Some("mmx")), &["isa", "portable", "mmx"]);
    assert!(with(Some(2), Some("portable")).is_ok());
}

#[test]
#[cfg(feature = "gpu")]
fn sizes_past_the_adapters_limits_name_the_limit() {
    let Some(device) = common::gpu() else { return eprintln!("SKIPPED: no adapter") };
    let most = device.info().adapter.as_ref().expect("an adapter").max_binding as usize / 4;
    match Tensor::zeros(&device, &[most + 1]) {
        Err(wgru::Error::Limit { limit, needed, allowed, .. }) => {
            assert!(limit.starts_with("max"), "{limit}");
            assert!(needed > allowed);
        }
        // The adapter's largest binding exceeds the maximum number of elements of a tensor.
        Err(wgru::Error::Shape { .. }) => {}
        other => panic!("{other:?}"),
    }
    // The device still works.
    assert_eq!(Tensor::full(&device, 2.0, &[3]).expect("full").read_blocking().expect("read"), [2.0; 3]);
    // More elements than one row of workgroups has invocations: dispatched in several rows instead of refused.
    let many = 65_535 * 64 + 5;
    let x = Tensor::full(&device, 1.0, &[many]).expect("full");
    assert_eq!(x.sum().and_then(|s| s.item_blocking()).expect("sum"), many as f32);
    // A batch of products that exceeds the limit of one dimension is refused by name.
    let tall = zeros(&device, &[65_536, 1, 1]);
    refused(tall.matmul(&tall), &["maxComputeWorkgroupsPerDimension", "65536"]);
}

/// An adopted device keeps the host's error handler, which panics by default: no error of ours may reach it.
#[test]
#[cfg(feature = "gpu")]
fn an_adopted_device_works_and_its_loss_is_an_error() {
    use wgru::wgpu;
    if common::gpu().is_none() {
        return eprintln!("SKIPPED: no adapter");
    }
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapter = pollster::block_on(instance.request_adapter(&Default::default())).expect("an adapter");
    let (raw, queue) = pollster::block_on(adapter.request_device(&Default::default())).expect("a device");
    let device = Device::from_wgpu(&adapter, raw.clone(), queue).expect("adopted");
    assert!(device.info().reason.contains("host"));
    let gru = gru(&device);
    let x = zeros(&device, &[6, 3, 4]);
    let run = || gru.run(&x, RunOptions::default(), &mut Mode::Eval).and_then(|r| r.h_n.read_blocking());
    assert_eq!(run().expect("works").len(), 2 * 3 * 5);
    raw.destroy();
    assert!(run().is_err(), "a destroyed device returned results");
    assert!(Tensor::zeros(&device, &[1 << 16]).and_then(|t| t.read_blocking()).is_err());
    assert!(gru.parameters()[0].1.assign(&[0.0; 60]).and_then(|()| run()).is_err());
}

/// Runs this test again in child processes, since environment variables are process-wide.
#[test]
#[cfg(feature = "gpu")]
fn environment_variables_choose_the_device() {
    if std::env::var("WGRU_TEST_CHILD").is_ok() {
        match Device::auto_blocking() {
            Ok(device) => println!("auto: {} because {}", device.info().name, device.info().reason),
            Err(error) => println!("auto: {error}"),
        }
        match Device::gpu_blocking() {
            Ok(device) => println!("gpu: {}", device.info().name),
            Err(error) => println!("gpu: {error}"),
        }
        return;
    }
    let child = |backend: &str, adapter: &str| {
        let exe = std::env::current_exe().expect("this test");
        let output = std::process::Command::new(exe)
            .args(["--exact", "environment_variables_choose_the_device", "--nocapture"])
            .envs([("WGRU_TEST_CHILD", "1"), ("WGRU_BACKEND", backend), ("WGRU_ADAPTER", adapter)])
            .output()
            .expect("ran");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let cpu = child("cpu", "");
    assert!(cpu.contains("auto: cpu") && cpu.contains("WGRU_BACKEND=cpu") && cpu.contains("gpu: no adapter"), "{cpu}");
    let nowhere = child("", "no such adapter");
    assert!(nowhere.contains("gpu: no adapter") && nowhere.contains("no such adapter"), "{nowhere}");
    assert!(nowhere.contains("auto: no adapter"), "a required adapter must not fall back to the CPU: {nowhere}");
    let unknown = child("glide", "");
    assert!(unknown.contains("WGRU_BACKEND") && unknown.contains("glide"), "{unknown}");
}

#[test]
fn mismatched_files_name_the_tensor_and_change_nothing() {
    let device = Device::cpu();
    let gru = gru(&device);
    let before: Vec<Vec<f32>> = gru.parameters().iter().map(|(_, t)| t.read_blocking().expect("read")).collect();
    let whole = || {
        let mut file = TensorFile::default();
        for (name, t) in gru.parameters() {
            file.insert(&name, t.dims(), vec![9.0; t.len()]);
        }
        file
    };
    let parse = |file: &TensorFile| TensorFile::from_bytes("memory", &file.to_bytes().expect("bytes")).expect("parsed");

    let mut extra = whole();
    extra.insert("weight_ih_l2", &[15, 5], vec![0.0; 75]);
    refused(io::load_parameters(&gru, &parse(&extra)), &["weight_ih_l2", "no such parameter"]);
    let mut lacking = TensorFile::default();
    lacking.insert("weight_ih_l0", &[15, 4], vec![0.0; 60]);
    refused(io::load_parameters(&gru, &lacking), &["weight_hh_l0", "missing"]);
    let mut wrong = whole();
    wrong = {
        let mut file = TensorFile::default();
        for name in wrong.names().map(String::from).collect::<Vec<_>>() {
            let (dims, values) = wrong.get(&name).expect("there");
            let dims = if name == "bias_hh_l1" { vec![3, 5] } else { dims.to_vec() };
            file.insert(&name, &dims, values.to_vec());
        }
        file
    };
    refused(io::load_parameters(&gru, &parse(&wrong)), &["bias_hh_l1", "[3, 5]", "[15]"]);
    let after: Vec<Vec<f32>> = gru.parameters().iter().map(|(_, t)| t.read_blocking().expect("read")).collect();
    assert_eq!(before, after, "half-loaded");
    io::load_parameters(&gru, &parse(&whole())).expect("the right file loads");

    for dims in [vec![4, 4], vec![0, 4], vec![6], vec![300_000, 1]] {
        let mut file = TensorFile::default();
        file.insert("weight_ih_l0", &dims, vec![0.0; dims.iter().product()]);
        refused(io::load_recurrent_blocking(&device, &file), &["weight_"]);
    }
}

#[test]
fn truncated_and_foreign_files_are_refused() {
    let gru = gru(&Device::cpu());
    let mut file = TensorFile::default();
    for (name, t) in gru.parameters() {
        file.insert(&name, t.dims(), t.read_blocking().expect("read"));
    }
    let bytes = file.to_bytes().expect("bytes");
    for end in (0..bytes.len()).step_by(7) {
        refused(TensorFile::from_bytes("cut.safetensors", &bytes[..end]), &["cut.safetensors"]);
    }
    for start in 0..200.min(bytes.len()) {
        let mut flipped = bytes.clone();
        flipped[start] ^= 0x55;
        // A flipped byte of a name or a value can yield another valid file, so parsing may succeed, but must not panic.
        let _ =
            TensorFile::from_bytes("flipped", &flipped).and_then(|f| io::load_recurrent_blocking(&Device::cpu(), &f));
    }
    let huge = [&u64::MAX.to_le_bytes()[..], b"{}"].concat();
    for foreign in [&b"PK\x03\x04 a zip"[..], b"", b"{}", &huge] {
        refused(TensorFile::from_bytes("foreign", foreign), &["foreign"]);
    }
    let mut ints = Vec::new();
    let header = br#"{"n":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}"#;
    ints.extend((header.len() as u64).to_le_bytes());
    ints.extend(header);
    ints.extend(i64::MAX.to_le_bytes());
    refused(TensorFile::from_bytes("ints", &ints), &["ints", "\"n\"", "I64"]);
    refused(TensorFile::open("/no/such/file.safetensors"), &["/no/such/file.safetensors"]);
}

#[test]
fn a_failed_save_leaves_the_old_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.safetensors");
    io::save_recurrent_blocking(&gru(&Device::cpu()), &path).expect("saved");
    let before = std::fs::read(&path).expect("read");
    // A tensor with another number of values than its shape cannot be written.
    let mut file = TensorFile::default();
    file.insert("short", &[2], vec![0.0]);
    refused(file.save(&path), &["short", "1 values", "[2]"]);
    assert_eq!(std::fs::read(&path).expect("read"), before);
    // A folder cannot be replaced either, and the temporary file beside it is removed.
    let occupied = folder.path().join("occupied");
    std::fs::create_dir(&occupied).expect("folder");
    std::fs::write(occupied.join("file"), b"x").expect("file");
    refused(io::write_atomically(&occupied, b"new"), &["occupied"]);
    let left: Vec<_> = std::fs::read_dir(folder.path()).expect("list").map(|e| e.expect("entry").file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}
