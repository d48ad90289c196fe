//! The model as the window shows it: its forecast, its gates, and a copy on the CPU.

use std::ops::Range;
use std::sync::Arc;

use wgru::{Device, Result, Tensor};

use super::board::{Forecast, Gates, Shared, Trained};
use super::snapshot::Snapshot;
use crate::gpu::Host;
use crate::model::Forecaster;
use crate::weather::Weather;

/// Days before the test year that warm up the state.
const WARM_UP: usize = 60;

/// Runs the model on the window's device, so that the window can draw from its buffers.
pub struct View {
    device: Device,
    window: u32,
    weather: Arc<Weather>,
    /// Copy of the trained weights on this device.
    copy: Option<Forecaster>,
    serial: u64,
}

impl View {
    /// Creates a view on the device of `window`.
    ///
    /// # Errors
    /// Errors from adopting the device.
    pub fn new(window: &Host, weather: Arc<Weather>, serial: u64) -> Result<Self> {
        Ok(Self { device: window.adopt()?, window: window.window, weather, copy: None, serial })
    }

    /// Returns a serial number that distinguishes pictures, even across views.
    pub fn serial(&self) -> u64 {
        self.serial
    }

    fn days(&self) -> Range<usize> {
        let test = self.weather.test();
        test.start - WARM_UP..test.end
    }

    /// Runs the weights of `snapshot`, and puts forecast and gates on the board.
    ///
    /// The weights are copied, so the view does not depend on the training device, and survives its loss.
    ///
    /// # Errors
    /// Errors from the device.
    pub fn show(&mut self, snapshot: &Snapshot, shared: &Shared) -> Result<()> {
        match &self.copy {
            Some(copy) if copy.hidden() == snapshot.hidden => snapshot.assign_to(copy)?,
            _ => self.copy = Some(snapshot.model_on(&self.device)?),
        }
        let Some(model) = &self.copy else { return Ok(()) };
        let (days, hidden) = (self.days(), snapshot.hidden);
        let pass = model.pass(&self.device, &self.weather, days.clone())?;
        let change = pass.output.read_blocking()?;
        self.serial += 1;
        let alive = pass.gates;
        let parts = alive.values().iter().map(Tensor::wgpu_buffer).collect::<Result<_>>()?;
        let gates = Gates {
            parts,
            _alive: alive,
            window: self.window,
            start: days.start,
            days: days.len(),
            hidden,
            serial: self.serial,
        };
        let mut board = shared.lock();
        board.forecast = Some(Arc::new(Forecast { start: days.start, change }));
        board.gates = Some(Arc::new(gates));
        Ok(())
    }
}

/// Puts the weights of `snapshot` on the board, as a stream on the CPU.
///
/// # Errors
/// Errors from [`Forecaster::stream`].
pub fn hand_out(snapshot: &Snapshot, shared: &Shared) -> Result<()> {
    let stream = snapshot.model_on(&Device::cpu())?.stream()?;
    let mut board = shared.lock();
    let serial = board.trained.as_ref().map_or(0, |trained| trained.serial) + 1;
    board.trained = Some(Trained { stream, serial });
    Ok(())
}
