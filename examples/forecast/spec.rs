//! The specification of a model: inputs, outputs and sizes, which its file stores in addition to the weights.

use wgru::io::TensorFile;
use wgru::{Error, Result};

use crate::series::Series;
use crate::time::Cycle;

const MARK: &str = "forecast.version";

/// Mean and standard deviation over the training rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    pub mean: f64,
    pub deviation: f64,
}

/// Inputs, outputs and sizes of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// Input columns; the first one is forecast.
    pub columns: Vec<String>,
    /// By column.
    pub scales: Vec<Scale>,
    /// Number of input steps.
    pub window: usize,
    /// Number of forecast steps.
    pub horizon: usize,
    /// Cycles whose phases are inputs.
    pub cycles: Vec<Cycle>,
    /// Hidden units of the GRU.
    pub hidden: usize,
    /// Number of networks whose forecasts are averaged.
    pub members: usize,
}

impl Scale {
    /// Returns the scale of these values. For constant values, the deviation is 1.
    pub fn of(values: &[f64]) -> Self {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let deviation = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count).sqrt();
        // Due to rounding, constant values have a deviation of about 1e-16 of their magnitude.
        let constant = deviation <= 1e-12 * mean.abs();
        Self { mean, deviation: if constant { 1.0 } else { deviation } }
    }

    /// `(v − mean) / deviation`
    pub fn apply(self, v: f64) -> f64 {
        (v - self.mean) / self.deviation
    }
}

impl Spec {
    /// Returns the number of inputs per step.
    pub fn inputs(&self) -> usize {
        self.columns.len() + 2 * self.cycles.len()
    }

    /// Adds the specification to a file's metadata.
    pub fn write(&self, file: &mut TensorFile) {
        let numbers = |get: fn(&Scale) -> f64| self.scales.iter().map(|s| get(s).to_string()).collect::<Vec<_>>();
        let cycles: Vec<&str> = self.cycles.iter().map(|c| c.name()).collect();
        for (key, value) in [
            (MARK, "1".to_string()),
            ("forecast.columns", serde_json::json!(self.columns).to_string()),
            ("forecast.means", numbers(|s| s.mean).join(" ")),
            ("forecast.deviations", numbers(|s| s.deviation).join(" ")),
            ("forecast.window", self.window.to_string()),
            ("forecast.horizon", self.horizon.to_string()),
            ("forecast.cycles", cycles.join(" ")),
            ("forecast.hidden", self.hidden.to_string()),
            ("forecast.members", self.members.to_string()),
        ] {
            file.metadata.insert(key.into(), value);
        }
    }

    /// Reads a specification that [`Spec::write`] wrote.
    ///
    /// # Errors
    /// [`Error::Format`] naming the field.
    pub fn read(file: &TensorFile) -> Result<Self> {
        if text(file, MARK)? != "1" {
            return Err(refuse(MARK, "written by another version of this example"));
        }
        let columns: Vec<String> =
            serde_json::from_str(text(file, "forecast.columns")?).map_err(|e| refuse("forecast.columns", e))?;
        if columns.is_empty() {
            return Err(refuse("forecast.columns", "names none"));
        }
        let means = list::<f64>(file, "forecast.means")?;
        let deviations = list::<f64>(file, "forecast.deviations")?;
        let sound = means.iter().all(|m| m.is_finite()) && deviations.iter().all(|d| d.is_finite() && *d > 0.0);
        if means.len() != columns.len() || deviations.len() != columns.len() || !sound {
            let why = format!("expected one mean and one positive deviation for each of {columns:?}");
            return Err(refuse("forecast.means and forecast.deviations", why));
        }
        let scales = means.into_iter().zip(deviations).map(|(mean, deviation)| Scale { mean, deviation }).collect();
        let cycle = |name: &str| {
            let found = Cycle::ALL.into_iter().find(|c| c.name() == name);
            found.ok_or_else(|| refuse("forecast.cycles", format!("{name:?} is not known")))
        };
        let size = |key: &str| match text(file, key)?.parse() {
            Ok(n) if n > 0 => Ok(n),
            _ => Err(refuse(key, "expected a number, at least 1")),
        };
        Ok(Self {
            columns,
            scales,
            window: size("forecast.window")?,
            horizon: size("forecast.horizon")?,
            cycles: text(file, "forecast.cycles")?.split_whitespace().map(cycle).collect::<Result<_>>()?,
            hidden: size("forecast.hidden")?,
            members: size("forecast.members")?,
        })
    }

    /// Checks that the options on the command line match the model.
    ///
    /// # Errors
    /// [`Error::Format`] saying what differs.
    pub fn check_request(&self, asked: &Asked) -> Result<()> {
        let differs = |what: &str, model: &dyn std::fmt::Debug, asked: &dyn std::fmt::Debug| {
            refuse(what, format!("the model has {model:?}, the command line requests {asked:?}"))
        };
        if let Some(column) = asked.column.as_ref().filter(|c| **c != self.columns[0]) {
            return Err(differs("--column", &self.columns[0], column));
        }
        if let Some(features) = asked.features.as_ref().filter(|f| ***f != self.columns[1..]) {
            return Err(differs("--features", &&self.columns[1..], features));
        }
        for (what, model, asked) in
            [("--window", self.window, asked.window), ("--horizon", self.horizon, asked.horizon)]
        {
            if let Some(asked) = asked.filter(|&n| n != model) {
                return Err(differs(what, &model, &asked));
            }
        }
        Ok(())
    }

    /// Checks that a table meets the model's requirements besides the columns.
    ///
    /// # Errors
    /// [`Error::Format`] saying what is missing.
    pub fn check_table(&self, series: &Series) -> Result<()> {
        if !self.cycles.is_empty() && series.times.is_none() {
            let names: Vec<&str> = self.cycles.iter().map(|c| c.name()).collect();
            return Err(refuse("--load", format!("the model needs dates ({}), the table has none", names.join(", "))));
        }
        Ok(())
    }
}

/// Inputs requested on the command line; `None` for those of the model.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    pub column: Option<String>,
    pub features: Option<Vec<String>>,
    pub window: Option<usize>,
    pub horizon: Option<usize>,
}

fn refuse(what: &str, why: impl ToString) -> Error {
    Error::Format { what: what.into(), why: why.to_string() }
}

fn text<'a>(file: &'a TensorFile, key: &str) -> Result<&'a str> {
    let found = file.metadata.get(key).map(String::as_str);
    found.ok_or_else(|| refuse(key, "missing: the file is not a model of this example"))
}

fn list<T: std::str::FromStr>(file: &TensorFile, key: &str) -> Result<Vec<T>> {
    let parse = |word: &str| word.parse().map_err(|_| refuse(key, format!("{word:?} cannot be read")));
    text(file, key)?.split_whitespace().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> Spec {
        Spec {
            columns: vec!["y, \"quoted\"".into(), "x".into()],
            scales: vec![Scale { mean: 0.1 + 0.2, deviation: 1.0 / 3.0 }, Scale { mean: -1e-17, deviation: 1e17 }],
            window: 28,
            horizon: 2,
            cycles: vec![Cycle::Year],
            hidden: 16,
            members: 3,
        }
    }

    #[test]
    fn spec_survives_a_file() {
        let mut file = TensorFile::default();
        spec().write(&mut file);
        assert_eq!(Spec::read(&file).unwrap(), spec());
    }

    #[test]
    fn broken_fields_are_refused_by_name() {
        for (key, value) in [
            ("forecast.version", "2"),
            ("forecast.columns", "[]"),
            ("forecast.columns", "y"),
            ("forecast.means", "1"),
            ("forecast.means", "1 x"),
            ("forecast.deviations", "1 0"),
            ("forecast.deviations", "1 NaN"),
            ("forecast.window", "0"),
            ("forecast.hidden", "-1"),
            ("forecast.cycles", "moon"),
        ] {
            let mut file = TensorFile::default();
            spec().write(&mut file);
            file.metadata.insert(key.into(), value.into());
            let error = Spec::read(&file).unwrap_err();
            assert!(matches!(&error, Error::Format { what, .. } if what.contains(key)), "{key}: {error}");
        }
        assert!(matches!(Spec::read(&TensorFile::default()), Err(Error::Format { .. })));
    }

    #[test]
    fn another_request_or_table_is_refused() {
        let asked = Asked { window: Some(27), ..Asked::default() };
        let why = spec().check_request(&asked).unwrap_err().to_string();
        assert_eq!(why, "--window: the model has 28, the command line requests 27");
        assert!(spec().check_request(&Asked { features: Some(Vec::new()), ..Asked::default() }).is_err());
        assert!(spec().check_request(&Asked { column: Some("x".into()), ..Asked::default() }).is_err());
        assert!(spec().check_request(&Asked { horizon: Some(2), ..Asked::default() }).is_ok());

        let series = Series { source: "t.csv".into(), columns: vec![vec![1.0]], times: None };
        let why = spec().check_table(&series).unwrap_err().to_string();
        assert_eq!(why, "--load: the model needs dates (year), the table has none");
        assert!(Spec { cycles: Vec::new(), ..spec() }.check_table(&series).is_ok());
    }

    #[test]
    fn scale_of_a_constant_is_usable() {
        assert_eq!(Scale::of(&[0.1; 7]).deviation, 1.0);
        assert_eq!(Scale::of(&[1.0, 3.0]), Scale { mean: 2.0, deviation: 1.0 });
    }
}
