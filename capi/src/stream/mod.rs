//! Streams: models that run frame by frame and carry their state.
#![allow(unsafe_code, reason = "takes pointers from C")]

mod graph;
mod runner;

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, Ordering};

use engine::{Interpolation, NonFinite, Precision, StreamOptions};

use self::runner::Runner;
use crate::call::{breaking, guard};
use crate::failure::{Failure, Result};
use crate::handle::{self, Object};
use crate::model::WgruModel;
use crate::raw;
use crate::status::{WgruError, WgruStatus};
use crate::tensor::{Input, WgruTensor};

/// Maximum number of sequences of a stream. Their states are allocated, which must not end the process.
const MOST_SEQUENCES: usize = 65_536;

/// Storage format of the weights of a stream.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WgruWeights {
    /// 32 bits: exact.
    F32 = 0,
    /// 16 bits with 11 bits of mantissa.
    F16 = 1,
    /// 16 bits with 8 bits of mantissa.
    Bf16 = 2,
    /// 8 bits.
    Int8 = 3,
    /// The faster of F32 and BF16 for the size of each layer.
    Auto = 4,
}

/// Options of a stream. Start from zeros (`WgruStreamOptions options = {0};`), which are the defaults, and set what is
/// needed.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct WgruStreamOptions {
    /// Number of sequences that are stepped together: 1 to 65536; 0 stands for 1. Must be 1 for an ONNX model.
    pub batch: usize,
    /// A `WgruWeights`. Must be `WGRU_WEIGHTS_F32` or `WGRU_WEIGHTS_AUTO` for an ONNX model.
    pub weights: u32,
    /// Number of threads that share a step, including the calling one: 1 to 16; 0 stands for 1. More than one starts
    /// threads that live as long as the stream, and a step may then wake one, which is a system call. Must be 1 for an
    /// ONNX model, which uses the threads of `WgruModelOptions`.
    pub threads: usize,
    /// For ONNX models: the extents of a frame, for inputs whose extents the file leaves open, and the values of
    /// integers, such as a sample rate, which stay. The floats do not matter. Extents that are neither fixed by the file
    /// nor given here are 1. Null for none.
    pub inputs: *const WgruTensor,
    /// Number of `inputs`.
    pub input_count: usize,
    /// Handling of a state that becomes NaN or infinite: a `WgruNonFinite`. Must be `WGRU_NON_FINITE_PROPAGATE` for an
    /// ONNX model.
    pub non_finite: u32,
    /// Rate of the frames divided by that at which the model was trained, 1 to 64; 0 stands for 1. At 2, a model of audio
    /// at 48 kHz runs at 96 kHz, without latency. At lower rates, resample the frames. Must be 1 for an ONNX model.
    pub rate_ratio: f64,
    /// With a `rate_ratio`: a `WgruInterpolation`.
    pub interpolation: u32,
    /// 0, or 1: compute tanh and the sigmoid with absolute errors up to 1.3e-5 and 7e-6. Steps of few units are then 1.1
    /// to 1.4 times as fast. Only for one sequence with weights of 32 bits and at most 64 units.
    pub fast_activations: u32,
}

/// Handling of a sequence whose state becomes NaN or infinite, usually because a frame holds NaN or infinity.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WgruNonFinite {
    /// The state stays NaN until it is reset.
    Propagate = 0,
    /// Restarts the sequence from its initial state, whose output is the output of this step.
    Reset = 1,
    /// Ignores the frame: state and output stay those of the step before.
    Hold = 2,
}

/// How a stream with a `rate_ratio` interpolates states between two steps.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WgruInterpolation {
    /// A polynomial through three or four states.
    Lagrange = 0,
    /// A line through two states, as in RTNeural.
    Linear = 1,
}

/// Sizes of a stream's inputs, outputs and states, in floats.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct WgruStreamInfo {
    /// Size of a frame of all sequences together: `[batch, features]`. For an ONNX model: its inputs of floats that are
    /// no states, one after another in the order of the file.
    pub input_size: usize,
    /// Size of the output of a frame: `[batch, features]`. For an ONNX model: its outputs that are no states, one after
    /// another; integers become floats.
    pub output_size: usize,
    /// Number of sequences.
    pub batch: usize,
    /// Size of the state, for `wgru_stream_snapshot`.
    pub state_size: usize,
}

/// A model that runs frame by frame on the CPU and carries its state.
///
/// A stream may be used in any thread, but only by one at a time: a call during another one returns `WGRU_STATUS_BUSY`
/// and does nothing. Different streams, also of one model, are independent.
pub struct WgruStream {
    info: WgruStreamInfo,
    /// Whether a call is in progress.
    is_busy: AtomicBool,
    inner: UnsafeCell<Inner>,
}

struct Inner {
    runner: Runner,
    /// Whether a call panicked.
    is_broken: bool,
}

impl Object for WgruStream {
    const NAME: &'static str = "stream";
    const MARK: u64 = u64::from_le_bytes(*b"\xf7wgruSt\x9d");
}

const _: () = {
    const fn is_send<T: Send>() {}
    const fn is_sync<T: Sync>() {}
    // Streams move between threads, and `is_busy` admits one call at a time.
    is_send::<Inner>();
    is_send::<WgruModel>();
    is_sync::<WgruModel>();
};

impl WgruStream {
    fn new(runner: Runner, batch: usize) -> Self {
        let widths = runner.widths();
        let [input_size, output_size] = match &runner {
            Runner::Network(_) => widths.map(|width| width * batch),
            Runner::Graph(_) => widths,
        };
        let info = WgruStreamInfo { input_size, output_size, batch, state_size: runner.state_len() };
        let inner = UnsafeCell::new(Inner { runner, is_broken: false });
        Self { info, is_busy: AtomicBool::new(false), inner }
    }

    /// Runs `body` unless another call is in progress.
    fn enter<T>(&self, body: impl FnOnce(&mut Inner) -> Result<T>) -> Result<T> {
        if self.is_busy.swap(true, Ordering::Acquire) {
            return Err(Failure::Busy);
        }
        // Also after a panic.
        struct Leave<'a>(&'a AtomicBool);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                self.0.store(false, Ordering::Release);
            }
        }
        let _leave = Leave(&self.is_busy);
        // SAFETY: `is_busy` gives this call exclusive access.
        body(unsafe { &mut *self.inner.get() })
    }

    /// Runs `body` on the runner unless another call is in progress or an earlier one panicked.
    fn run<T>(&self, body: impl FnOnce(&mut Runner) -> Result<T>) -> Result<T> {
        self.enter(|inner| breaking(&mut inner.is_broken, || body(&mut inner.runner)))
    }

    /// Runs frames. `frames` is the number that the caller expects, or `None` for any.
    ///
    /// # Safety
    /// `input` and `output` must be as documented for `wgru_stream_process`.
    unsafe fn process(
        &self,
        (input, input_length): (*const f32, usize),
        (output, output_length): (*mut f32, usize),
        frames: Option<usize>,
    ) -> Result<()> {
        let lengths = [self.info.input_size, self.info.output_size];
        let count = match frames {
            Some(frames) => frames,
            None if input_length.is_multiple_of(lengths[0]) => input_length / lengths[0],
            None => return Err(Failure::Frames { arg: "input", frame: lengths[0], got: input_length }),
        };
        for (arg, size, got) in [("input", lengths[0], input_length), ("output", lengths[1], output_length)] {
            // Saturates at a length that no memory has, which the check of the pointer refuses.
            let expected = count.saturating_mul(size);
            if got != expected {
                return Err(Failure::Length { arg, expected, got });
            }
        }
        raw::check("input", input, input_length)?;
        raw::check("output", output, output_length)?;
        check_overlap((input, input_length), (output, output_length), lengths)?;
        // SAFETY: checked, as far as possible; the caller guarantees the rest.
        self.run(|runner| unsafe { runner.process(input, output, lengths, count) })
    }
}

/// Checks that input and output do not overlap, or are processed in place.
fn check_overlap(
    (input, input_length): (*const f32, usize),
    (output, output_length): (*mut f32, usize),
    lengths: [usize; 2],
) -> Result<()> {
    let (a, b) = (input.addr(), output.addr());
    let (a_end, b_end) = (a + input_length * size_of::<f32>(), b + output_length * size_of::<f32>());
    let is_apart = a_end <= b || b_end <= a;
    if is_apart || (a == b && lengths[1] <= lengths[0]) {
        return Ok(());
    }
    let why =
        "overlaps the input; expected separate memory, or the same pointer if an output is no larger than a frame";
    Err(Failure::Pointer { arg: "output", why })
}

/// Creates a stream of a model on the CPU. It starts from the initial state.
///
/// Recurrent models, and networks whose layers do not branch and are recurrent, linear, tanh or ReLU, run frame by
/// frame; so do ONNX models whose steps do not depend on computed values. The states of an ONNX model are found by the
/// names and shapes of its inputs and outputs.
///
/// - `options`: null for the defaults.
/// - `stream`: receives the handle, or null on an error. Free it with `wgru_stream_free`.
/// - `error`: null, or receives the text of an error.
///
/// Errors: `WGRU_STATUS_HANDLE`; `WGRU_STATUS_UNSUPPORTED` for a model that is on a GPU or does not run frame by frame;
/// `WGRU_STATUS_VALUE` for options, for options of layers that streams do not have, and for inputs of an ONNX model that
/// need an example. Any thread. Allocates.
///
/// # Safety
/// The pointers must be as described.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wgru_stream_new(
    model: *const WgruModel,
    options: *const WgruStreamOptions,
    stream: *mut *mut WgruStream,
    error: *mut WgruError,
) -> WgruStatus {
    // SAFETY: as for this function.
    unsafe {
        guard(error, || {
            handle::put(stream, || {
                let model = handle::get(model)?;
                let (mut plain, mut examples) = (StreamOptions::default(), Vec::new());
                if let Some(options) = raw::options(options)? {
                    let (batch, threads) = (options.batch.max(1), options.threads.max(1));
                    if batch > MOST_SEQUENCES {
                        let text = format!("options: batch: expected at most {MOST_SEQUENCES}, got {batch}");
                        return Err(Failure::value(text));
                    }
                    plain = StreamOptions {
                        batch,
                        weights: precision(options.weights)?,
                        threads,
                        fast_activations: flag("fast_activations", options.fast_activations)?,
                        non_finite: non_finite(options.non_finite)?,
                        rate_ratio: if options.rate_ratio == 0.0 { 1.0 } else { options.rate_ratio },
                        interpolation: interpolation(options.interpolation)?,
                    };
                    examples = Input::all(options.inputs, options.input_count)?;
                }
                Ok(WgruStream::new(Runner::new(model, plain, &examples)?, plain.batch))
            })
        })
    }
}

fn precision(weights: u32) -> Result<Precision> {
    const F32: u32 = WgruWeights::F32 as u32;
    const F16: u32 = WgruWeights::F16 as u32;
    const BF16: u32 = WgruWeights::Bf16 as u32;
    const INT8: u32 = WgruWeights::Int8 as u32;
    const AUTO: u32 = WgruWeights::Auto as u32;
    match weights {
        F32 => Ok(Precision::F32),
        F16 => Ok(Precision::F16),
        BF16 => Ok(Precision::Bf16),
        INT8 => Ok(Precision::Int8),
        AUTO => Ok(Precision::Auto),
        other => Err(Failure::value(format!("options: weights: expected a WgruWeights, got {other}"))),
    }
}

fn flag(name: &str, value: u32) -> Result<bool> {
    match value {
        0 | 1 => Ok(value == 1),
        other => Err(Failure::value(format!("options: {name}: expected 0 or 1, got {other}"))),
    }
}

fn non_finite(value: u32) -> Result<NonFinite> {
    const PROPAGATE: u32 = WgruNonFinite::Propagate as u32;
    const RESET: u32 = WgruNonFinite::Reset as u32;
    const HOLD: u32 = WgruNonFinite::Hold as u32;
    match value {
        PROPAGATE => Ok(NonFinite::Propagate),
        RESET => Ok(NonFinite::Reset),
        HOLD => Ok(NonFinite::Hold),
        other => Err(Failure::value(format!("options: non_finite: expected a WgruNonFinite, got {other}"))),
    }
}

fn interpolation(value: u32) -> Result<Interpolation> {
    const LAGRANGE: u32 = WgruInterpolation::Lagrange as u32;
    const LINEAR: u32 = WgruInterpolation::Linear as u32;
    match value {
        LAGRANGE => Ok(Interpolation::Lagrange),
        LINEAR => Ok(Interpolation::Linear),
        other => Err(Failure::value(format!("options: interpolation: expected a WgruInterpolation, got {other}"))),
    }
}

/// Frees a stream, and sets `*stream` to null. Null, and a pointer to null, are accepted.
///
/// Errors: `WGRU_STATUS_HANDLE`; `WGRU_STATUS_BUSY` if another call is in progress, and the stream is then not freed. No
/// other call may use the stream later. Frees memory, so do not call it in an audio callback.
///
/// # Safety
/// The pointers must be as described.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wgru_stream_free(stream: *mut *mut WgruStream) -> WgruStatus {
    // SAFETY: as for this function.
    unsafe { guard(std::ptr::null_mut(), || handle::free(stream, |stream| stream.enter(|_| Ok(())))) }
}

/// Describes a stream.
///
/// - `info`: receives the description. It does not change.
///
/// Errors: `WGRU_STATUS_HANDLE`, `WGRU_STATUS_POINTER`. Any thread, also during another call.
///
/// # Safety
/// The pointers must be as described.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wgru_stream_info(
    stream: *const WgruStream,
    info: *mut WgruStreamInfo,
    error: *mut WgruError,
) -> WgruStatus {
    // SAFETY: as for this function.
    unsafe {
        guard(error, || {
            let stream = handle::get(stream)?;
            raw::write("info", info, || Ok(stream.info))
        })
    }
}

/// Runs one step on a frame.
///
/// - `input`: `input_length` floats: exactly `input_size` of `wgru_stream_info`.
/// - `output`: receives `output_length` floats: exactly `output_size`. It may be the same pointer as `input` if
///   `output_size` is at most `input_size`, and must not overlap it otherwise.
///
/// Errors: `WGRU_STATUS_HANDLE`, `WGRU_STATUS_POINTER`, `WGRU_STATUS_SHAPE` for a wrong length, `WGRU_STATUS_BUSY`. After
/// these, state and output are unchanged. One thread at a time. Allocates nothing, waits for no lock and, with one
/// thread, makes no system call, also when it returns an error.
///
/// # Safety
/// The pointers must be as described.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wgru_stream_step(
    stream: *mut WgruStream,
    input: *const f32,
    input_length: usize,
    output: *mut f32,
    output_length: usize,
    error: *mut WgruError,
) -> WgruStatus {
    // SAFETY: as for this function.
    unsafe {
        guard(error, || {
            let (input, output) = ((input, input_length), (output, output_length));
            handle::get(stream)?.process(input, output, Some(1))
        })
    }
}

/// Runs any number of frames: the same as one `wgru_stream_step` for each, with the same results.
///
/// - `input`: `input_length` floats: a multiple of `input_size` of `wgru_stream_info`. Frames follow each other.
/// - `output`: receives `output_length` floats: `output_size` for each frame. It may be the same pointer as `input` if
///   `output_size` is at most `input_size`, and must not overlap it otherwise.
///
/// No frames are accepted, and do nothing; the pointers may then be null.
///
/// Errors: as for `wgru_stream_step`. One thread at a time. Allocates nothing, waits for no lock and, with one thread,
/// makes no system call, also when it returns an error.
///
/// # Safety
/// The pointers must be as described.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wgru_stream_process(
    stream: *mut WgruStream,
    input: *const f32,
    input_length: usize,
    output: *mut f32,
    output_length: usize,
    error: *mut WgruError,
) -> WgruStatus {
    // SAFETY: as for this function.
    unsafe {
        guard(error, || {
            let (input, output) = ((input, input_length), (output, output_length));
            handle::get(stream)?.process(input, output, None)
        })
    }
}

/// Returns to the initial state: all sequences start again.
///
/// Errors: `WGRU_STATUS_HANDLE`, `WGRU_STATUS_BUSY`. One thread at a time. Allocates nothing and waits for no lock.
///
/// # Safety
/// The pointers must be as described.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wgru_stream_reset(stream: *mut WgruStream, error: *mut WgruError) -> WgruStatus {
    // SAFETY: as for this function.
    unsafe {
        guard(error, || {
            handle::get(stream)?.run(|runner| {
                runner.reset();
                Ok(())
            })
        })
    }
}

/// Copies the state.
///
/// - `state`: receives `length` floats: exactly `state_size` of `wgru_stream_info`. Their order is an internal matter.
///
/// Errors: `WGRU_STATUS_HANDLE`, `WGRU_STATUS_POINTER`, `WGRU_STATUS_SHAPE`, `WGRU_STATUS_BUSY`. One thread at a time.
/// Allocates nothing and waits for no lock.
///
/// # Safety
/// The pointers must be as described.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wgru_stream_snapshot(
    stream: *const WgruStream,
    state: *mut f32,
    length: usize,
    error: *mut WgruError,
) -> WgruStatus {
    // SAFETY: as for this function.
    unsafe {
        guard(error, || {
            let stream = handle::get(stream)?;
            check_state(&stream.info, state, length)?;
            stream.run(|runner| {
                // The memory may be uninitialized, and a slice of it would be undefined.
                (0..length).for_each(|k| state.add(k).write(0.0));
                match length {
                    0 => Ok(()),
                    _ => runner.save(std::slice::from_raw_parts_mut(state, length)),
                }
            })
        })
    }
}

fn check_state(info: &WgruStreamInfo, state: *const f32, length: usize) -> Result<()> {
    match info.state_size {
        expected if expected != length => Err(Failure::Length { arg: "state", expected, got: length }),
        _ => raw::check("state", state, length),
    }
}

/// Continues from a state that `wgru_stream_snapshot` copied, from this stream or another one of the same model with the
/// same options.
///
/// - `state`: `length` floats: exactly `state_size` of `wgru_stream_info`.
///
/// Errors: `WGRU_STATUS_HANDLE`, `WGRU_STATUS_POINTER`, `WGRU_STATUS_SHAPE`, `WGRU_STATUS_BUSY`; the state is then
/// unchanged. One thread at a time. Allocates nothing and waits for no lock.
///
/// # Safety
/// The pointers must be as described.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wgru_stream_restore(
    stream: *mut WgruStream,
    state: *const f32,
    length: usize,
    error: *mut WgruError,
) -> WgruStatus {
    // SAFETY: as for this function.
    unsafe {
        guard(error, || {
            let stream = handle::get(stream)?;
            check_state(&stream.info, state, length)?;
            let state = raw::slice("state", state, length)?;
            stream.run(|runner| runner.load(state))
        })
    }
}
