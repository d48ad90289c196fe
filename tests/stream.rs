//! Streams: the numbers of the layer, and nothing allocated after construction.

#[cfg(wgru_jspi)]
#[macro_use]
extern crate browser_tests;

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use common::{assert_close, fill, mix, relative_error};
use wgru::nn::{
    Gru, GruActivations, Linear, Lstm, LstmActivations, Mode, Module, Recurrent, RecurrentConfig, RecurrentOptions,
    Rnn, RunOptions,
};
use wgru::{Activation, Cell, Device, Precision, Rng, Stream, StreamOptions, StreamPool, Tensor};

/// Another order of the same sums as the layer's, over up to 40 steps.
const F32: f64 = 2e-6;
/// 11 bits of mantissa in every weight; errors of a step fade with the update gate.
const F16: f64 = 1e-3;
/// 8 bits of mantissa.
const BF16: f64 = 1e-2;
/// 7 bits in weights and inputs.
const INT8: f64 = 4e-2;

thread_local!(static ALLOCATIONS: Cell<usize> = const { Cell::new(0) });

/// Counts this thread's allocations.
struct Counting;

// SAFETY: hands everything on to the system's allocator.
#[allow(unsafe_code, reason = "an allocator that counts")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|n| n.set(n.get() + 1));
        // SAFETY: as the caller's.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as the caller's.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn gru(input: usize, hidden: usize, layers: usize, reset_after: bool) -> Gru {
    let config = RecurrentConfig { input, hidden, layers, reset_after, ..Default::default() };
    config.build(&Device::cpu(), &mut Rng::new(7)).expect("gru")
}

fn lstm(input: usize, hidden: usize, layers: usize) -> Lstm {
    let config = RecurrentConfig { cell: Cell::Lstm, input, hidden, layers, ..Default::default() };
    config.build(&Device::cpu(), &mut Rng::new(7)).expect("lstm")
}

/// Layers that streams step.
trait Layer: Recurrent {
    /// The outputs of a whole sequence, and the last states as a stream has them.
    fn whole(&self, x: &Tensor) -> (Tensor, Vec<Tensor>);
}

macro_rules! layers {
    ($($layer:ident: $($last:ident)+;)*) => {
        $(impl Layer for $layer {
            fn whole(&self, x: &Tensor) -> (Tensor, Vec<Tensor>) {
                let run = self.run(x, RunOptions::default(), &mut Mode::Eval).expect("run");
                (run.output, vec![$(run.$last),+])
            }
        })*
    };
}
layers! {
    Gru: h_n;
    Lstm: h_n c_n;
    Rnn: h_n;
}

fn compare(layer: &impl Layer, [input, hidden]: [usize; 2], batch: usize, weights: Precision, tolerance: f64) -> f64 {
    let (steps, device) = (40, layer.parameters()[0].1.device().clone());
    let head = Linear::new(&device, hidden, 5, true, &mut Rng::new(8)).expect("head");
    let x = fill(3, steps * batch * input, 1.0);
    let (output, last) = layer.whole(&Tensor::from_slice(&device, &x, &[steps, batch, input]).expect("x"));
    let want_head = head.forward(&output).and_then(|y| y.to_vec()).expect("head");
    let wide = |v: Vec<f32>| v.into_iter().map(f64::from).collect::<Vec<_>>();
    let (want, want_head) = (wide(output.to_vec().expect("read")), wide(want_head));

    let mut plain = Stream::new(layer, StreamOptions { batch, weights, threads: 1 }).expect("stream");
    let mut headed = plain.clone();
    let mut shared = Stream::new(layer, StreamOptions { batch, weights, threads: 3 }).expect("stream");
    let got: Vec<f32> = x.chunks(batch * input).flat_map(|x| plain.step(x).expect("step").to_vec()).collect();
    let what = format!("{} of {hidden}, batch {batch}, {weights:?}", std::any::type_name_of_val(layer));
    let last = wide(last.iter().flat_map(|state| state.to_vec().expect("read")).collect());
    for (x, y) in x.chunks(batch * input).zip(got.chunks(batch * hidden)) {
        assert_eq!(shared.step(x).expect("step"), y, "{what}: threads");
    }
    assert_close(&what, &got, &want, tolerance);
    assert_close(&format!("{what}: states"), plain.state(), &last, tolerance);
    let worst = relative_error(&got, &want).max(relative_error(plain.state(), &last));

    // A clone shares the weights, so a head needs a stream of its own.
    assert!(headed.clone().then(&head).is_err());
    drop(plain);
    headed = headed.then(&head).expect("then");
    let got: Vec<f32> = x.chunks(batch * input).flat_map(|x| headed.step(x).expect("step").to_vec()).collect();
    assert_close(&format!("{what}: head"), &got, &want_head, tolerance);
    worst.max(relative_error(&got, &want_head))
}

#[test]
fn streams_give_the_layers_numbers() {
    for (weights, tolerance) in
        [(Precision::F32, F32), (Precision::F16, F16), (Precision::Bf16, BF16), (Precision::Int8, INT8)]
    {
        let mut worst = 0.0f64;
        for (input, hidden, layers) in [(1, 1, 1), (3, 5, 1), (7, 16, 2), (20, 67, 1), (4, 130, 3)] {
            let extent = [input, hidden];
            let lstm = lstm(input, hidden, layers);
            let gru = [true, false].map(|reset_after| gru(input, hidden, layers, reset_after));
            let rnn = [Activation::Tanh, Activation::Relu].map(|activation| {
                let config =
                    RecurrentConfig { cell: Cell::Rnn, input, hidden, layers, activation, ..Default::default() };
                config.build(&Device::cpu(), &mut Rng::new(7)).expect("rnn")
            });
            for batch in [1, 2, 3, 7] {
                worst = worst.max(compare(&lstm, extent, batch, weights, tolerance));
                for i in 0..2 {
                    worst = worst.max(compare(&gru[i], extent, batch, weights, tolerance));
                    worst = worst.max(compare(&rnn[i], extent, batch, weights, tolerance));
                }
            }
        }
        println!("streams of {weights:?}: worst error {worst:.1e} of the largest value");
    }
}

/// The claim of the comparison above: it tells the reset forms apart, even at the tolerance of int8.
#[test]
#[should_panic(expected = "the other form: error")]
fn a_stream_of_the_other_reset_form_is_rejected() {
    // The same seed: the same weights.
    let mut streams = [gru(20, 67, 1, true), gru(20, 67, 1, false)].map(|gru| gru.stream(1).expect("stream"));
    let frames: Vec<Vec<f32>> = (0..40).map(|t| fill(t, 20, 1.0)).collect();
    let [a, b] =
        streams.each_mut().map(|s| frames.iter().flat_map(|x| s.step(x).expect("step").to_vec()).collect::<Vec<_>>());
    assert_close("the other form", &a, &b.into_iter().map(f64::from).collect::<Vec<_>>(), INT8);
}

#[test]
fn a_million_steps_allocate_nothing() {
    let count = |layer: &dyn Fn(StreamOptions) -> wgru::Result<Stream>, weights: Precision| {
        let head = Linear::new(&Device::cpu(), 16, 3, true, &mut Rng::new(1)).expect("head");
        let stream = layer(StreamOptions { batch: 2, weights, threads: 1 }).and_then(|s| s.then(&head));
        let mut stream = stream.expect("stream");
        let frame = fill(1, 8, 1.0);
        let before = ALLOCATIONS.get();
        let mut sum = 0.0;
        for _ in 0..250_000 {
            sum += stream.step(&frame).expect("step")[0];
        }
        assert_eq!(ALLOCATIONS.get(), before, "{weights:?}");
        assert!(sum.is_finite());
    };
    for weights in [Precision::F32, Precision::F16, Precision::Bf16, Precision::Int8] {
        count(&|options| Stream::new(&gru(4, 16, 2, true), options), weights);
        count(&|options| Stream::new(&lstm(4, 16, 2), options), weights);
    }
    count(&|options| Stream::new(&gru(4, 16, 2, false), options), Precision::F32);
    let rnn = RecurrentConfig { cell: Cell::Rnn, input: 4, hidden: 16, layers: 2, ..Default::default() };
    let rnn = rnn.build(&Device::cpu(), &mut Rng::new(7)).expect("rnn");
    count(&|options| Stream::new(&rnn, options), Precision::F32);
    // The counter counts.
    let before = ALLOCATIONS.get();
    drop(std::hint::black_box(vec![1]));
    assert_eq!(ALLOCATIONS.get(), before + 1);
}

#[test]
fn streams_are_reset_kept_and_forked() {
    goes_on(gru(3, 20, 2, true).stream(2).expect("stream"));
    goes_on(lstm(3, 20, 2).stream(2).expect("stream"));
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
    assert_eq!(run(&mut stream, &frames), all, "reset begins again");
    stream.reset();
    let first = run(&mut stream, &frames[..5]);
    let (snapshot, mut fork) = (stream.state().to_vec(), stream.clone());
    let rest = run(&mut stream, &frames[5..]);
    assert_eq!([&first[..], &rest].concat(), all);
    assert_eq!(run(&mut fork, &frames[5..]), rest, "a fork goes on alike");
    stream.set_state(&snapshot).expect("state");
    assert_eq!(run(&mut stream, &frames[5..]), rest, "a snapshot goes on alike");
}

#[test]
fn a_learned_first_state_is_where_a_stream_begins() {
    let options = RecurrentOptions { learn_h0: true, ..Default::default() };
    let config = RecurrentConfig { input: 2, hidden: 3, options, ..Default::default() };
    let gru = config.build(&Device::cpu(), &mut Rng::new(1)).expect("gru");
    let h0 = gru.parameters().into_iter().find(|(name, _)| name == "h0").expect("h0").1;
    h0.assign(&[0.5, -0.25, 0.75]).expect("assign");
    let mut stream = gru.stream(2).expect("stream");
    let begin = [0.5, -0.25, 0.75, 0.5, -0.25, 0.75];
    assert_eq!(stream.state(), begin);
    stream.step(&[0.0; 4]).expect("step");
    stream.reset();
    assert_eq!(stream.state(), begin);

    let config = RecurrentConfig { cell: Cell::Lstm, input: 2, hidden: 1, layers: 2, options, ..Default::default() };
    let lstm = config.build(&Device::cpu(), &mut Rng::new(1)).expect("lstm");
    for (name, values) in [("h0", [0.5, -0.25]), ("c0", [1.5, 2.5])] {
        let state = lstm.parameters().into_iter().find(|(n, _)| n == name).expect("a state").1;
        state.assign(&values).expect("assign");
    }
    assert_eq!(lstm.stream(2).expect("stream").state(), [0.5, 0.5, -0.25, -0.25, 1.5, 1.5, 2.5, 2.5]);
}

/// Random joins and leaves: every member's outputs are those of a stream of its own, but for the order
/// of sums, which depends on how many step together.
#[test]
fn pool_members_are_streams_of_their_own() {
    members(&|batch| gru(3, 20, 2, true).stream(batch).expect("stream"));
    members(&|batch| lstm(3, 20, 2).stream(batch).expect("stream"));
}

fn members(layer: &dyn Fn(usize) -> Stream) {
    for with_head in [false, true] {
        let head = Linear::new(&Device::cpu(), 20, 4, true, &mut Rng::new(1)).expect("head");
        let make = |batch| {
            let stream = layer(batch);
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

#[test]
fn streams_refuse_what_they_do_not_step() {
    let device = Device::cpu();
    let base = RecurrentConfig { input: 2, hidden: 3, ..Default::default() };
    let clip = RecurrentOptions { clip: Some(1.0), ..Default::default() };
    let candidate = GruActivations { candidate: Activation::Relu, ..Default::default() };
    for (config, word) in [
        (RecurrentConfig { bidirectional: true, ..base.clone() }, "bidirectional"),
        (RecurrentConfig { reverse: true, ..base.clone() }, "reverse"),
        (RecurrentConfig { options: clip, ..base.clone() }, "options"),
        (RecurrentConfig { activations: candidate, ..base.clone() }, "activations"),
    ] {
        let error = config.build(&device, &mut Rng::new(0)).and_then(|gru| gru.stream(1)).err().expect("refused");
        assert!(error.to_string().contains(word), "{error}");
    }
    let base_lstm = RecurrentConfig { cell: Cell::Lstm, input: 2, hidden: 3, ..Default::default() };
    let cell = LstmActivations { cell: Activation::Relu, ..Default::default() };
    for (config, word) in [
        (RecurrentConfig { cell: Cell::Lstm, projection: 2, ..base_lstm.clone() }, "projection"),
        (RecurrentConfig { cell: Cell::Lstm, peephole: true, ..base_lstm.clone() }, "peephole"),
        (RecurrentConfig { cell: Cell::Lstm, input_forget: true, ..base_lstm.clone() }, "input_forget"),
        (RecurrentConfig { cell: Cell::Lstm, activations: cell, ..base_lstm.clone() }, "activations"),
    ] {
        let error = config.build(&device, &mut Rng::new(0)).and_then(|lstm| lstm.stream(1)).err().expect("refused");
        assert!(error.to_string().contains(word), "{error}");
    }
    let rnn = RecurrentConfig {
        cell: Cell::Rnn,
        input: 2,
        hidden: 3,
        activation: Activation::Softsign,
        ..Default::default()
    };
    assert!(rnn.build(&device, &mut Rng::new(0)).and_then(|rnn| rnn.stream(1)).is_err());
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
        let gru =
            RecurrentConfig { input: 2, hidden: 3, ..Default::default() }.build(&gpu, &mut Rng::new(0)).expect("gru");
        assert!(gru.stream(1).is_err_and(|e| e.to_string().contains("device")));
    }
}

#[test]
fn a_weight_that_is_no_number_spoils_the_stream_in_every_precision() {
    for weights in [Precision::F32, Precision::F16, Precision::Bf16, Precision::Int8] {
        // Two places, since bf16 keeps them in pairs; the second with all bits of a NaN set.
        for (place, bad) in [(0, f32::NAN), (1, f32::from_bits(0x7fff_ffff)), (1, f32::from_bits(0x7f80_0001))] {
            let gru = gru(4, 5, 1, true);
            let (_, w) = gru.parameters().into_iter().find(|(name, _)| name == "weight_ih_l0").expect("a weight");
            let mut values = w.to_vec().expect("read");
            values[place] = bad;
            w.assign(&values).expect("assign");
            let mut stream = Stream::new(&gru, StreamOptions { weights, ..Default::default() }).expect("stream");
            let y = stream.step(&[1.0; 4]).expect("step");
            assert!(y[0].is_nan() && y[1..].iter().all(|v| v.is_finite()), "{weights:?}, {bad:?} at {place}: {y:?}");
        }
    }
}
