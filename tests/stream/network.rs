//! Networks of several layers, frame by frame.

use wgru::nn::{Dropout, Embedding, LastState, Linear, Module, RecurrentConfig, Relu, Sequential, Tanh};
use wgru::{Activation, Cell, Device, Error, NetworkStream, Rng, StreamLayer, StreamOptions, Tensor};

use crate::common::fill;

const STEPS: usize = 150;

/// Two recurrent layers of different cells, with layers of all kinds after them.
fn network(device: &Device) -> Sequential {
    let mut rng = Rng::new(3);
    let config =
        |cell, input, hidden| RecurrentConfig { batch_first: true, ..RecurrentConfig::new(cell, input, hidden) };
    let linear = |input, output, rng: &mut Rng| Linear::new(device, input, output, true, rng).expect("a linear layer");
    Sequential::new()
        .push("first", linear(3, 5, &mut rng))
        .push("relu", Relu)
        .push("gru", config(Cell::Gru, 5, 12).build(device, &mut rng).expect("a layer"))
        .push("dropout", Dropout::new(0.5).expect("a share"))
        .push("lstm", config(Cell::Lstm, 12, 20).build(device, &mut rng).expect("a layer"))
        .push("hidden", linear(20, 7, &mut rng))
        .push("tanh", Tanh)
        .push("head", linear(7, 2, &mut rng))
}

/// Returns the largest difference between a stream and whole sequences.
fn difference(batch: usize) -> f32 {
    let device = Device::cpu();
    let network = network(&device);
    let x = fill(5, batch * STEPS * 3, 1.0);
    let whole = network.forward(&Tensor::from_slice(&device, &x, &[batch, STEPS, 3]).expect("a tensor"));
    let whole = whole.and_then(|y| y.permute(&[1, 0, 2])?.read_blocking()).expect("a run");
    let mut stream = NetworkStream::new(&network, StreamOptions { batch, ..Default::default() }).expect("a stream");
    assert_eq!((stream.widths(), stream.batch()), ([3, 2], batch));
    // [steps, batch, features]
    let frames: Vec<f32> = (0..STEPS)
        .flat_map(|t| (0..batch).flat_map(move |b| (0..3).map(move |i| (b * STEPS + t) * 3 + i)))
        .map(|at| x[at])
        .collect();
    let steps: Vec<f32> =
        frames.chunks_exact(batch * 3).flat_map(|frame| stream.step(frame).expect("a step").to_vec()).collect();
    stream.reset();
    let mut block = vec![f32::NAN; steps.len()];
    // Blocks of other sizes than those in which the layers run.
    let (head, tail) = block.split_at_mut(77 * batch * 2);
    stream.process(&frames[..77 * batch * 3], head).expect("a block");
    stream.process(&frames[77 * batch * 3..], tail).expect("a block");
    assert_eq!(block, steps, "a block gives the bits of its steps");
    steps.iter().zip(&whole).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Checks that the number that `allocations` returns does not change.
pub fn check_allocations(allocations: impl Fn() -> usize) {
    let mut stream = NetworkStream::new(&network(&Device::cpu()), StreamOptions::default()).expect("a stream");
    let (frames, mut outputs) = (fill(2, 3 * 200, 1.0), vec![0.0; 2 * 200]);
    let mut state = vec![0.0; stream.state_len()];
    let before = allocations();
    for frame in frames.chunks_exact(3).cycle().take(100_000) {
        stream.step(frame).expect("a step");
    }
    stream.process(&frames, &mut outputs).expect("a block");
    stream.save_state(&mut state).and_then(|()| stream.load_state(&state)).expect("a state");
    stream.reset();
    assert_eq!(allocations(), before);
}

#[test]
fn a_stream_of_a_network_equals_whole_sequences() {
    for batch in [1, 3] {
        let worst = difference(batch);
        assert!(worst < 2e-6, "batch {batch}: {worst}");
    }
}

#[test]
fn softmax_and_skip_connections_run_frame_by_frame() {
    let gru = RecurrentConfig::gru(3, 3).build(&Device::cpu(), &mut Rng::new(1)).expect("a layer");
    let layer = StreamLayer::Recurrent(&gru);
    let stream = |layers: &[StreamLayer]| NetworkStream::of_layers(layers, StreamOptions::default()).expect("a stream");
    let frame = [0.5, -1.0, 2.0];
    let h = stream(&[layer]).step(&frame).expect("a step").to_vec();
    let softmax = stream(&[layer, StreamLayer::Softmax]).step(&frame).expect("a step").to_vec();
    let log = stream(&[layer, StreamLayer::LogSoftmax]).step(&frame).expect("a step").to_vec();
    let sum: f32 = h.iter().map(|v| v.exp()).sum();
    for k in 0..3 {
        assert!((softmax[k] - h[k].exp() / sum).abs() < 1e-6 && (log[k] - softmax[k].ln()).abs() < 1e-6);
    }
    let mut skip = stream(&[layer]).with_skip().expect("as many features as outputs");
    let y = skip.step(&frame).expect("a step").to_vec();
    assert!((0..3).all(|k| y[k] == h[k] + frame[k]), "{y:?}");
    let mut block = frame;
    skip.reset();
    skip.process_in_place(&mut block).expect("a block");
    assert_eq!(block[..], y[..]);
    assert!(matches!(stream(&[layer]).step(&[f32::NAN; 3]).map(|y| y[0].is_nan()), Ok(true)));
    let poisoned = stream(&[layer, StreamLayer::Softmax]).step(&[f32::NAN; 3]).expect("a step").to_vec();
    assert!(poisoned.iter().all(|v| v.is_nan()), "{poisoned:?}");
}

#[test]
fn a_state_continues_in_another_stream() {
    let network = network(&Device::cpu());
    let mut stream = NetworkStream::new(&network, StreamOptions::default()).expect("a stream");
    stream.step(&[0.1, 0.2, 0.3]).expect("a step");
    let mut state = vec![0.0; stream.state_len()];
    assert_eq!(state.len(), 12 + 2 * 20);
    stream.save_state(&mut state).expect("a state");
    let mut other = NetworkStream::new(&network, StreamOptions::default()).expect("a stream");
    other.load_state(&state).expect("a state");
    let mut fork = stream.clone();
    let expected = stream.step(&[0.3, 0.2, 0.1]).expect("a step").to_vec();
    assert_eq!(other.step(&[0.3, 0.2, 0.1]).expect("a step"), expected);
    assert_eq!(fork.step(&[0.3, 0.2, 0.1]).expect("a step"), expected);
    for result in [stream.load_state(&state[1..]), stream.save_state(&mut state[1..])] {
        assert!(matches!(result, Err(Error::Length { expected: 52, got: 51, .. })), "{result:?}");
    }
}

#[test]
fn what_a_stream_does_not_run_is_refused_by_name() {
    let (device, mut rng) = (Device::cpu(), Rng::new(0));
    let config = RecurrentConfig { batch_first: true, ..RecurrentConfig::gru(3, 4) };
    let gru = config.build(&device, &mut rng).expect("a layer");
    let both = RecurrentConfig { bidirectional: true, ..config }.build(&device, &mut rng).expect("a layer");
    let head = Linear::new(&device, 5, 2, true, &mut rng).expect("a layer");
    let embedding = Embedding::new(&device, 9, 3, &mut rng).expect("a layer");
    let last = LastState { batch_first: true, ..Default::default() };
    let cases: [(Sequential, &str); 6] = [
        (Sequential::new(), "recurrent layer"),
        (Sequential::new().push("head", head.clone()), "recurrent layer"),
        (Sequential::new().push("relu", Relu).push("gru", gru.clone()), "activation"),
        (Sequential::new().push("words", embedding).push("gru", gru.clone()), "\"words\""),
        (Sequential::new().push("both", both), "bidirectional"),
        (Sequential::new().push("gru", gru.clone()).push("last", last).push("head", head), "4"),
    ];
    for (network, part) in cases {
        let error = NetworkStream::new(&network, StreamOptions::default()).err().expect("a refusal").to_string();
        assert!(error.contains(part), "{part}: {error}");
    }
    let layers = [StreamLayer::Recurrent(&gru), StreamLayer::Activation(Activation::Relu)];
    let mut stream = NetworkStream::of_layers(&layers, StreamOptions::default()).expect("a stream");
    assert!(matches!(stream.step(&[0.0; 2]), Err(Error::Length { expected: 3, got: 2, .. })));
    assert!(matches!(stream.process(&[0.0; 7], &mut [0.0; 8]), Err(Error::Length { arg: "input", .. })));
    assert!(matches!(stream.process(&[0.0; 6], &mut [0.0; 7]), Err(Error::Length { arg: "output", .. })));
    assert!(stream.process_in_place(&mut [0.0; 6]).is_err() && stream.with_skip().is_err());
}
