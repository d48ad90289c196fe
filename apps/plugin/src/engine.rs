//! Models that are ready for the audio thread, and their handover between threads.

use crossbeam_utils::atomic::AtomicCell;

use crate::failure::Result;
use crate::model::{Core, Model};
use crate::rate::Resampled;

/// Seconds of silence before the signal. Without them, a model would start with a click, while its states move from
/// zeros to their values in silence.
const SILENCE: f64 = 0.5;

/// A model for all channels at the sample rate of the host. Allocates only when it is created.
pub struct Engine {
    voices: Vec<Voice>,
    latency: usize,
}

/// The model of one channel.
struct Voice {
    core: Core,
    /// Present if the model has another sample rate.
    resampled: Option<Resampled>,
    gains: [f32; 2],
}

impl Voice {
    fn new(model: &Model, rate: f64) -> Result<Self> {
        let mut core = model.core()?;
        let resampled = if (rate - model.rate).abs() < 1e-3 { None } else { Some(Resampled::new(rate, model.rate)?) };
        let mut silence = [0.0; 64];
        for _ in 0..(SILENCE * model.rate) as usize / silence.len() {
            core.process(&mut silence);
            silence.fill(0.0);
        }
        core.rest();
        Ok(Self { core, resampled, gains: model.gains })
    }

    fn process(&mut self, samples: &mut [f32]) {
        let Self { core, resampled, gains: [before, after] } = self;
        samples.iter_mut().for_each(|v| *v *= *before);
        match resampled {
            Some(resampled) => resampled.process(samples, |own| core.process(own)),
            None => core.process(samples),
        }
        samples.iter_mut().for_each(|v| *v *= *after);
        // Happens only with extremely large weights.
        if !samples.iter().all(|v| v.is_finite()) {
            samples.fill(0.0);
            self.reset();
        }
    }

    fn reset(&mut self) {
        self.core.reset();
        if let Some(resampled) = &mut self.resampled {
            resampled.reset();
        }
    }
}

impl Engine {
    /// Creates the engine of a model.
    ///
    /// # Errors
    /// For a sample rate at which the model does not run.
    pub fn new(model: &Model, rate: f64, channels: usize) -> Result<Self> {
        let voices = (0..channels).map(|_| Voice::new(model, rate)).collect::<Result<Vec<_>>>()?;
        let latency = voices.first().and_then(|voice| voice.resampled.as_ref()).map_or(0, Resampled::latency);
        Ok(Self { voices, latency })
    }

    /// Creates an engine that passes the signal through.
    pub fn idle() -> Self {
        Self { voices: Vec::new(), latency: 0 }
    }

    /// Samples by which the output is behind the input.
    pub fn latency(&self) -> usize {
        self.latency
    }

    /// Replaces samples of a channel, which must be finite, by the output for them.
    pub fn process(&mut self, channel: usize, samples: &mut [f32]) {
        if let Some(voice) = self.voices.get_mut(channel) {
            voice.process(samples);
        }
    }

    /// Restores the states after silence.
    pub fn reset(&mut self) {
        self.voices.iter_mut().for_each(Voice::reset);
    }
}

/// A slot for passing an engine between two threads without waiting.
#[derive(Default)]
pub struct Slot(AtomicCell<Option<Box<Engine>>>);

impl Slot {
    /// Puts an engine here, and returns the one that was here.
    #[must_use = "an engine must be dropped on the main thread"]
    pub fn put(&self, engine: Box<Engine>) -> Option<Box<Engine>> {
        const { assert!(AtomicCell::<Option<Box<Engine>>>::is_lock_free()) };
        self.0.swap(Some(engine))
    }

    #[must_use = "an engine must be dropped on the main thread"]
    pub fn take(&self) -> Option<Box<Engine>> {
        self.0.take()
    }
}
