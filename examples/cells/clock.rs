//! Time of an update and of a step, on one thread.

use std::time::Instant;

use wgru::{Device, Result, Rng};

use crate::learn::{Course, Learner};
use crate::tasks::Task;

/// Updates that are timed, after as many as that to warm up.
const UPDATES: (usize, usize) = (10, 2);
/// Blocks of steps that are timed, and steps of a block.
const BLOCKS: usize = 20;
const STEPS: usize = 25;

/// Times of a network. Each is the shortest of several, so that other programs disturb it little.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Times {
    /// One update: forward, backward, clipping, and Adam.
    pub update_ms: f64,
    /// One step of one sequence through the layers, with attention over all steps of the task.
    pub step_us: f64,
    /// One step of one sequence through a [`Stream`](wgru::Stream), if the network has one.
    pub stream_us: Option<f64>,
    /// Parameters, without the embedding.
    pub parameters: usize,
}

/// Measures a network with random weights; `None` if `interrupted`.
///
/// # Errors
/// Errors from the device.
pub fn measure(device: &Device, task: &Task, course: &Course, interrupted: &dyn Fn() -> bool) -> Result<Option<Times>> {
    let mut learner = Learner::new(device, task, course)?;
    let batch = (task.draw)(&mut Rng::new(0));
    let mut update_s = f64::INFINITY;
    for i in 0..UPDATES.0 + UPDATES.1 {
        if interrupted() {
            return Ok(None);
        }
        let start = Instant::now();
        learner.update(&batch)?;
        if i >= UPDATES.1 {
            update_s = update_s.min(start.elapsed().as_secs_f64());
        }
    }
    let mut step = learner.network.stepper(batch.steps)?;
    let step_s = shortest(&mut step)?;
    let stream_s = match learner.network.stream()? {
        None => None,
        Some(mut stream) => {
            let frame = vec![0.5; task.shape.input.width()];
            Some(shortest(&mut || stream.step(&frame).map(|_| ()))?)
        }
    };
    Ok(Some(Times {
        update_ms: 1e3 * update_s,
        step_us: 1e6 * step_s,
        stream_us: stream_s.map(|seconds| 1e6 * seconds),
        parameters: course.kind.parameters(course.units, course.layers, task.shape.input.width(), task.shape.output),
    }))
}

/// Returns the seconds of one step: the shortest mean over a block.
fn shortest(step: &mut dyn FnMut() -> Result<()>) -> Result<f64> {
    let mut best = f64::INFINITY;
    for _ in 0..BLOCKS {
        let start = Instant::now();
        for _ in 0..STEPS {
            step()?;
        }
        best = best.min(start.elapsed().as_secs_f64() / STEPS as f64);
    }
    Ok(best)
}
