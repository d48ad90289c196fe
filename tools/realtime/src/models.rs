//! The streams, and the sound that they process.

use wgru::nn::{Linear, RecurrentConfig};
use wgru::{Activation, Cell, Device, NetworkStream, Precision, Rng, Stream, StreamLayer, StreamOptions};

/// Noise.
pub fn noise() -> Vec<f32> {
    let mut rng = Rng::new(1);
    (0..4096).map(|_| rng.normal()).collect()
}

/// Noise with NaN, infinity, a subnormal number and a long silence.
pub fn odd_noise() -> Vec<f32> {
    let mut x = noise();
    (x[7], x[200], x[201], x[1000]) = (f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e-42);
    x[2000..3000].fill(0.0);
    x
}

/// Streams of one input and one output: every cell, on the code for few units and on that for many.
pub fn streams(options: StreamOptions) -> Vec<Stream> {
    // Threads share only layers of many units; only small layers have fast activations.
    let sizes: &[(usize, usize)] = match options {
        StreamOptions { threads: 2.., .. } => &[(256, 1)],
        StreamOptions { fast_activations: true, .. } => &[(8, 1), (20, 2)],
        _ => &[(8, 1), (20, 2), (130, 1)],
    };
    let mut out = Vec::new();
    for cell in [Cell::Gru, Cell::GruResetBefore, Cell::Lstm, Cell::Rnn] {
        for &(hidden, layers) in sizes {
            let config = RecurrentConfig { layers, ..RecurrentConfig::new(cell, 1, hidden) };
            let layer = config.build(&Device::cpu(), &mut Rng::new(7)).expect("a valid configuration");
            let head = Linear::new(&Device::cpu(), hidden, 1, true, &mut Rng::new(8)).expect("a valid size");
            out.push(Stream::new(&layer, options).and_then(|stream| stream.then(&head)).expect("a stream"));
        }
    }
    out
}

/// Options that select other code.
pub fn options() -> Vec<StreamOptions> {
    let weights = |weights| StreamOptions { weights, ..Default::default() };
    vec![
        StreamOptions::default(),
        StreamOptions { fast_activations: true, ..Default::default() },
        StreamOptions { rate_ratio: 2.3, ..Default::default() },
        StreamOptions { threads: 2, ..Default::default() },
        weights(Precision::F16),
        weights(Precision::Bf16),
        weights(Precision::Int8),
    ]
}

/// A GRU, a linear layer and activations.
pub fn network() -> NetworkStream {
    let (device, mut rng) = (Device::cpu(), Rng::new(3));
    let gru = RecurrentConfig::new(Cell::Gru, 1, 12).build(&device, &mut rng).expect("a valid configuration");
    let [first, last] = [(12, 6), (6, 1)]
        .map(|(input, output)| Linear::new(&device, input, output, true, &mut rng).expect("a valid size"));
    let layers = [
        StreamLayer::Recurrent(&gru),
        StreamLayer::Linear(&first),
        StreamLayer::Softmax,
        StreamLayer::Linear(&last),
        StreamLayer::Activation(Activation::Tanh),
    ];
    NetworkStream::of_layers(&layers, StreamOptions::default()).expect("a stream")
}
