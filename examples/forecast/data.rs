//! Windows of standardized series, created on demand.

use wgru::train::{Batch, Data};
use wgru::{Device, Result, Tensor};

use crate::holidays::Holidays;
use crate::series::{Panel, Series};
use crate::spec::Spec;

/// A series in the model's units.
pub struct Rows {
    /// Number of the series in the model.
    pub series: usize,
    /// `[rows, inputs]`: the columns, holidays and phases of the next row, whether the value is real, and statics.
    values: Vec<f32>,
    /// `[rows of past and future, ahead]`: what is known in advance about a row.
    ahead: Vec<f32>,
    /// The column to forecast, in full precision.
    pub target: Vec<f64>,
    pub observed: Vec<bool>,
}

/// All series in the model's units.
pub struct Inputs {
    pub rows: Vec<Rows>,
    /// Inputs per step of the window and of the horizon.
    width: usize,
    ahead: usize,
    is_masked: bool,
    is_difference: bool,
    is_relative: bool,
}

impl Inputs {
    /// Converts the columns of a table, whose series have these `numbers` in the model.
    pub fn new(panel: &Panel, spec: &Spec, numbers: &[usize], holidays: Option<&Holidays>) -> Self {
        let rows = panel.series.iter().zip(numbers).map(|(series, &number)| Rows::new(series, spec, number, holidays));
        Self {
            rows: rows.collect(),
            width: spec.inputs(),
            ahead: spec.ahead(),
            is_masked: spec.mask,
            is_difference: spec.difference,
            is_relative: spec.loss.is_relative(),
        }
    }

    /// Returns the value that targets are relative to.
    pub fn base(&self, example: Example) -> f64 {
        if self.is_relative { self.rows[example.series].target[example.origin - 1] } else { 0.0 }
    }

    /// Returns whether everything is known that a forecast of `horizon` steps needs in advance.
    pub fn reaches(&self, example: Example, horizon: usize) -> bool {
        (example.origin + horizon) * self.ahead <= self.rows[example.series].ahead.len()
    }
}

impl Rows {
    fn new(series: &Series, spec: &Spec, number: usize, holidays: Option<&Holidays>) -> Self {
        let scales = &spec.scales[number];
        let transformed = |column: usize, value: f64| {
            let value = if column == 0 { spec.transform.apply(value) } else { value };
            scales[column].apply(value)
        };
        let standardized: Vec<Vec<f64>> = (series.columns.iter().enumerate())
            .map(|(column, values)| values.iter().map(|&value| transformed(column, value)).collect())
            .collect();
        let statics = spec.statics.inputs(number, series);
        let first_known = spec.first_known();
        // Dates continue after the last row; values that are known in advance may end there.
        let of_date = |row: usize, out: &mut Vec<f32>| {
            let (hours, step) = (series.hours(row), series.step);
            if let (true, Some(holidays), Some(hours), Some(step)) = (spec.holidays, holidays, hours, step) {
                out.extend(holidays.at(hours, step));
            }
            out.extend(spec.cycles.iter().flat_map(|cycle| cycle.phases(hours.unwrap_or(0.0))));
        };
        let mut values = Vec::with_capacity(series.rows() * spec.inputs());
        for row in 0..series.rows() {
            values.extend(standardized[..first_known].iter().map(|column| column[row] as f32));
            let next = (row + 1).min(series.all_rows() - 1);
            values.extend(standardized[first_known..].iter().map(|column| column[next] as f32));
            of_date(row + 1, &mut values);
            values.extend(spec.mask.then_some(f32::from(u8::from(series.observed[row]))));
            values.extend(&statics);
        }
        let mut ahead = Vec::new();
        if spec.ahead() > 0 {
            let rows = if spec.known > 0 { series.all_rows() } else { series.rows() + spec.horizon };
            for row in 0..rows {
                ahead.extend(standardized[first_known..].iter().map(|column| column[row] as f32));
                of_date(row, &mut ahead);
            }
        }
        let mut target = standardized.into_iter().next().unwrap_or_default();
        target.truncate(series.rows());
        Self { series: number, values, ahead, target, observed: series.observed.clone() }
    }
}

/// A window: the forecast begins at row `origin` of a series of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Example {
    pub series: usize,
    pub origin: usize,
}

/// Windows as inputs for the network. The last known value is subtracted from the target, so that the network learns
/// how the target continues from it; the other inputs are unchanged.
pub struct Windows<'a> {
    pub device: &'a Device,
    pub inputs: &'a Inputs,
    pub examples: &'a [Example],
    pub window: usize,
    pub horizon: usize,
}

impl Windows<'_> {
    fn write(&self, example: Example, out: &mut Vec<f32>) {
        let (rows, width, start) = (&self.inputs.rows[example.series], self.inputs.width, out.len());
        let first = example.origin - self.window;
        out.extend_from_slice(&rows.values[first * width..][..self.window * width]);
        let base = self.inputs.base(example);
        for (row, values) in (first..).zip(out[start..].chunks_exact_mut(width)) {
            let before = if self.inputs.is_difference { rows.target[row.saturating_sub(1)] } else { base };
            values[0] = (rows.target[row] - before) as f32;
        }
    }

    /// Returns the number of inputs per window and horizon.
    fn sizes(&self) -> (usize, usize) {
        (self.window * self.inputs.width, self.horizon * self.inputs.ahead)
    }
}

impl Data for Windows<'_> {
    fn len(&self) -> usize {
        self.examples.len()
    }

    /// Returns windows `[B, window, inputs]`, then what is known in advance `[B, horizon, ahead]` if anything is, then
    /// the weights of the targets `[B, horizon]` if some values are not real. Targets beyond the table are 0.
    fn batch(&self, examples: &[usize]) -> Result<Batch> {
        let (size, size_ahead) = self.sizes();
        let mut x = Vec::with_capacity(examples.len() * size);
        let mut ahead = Vec::with_capacity(examples.len() * size_ahead);
        let (mut y, mut weights) = (Vec::with_capacity(examples.len() * self.horizon), Vec::new());
        for &example in examples.iter().map(|&i| &self.examples[i]) {
            let (rows, origin) = (&self.inputs.rows[example.series], example.origin);
            self.write(example, &mut x);
            ahead.extend_from_slice(&rows.ahead[origin * self.inputs.ahead..][..size_ahead]);
            let base = self.inputs.base(example);
            let steps = origin..origin + self.horizon;
            y.extend(steps.clone().map(|row| rows.target.get(row).map_or(0.0, |z| (z - base) as f32)));
            weights.extend(steps.map(|row| f32::from(u8::from(rows.observed.get(row) == Some(&true)))));
        }
        let (count, device) = (examples.len(), self.device);
        let mut batch = Batch::new(Tensor::from_slice(device, &x, &[count, self.window, self.inputs.width])?);
        if size_ahead > 0 {
            batch = batch.with_input(Tensor::from_slice(device, &ahead, &[count, self.horizon, self.inputs.ahead])?);
        }
        if self.inputs.is_masked {
            batch = batch.with_input(Tensor::from_slice(device, &weights, &[count, self.horizon])?);
        }
        Ok(batch.with_targets(Tensor::from_slice(device, &y, &[count, self.horizon])?))
    }
}

/// The parts of a [batch](Windows::batch).
pub struct Parts<'a> {
    pub x: &'a Tensor,
    pub ahead: Option<&'a Tensor>,
    pub weights: Option<&'a Tensor>,
}

impl<'a> Parts<'a> {
    pub fn of(batch: &'a Batch, spec: &Spec) -> Self {
        let mut rest = batch.inputs()[1..].iter();
        let ahead = if spec.ahead() > 0 { rest.next() } else { None };
        Self { x: batch.x(), ahead, weights: if spec.mask { rest.next() } else { None } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::tests::{panel, plain, series};
    use crate::time::{Cycle, Step};
    use crate::transform::Scale;

    fn batch(panel: &Panel, spec: &Spec, examples: &[usize], holidays: Option<&Holidays>) -> Batch {
        let (device, inputs) = (Device::cpu(), Inputs::new(panel, spec, &[0], holidays));
        let all: Vec<Example> = examples.iter().map(|&origin| Example { series: 0, origin }).collect();
        let windows =
            Windows { device: &device, inputs: &inputs, examples: &all, window: spec.window, horizon: spec.horizon };
        windows.batch(&(0..all.len()).collect::<Vec<_>>()).unwrap()
    }

    fn close(tensor: &Tensor, want: &[f32]) {
        let got = tensor.read_blocking().unwrap();
        assert_eq!(got.len(), want.len());
        assert!(got.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-6), "{got:?} {want:?}");
    }

    fn dated(values: Vec<f64>, step: f64) -> Series {
        let times = (0..values.len()).map(|row| (step * row as f64, format!("{row}"))).collect();
        Series { times: Some(times), step: Some(Step::Hours(step)), ..series(values) }
    }

    #[test]
    fn windows_hold_changes_and_the_next_phase() {
        let mut series = dated(vec![1.0, 2.0, 4.0, 8.0], 6.0);
        series.columns.push(vec![5.0, 6.0, 7.0, 9.0]);
        let panel = Panel { series: vec![series], ..panel(Vec::new()) };
        let scales = vec![vec![Scale { mean: 1.0, deviation: 2.0 }, Scale { mean: 5.0, deviation: 1.0 }]];
        let columns = vec!["y".into(), "x".into()];
        let spec =
            Spec { columns, scales, cycles: vec![Cycle::Day], ..plain(Scale { mean: 0.0, deviation: 1.0 }, 2, 1) };
        let batch = batch(&panel, &spec, &[3, 2], None);
        assert_eq!((batch.x().dims(), batch.targets().dims()), (&[2, 2, 4][..], &[2, 1][..]));
        close(batch.targets(), &[2.0, 1.0]);
        let want = [
            [-1.0, 1.0, 0.0, -1.0], // row 1; the next is 12 o'clock
            [0.0, 2.0, -1.0, 0.0],  // row 2; 18 o'clock
            [-0.5, 0.0, 1.0, 0.0],  // row 0; 6 o'clock
            [0.0, 1.0, 0.0, -1.0],  // row 1
        ];
        close(batch.x(), want.as_flattened());
    }

    #[test]
    fn differences_are_between_rows_and_targets_from_the_last_value() {
        let spec = Spec { difference: true, ..plain(Scale { mean: 0.0, deviation: 1.0 }, 2, 2) };
        let batch = batch(&panel(vec![1.0, 2.0, 4.0, 8.0]), &spec, &[2], None);
        close(batch.x(), &[0.0, 1.0]);
        close(batch.targets(), &[2.0, 6.0]);
    }

    #[test]
    fn what_is_known_in_advance_reaches_into_the_future() {
        let mut series = dated(vec![1.0, 2.0, 4.0, f64::NAN, f64::NAN], 24.0);
        series.columns.push(vec![0.0, 10.0, 20.0, 30.0, 40.0]);
        series.observed = vec![true, false, true];
        let panel = Panel { series: vec![series], ..panel(Vec::new()) };
        let scales = vec![vec![Scale { mean: 0.0, deviation: 1.0 }, Scale { mean: 0.0, deviation: 10.0 }]];
        let columns = vec!["y".into(), "k".into()];
        let spec = plain(Scale { mean: 0.0, deviation: 1.0 }, 2, 2);
        let spec = Spec { columns, scales, known: 1, mask: true, holidays: true, ..spec };
        let holidays = std::env::temp_dir().join(format!("wgru holidays {}.txt", std::process::id()));
        std::fs::write(&holidays, "1970-01-04\n").unwrap();
        let found = Holidays::open(&holidays).unwrap();
        std::fs::remove_file(&holidays).unwrap();
        let batch = batch(&panel, &spec, &[3], Some(&found));
        let parts = Parts::of(&batch, &spec);
        // The change, then what is known of the next row (column, holidays, eve), and whether the value is real.
        close(parts.x, &[-2.0, 2.0, 0.0, 1.0, 0.0, 0.0, 3.0, 1.0, 0.0, 1.0]);
        close(parts.ahead.unwrap(), &[3.0, 1.0, 0.0, 4.0, 0.0, 0.0]);
        close(parts.weights.unwrap(), &[0.0, 0.0]);
        let inputs = Inputs::new(&panel, &spec, &[0], Some(&found));
        let example = Example { series: 0, origin: 3 };
        assert_eq!([2, 3].map(|horizon| inputs.reaches(example, horizon)), [true, false]);
    }
}
