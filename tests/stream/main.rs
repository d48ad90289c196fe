//! Streams compute the same numbers as the layer, and allocate nothing after construction.

#[cfg(wgru_jspi)]
#[macro_use]
extern crate browser_tests;

#[path = "../common/mod.rs"]
mod common;
#[path = "../reference/mod.rs"]
mod reference;

mod live;
mod network;
mod non_finite;
mod pool;
#[cfg(not(target_arch = "wasm32"))]
mod published;
mod rate;

use std::alloc::{GlobalAlloc, Layout, System};

use common::{assert_close, fill, mix, relative_error};
use wgru::nn::{Linear, Mode, Module, Recurrent, RecurrentConfig, RecurrentOptions, RunOptions};
use wgru::{Activation, Cell, Device, Precision, Rng, Stream, StreamOptions, StreamPool, Tensor};

/// The layer's sums in a different order, over up to 40 steps.
const F32: f64 = 2e-6;
/// Where gates exceed 1, states grow from step to step, and so do the differences.
const GROWING: f64 = 3e-4;
/// 11 bits of mantissa in every weight; the update gate attenuates the errors of a step.
const F16: f64 = 1e-3;
/// 8 bits of mantissa.
const BF16: f64 = 1e-2;
/// 7 bits in weights and inputs.
const INT8: f64 = 4e-2;

thread_local!(static ALLOCATIONS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) });

/// Counts how often this thread allocates or frees memory.
struct Counting;

// SAFETY: passes every call on to the system's allocator.
#[allow(unsafe_code, reason = "an allocator that counts")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|n| n.set(n.get() + 1));
        // SAFETY: the caller upholds the same contract.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        let _ = ALLOCATIONS.try_with(|n| n.set(n.get() + 1));
        // SAFETY: the caller upholds the same contract.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn build(cell: Cell, input: usize, hidden: usize, layers: usize) -> Recurrent {
    let config = RecurrentConfig { layers, ..RecurrentConfig::new(cell, input, hidden) };
    config.build(&Device::cpu(), &mut Rng::new(7)).expect("layer")
}

fn compare(layer: &Recurrent, batch: usize, weights: Precision, tolerance: f64) -> f64 {
    let &RecurrentConfig { cell, input, hidden, .. } = layer.config();
    let (steps, device) = (40, layer.parameters()[0].1.device().clone());
    let head = Linear::new(&device, hidden, 5, true, &mut Rng::new(8)).expect("head");
    let x = fill(3, steps * batch * input, 1.0);
    let x_all = Tensor::from_slice(&device, &x, &[steps, batch, input]).expect("x");
    let run = layer.run(&x_all, RunOptions::default(), &mut Mode::Eval).expect("run");
    let want_head = head.forward(&run.output).and_then(|y| y.read_blocking()).expect("head");
    let wide = |v: Vec<f32>| v.into_iter().map(f64::from).collect::<Vec<_>>();
    let (want, want_head) = (wide(run.output.read_blocking().expect("read")), wide(want_head));

    let mut plain = Stream::new(layer, StreamOptions { batch, weights, ..Default::default() }).expect("stream");
    let mut headed = plain.clone();
    let mut shared =
        Stream::new(layer, StreamOptions { batch, weights, threads: 3, ..Default::default() }).expect("stream");
    let got: Vec<f32> = x.chunks(batch * input).flat_map(|x| plain.step(x).expect("step").to_vec()).collect();
    let what = format!("{cell} of {hidden}, batch {batch}, {weights:?}");
    let last = [&run.h_n].into_iter().chain(&run.c_n).flat_map(|state| state.read_blocking().expect("read"));
    let last = wide(last.collect());
    for (x, y) in x.chunks(batch * input).zip(got.chunks(batch * hidden)) {
        assert_eq!(shared.step(x).expect("step"), y, "{what}: threads");
    }
    assert_close(&what, &got, &want, tolerance);
    assert_close(&format!("{what}: states"), plain.state(), &last, tolerance);
    let worst = relative_error(&got, &want).max(relative_error(plain.state(), &last));

    // A clone shares the weights, so a head needs its own stream.
    assert!(headed.clone().then(&head).is_err());
    drop(plain);
    headed = headed.then(&head).expect("then");
    let got: Vec<f32> = x.chunks(batch * input).flat_map(|x| headed.step(x).expect("step").to_vec()).collect();
    assert_close(&format!("{what}: head"), &got, &want_head, tolerance);
    worst.max(relative_error(&got, &want_head))
}

/// The same bits as with the format that it stands for.
#[test]
fn automatic_weights_are_f32_for_small_layers_and_bf16_for_large_ones() {
    let limit = if cfg!(target_arch = "wasm32") { 128 } else { 64 };
    for (hidden, expected) in [(8, Precision::F32), (limit, Precision::F32), (limit + 1, Precision::Bf16)] {
        let layer = build(Cell::Gru, 3, hidden, 1);
        let head = Linear::new(&Device::cpu(), hidden, 5, true, &mut Rng::new(8)).expect("head");
        let run = |weights: Precision| {
            let options = StreamOptions { weights, ..StreamOptions::default() };
            let mut stream = Stream::new(&layer, options).and_then(|stream| stream.then(&head)).expect("stream");
            fill(3, 20 * 3, 1.0).chunks(3).flat_map(|x| stream.step(x).expect("step").to_vec()).collect::<Vec<f32>>()
        };
        assert_eq!(run(Precision::Auto), run(expected), "{hidden} units");
        assert_ne!(run(Precision::F32), run(Precision::Bf16), "{hidden} units: the formats differ");
    }
}

#[test]
fn streams_match_the_layer() {
    for (weights, tolerance) in
        [(Precision::F32, F32), (Precision::F16, F16), (Precision::Bf16, BF16), (Precision::Int8, INT8)]
    {
        let mut worst = 0.0f64;
        for (input, hidden, layers) in [(1, 1, 1), (3, 5, 1), (7, 16, 2), (20, 67, 1), (4, 130, 3)] {
            for cell in Cell::ALL {
                let layer = build(cell, input, hidden, layers);
                for batch in [1, 2, 3, 7] {
                    worst = worst.max(compare(&layer, batch, weights, tolerance));
                }
            }
        }
        println!("streams of {weights:?}: worst error {worst:.1e} of the largest value");
    }
}

/// Negative control: the comparison above distinguishes the reset forms, even at the tolerance of int8.
#[test]
#[should_panic(expected = "the other form: error")]
fn a_stream_of_the_other_reset_form_is_rejected() {
    // The same seed gives the same weights.
    let grus = [Cell::Gru, Cell::GruResetBefore];
    let mut streams = grus.map(|cell| build(cell, 20, 67, 1).stream(1).expect("stream"));
    let frames: Vec<Vec<f32>> = (0..40).map(|t| fill(t, 20, 1.0)).collect();
    let [a, b] =
        streams.each_mut().map(|s| frames.iter().flat_map(|x| s.step(x).expect("step").to_vec()).collect::<Vec<_>>());
    assert_close("the other form", &a, &b.into_iter().map(f64::from).collect::<Vec<_>>(), INT8);
}

/// A stream with an output layer of `outputs`, or none.
fn stream(layer: &Recurrent, outputs: usize, options: StreamOptions) -> Stream {
    let stream = Stream::new(layer, options).expect("stream");
    if outputs == 0 {
        return stream;
    }
    let head = Linear::new(&Device::cpu(), layer.config().hidden, outputs, true, &mut Rng::new(8)).expect("head");
    stream.then(&head).expect("head")
}

#[test]
fn blocks_give_the_bits_of_steps() {
    // Vectors of every width, whole and in part, and more units than the small steps take.
    for hidden in [1, 3, 4, 8, 11, 12, 16, 20, 24, 31, 40, 64, 65] {
        for cell in Cell::ALL {
            for (input, layers, outputs) in [(1, 1, 0), (3, 2, 1), (8, 3, 2), (hidden, 1, 20)] {
                let layer = build(cell, input, hidden, layers);
                for (batch, weights) in [(1, Precision::F32), (2, Precision::F32), (1, Precision::Int8)] {
                    let options = StreamOptions { batch, weights, ..Default::default() };
                    let [mut steps, mut blocks] = [(); 2].map(|()| stream(&layer, outputs, options));
                    let width = batch * if outputs == 0 { hidden } else { outputs };
                    let frames = 150;
                    let x = fill(5, frames * batch * input, 1.0);
                    let want: Vec<f32> =
                        x.chunks(batch * input).flat_map(|x| steps.step(x).expect("step").to_vec()).collect();
                    let mut got = vec![f32::NAN; want.len()];
                    // Of several lengths, also 0 and more than the frames that are computed together.
                    let mut at = 0;
                    for length in [0, 1, 7, 100, 31, 11] {
                        let (x, out) = (&x[at * batch * input..], &mut got[at * width..]);
                        blocks.process(&x[..length * batch * input], &mut out[..length * width]).expect("process");
                        at += length;
                    }
                    assert_eq!(at, frames);
                    assert!(
                        want.iter().zip(&got).all(|(a, b)| a.to_bits() == b.to_bits()),
                        "{cell} of {input}, {hidden}, {layers} layers, {outputs} outputs, batch {batch}, {weights:?}"
                    );
                    assert_eq!(steps.state(), blocks.state());
                }
            }
        }
    }
}

#[test]
fn blocks_can_be_replaced_by_their_outputs() {
    for (hidden, outputs, batch) in [(8, 0, 1), (8, 8, 2), (20, 1, 1), (70, 1, 1)] {
        let input = if outputs == 0 { hidden } else { outputs };
        let layer = build(Cell::Gru, input, hidden, 2);
        let [mut one, mut two] =
            [(); 2].map(|()| stream(&layer, outputs, StreamOptions { batch, ..Default::default() }));
        let mut x = fill(3, 200 * batch * input, 1.0);
        let mut want = vec![0.0; x.len()];
        one.process(&x, &mut want).expect("process");
        two.process_in_place(&mut x).expect("in place");
        assert_eq!(x, want);
    }
    let mut even = stream(&build(Cell::Gru, 8, 8, 1), 0, StreamOptions::default());
    assert!(even.process_in_place(&mut [0.0; 9]).expect_err("9 floats").to_string().contains("16 values"));
    let mut stream = stream(&build(Cell::Gru, 2, 8, 1), 0, StreamOptions::default());
    assert!(stream.process_in_place(&mut [0.0; 8]).expect_err("8 outputs").to_string().contains("32 values"));
}

#[test]
fn blocks_of_a_wrong_length_leave_the_state() {
    let mut stream = stream(&build(Cell::Gru, 2, 8, 1), 1, StreamOptions::default());
    stream.process(&[0.5; 6], &mut [0.0; 3]).expect("process");
    let state = stream.state().to_vec();
    let error = stream.process(&[0.5; 5], &mut [0.0; 2]).expect_err("half a frame").to_string();
    assert!(error.contains("input") && error.contains("6 values"), "{error}");
    let error = stream.process(&[0.5; 6], &mut [0.0; 2]).expect_err("an output is missing").to_string();
    assert!(error.contains("output") && error.contains("3 values"), "{error}");
    assert_eq!(stream.state(), state);
}

#[cfg(not(target_arch = "wasm32"))]
#[test]
fn fast_activations_stay_close() {
    let mut worst = 0.0f64;
    for cell in [Cell::Gru, Cell::GruResetBefore, Cell::Lstm, Cell::Rnn] {
        for hidden in [5, 8, 20, 64] {
            let layer = build(cell, 2, hidden, 2);
            let [mut exact, mut fast] = [false, true]
                .map(|fast_activations| stream(&layer, 0, StreamOptions { fast_activations, ..Default::default() }));
            for t in 0..400 {
                let x = fill(t, 2, 3.0);
                let want: Vec<f64> = exact.step(&x).expect("step").iter().map(|v| (*v).into()).collect();
                let got = fast.step(&x).expect("step");
                assert!(got.iter().all(|v| v.abs() <= 1.0));
                let error = got.iter().zip(&want).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
                worst = worst.max(error);
            }
        }
    }
    println!("fast activations: worst error of a state {worst:.1e}");
    assert!(worst > 1e-7, "they are not the exact ones");
    // A few times the error of one activation, since the states before are in error, too.
    assert!(worst <= 1e-4, "{worst:e}");
    let refused = |options| Stream::new(&build(Cell::Gru, 1, 65, 1), options).err().expect("refused").to_string();
    assert!(refused(StreamOptions { fast_activations: true, ..Default::default() }).contains("fast_activations"));
}

/// In silence, states decay until they are 0, not until they are subnormal.
#[test]
fn silence_ends_in_zeros() {
    for cell in Cell::ALL {
        let layer = RecurrentConfig { bias: false, ..RecurrentConfig::new(cell, 1, 8) };
        let layer = layer.build(&Device::cpu(), &mut Rng::new(7)).expect("layer");
        for batch in [1, 2] {
            let mut stream = stream(&layer, 0, StreamOptions { batch, ..Default::default() });
            stream.step(&[1.0, 1.0][..batch]).expect("step");
            for _ in 0..20_000 {
                stream.step(&[0.0, 0.0][..batch]).expect("step");
            }
            assert!(stream.state().iter().all(|v| *v == 0.0), "{cell}: {:?}", stream.state());
        }
    }
}

/// Bound streams of ONNX models: that of a test, and those of others, from the data folder.
#[cfg(not(target_arch = "wasm32"))]
#[test]
fn ten_thousand_frames_of_onnx_models_allocate_nothing() {
    use wgru::io::onnx::{BoundStream, OnnxModel};
    let count = |path: &str, mut stream: BoundStream| {
        stream.run();
        let before = ALLOCATIONS.get();
        (0..10_000).for_each(|_| stream.run());
        assert_eq!(ALLOCATIONS.get(), before, "{path}");
    };
    let (device, own) = (Device::cpu(), concat!(env!("CARGO_MANIFEST_DIR"), "/tests/onnx/pytorch/rnn.onnx"));
    let frame = Tensor::zeros(&device, &[1, 1, 4]).expect("zeros").into();
    let stream = OnnxModel::open(&device, own).and_then(|model| model.stream()?.bind(&[("x", frame)]));
    count(own, stream.expect("bound"));
    let Some(folder) = std::env::var_os("WGRU_DATA").map(std::path::PathBuf::from).filter(|f| f.join("real").exists())
    else {
        return eprintln!("SKIPPED: WGRU_DATA has no real");
    };
    for (path, _, stream) in published::streams(&folder) {
        count(path, stream);
    }
}

#[test]
fn a_million_steps_allocate_nothing() {
    let count = |cell: Cell, weights: Precision, batch: usize| {
        let options = StreamOptions { batch, weights, ..Default::default() };
        let mut stream = stream(&build(cell, 4, 16, 2), 3, options);
        let frame = fill(1, 4 * batch, 1.0);
        let (block, mut out) = (frame.repeat(50), vec![0.0; 3 * batch * 50]);
        let before = ALLOCATIONS.get();
        let mut sum = 0.0;
        for _ in 0..250_000 {
            sum += stream.step(&frame).expect("step")[0];
        }
        for _ in 0..100 {
            stream.process(&block, &mut out).expect("process");
        }
        assert_eq!(ALLOCATIONS.get(), before, "{cell}, {weights:?}");
        assert!(sum.is_finite());
    };
    for weights in [Precision::F32, Precision::F16, Precision::Bf16, Precision::Int8] {
        count(Cell::Gru, weights, 2);
        count(Cell::Lstm, weights, 1);
    }
    count(Cell::GruResetBefore, Precision::F32, 1);
    count(Cell::Rnn, Precision::F32, 2);
    network::check_allocations(|| ALLOCATIONS.get());
    // The counter works.
    let before = ALLOCATIONS.get();
    drop(std::hint::black_box(vec![1]));
    assert_eq!(ALLOCATIONS.get(), before + 2);
}

#[test]
fn streams_can_be_reset_snapshotted_and_forked() {
    for cell in Cell::ALL {
        goes_on(build(cell, 3, 20, 2).stream(2).expect("stream"));
    }
}

fn goes_on(mut stream: Stream) {
    let frames: Vec<Vec<f32>> = (0..12).map(|t| fill(t, 6, 1.0)).collect();
    let run = |stream: &mut Stream, frames: &[Vec<f32>]| -> Vec<u32> {
        frames
            .iter()
            .flat_map(|x| stream.step(x).expect("step").iter().map(|v| v.to_bits()).collect::<Vec<_>>())
            .collect()
    };
    let all = run(&mut stream, &frames);
    stream.reset();
    assert_eq!(run(&mut stream, &frames), all, "a reset stream starts over");
    stream.reset();
    let first = run(&mut stream, &frames[..5]);
    let (snapshot, mut fork) = (stream.state().to_vec(), stream.clone());
    let rest = run(&mut stream, &frames[5..]);
    assert_eq!([&first[..], &rest].concat(), all);
    assert_eq!(run(&mut fork, &frames[5..]), rest, "a fork continues with the same results");
    stream.set_state(&snapshot).expect("state");
    assert_eq!(run(&mut stream, &frames[5..]), rest, "a snapshot continues with the same results");
}

#[test]
fn streams_begin_at_the_learned_first_state() {
    let options = RecurrentOptions { learn_h0: true, ..Default::default() };
    let config = RecurrentConfig { options, ..RecurrentConfig::gru(2, 3) };
    let gru = config.build(&Device::cpu(), &mut Rng::new(1)).expect("gru");
    let h0 = gru.parameters().into_iter().find(|(name, _)| name == "h0").expect("h0").1;
    h0.assign(&[0.5, -0.25, 0.75]).expect("assign");
    let mut stream = gru.stream(2).expect("stream");
    let begin = [0.5, -0.25, 0.75, 0.5, -0.25, 0.75];
    assert_eq!(stream.state(), begin);
    stream.step(&[0.0; 4]).expect("step");
    stream.reset();
    assert_eq!(stream.state(), begin);

    let config = RecurrentConfig { layers: 2, options, ..RecurrentConfig::lstm(2, 1) };
    let lstm = config.build(&Device::cpu(), &mut Rng::new(1)).expect("lstm");
    for (name, values) in [("h0", [0.5, -0.25]), ("c0", [1.5, 2.5])] {
        let state = lstm.parameters().into_iter().find(|(n, _)| n == name).expect("a state").1;
        state.assign(&values).expect("assign");
    }
    assert_eq!(lstm.stream(2).expect("stream").state(), [0.5, 0.5, -0.25, -0.25, 1.5, 1.5, 2.5, 2.5]);
}

/// With random joins and leaves, every member's outputs are those of its own stream, except for the order of sums,
/// which depends on how many members step together.
#[test]
fn pool_members_are_streams_of_their_own() {
    for cell in Cell::ALL {
        // The last ones continue from states of earlier steps.
        [1.0, 2.0, 2.18].into_iter().for_each(|rate_ratio| members(cell, rate_ratio));
    }
}

fn members(cell: Cell, rate_ratio: f64) {
    for with_head in [false, true] {
        let head = Linear::new(&Device::cpu(), 20, 4, true, &mut Rng::new(1)).expect("head");
        let make = |batch| {
            let options = StreamOptions { batch, rate_ratio, ..Default::default() };
            let stream = Stream::new(&build(cell, 3, 20, 2), options).expect("stream");
            if with_head { stream.then(&head).expect("then") } else { stream }
        };
        let mut pool = StreamPool::new(make(5));
        let mut members = Vec::new();
        for t in 0..200u32 {
            let dice = mix(t + 1000);
            if dice.is_multiple_of(3) && members.len() < 5 {
                members.push((pool.join().expect("join"), make(1)));
            } else if dice % 7 == 1 && !members.is_empty() {
                let (id, _) = members.swap_remove(dice as usize / 7 % members.len());
                pool.leave(id).expect("leave");
                assert!(pool.leave(id).is_err() && pool.frame_mut(id).is_err(), "gone");
            }
            for (i, (id, _)) in members.iter().enumerate() {
                pool.frame_mut(*id).expect("frame").copy_from_slice(&fill(t * 8 + i as u32, 3, 1.0));
            }
            pool.step();
            for (i, (id, alone)) in members.iter_mut().enumerate() {
                let want = alone.step(&fill(t * 8 + i as u32, 3, 1.0)).expect("step").to_vec();
                let got = pool.output(*id).expect("output");
                assert_close("member", got, &want.iter().map(|&v| v as f64).collect::<Vec<_>>(), F32);
            }
            assert_eq!(pool.len(), members.len());
        }
        while pool.len() < 5 {
            pool.join().expect("join");
        }
        assert!(pool.join().is_err_and(|e| e.to_string().contains("StreamPool::join")));
    }
}

/// Every activation in every part of every cell.
#[test]
fn streams_match_layers_with_other_activations() {
    let all = [
        Activation::Sigmoid,
        Activation::Tanh,
        Activation::Relu,
        Activation::Affine { alpha: 0.7, beta: -0.2 },
        Activation::LeakyRelu { alpha: 0.1 },
        Activation::ThresholdedRelu { alpha: 0.1 },
        Activation::ScaledTanh { alpha: 1.3, beta: 0.8 },
        Activation::HardSigmoid { alpha: 0.2, beta: 0.5 },
        Activation::Elu { alpha: 0.9 },
        Activation::Softsign,
        Activation::Softplus,
    ];
    let layer = |cell: Cell, hidden: usize, activations: Vec<Activation>| {
        let config = RecurrentConfig { activations, ..RecurrentConfig::new(cell, 3, hidden) };
        config.build(&Device::cpu(), &mut Rng::new(7)).expect("layer")
    };
    let mut worst = 0.0f64;
    for cell in Cell::ALL {
        for place in 0..cell.activation_names().len() {
            for activation in all {
                let mut activations = cell.activations().to_vec();
                activations[place] = activation;
                worst = worst.max(compare(&layer(cell, 5, activations), 2, Precision::F32, GROWING));
            }
        }
        // All parts at once, each with one of its own, and several blocks of units.
        let mixed = |shift: usize| (0..cell.activation_names().len()).map(|i| all[(2 * i + shift) % 11]).collect();
        for shift in 0..11 {
            worst = worst.max(compare(&layer(cell, 37, mixed(shift)), 1, Precision::F32, GROWING));
        }
    }
    println!("streams with other activations: worst error {worst:.1e} of the largest value");
    let relu = layer(Cell::Gru, 5, vec![Activation::Sigmoid, Activation::Sigmoid, Activation::Relu]);
    let fast = StreamOptions { fast_activations: true, ..Default::default() };
    let error = Stream::new(&relu, fast).err().expect("no fast ReLU").to_string();
    assert!(error.contains("fast_activations") && error.contains("Relu"), "{error}");
}

#[test]
fn streams_refuse_unsupported_layers() {
    let device = Device::cpu();
    let clip = RecurrentOptions { clip: Some(1.0), ..Default::default() };
    let (base, lstm) = (RecurrentConfig::gru(2, 3), RecurrentConfig::lstm(2, 3));
    for (config, word) in [
        (RecurrentConfig { bidirectional: true, ..base.clone() }, "bidirectional"),
        (RecurrentConfig { reverse: true, ..base.clone() }, "reverse"),
        (RecurrentConfig { options: clip, ..base.clone() }, "options"),
        (RecurrentConfig { projection: 2, ..lstm.clone() }, "projection"),
        (RecurrentConfig { peephole: true, ..lstm.clone() }, "peephole"),
        (RecurrentConfig { input_forget: true, ..lstm }, "input_forget"),
    ] {
        let error = config.build(&device, &mut Rng::new(0)).and_then(|layer| layer.stream(1)).err().expect("refused");
        assert!(error.to_string().contains(word), "{error}");
    }
    let gru = base.build(&device, &mut Rng::new(0)).expect("gru");
    assert!(gru.stream(0).is_err());
    let mut stream = gru.stream(2).expect("stream");
    let before = stream.state().to_vec();
    assert!(stream.step(&[0.0; 3]).is_err() && stream.set_state(&[0.0; 5]).is_err());
    assert_eq!(stream.state(), before);
    let wrong = Linear::new(&device, 4, 1, true, &mut Rng::new(0)).expect("linear");
    assert!(stream.then(&wrong).is_err());
    gru.parameters()[0].1.assign(&[1e6; 18]).expect("assign");
    assert!(
        Stream::new(&gru, StreamOptions { weights: Precision::F16, ..Default::default() }).is_err(),
        "too large for f16"
    );
    if let Some(gpu) = common::gpu() {
        let gru = RecurrentConfig::gru(2, 3).build(&gpu, &mut Rng::new(0)).expect("gru");
        assert!(gru.stream(1).is_err_and(|e| e.to_string().contains("device")));
    }
}

#[test]
fn a_nan_weight_gives_nan_in_every_precision() {
    for weights in [Precision::F32, Precision::F16, Precision::Bf16, Precision::Int8] {
        // Two positions, since bf16 packs pairs; the second one also with all bits of a NaN set.
        for (place, bad) in [(0, f32::NAN), (1, f32::from_bits(0x7fff_ffff)), (1, f32::from_bits(0x7f80_0001))] {
            let gru = build(Cell::Gru, 4, 5, 1);
            let (_, w) = gru.parameters().into_iter().find(|(name, _)| name == "weight_ih_l0").expect("a weight");
            let mut values = w.read_blocking().expect("read");
            values[place] = bad;
            w.assign(&values).expect("assign");
            let mut stream = Stream::new(&gru, StreamOptions { weights, ..Default::default() }).expect("stream");
            let y = stream.step(&[1.0; 4]).expect("step");
            assert!(y[0].is_nan() && y[1..].iter().all(|v| v.is_finite()), "{weights:?}, {bad:?} at {place}: {y:?}");
        }
    }
}
