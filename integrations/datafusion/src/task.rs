//! The computations of the SQL functions.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Float32Array, Float64Array, Int64Array, ListArray};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::error::Result as QueryResult;

use crate::error::{Error, Result};
use crate::model::{Model, Output};
use crate::models::model_error;
use crate::series::Series;

/// A SQL function of a model and a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Task {
    /// The output of the last step.
    Forecast,
    /// The error of the predictions of the next step.
    Score,
    /// The index of the greatest output of the last step.
    Classify,
}

/// A model, with the names for error messages.
pub struct Named<'a> {
    pub function: &'static str,
    pub name: &'a str,
    pub model: &'a Model,
}

impl Task {
    pub const ALL: [Self; 3] = [Self::Forecast, Self::Score, Self::Classify];

    /// Name of the function.
    pub fn name(self) -> &'static str {
        match self {
            Self::Forecast => "gru_forecast",
            Self::Score => "gru_score",
            Self::Classify => "gru_classify",
        }
    }

    /// Type of the result.
    pub fn result(self) -> DataType {
        match self {
            Self::Forecast => DataType::List(item()),
            Self::Score => DataType::Float64,
            Self::Classify => DataType::Int64,
        }
    }

    /// Minimum number of steps of a series.
    fn least_steps(self) -> usize {
        if self == Self::Score { 2 } else { 1 }
    }

    /// Checks that the output of a model fits the task.
    ///
    /// # Errors
    /// [`Error::Argument`] if it does not.
    pub fn check(self, named: &Named, output: Output) -> Result<()> {
        let Named { function, model, .. } = *named;
        let refuse = |expected: String, got: String, help: &str| {
            Err(Error::Argument { function, argument: "model", expected, got, help: help.into() })
        };
        if output.is_sequence && !output.is_causal {
            let (expected, got) = ("outputs that depend only on earlier steps", "a layer that also reads backward");
            let help = match self {
                Self::Score => "use a model whose layers read forward",
                _ => "end the network with LastState, which takes the last state of each direction",
            };
            return refuse(expected.into(), got.into(), help);
        }
        if self == Self::Score && output.width != model.input {
            let expected = format!("a prediction of the next step: {} outputs", model.input);
            return refuse(expected, format!("{} outputs", output.width), "use a model that predicts its input");
        }
        Ok(())
    }

    /// Computes the function for each series.
    ///
    /// # Errors
    /// [`Error::Argument`] for series that are too short, and for a model that does not fit; [`Error::Model`].
    pub fn run(self, named: &Named, series: &Series) -> QueryResult<ArrayRef> {
        Ok(match self {
            Self::Forecast => forecast(named, series)?,
            Self::Score => Arc::new(Float64Array::from(score(named, series)?)),
            Self::Classify => Arc::new(Int64Array::from(classify(named, series)?)),
        })
    }

    /// Calls `take` with each row and its output of the last step.
    fn last_outputs(self, named: &Named, series: &Series, mut take: impl FnMut(usize, &[f32])) -> Result<()> {
        let Named { function, name, model } = *named;
        let Some(steps) = series.first_steps() else { return Ok(()) };
        if steps > 0 {
            self.check(named, model.output(steps).map_err(model_error(function, name))?)?;
        }
        series.blocks(function, self.least_steps(), 0, |rows, x, count| {
            let y = model.last(x, count).map_err(model_error(function, name))?;
            let width = y.len() / count;
            rows.iter().zip(y.chunks(width.max(1))).for_each(|(&row, y)| take(row, y));
            Ok(())
        })
    }
}

/// The field of the elements of a forecast.
fn item() -> Arc<Field> {
    Arc::new(Field::new_list_field(DataType::Float32, true))
}

fn forecast(named: &Named, series: &Series) -> Result<ArrayRef> {
    let valid = series.valid();
    // The place of each row among those that are valid.
    let mut places = Vec::with_capacity(valid.len());
    let mut count = 0;
    for &is_valid in &valid {
        places.push(count);
        count += usize::from(is_valid);
    }
    let (mut width, mut values) = (0, Vec::new());
    Task::Forecast.last_outputs(named, series, |row, y| {
        if values.is_empty() {
            width = y.len();
            values = vec![0.0; count * width];
        }
        values[places[row] * width..][..width].copy_from_slice(y);
    })?;
    let offsets = OffsetBuffer::from_lengths(valid.iter().map(|&is_valid| if is_valid { width } else { 0 }));
    let nulls = (count < valid.len()).then(|| NullBuffer::from(valid));
    Ok(Arc::new(ListArray::new(item(), offsets, Arc::new(Float32Array::from(values)), nulls)))
}

fn classify(named: &Named, series: &Series) -> Result<Vec<Option<i64>>> {
    let mut classes = vec![None; series.len()];
    Task::Classify.last_outputs(named, series, |row, y| classes[row] = greatest(y))?;
    Ok(classes)
}

/// Returns the index of the greatest value, the first one of several; `None` if one is NaN.
fn greatest(y: &[f32]) -> Option<i64> {
    let mut best = 0;
    for (k, v) in y.iter().enumerate() {
        if v.is_nan() {
            return None;
        }
        if *v > y[best] {
            best = k;
        }
    }
    Some(best as i64)
}

fn score(named: &Named, series: &Series) -> Result<Vec<Option<f64>>> {
    let Named { function, name, model } = *named;
    let mut scores = vec![None; series.len()];
    let Some(steps) = series.first_steps() else { return Ok(scores) };
    let output = model.output(steps).map_err(model_error(function, name))?;
    Task::Score.check(named, output)?;
    let width = model.input;
    // A model with one output for the series predicts the last step from those before it.
    let skipped = usize::from(!output.is_sequence);
    series.blocks(function, Task::Score.least_steps(), skipped, |rows, x, count| {
        let y = model.all(x, count).map_err(model_error(function, name))?;
        for (&row, y) in rows.iter().zip(y.chunks(y.len() / count)) {
            let own = series.get(row).unwrap_or_default();
            let (y, next) = match output.is_sequence {
                true => (&y[..y.len() - width], &own[width..]),
                false => (y, &own[own.len() - width..]),
            };
            scores[row] = Some(root_mean_square(y, next));
        }
        Ok(())
    })?;
    Ok(scores)
}

/// `√(1/n · Σ (a − b)²)`, summed in order.
fn root_mean_square(a: &[f32], b: &[f32]) -> f64 {
    let sum: f64 = a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
    (sum / a.len() as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greatest_takes_the_first_and_refuses_nan() {
        assert_eq!(greatest(&[1.0, 3.0, 3.0, -1.0]), Some(1));
        assert_eq!(greatest(&[f32::NEG_INFINITY]), Some(0));
        assert_eq!(greatest(&[1.0, f32::NAN]), None);
    }
}
