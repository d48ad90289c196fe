//! NSNet2, a speech enhancer with two GRUs, on real frames against ONNX Runtime, in one pass and frame by frame.

use wgru::io::onnx::{OnnxModel, Stream, Value, initializers};
use wgru::io::{RecurrentWeights, TensorFile, load_recurrent_blocking};
use wgru::nn::Gru;
#[cfg(feature = "gpu")]
use wgru::nn::Module;
use wgru::{Cell, Device, Precision, StreamOptions, Tensor};

use crate::common::relative_error;
use crate::{data, on_every_backend};

/// Gains are between 0 and 1; exact arithmetic differs from the test vectors by 3.5e-6.
const TOLERANCE: f64 = 1e-4;
const FRAMES: usize = 400;
const BINS: usize = 161;

on_every_backend![nsnet2_in_one_pass_and_by_frames_matches_onnx_runtime];

fn nsnet2_in_one_pass_and_by_frames_matches_onnx_runtime(device: &Device) {
    let Some(folder) = data("models/nsnet2") else { return };
    let bytes = std::fs::read(folder.join("nsnet2-20ms-baseline.onnx")).expect("the model");
    let vectors = TensorFile::open(folder.join("vectors_ort.npz")).expect("the vectors");
    let features = vectors.expect("feat", &[1, FRAMES, BINS]).expect("feat");
    let want: Vec<f64> = vectors.expect("gain", &[1, FRAMES, BINS]).expect("gain").iter().map(|&v| v.into()).collect();
    let model = OnnxModel::load(device, &bytes).expect("loaded");

    // The twins are slow, so they run only part of the frames.
    let frames = if device.info().name.contains("reference") { 40 } else { FRAMES };
    let input = |from: usize, to: usize| -> Value {
        let part = &features[from * BINS..to * BINS];
        Tensor::from_slice(device, part, &[1, to - from, BINS]).expect("uploaded").into()
    };
    let gains = |run: wgru::Result<Vec<(String, Value)>>| -> Vec<f32> {
        run.expect("run")[0].1.as_tensor().expect("floats").read_blocking().expect("read")
    };
    let whole = gains(model.run(&[("input", input(0, frames))]));

    let mut stream = model.stream().expect("causal");
    let by_frames = |stream: &mut Stream, frames: usize| -> Vec<f32> {
        (0..frames).flat_map(|t| gains(stream.run(&[("input", input(t, t + 1))]))).collect()
    };
    let framed = by_frames(&mut stream, frames);
    let errors = [&whole, &framed].map(|got| relative_error(got, &want[..frames * BINS]));
    println!(
        "nsnet2, {frames} frames on {}: {:.1e} in one pass, {:.1e} by frames",
        device.info().name,
        errors[0],
        errors[1]
    );
    assert!(errors.iter().all(|e| *e <= TOLERANCE), "{errors:?}");

    // The states are accessible by name, and can be restored and reset.
    assert_eq!(stream.states()["GRU_14"].h.dims(), [1, 1, 400]);
    let kept = stream.states().clone();
    let next = gains(stream.run(&[("input", input(0, 1))]));
    assert_ne!(next, framed[..BINS]);
    stream.set_states(kept).expect("known names");
    assert_eq!(gains(stream.run(&[("input", input(0, 1))])), next);
    stream.reset();
    assert_eq!(by_frames(&mut stream, 2), framed[..2 * BINS]);
}

/// The maximum and mean error of a gain over 400 frames, by the precision of the GRUs' weights.
const BY_PRECISION: [(Precision, f64, f64); 4] = [
    (Precision::F32, 5e-6, 3e-7),
    (Precision::F16, 5e-4, 4e-5),
    (Precision::Bf16, 4e-3, 3e-4),
    (Precision::Int8, 7e-2, 4e-3),
];

/// `x·W + b`, `w` `[in, out]`.
fn dense(file: &TensorFile, w: &str, b: &str, x: &[f32]) -> Vec<f32> {
    let ((dims, w), (_, b)) = (file.get(w).expect("weight"), file.get(b).expect("bias"));
    let column = |j: usize| x.iter().enumerate().map(|(i, x)| x * w[i * dims[1] + j]).sum::<f32>() + b[j];
    (0..dims[1]).map(column).collect()
}

/// The network around its two GRUs, with its input and expected output.
struct Net {
    weights: TensorFile,
    features: Vec<f32>,
    want: Vec<f32>,
}

impl Net {
    fn load() -> Option<Self> {
        let folder = data("models/nsnet2")?;
        let file = std::fs::read(folder.join("nsnet2-20ms-baseline.onnx")).expect("the model");
        let vectors = TensorFile::open(folder.join("vectors_ort.npz")).expect("the vectors");
        Some(Self {
            weights: initializers(&file).expect("its weights"),
            features: vectors.expect("feat", &[1, FRAMES, BINS]).expect("feat").to_vec(),
            want: vectors.expect("gain", &[1, FRAMES, BINS]).expect("gain").to_vec(),
        })
    }

    fn gru(&self, device: &Device) -> Gru {
        let mut parameters = TensorFile::default();
        for (layer, names) in [["192", "193", "194"], ["212", "213", "214"]].into_iter().enumerate() {
            let mut one = TensorFile::default();
            for (name, part) in names.into_iter().zip(["W", "R", "B"]) {
                let (dims, values) = self.weights.get(name).expect("a weight of the GRU");
                one.insert(part, dims, values.to_vec());
            }
            let weights = RecurrentWeights::from_onnx(Cell::Gru, &one).expect("layout");
            weights[0].to_parameters(&mut parameters, layer, false);
        }
        load_recurrent_blocking(device, &parameters).expect("loaded")
    }

    /// The GRUs' input for each frame.
    fn inputs(&self) -> Vec<Vec<f32>> {
        let one = |x: &[f32]| relu(dense(&self.weights, "172", "fc_in.0.bias", x));
        self.features.chunks(BINS).map(one).collect()
    }

    /// Computes the gains from the GRUs' outputs, and compares them.
    fn check<'a>(&self, what: &str, outputs: impl Iterator<Item = &'a [f32]>, [most, most_mean]: [f64; 2]) {
        let (mut worst, mut sum, mut count) = (0.0f64, 0.0, 0);
        for (y, want) in outputs.zip(self.want.chunks(BINS)) {
            let y = relu(dense(&self.weights, "215", "fc_out.0.bias", y));
            let y = relu(dense(&self.weights, "216", "fc_out.2.bias", &y));
            for (v, want) in dense(&self.weights, "217", "fc_out.4.bias", &y).into_iter().zip(want) {
                let error = (1.0 / (1.0 + f64::from(-v).exp()) - f64::from(*want)).abs();
                assert!(!error.is_nan(), "{what}");
                (worst, sum, count) = (worst.max(error), sum + error, count + 1);
            }
        }
        assert_eq!(count, self.want.len(), "{what}");
        let mean = sum / count as f64;
        println!("nsnet2, {what}: mean error of the gains {mean:.1e}, worst {worst:.1e}");
        assert!(worst <= most && mean <= most_mean, "{what}: {mean:e} {worst:e}");
    }
}

fn relu(v: Vec<f32>) -> Vec<f32> {
    v.into_iter().map(|v| v.max(0.0)).collect()
}

#[test]
fn nsnet2_by_streams_of_each_precision() {
    let Some(net) = Net::load() else { return };
    let gru = net.gru(&Device::cpu());
    for (weights, most, most_mean) in BY_PRECISION {
        let options = StreamOptions { weights, ..StreamOptions::default() };
        let mut stream = wgru::Stream::new(&gru, options).expect("stream");
        let outputs: Vec<Vec<f32>> = net.inputs().iter().map(|x| stream.step(x).expect("step").to_vec()).collect();
        let what = format!("streams of {weights:?} weights");
        net.check(&what, outputs.iter().map(|y| &y[..]), [most, most_mean]);
    }
}

/// The same on a GPU, where only the recurrent weights are rounded, and never the states.
#[cfg(feature = "gpu")]
const ON_GPU: [(Precision, f64, f64); 4] = [
    (Precision::F32, 5e-6, 3e-7),
    (Precision::F16, 4e-4, 2e-5),
    (Precision::Bf16, 3e-3, 3e-4),
    (Precision::Int8, 3e-2, 2e-3),
];

#[test]
#[cfg(feature = "gpu")]
fn nsnet2_on_the_gpu_by_each_precision() {
    let (Some(net), Some(device)) = (Net::load(), crate::common::gpu()) else { return };
    let x = Tensor::from_slice(&device, &net.inputs().concat(), &[FRAMES, 1, 400]).expect("uploaded");
    for (weights, most, most_mean) in ON_GPU {
        let gru = net.gru(&device).with_weights(weights).expect("a plain GRU");
        let y = gru.forward(&x).and_then(|y| y.read_blocking()).expect("run");
        net.check(&format!("GRUs of {weights:?} weights on the GPU"), y.chunks(400), [most, most_mean]);
    }
}
