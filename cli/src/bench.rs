//! `wgru bench`: times a model frame by frame, and in sequences.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use wgru::io::Model;
use wgru::io::onnx::Value;
use wgru::{Device, Rng};

use crate::device::{Which, all};
use crate::failure::{Failure, Result};
use crate::inputs::{self, Sizes};
use crate::model::{self, floats};
use crate::output::{Answer, Output};

/// Times a model on every device: frame by frame, and in whole sequences.
///
/// A frame is one call of a stream, which carries the state: of a recurrent layer (CPU only), or of an ONNX model (with
/// fixed buffers on the CPU). A sequence is one run with the given or random inputs, until its outputs have been read
/// back. Times do not include loading. The percentiles are those of single calls.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The model, in any format
    model: PathBuf,
    /// An input of a sequence, as NAME=FILE.npy, or FILE.npy for a model with one input [default: random]
    #[arg(long = "input", value_name = "NAME=FILE.npy")]
    inputs: Vec<String>,
    /// Devices to run on [default: cpu, and gpu if there is one]
    #[arg(long, value_delimiter = ',')]
    devices: Vec<Which>,
    /// Seconds for each measurement
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Times only this recurrent layer
    #[arg(long, value_name = "NAME")]
    layer: Option<String>,
    #[command(flatten)]
    sizes: Sizes,
}

pub fn bench(args: &Args, out: &Output) -> Result<Answer> {
    if !(args.seconds > 0.0 && args.seconds <= 3600.0) {
        return Err(Failure::arguments("--seconds: expected a number above 0, at most 3600"));
    }
    let devices = all(&args.devices)?;
    let progress = out.progress(2 * devices.len());
    let mut results = Vec::new();
    for (which, device) in &devices {
        progress.at(&format!("{which}, frames"));
        let name = &device.info().name;
        let start = Instant::now();
        let model = model::load(device, &args.model, args.layer.as_deref())?;
        let load = start.elapsed();
        let frames = frames(args, device, &model)?;
        progress.advance();
        progress.at(&format!("{which}, sequences"));
        let sequences = sequences(args, device, &model)?;
        progress.advance();
        out.line(format!("{name}: loaded in {:.1} ms", load.as_secs_f64() * 1e3));
        for (what, times) in [("frame", &frames), ("sequence", &sequences)] {
            match times {
                Some(times) => out.line(format!("  {what:<8} {}", times.text())),
                None => out.line(format!("  {what:<8} no stream of this model on this device")),
            }
        }
        let json = |times: Option<Times>| times.map_or(Json::Null, |times| times.json());
        results.push(json!({
            "device": name, "load_ms": load.as_secs_f64() * 1e3, "frame": json(frames), "sequence": json(sequences),
        }));
    }
    drop(progress);
    Ok(Answer::yes(json!({ "model": args.model.display().to_string(), "devices": results })))
}

/// Times of single calls, sorted.
struct Times(Vec<Duration>);

impl Times {
    /// Calls a function for some seconds, after a few calls to warm up.
    fn measure(seconds: f64, mut call: impl FnMut() -> Result<()>) -> Result<Self> {
        let budget = Duration::from_secs_f64(seconds);
        let warm = Instant::now();
        for _ in 0..10 {
            call()?;
            if warm.elapsed() > budget {
                break;
            }
        }
        let (start, mut times) = (Instant::now(), Vec::new());
        while times.is_empty() || (start.elapsed() < budget && times.len() < 1_000_000) {
            let at = Instant::now();
            call()?;
            times.push(at.elapsed());
        }
        times.sort_unstable();
        Ok(Self(times))
    }

    /// Returns a percentile in microseconds.
    fn at(&self, percent: usize) -> f64 {
        let place = (self.0.len() * percent / 100).min(self.0.len() - 1);
        self.0[place].as_secs_f64() * 1e6
    }

    fn text(&self) -> String {
        let [p50, p90, p99] = [50, 90, 99].map(|percent| self.at(percent));
        format!("p50 {p50:.1} µs, p90 {p90:.1} µs, p99 {p99:.1} µs, {} calls", self.0.len())
    }

    fn json(&self) -> Json {
        json!({
            "p50_us": self.at(50), "p90_us": self.at(90), "p99_us": self.at(99), "min_us": self.at(0),
            "calls": self.0.len(),
        })
    }
}

/// Times single frames; `None` if the model has no stream on this device.
fn frames(args: &Args, device: &Device, model: &Model) -> Result<Option<Times>> {
    let mut rng = Rng::new(args.sizes.seed);
    match model {
        Model::Recurrent(layer) if !device.is_gpu() => {
            let Ok(mut stream) = layer.stream(1) else { return Ok(None) };
            let frame: Vec<f32> = (0..stream.input()).map(|_| rng.uniform(-1.0, 1.0)).collect();
            Ok(Some(Times::measure(args.seconds, || {
                stream.step(&frame)?;
                Ok(())
            })?))
        }
        Model::Onnx(onnx) => {
            let Ok(mut stream) = onnx.stream() else { return Ok(None) };
            // The extents that the model leaves open are 1, unless they are given.
            let inputs = match args.inputs.is_empty() {
                true => inputs::random(device, model, &args.sizes, &mut rng)?,
                false => inputs::read(device, model, &args.inputs)?,
            };
            // States are carried, not fed.
            let states: Vec<String> = stream.pairs().map(|[input, _]| input.to_string()).collect();
            let inputs: Vec<_> = inputs
                .iter()
                .filter(|(name, _)| !states.contains(name))
                .map(|(n, v)| (n.as_str(), v.clone()))
                .collect();
            // With buffers, on the CPU, unless what runs depends on computed values.
            if let Ok(mut bound) = stream.bind(&inputs) {
                for (name, value) in &inputs {
                    if let Value::Tensor(x) = value {
                        bound.input_mut(name)?.copy_from_slice(&x.read_blocking()?);
                    }
                }
                return Ok(Some(Times::measure(args.seconds, || {
                    bound.run();
                    Ok(())
                })?));
            }
            Ok(Some(Times::measure(args.seconds, || {
                for (_, value) in stream.run_blocking(&inputs)? {
                    floats(&value)?;
                }
                Ok(())
            })?))
        }
        _ => Ok(None),
    }
}

/// Times whole runs.
fn sequences(args: &Args, device: &Device, model: &Model) -> Result<Option<Times>> {
    let inputs = match args.inputs.is_empty() {
        true => inputs::random(device, model, &args.sizes, &mut Rng::new(args.sizes.seed))?,
        false => inputs::read(device, model, &args.inputs)?,
    };
    let times = Times::measure(args.seconds, || {
        for (_, value) in model::run(model, &inputs)? {
            floats(&value)?;
        }
        Ok(())
    })?;
    Ok(Some(times))
}
