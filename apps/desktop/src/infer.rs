//! Inferences that frames record on the window's device, to measure their cost.

use std::pin::Pin;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::task::{Context, Poll, Waker};

use wgru::nn::{Gru, Mode, RecurrentConfig, RunOptions, prepare};
use wgru::{Device, Result, Rng, Tensor};

use crate::gpu::Host;
use crate::meter::Meter;

const STEPS: usize = 64;
const BATCH: usize = 8;
const HIDDEN: usize = 256;
const LAYERS: usize = 2;

/// A pending readback.
type Reading = Pin<Box<dyn Future<Output = Result<Vec<f32>>> + Send>>;

/// Two layers of 256 units over 64 steps of 8 sequences.
pub struct Inference {
    gru: Gru,
    x: Tensor,
    reading: Option<Reading>,
}

impl Inference {
    fn new(host: &Host) -> Result<Self> {
        let device: Device = host.adopt()?;
        let config = RecurrentConfig { layers: LAYERS, ..RecurrentConfig::gru(HIDDEN, HIDDEN) };
        let gru = config.build(&device, &mut Rng::new(1))?;
        let x = Tensor::full(&device, 0.5, &[STEPS, BATCH, HIDDEN])?;
        prepare(&gru, &x)?;
        Ok(Self { gru, x, reading: None })
    }

    /// Builds an inference in the background.
    pub fn prepare(host: &Host) -> Pending {
        let (sender, receiver) = channel();
        let host = host.clone();
        std::thread::spawn(move || {
            // Fails if the window was closed in the meantime.
            let _ = sender.send(Self::new(&host));
        });
        Pending::Waiting(receiver)
    }

    fn last_state(&self) -> Result<Tensor> {
        Ok(self.gru.run(&self.x, RunOptions::default(), &mut Mode::Eval)?.h_n)
    }

    /// Records a run, and starts to read its last state back.
    fn begin(&mut self) -> Result<()> {
        let state = self.last_state()?;
        self.reading = Some(Box::pin(async move { state.read().await }));
        self.look()
    }

    /// Takes the state if it has arrived. Does not wait.
    fn look(&mut self) -> Result<()> {
        let Some(reading) = &mut self.reading else { return Ok(()) };
        match reading.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => Ok(()),
            Poll::Ready(state) => {
                self.reading = None;
                state.map(drop)
            }
        }
    }
}

/// An [`Inference`] that is built in the background.
pub enum Pending {
    Waiting(Receiver<Result<Inference>>),
    Ready(Box<Inference>),
    /// It failed, and the error was shown.
    Failed,
}

impl Pending {
    /// Does the work of one frame. Takes the result of an earlier inference if it has arrived. If `is_due` is set,
    /// starts the next inference, unless one is pending.
    ///
    /// # Errors
    /// Errors from the device, once.
    pub fn frame(&mut self, meter: &mut Meter, is_due: bool) -> Result<()> {
        if let Self::Waiting(receiver) = self {
            match receiver.try_recv() {
                Ok(Ok(inference)) => *self = Self::Ready(Box::new(inference)),
                Ok(Err(error)) => return self.fail(error),
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => *self = Self::Failed,
            }
        }
        let Self::Ready(inference) = self else { return Ok(()) };
        let mut done = meter.time(|| inference.look());
        if done.is_ok() && is_due && inference.reading.is_none() {
            done = meter.time_inference(|| inference.begin());
        }
        done.or_else(|error| self.fail(error))
    }

    fn fail(&mut self, error: wgru::Error) -> Result<()> {
        *self = Self::Failed;
        Err(error)
    }
}
