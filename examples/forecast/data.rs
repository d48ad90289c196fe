//! Windows of a standardized table, created on demand.

use std::ops::Range;

use wgru::train::{Batch, Data};
use wgru::{Device, Result, Tensor};

use crate::series::Series;
use crate::spec::Spec;

/// A table in the model's units, with the phases of the cycles.
pub struct Table {
    /// `[rows, width]`: the columns, then the sine and cosine of each cycle at the time of the next row.
    values: Vec<f32>,
    width: usize,
    /// The column to forecast, standardized, in full precision.
    pub target: Vec<f64>,
}

impl Table {
    /// Converts the columns of `series`, in the order of `spec`.
    pub fn new(series: &Series, spec: &Spec) -> Self {
        let standardised: Vec<Vec<f64>> =
            series.columns.iter().zip(&spec.scales).map(|(c, s)| c.iter().map(|&v| s.apply(v)).collect()).collect();
        let mut values = Vec::with_capacity(series.rows() * spec.inputs());
        let times = series.times.as_deref().unwrap_or_default();
        let step = series.step().unwrap_or_default();
        for row in 0..series.rows() {
            values.extend(standardised.iter().map(|column| column[row] as f32));
            let next = times.get(row + 1).or(times.get(row)).map_or(0.0, |(hours, _)| *hours);
            let next = if row + 1 == times.len() { next + step } else { next };
            values.extend(spec.cycles.iter().flat_map(|c| c.phase(next)));
        }
        Self { values, width: spec.inputs(), target: standardised.into_iter().next().unwrap_or_default() }
    }
}

/// Windows as inputs for the network. The last known value is subtracted from the target, so that the network learns
/// how the target continues from it; the other inputs are unchanged.
pub struct Windows<'a> {
    pub device: &'a Device,
    pub table: &'a Table,
    /// Rows at which the forecasts begin.
    pub origins: Range<usize>,
    pub window: usize,
    pub horizon: usize,
}

impl Windows<'_> {
    fn input(&self, origin: usize, out: &mut Vec<f32>) {
        let start = out.len();
        out.extend_from_slice(&self.table.values[(origin - self.window) * self.table.width..][..self.len_of_input()]);
        for (step, row) in out[start..].chunks_exact_mut(self.table.width).enumerate() {
            row[0] = self.change(origin, origin - self.window + step);
        }
    }

    /// Returns the target at `row`, minus the last known value.
    fn change(&self, origin: usize, row: usize) -> f32 {
        (self.table.target[row] - self.table.target[origin - 1]) as f32
    }

    fn len_of_input(&self) -> usize {
        self.window * self.table.width
    }
}

impl Data for Windows<'_> {
    fn len(&self) -> usize {
        self.origins.len()
    }

    fn batch(&self, examples: &[usize]) -> Result<Batch> {
        let mut x = Vec::with_capacity(examples.len() * self.len_of_input());
        let mut y = Vec::with_capacity(examples.len() * self.horizon);
        for origin in examples.iter().map(|i| self.origins.start + i) {
            self.input(origin, &mut x);
            y.extend((origin..origin + self.horizon).map(|row| self.change(origin, row)));
        }
        let x = Tensor::from_slice(self.device, &x, &[examples.len(), self.window, self.table.width])?;
        Ok(Batch::new(x).with_targets(Tensor::from_slice(self.device, &y, &[examples.len(), self.horizon])?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Scale;
    use crate::time::Cycle;

    #[test]
    fn windows_hold_changes_and_the_next_phase() {
        let hours = |h: usize| (6.0 * h as f64, format!("{h}"));
        let series = Series {
            source: "t.csv".into(),
            columns: vec![vec![1.0, 2.0, 4.0, 8.0], vec![5.0, 6.0, 7.0, 9.0]],
            times: Some((0..4).map(hours).collect()),
        };
        let spec = Spec {
            columns: vec!["y".into(), "x".into()],
            scales: vec![Scale { mean: 1.0, deviation: 2.0 }, Scale { mean: 5.0, deviation: 1.0 }],
            window: 2,
            horizon: 1,
            cycles: vec![Cycle::Day],
            hidden: 1,
            members: 1,
        };
        let (device, table) = (Device::cpu(), Table::new(&series, &spec));
        let windows = Windows { device: &device, table: &table, origins: 2..4, window: 2, horizon: 1 };
        let batch = windows.batch(&[1, 0]).unwrap();
        let (x, y) = (batch.x(), batch.targets());
        assert_eq!((x.dims(), y.dims()), (&[2, 2, 4][..], &[2, 1][..]));
        assert_eq!(y.read_blocking().unwrap(), [2.0, 1.0]);
        let want = [
            [-1.0, 1.0, 0.0, -1.0], // row 1; the next is 12 o'clock
            [0.0, 2.0, -1.0, 0.0],  // row 2; 18 o'clock
            [-0.5, 0.0, 1.0, 0.0],  // row 0; 6 o'clock
            [0.0, 1.0, 0.0, -1.0],  // row 1
        ];
        for (got, want) in x.read_blocking().unwrap().iter().zip(want.as_flattened()) {
            assert!((got - want).abs() < 1e-6, "{got} {want}");
        }
    }
}
