//! An inference that a frame records on the window's device, to measure what that costs the frame

use std::sync::mpsc::{Receiver, TryRecvError, channel};

use wgru::nn::{Gru, GruConfig, Mode, SequenceInput};
use wgru::{Device, Result, Rng, Tensor};

use crate::gpu::Host;
use crate::meter::Meter;

const STEPS: usize = 64;
const BATCH: usize = 8;
const HIDDEN: usize = 256;
const LAYERS: usize = 2;

/// Two layers of 256 units over 64 steps of 8 sequences.
pub struct Inference {
    device: Device,
    gru: Gru,
    x: Tensor,
}

impl Inference {
    fn new(host: &Host) -> Result<Self> {
        let device = host.adopt()?;
        let config = GruConfig { input: HIDDEN, hidden: HIDDEN, layers: LAYERS, ..GruConfig::default() };
        let gru = config.build(&device, &mut Rng::new(1))?;
        let x = Tensor::zeros(&device, &[STEPS, BATCH, HIDDEN])?;
        let inference = Self { device, gru, x };
        // Compiles the pipelines, which takes long.
        inference.gru.run(&inference.x, SequenceInput::default(), &mut Mode::Eval)?.output.to_vec()?;
        Ok(inference)
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

    fn record(&self) -> Result<()> {
        self.gru.run(&self.x, SequenceInput::default(), &mut Mode::Eval)?;
        self.device.flush()
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
    /// Records an inference if it is ready.
    ///
    /// # Errors
    /// Those of making or recording it, once.
    pub fn record(&mut self, meter: &mut Meter) -> Result<()> {
        if let Self::Waiting(receiver) = self {
            match receiver.try_recv() {
                Ok(Ok(inference)) => *self = Self::Ready(Box::new(inference)),
                Ok(Err(error)) => {
                    *self = Self::Failed;
                    return Err(error);
                }
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => *self = Self::Failed,
            }
        }
        if let Self::Ready(inference) = self
            && let Err(error) = meter.time_inference(|| inference.record())
        {
            *self = Self::Failed;
            return Err(error);
        }
        Ok(())
    }
}
