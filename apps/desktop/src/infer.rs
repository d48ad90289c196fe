//! An inference that frames record on the window's device, to measure what that costs them

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

/// Values on their way back from the GPU.
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

    /// Makes one in the background.
    pub fn prepare(host: &Host) -> Pending {
        let (sender, receiver) = channel();
        let host = host.clone();
        std::thread::spawn(move || {
            // A window that is closed meanwhile wants none.
            let _ = sender.send(Self::new(&host));
        });
        Pending::Waiting(receiver)
    }

    fn last_state(&self) -> Result<Tensor> {
        Ok(self.gru.run(&self.x, RunOptions::default(), &mut Mode::Eval)?.h_n)
    }

    /// Records a run, and asks for its last state.
    fn begin(&mut self) -> Result<()> {
        let state = self.last_state()?;
        self.reading = Some(Box::pin(async move { state.read().await }));
        self.look()
    }

    /// Takes the state if it has come. Does not wait.
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

/// An [`Inference`] in the making.
pub enum Pending {
    Waiting(Receiver<Result<Inference>>),
    Ready(Box<Inference>),
    /// It failed, and the user was told.
    Failed,
}

impl Pending {
    /// Work of one frame: takes the result of an earlier inference if it has come, and where `is_due` begins the next one,
    /// unless one is under way.
    ///
    /// # Errors
    /// Those of the device, once.
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
