//! The forecast beyond the end of the table, as CSV or JSON.

use std::path::Path;

use serde_json::{Value, json};

use crate::common::Result;
use crate::common::files::write;
use crate::data::{Example, Inputs};
use crate::model::Forecaster;
use crate::series::Panel;

/// One forecast step of a series.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Empty unless the table holds several series.
    pub series: String,
    /// The date, or the number of the row.
    pub label: String,
    /// Counted from 1.
    pub step: usize,
    pub point: f64,
    /// By level.
    pub quantiles: Vec<f64>,
}

/// Forecasts of all series.
#[derive(Clone, Debug, Default)]
pub struct Outlook {
    pub steps: Vec<Step>,
    pub levels: Vec<f64>,
    /// The levels of the interval.
    pub ends: [usize; 2],
    /// Header of the labels: `date` or `row`.
    pub label: &'static str,
    /// Names of the columns of series and of the forecast.
    pub series: Option<String>,
    pub column: String,
}

impl Outlook {
    /// Writes a file: JSON if its name ends in `.json`, otherwise CSV.
    ///
    /// # Errors
    /// Errors from the file system.
    pub fn save(&self, path: &Path) -> Result<()> {
        let is_json = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("json"));
        let bytes = if is_json { serde_json::to_vec_pretty(&self.json())? } else { self.csv()? };
        Ok(write(path, &bytes)?)
    }

    fn csv(&self) -> Result<Vec<u8>> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let mut header: Vec<&str> = self.series.iter().map(String::as_str).collect();
        header.extend([self.label, "step", &self.column, "lower", "upper"]);
        writer.write_record(header)?;
        for step in &self.steps {
            let mut record: Vec<String> = self.series.iter().map(|_| step.series.clone()).collect();
            record.extend([step.label.clone(), step.step.to_string(), short(step.point)]);
            record.extend(self.ends.map(|end| short(step.quantiles[end])));
            writer.write_record(record)?;
        }
        Ok(writer.into_inner()?)
    }

    /// Returns a list of objects, with all quantiles.
    pub fn json(&self) -> Value {
        let object = |step: &Step| {
            let quantiles = self.levels.iter().zip(&step.quantiles);
            let quantiles: serde_json::Map<String, Value> =
                quantiles.map(|(level, q)| (short(*level), json!(q))).collect();
            let mut object = json!({
                (self.label): step.label,
                "step": step.step,
                "forecast": step.point,
                "lower": step.quantiles[self.ends[0]],
                "upper": step.quantiles[self.ends[1]],
                "quantiles": quantiles,
            });
            if self.series.is_some() {
                object["series"] = json!(step.series);
            }
            object
        };
        self.steps.iter().map(object).collect()
    }
}

/// Returns the forecast beyond the end of every series; a reason if something is missing that the model needs.
///
/// # Errors
/// Names a series that is shorter than the window; errors from the device.
pub fn beyond(forecaster: &Forecaster, panel: &Panel, inputs: &Inputs) -> Result<std::result::Result<Outlook, String>> {
    let spec = &forecaster.spec;
    let ends: Vec<Example> =
        (panel.series.iter().enumerate()).map(|(series, one)| Example { series, origin: one.rows() }).collect();
    for (example, series) in ends.iter().zip(&panel.series) {
        let of = if series.name.is_empty() { String::new() } else { format!(" in series {:?}", series.name) };
        if example.origin < spec.window {
            return Err(
                format!("{}: {} rows{of}, but the model reads {}", panel.source, example.origin, spec.window).into()
            );
        }
        if !inputs.reaches(*example, spec.horizon) {
            let (first, last) = (series.label(series.rows()), series.label(series.rows() + spec.horizon - 1));
            let names = spec.columns[spec.first_known()..].join(", ");
            return Ok(Err(format!(
                "it needs {names} from {first} to {last}{of}; add rows in which the other columns are empty"
            )));
        }
    }
    let found = forecaster.beyond(inputs, &ends)?;
    let (levels, quantiles) = (spec.levels(), found.quantiles.unwrap_or_default());
    let step = |place: usize| {
        let (example, step) = (ends[place / spec.horizon], place % spec.horizon);
        let series = &panel.series[example.series];
        Step {
            series: series.name.clone(),
            label: series.label(example.origin + step),
            step: step + 1,
            point: found.point[place],
            quantiles: quantiles[place * levels.len()..][..levels.len()].to_vec(),
        }
    };
    Ok(Ok(Outlook {
        steps: (0..found.point.len()).map(step).collect(),
        ends: spec.ends(),
        label: if panel.series.iter().all(|series| series.hours(series.rows()).is_some()) { "date" } else { "row" },
        series: spec.statics.series_column(),
        column: spec.columns[0].clone(),
        levels,
    }))
}

/// Writes a number with six digits.
fn short(value: f64) -> String {
    let digits = if value == 0.0 { 0 } else { value.abs().log10().floor() as i32 };
    if !(-5..15).contains(&digits) {
        return format!("{value:.5e}");
    }
    let text = format!("{value:.*}", (5 - digits).max(0) as usize);
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').into(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_six_digits() {
        let numbers = [0.0, 0.1 + 0.2, 12.5, -1234567.8, 1e-9, 100.0].map(short);
        assert_eq!(numbers, ["0", "0.3", "12.5", "-1234568", "1.00000e-9", "100"]);
    }

    #[test]
    fn forecasts_become_csv_and_json() {
        let step =
            Step { series: "a,b".into(), label: "2020-01-01".into(), step: 1, point: 2.5, quantiles: vec![1.0, 4.0] };
        let outlook = Outlook {
            steps: vec![step],
            levels: vec![0.05, 0.95],
            ends: [0, 1],
            label: "date",
            series: Some("shop".into()),
            column: "sales".into(),
        };
        let csv = String::from_utf8(outlook.csv().unwrap()).unwrap();
        assert_eq!(csv, "shop,date,step,sales,lower,upper\n\"a,b\",2020-01-01,1,2.5,1,4\n");
        let json = outlook.json();
        assert_eq!(json[0]["quantiles"], json!({"0.05": 1.0, "0.95": 4.0}));
        assert_eq!((&json[0]["date"], &json[0]["series"]), (&json!("2020-01-01"), &json!("a,b")));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a new folder").join("next.JSON");
        outlook.save(&path).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&std::fs::read(&path).unwrap()).unwrap(), json);
    }
}
