//! Reports the measurements of a run as JSON.

use std::path::Path;

use serde_json::{Value, json};

use crate::meter::{Meter, Times};
use crate::worker::Board;

/// Number of bins of the histogram, and milliseconds per bin.
const BINS: usize = 200;
const WIDTH: f32 = 1.0;

/// Measurements of the session, in addition to those of the meter and the board.
pub struct Run {
    /// Number of windows reopened because the previous one lost its device.
    pub reopened: u32,
    /// Number of restarts because a window's device was lost while it was painted.
    pub restarted: u32,
    /// Whether training was on at the end.
    pub training: bool,
    /// Number of steps of the sensor.
    pub steps: u64,
}

/// Returns the measurements of a run.
pub fn report(meter: &Meter, board: &Board, run: &Run) -> Value {
    let elapsed = meter.elapsed().as_secs_f64();
    let losses: Vec<Value> =
        board.history.iter().map(|l| json!({ "training": l.training, "validation": l.validation })).collect();
    json!({
        "frames": meter.frames.len(),
        "seconds": elapsed,
        "frame_ms": quantiles(&meter.frames),
        "histogram": { "width_ms": WIDTH, "counts": meter.frames.histogram(WIDTH, BINS) },
        "wgru_in_frame_ms": quantiles(&meter.wgru),
        "inference_ms": quantiles(&meter.inference),
        "training": run.training,
        "updates": board.made,
        "updates_per_second": board.made as f64 / elapsed,
        "epochs": board.history.len(),
        "losses_celsius": losses,
        "device": board.device,
        "place": board.place,
        "lost": board.lost,
        "recovered": board.recovered,
        "windows_reopened": run.reopened,
        "restarted": run.restarted,
        "model_found": board.resumed,
        "sensor_steps": run.steps,
        "events": board.events.iter().map(|event| event.text.clone()).collect::<Vec<_>>(),
    })
}

fn quantiles(times: &Times) -> Value {
    json!({
        "count": times.len(),
        "p50": times.quantile(0.5),
        "p99": times.quantile(0.99),
        "max": times.quantile(1.0),
    })
}

/// Writes a report.
///
/// # Errors
/// A message that says what went wrong.
pub fn write(path: &Path, report: &Value) -> Result<(), String> {
    let mut text = serde_json::to_vec_pretty(report).map_err(|error| error.to_string())?;
    text.push(b'\n');
    wgru::io::write_atomically(path, &text).map_err(|error| error.to_string())
}
