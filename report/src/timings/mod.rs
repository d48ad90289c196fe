//! Measured times, from small to large, until a call would take long.

mod layers;
pub mod products;

use wgru::{Result, Tensor};

use crate::run::{Key, Run, Stop, fill};

pub async fn all(run: &mut Run<'_>) -> std::result::Result<(), Stop> {
    run.begin("times", 0.5);
    run.round_trip().await?;
    dispatches(run).await?;
    copies(run).await?;
    run.begin("products", 0.53);
    products::all(run).await?;
    layers::all(run).await
}

/// Dependent dispatches that compute almost nothing.
async fn dispatches(run: &mut Run<'_>) -> std::result::Result<(), Stop> {
    let count = 64;
    let key = Key { kind: "dispatches", of: "", dims: &[count], choice: "" };
    let device = run.device.clone();
    run.time(key, 0.0, || {
        let mut x = Tensor::zeros(&device, &[64])?;
        for _ in 0..count {
            x = x.add_scalar(1.0)?;
        }
        Ok(x)
    })
    .await
    .map(drop)
}

/// An elementwise kernel on 16 MiB, which takes as long as memory needs to read and write them.
async fn copies(run: &mut Run<'_>) -> std::result::Result<(), Stop> {
    let len = 1 << 22;
    let device = run.device.clone();
    let x = match Tensor::from_slice(&device, &fill(1, len, 1.0), &[len]) {
        Ok(x) => x,
        Err(error) => {
            run.skip("scale", error.to_string());
            return Ok(());
        }
    };
    let key = Key { kind: "elementwise", of: "scale", dims: &[len as u64], choice: "" };
    run.time(key, 0.0, || x.scale(2.0)).await.map(drop)
}

/// Predicts times from the last one of the same choice.
#[derive(Default)]
struct Pace(Vec<(String, f64, f64)>);

impl Pace {
    /// The seconds that `work` operations are expected to take: in proportion to the last measurement. 0 if there is
    /// none.
    fn expects(&self, choice: &str, work: f64) -> f64 {
        self.0.iter().rev().find(|(of, ..)| of == choice).map_or(0.0, |(_, done, seconds)| seconds * work / done)
    }

    /// Stores a measurement. A choice that was left out stays left out for more work.
    fn took(&mut self, choice: &str, work: f64, seconds: Option<f64>) {
        match seconds {
            Some(seconds) => self.0.push((choice.to_string(), work, seconds)),
            None if self.expects(choice, work) == 0.0 => self.0.push((choice.to_string(), work, f64::INFINITY)),
            None => {}
        }
    }
}

/// Returns a tensor on the device, or lists the work as skipped.
fn on_device(run: &mut Run, name: &str, tensor: Result<Tensor>) -> Option<Tensor> {
    match tensor {
        Ok(tensor) => Some(tensor),
        Err(error) => {
            run.skip(name, error.to_string());
            None
        }
    }
}
