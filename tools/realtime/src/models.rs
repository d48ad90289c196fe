//! The streams, and the sound that they process.

use std::path::Path;

use wgru::io::onnx::{BoundStream, OnnxModel, Value};
use wgru::nn::{Linear, RecurrentConfig};
use wgru::{Activation, Cell, Device, NetworkStream, Precision, Rng, Stream, StreamLayer, StreamOptions, Tensor};

/// Path below the folder of data, name of the input and extents of a frame: DTLN, GTCRN, nsnet2 and Silero VAD.
const ONNX: [(&str, &str, &[usize]); 5] = [
    ("real/breizhn_DTLN/model_1.onnx", "input_2", &[1, 1, 257]),
    ("real/breizhn_DTLN/model_2.onnx", "input_4", &[1, 1, 512]),
    ("real/Xiaobin-Rong_gtcrn/gtcrn_simple.onnx", "mix", &[1, 257, 1, 2]),
    ("models/nsnet2/nsnet2-20ms-baseline.onnx", "input", &[1, 1, 161]),
    ("real/snakers4_silero-vad/silero_vad.onnx", "input", &[1, 576]),
];

/// Noise with NaN, infinity, tiny numbers and a long silence.
pub fn sound() -> Vec<f32> {
    let mut rng = Rng::new(1);
    let mut x: Vec<f32> = (0..4096).map(|_| rng.normal()).collect();
    (x[7], x[200], x[201], x[1000]) = (f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e-42);
    x[2000..3000].fill(0.0);
    x
}

/// Streams of one input and one output: every cell, on the code for few units and on that for many.
pub fn streams(options: StreamOptions) -> Vec<Stream> {
    let mut out = Vec::new();
    for cell in [Cell::Gru, Cell::GruResetBefore, Cell::Lstm, Cell::Rnn] {
        for (hidden, layers) in [(8, 1), (20, 2), (130, 1), (256, 1)] {
            // Two threads share only layers of many units, and one need not run them all.
            if (hidden == 256) != (options.threads > 1) {
                continue;
            }
            if options.fast_activations && (hidden > 64 || matches!(cell, Cell::Rnn | Cell::GruResetBefore)) {
                continue;
            }
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

/// Binds the models in the folder of data for single frames.
pub fn onnx(folder: &Path) -> Vec<(&'static str, BoundStream)> {
    let device = Device::cpu();
    let bind = |(name, input, frame): (&'static str, &str, &[usize])| {
        let model = OnnxModel::open(&device, folder.join(name)).expect("a model");
        let mut inputs: Vec<(&str, Value)> = vec![(input, Tensor::zeros(&device, frame).expect("a frame").into())];
        if model.inputs().any(|info| info.name == "sr") {
            inputs.push(("sr", Value::ints(&[16_000], &[]).expect("a number")));
        }
        (name, model.stream().and_then(|stream| stream.bind(&inputs)).expect("a stream of single frames"))
    };
    ONNX.map(bind).into()
}
