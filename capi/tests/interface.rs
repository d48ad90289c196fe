//! The functions give what the library gives.
#![allow(unsafe_code, reason = "calls functions that take pointers")]

mod common;

use std::ffi::{CStr, CString};
use std::path::Path;
use std::ptr::{null, null_mut};

use common::{bytes, graph, headed, layer, linear, readers, signal};
use engine::io::{TensorFile, load_network};
use engine::nn::{Mode, Module, RunOptions};
use engine::{Cell, Device, Interpolation, NonFinite, Precision, Stream, StreamOptions, Tensor};
use wgru::*;

fn no_error() -> WgruError {
    WgruError { status: WgruStatus::Ok, message: [0; WGRU_MESSAGE_SIZE] }
}

/// Makes a call succeed.
fn ok(call: impl FnOnce(*mut WgruError) -> WgruStatus) {
    let mut error = no_error();
    let status = call(&mut error);
    // SAFETY: messages end with a zero.
    let text = unsafe { CStr::from_ptr(error.message.as_ptr()) };
    assert_eq!((status, error.status), (WgruStatus::Ok, WgruStatus::Ok), "{text:?}");
}

/// A handle that is freed.
struct Model(*mut WgruModel);
struct Frames(*mut WgruStream, WgruStreamInfo);

impl Drop for Model {
    fn drop(&mut self) {
        // SAFETY: the handle lives.
        assert_eq!(unsafe { wgru_model_free(&mut self.0) }, WgruStatus::Ok);
        assert!(self.0.is_null());
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        // SAFETY: the handle lives.
        assert_eq!(unsafe { wgru_stream_free(&mut self.0) }, WgruStatus::Ok);
    }
}

const OPTIONS: WgruModelOptions = WgruModelOptions { layer: null(), head: null(), device: 0, threads: 0 };
const STREAM: WgruStreamOptions = WgruStreamOptions {
    batch: 0,
    weights: 0,
    threads: 0,
    inputs: null(),
    input_count: 0,
    non_finite: 0,
    rate_ratio: 0.0,
    interpolation: 0,
    fast_activations: 0,
};

impl Model {
    fn load(bytes: &[u8], options: &WgruModelOptions) -> Self {
        let mut model = null_mut();
        // SAFETY: the pointers live.
        ok(|error| unsafe { wgru_model_load(bytes.as_ptr(), bytes.len(), options, &mut model, error) });
        Self(model)
    }

    fn open(path: &Path) -> Self {
        let path = CString::new(path.to_str().expect("UTF-8")).expect("no zero");
        let mut model = null_mut();
        // SAFETY: the pointers live.
        ok(|error| unsafe { wgru_model_open(path.as_ptr(), null(), &mut model, error) });
        Self(model)
    }

    fn info(&self) -> WgruModelInfo {
        let mut info = std::mem::MaybeUninit::uninit();
        // SAFETY: the pointers live, and the call writes the description.
        unsafe {
            ok(|error| wgru_model_info(self.0, info.as_mut_ptr(), error));
            info.assume_init()
        }
    }

    fn stream(&self, options: &WgruStreamOptions) -> Frames {
        let (mut stream, mut info) = (null_mut(), std::mem::MaybeUninit::uninit());
        // SAFETY: the pointers live, and the call writes the description.
        unsafe {
            ok(|error| wgru_stream_new(self.0, options, &mut stream, error));
            ok(|error| wgru_stream_info(stream, info.as_mut_ptr(), error));
            Frames(stream, info.assume_init())
        }
    }

    /// Runs on floats `x` with `dims`, and returns the outputs with their names and extents.
    fn run(&self, x: &[f32], dims: &[usize]) -> Vec<(String, Vec<usize>, Vec<f32>)> {
        let mut all = [0; WGRU_MAX_RANK];
        all[..dims.len()].copy_from_slice(dims);
        let floats = x.as_ptr();
        let input = WgruTensor { name: null(), floats, ints: null(), len: x.len(), rank: dims.len(), dims: all };
        let (mut outputs, mut count) = (null_mut(), 0);
        // SAFETY: the pointers live.
        unsafe {
            ok(|error| wgru_model_run(self.0, &input, 1, &mut outputs, error));
            ok(|error| wgru_outputs_count(outputs, &mut count, error));
            let all = (0..count).map(|index| {
                let mut view = input;
                ok(|error| wgru_outputs_at(outputs, index, &mut view, error));
                let name = CStr::from_ptr(view.name).to_str().expect("UTF-8").to_string();
                let values = std::slice::from_raw_parts(view.floats, view.len).to_vec();
                (name, view.dims[..view.rank].to_vec(), values)
            });
            let all = all.collect();
            ok(|_| wgru_outputs_free(&mut outputs));
            all
        }
    }
}

impl Frames {
    fn process(&mut self, x: &[f32]) -> Vec<f32> {
        let mut y = vec![f32::NAN; x.len() / self.1.input_size * self.1.output_size];
        // SAFETY: the pointers live.
        ok(|error| unsafe { wgru_stream_process(self.0, x.as_ptr(), x.len(), y.as_mut_ptr(), y.len(), error) });
        y
    }

    fn steps(&mut self, x: &[f32]) -> Vec<f32> {
        let mut y = vec![f32::NAN; x.len() / self.1.input_size * self.1.output_size];
        for (x, y) in x.chunks(self.1.input_size).zip(y.chunks_mut(self.1.output_size)) {
            // SAFETY: the pointers live.
            ok(|error| unsafe { wgru_stream_step(self.0, x.as_ptr(), x.len(), y.as_mut_ptr(), y.len(), error) });
        }
        y
    }
}

fn close(got: &[f32], want: &[f32]) {
    assert_eq!(got.len(), want.len());
    let worst =
        got.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0.0, |worst, d| if d <= worst { worst } else { d });
    assert!(!want.is_empty() && worst <= 2e-6, "{worst}");
}

#[test]
fn streams_give_the_bits_of_the_library() {
    for (cell, batch, weights) in [
        (Cell::Gru, 1, (WgruWeights::F32, Precision::F32)),
        (Cell::GruResetBefore, 2, (WgruWeights::F16, Precision::F16)),
        (Cell::Lstm, 3, (WgruWeights::Bf16, Precision::Bf16)),
        (Cell::Rnn, 1, (WgruWeights::Int8, Precision::Int8)),
    ] {
        let (layer, x) = (layer(cell, 3, 20, 2), signal(40 * batch * 3));
        let options = StreamOptions { batch, weights: weights.1, ..Default::default() };
        let mut own = Stream::new(&layer, options).expect("stream");
        let want: Vec<f32> = x.chunks(batch * 3).flat_map(|x| own.step(x).expect("step").to_vec()).collect();
        let model = Model::load(&bytes(&layer), &OPTIONS);
        let options = WgruStreamOptions { batch, weights: weights.0 as u32, ..STREAM };
        let (mut steps, mut blocks) = (model.stream(&options), model.stream(&options));
        drop(model);
        assert_eq!(steps.steps(&x), want, "{cell}");
        let (first, second) = x.split_at(7 * batch * 3);
        assert_eq!([blocks.process(first), blocks.process(second)].concat(), want, "{cell}");
        assert_eq!(blocks.1.state_size, own.state().len());
    }
}

#[test]
fn streams_take_the_options_of_the_library() {
    let (layer, mut x) = (layer(Cell::Gru, 3, 20, 1), signal(40 * 3));
    x[30] = f32::NAN;
    let plain = StreamOptions::default();
    for (options, own) in [
        (WgruStreamOptions { non_finite: WgruNonFinite::Hold as u32, ..STREAM }, NonFinite::Hold),
        (WgruStreamOptions { non_finite: WgruNonFinite::Reset as u32, ..STREAM }, NonFinite::Reset),
    ]
    .map(|(options, non_finite)| (options, StreamOptions { non_finite, ..plain }))
    .into_iter()
    .chain([
        (WgruStreamOptions { fast_activations: 1, ..STREAM }, StreamOptions { fast_activations: true, ..plain }),
        (WgruStreamOptions { rate_ratio: 1.5, ..STREAM }, StreamOptions { rate_ratio: 1.5, ..plain }),
        (
            WgruStreamOptions { rate_ratio: 1.5, interpolation: WgruInterpolation::Linear as u32, ..STREAM },
            StreamOptions { rate_ratio: 1.5, interpolation: Interpolation::Linear, ..plain },
        ),
    ]) {
        let mut stream = Stream::new(&layer, own).expect("stream");
        let want: Vec<u32> =
            x.chunks(3).flat_map(|x| stream.step(x).expect("step").to_vec()).map(f32::to_bits).collect();
        let model = Model::load(&bytes(&layer), &OPTIONS);
        let got: Vec<u32> = model.stream(&options).steps(&x).into_iter().map(f32::to_bits).collect();
        assert_eq!(got, want, "{own:?}");
    }
    for (options, text) in [
        (WgruStreamOptions { non_finite: 3, ..STREAM }, "non_finite"),
        (WgruStreamOptions { interpolation: 2, ..STREAM }, "interpolation"),
        (WgruStreamOptions { fast_activations: 2, ..STREAM }, "fast_activations"),
        (WgruStreamOptions { rate_ratio: 0.5, ..STREAM }, "rate_ratio"),
        (WgruStreamOptions { rate_ratio: f64::NAN, ..STREAM }, "rate_ratio"),
    ] {
        let model = Model::load(&bytes(&layer), &OPTIONS);
        let (mut stream, mut error) = (null_mut(), no_error());
        // SAFETY: the pointers live.
        let status = unsafe { wgru_stream_new(model.0, &options, &mut stream, &mut error) };
        // SAFETY: messages end with a zero.
        let message = unsafe { CStr::from_ptr(error.message.as_ptr()) }.to_string_lossy();
        assert_eq!(status, WgruStatus::Value, "{text}");
        assert!(stream.is_null() && message.contains(text), "{text}: {message}");
    }
}

#[test]
fn runs_take_batch_first_and_give_states() {
    let (layer, x, [batch, steps]) = (layer(Cell::Lstm, 3, 8, 2), signal(2 * 5 * 3), [2, 5]);
    let own = Tensor::from_slice(layer.parameters()[0].1.device(), &x, &[batch, steps, 3])
        .and_then(|x| x.permute(&[1, 0, 2]));
    let run = layer.run(&own.expect("x"), RunOptions::default(), &mut Mode::Eval).expect("run");
    let y = run.output.permute(&[1, 0, 2]).and_then(|y| y.read_blocking()).expect("y");
    let got = Model::load(&bytes(&layer), &OPTIONS).run(&x, &[batch, steps, 3]);
    let names: Vec<(&str, &[usize])> = got.iter().map(|(name, dims, _)| (&**name, &**dims)).collect();
    assert_eq!(names, [("y", &[2, 5, 8][..]), ("h_n", &[2, 2, 8]), ("c_n", &[2, 2, 8])]);
    assert_eq!(got[0].2, y);
    assert_eq!(got[1].2, run.h_n.read_blocking().expect("h_n"));
    assert_eq!(got[2].2, run.c_n.expect("an LSTM").read_blocking().expect("c_n"));
}

#[test]
fn a_head_is_found_by_its_name() {
    let (gru, head) = (layer(Cell::Gru, 3, 8, 1), linear(8, 2));
    let file = headed(&gru, &head).to_bytes().expect("bytes");
    let plain = Model::load(&file, &OPTIONS);
    assert_eq!((plain.info().input_size, plain.info().output_size), (3, 8));
    let model = Model::load(&file, &WgruModelOptions { head: c"head".as_ptr(), ..OPTIONS });
    let info = model.info();
    let want = (WgruKind::Recurrent, 3, 2, 1, 264 + 48 + 18);
    assert_eq!((info.kind, info.input_size, info.output_size, info.layer_count, info.parameter_count), want);
    let x = signal(30 * 3);
    let mut own = gru.stream(1).and_then(|stream| stream.then(&head)).expect("stream");
    let want: Vec<f32> = x.chunks(3).flat_map(|x| own.step(x).expect("step").to_vec()).collect();
    assert_eq!(model.stream(&STREAM).process(&x), want);
    close(&model.run(&x, &[1, 30, 3])[0].2, &want);
}

#[test]
fn networks_of_audio_programs_run_frame_by_frame() {
    for name in ["rtneural.json", "aidax.json", "proteus.json"] {
        let path = readers().join(name);
        let file = TensorFile::import(&path).expect("file");
        let device = Device::cpu();
        let network = load_network(&device, &file).expect("network");
        let model = Model::open(&path);
        assert_eq!(model.info().kind, WgruKind::Network, "{name}");
        let width = model.info().input_size;
        let x = signal(60 * width);
        let all = Tensor::from_slice(&device, &x, &[1, 60, width]).and_then(|x| network.forward(&x));
        let want = all.and_then(|y| y.read_blocking()).expect("y");
        close(&model.stream(&STREAM).process(&x), &want);
        close(&model.run(&x, &[1, 60, width])[0].2, &want);
        // Two sequences at once: the second one is the first, with the sign changed.
        let mut both = model.stream(&WgruStreamOptions { batch: 2, ..STREAM });
        let pairs: Vec<f32> =
            x.chunks(width).flat_map(|x| [x.to_vec(), x.iter().map(|x| -x).collect()].concat()).collect();
        let got = both.process(&pairs);
        let out = both.1.output_size / 2;
        let first: Vec<f32> = got.chunks(2 * out).flat_map(|row| row[..out].to_vec()).collect();
        close(&first, &want);
    }
}

#[test]
fn graphs_run_frame_by_frame() {
    let model = Model::load(&graph(), &OPTIONS);
    let info = model.info();
    assert_eq!((info.kind, info.input_count, info.output_count), (WgruKind::Onnx, 1, 1));
    let x = signal(30 * 3);
    let want = model.run(&x, &[1, 30, 3]).remove(0).2;
    let mut stream = model.stream(&STREAM);
    assert_eq!((stream.1.input_size, stream.1.output_size, stream.1.state_size), (3, 2, 8));
    let got = stream.process(&x);
    close(&got, &want);
    // Frames of five steps, of two sequences.
    let mut dims = [0; WGRU_MAX_RANK];
    dims[..3].copy_from_slice(&[2, 5, 3]);
    let zeros = [0.0f32; 30];
    let example = WgruTensor { name: c"x".as_ptr(), floats: zeros.as_ptr(), ints: null(), len: 30, rank: 3, dims };
    let mut wide = model.stream(&WgruStreamOptions { inputs: &example, input_count: 1, ..STREAM });
    assert_eq!((wide.1.input_size, wide.1.output_size), (30, 20));
    let frames: Vec<f32> = x.chunks(15).flat_map(|x| x.repeat(2)).collect();
    let rows: Vec<f32> = wide.process(&frames).chunks(20).flat_map(|y| y[10..].to_vec()).collect();
    close(&rows, &want);
}

#[test]
fn states_are_copied_and_restored() {
    for file in [bytes(&layer(Cell::Lstm, 3, 8, 2)), graph()] {
        let (model, x) = (Model::load(&file, &OPTIONS), signal(20 * 3));
        let mut stream = model.stream(&STREAM);
        let first = stream.process(&x);
        let mut state = vec![f32::NAN; stream.1.state_size];
        // SAFETY: the pointers live.
        ok(|error| unsafe { wgru_stream_snapshot(stream.0, state.as_mut_ptr(), state.len(), error) });
        let second = stream.process(&x);
        assert_ne!(first, second);
        let mut other = model.stream(&STREAM);
        // SAFETY: the pointers live.
        ok(|error| unsafe { wgru_stream_restore(other.0, state.as_ptr(), state.len(), error) });
        assert_eq!(other.process(&x), second);
        // SAFETY: the pointers live.
        ok(|error| unsafe { wgru_stream_reset(other.0, error) });
        assert_eq!(other.process(&x), first);
    }
}

#[test]
fn frames_are_processed_in_place() {
    // An output as long as a frame, and a shorter one.
    let files = [
        (bytes(&layer(Cell::Gru, 4, 4, 1)), null()),
        (headed(&layer(Cell::Gru, 3, 8, 1), &linear(8, 2)).to_bytes().expect("bytes"), c"head".as_ptr()),
    ];
    for (file, head) in files {
        let model = Model::load(&file, &WgruModelOptions { head, ..OPTIONS });
        let mut stream = model.stream(&STREAM);
        let mut buffer = signal(25 * stream.1.input_size);
        let want = stream.process(&buffer);
        let (len, at) = (buffer.len(), buffer.as_mut_ptr());
        // SAFETY: the handle lives.
        ok(|error| unsafe { wgru_stream_reset(stream.0, error) });
        // SAFETY: the buffer lives, and the two may be the same.
        ok(|error| unsafe { wgru_stream_process(stream.0, at, len, at, want.len(), error) });
        assert_eq!(buffer[..want.len()], want);
    }
}
