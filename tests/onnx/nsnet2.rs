//! NSNet2, a speech enhancer of two GRUs, on real frames: what ONNX Runtime gives, in one pass and frame by frame.

use wgru::io::TensorFile;
use wgru::io::onnx::{OnnxModel, Stream, Value};
use wgru::{Device, Tensor};

use crate::common::relative_error;
use crate::{data, on_every_backend};

/// Of gains between 0 and 1; exact arithmetic is 3.5e-6 off the vectors.
const TOLERANCE: f64 = 1e-4;
const FRAMES: usize = 400;
const BINS: usize = 161;

on_every_backend![nsnet2_in_one_pass_and_by_frames_is_as_onnx_runtime];

fn nsnet2_in_one_pass_and_by_frames_is_as_onnx_runtime(device: &Device) {
    let Some(folder) = data("models/nsnet2") else { return };
    let bytes = std::fs::read(folder.join("nsnet2-20ms-baseline.onnx")).expect("the model");
    let vectors = TensorFile::open(folder.join("vectors_ort.npz")).expect("the vectors");
    let features = vectors.expect("feat", &[1, FRAMES, BINS]).expect("feat");
    let want: Vec<f64> = vectors.expect("gain", &[1, FRAMES, BINS]).expect("gain").iter().map(|&v| v.into()).collect();
    let model = OnnxModel::load(device, &bytes).expect("loaded");

    // The twins are slow: a part of the frames is enough for them.
    let frames = if device.info().name.contains("reference") { 40 } else { FRAMES };
    let input = |from: usize, to: usize| -> Value {
        let part = &features[from * BINS..to * BINS];
        Tensor::from_slice(device, part, &[1, to - from, BINS]).expect("uploaded").into()
    };
    let gains = |run: wgru::Result<Vec<(String, Value)>>| -> Vec<f32> {
        run.expect("run")[0].1.as_tensor().expect("floats").to_vec().expect("read")
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

    // The states are there by name, can be put back, and are forgotten on demand.
    assert_eq!(stream.states()["GRU_14"].h.dims(), [1, 1, 400]);
    let kept = stream.states().clone();
    let next = gains(stream.run(&[("input", input(0, 1))]));
    assert_ne!(next, framed[..BINS]);
    stream.set_states(kept).expect("known names");
    assert_eq!(gains(stream.run(&[("input", input(0, 1))])), next);
    stream.reset();
    assert_eq!(by_frames(&mut stream, 2), framed[..2 * BINS]);
}
