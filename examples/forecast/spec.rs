//! The specification of a model: inputs, outputs and sizes, which its file stores in addition to the weights.

use clap::ValueEnum;
use serde_json::{Value, json};
use wgru::Result;
use wgru::io::TensorFile;

use crate::common::files::{self, metadata, refuse};
use crate::head::Loss;
use crate::holidays;
use crate::series::Panel;
use crate::statics::Statics;
use crate::time::Cycle;
use crate::transform::{Scale, Transform};

const MARK: &str = "forecast.version";
const VERSION: &str = "3";
const FIELDS: &str = "forecast.spec";

/// Inputs, outputs and sizes of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// Columns of numbers: the one to forecast, features, then columns that are known in advance.
    pub columns: Vec<String>,
    /// Number of columns that are known in advance.
    pub known: usize,
    /// Whether holidays are inputs.
    pub holidays: bool,
    /// Features that distinguish the series.
    pub statics: Statics,
    /// By series and column.
    pub scales: Vec<Vec<Scale>>,
    pub transform: Transform,
    /// Whether the network sees changes from row to row instead of values.
    pub difference: bool,
    /// Whether the network is told which values are real.
    pub mask: bool,
    /// Number of input steps.
    pub window: usize,
    /// Number of forecast steps.
    pub horizon: usize,
    /// Cycles whose phases are inputs.
    pub cycles: Vec<Cycle>,
    pub loss: Loss,
    /// Coverage of the intervals.
    pub interval: f64,
    /// Hidden units of the GRU.
    pub hidden: usize,
    /// Number of networks whose forecasts are averaged.
    pub members: usize,
    /// Whether networks and baselines are fitted again to the training and validation parts together.
    pub refit: bool,
}

impl Spec {
    /// Returns the index of the first column that is known in advance.
    pub fn first_known(&self) -> usize {
        self.columns.len() - self.known
    }

    fn phases(&self) -> usize {
        self.cycles.iter().map(|cycle| cycle.width()).sum()
    }

    /// Returns the number of inputs per step of the window.
    pub fn inputs(&self) -> usize {
        let holidays = if self.holidays { holidays::WIDTH } else { 0 };
        self.columns.len() + holidays + self.phases() + usize::from(self.mask) + self.statics.width()
    }

    /// Returns the number of inputs per step of the horizon; 0 if nothing but dates is known in advance.
    pub fn ahead(&self) -> usize {
        match (self.known, self.holidays) {
            (0, false) => 0,
            (known, holidays) => known + if holidays { holidays::WIDTH } else { 0 } + self.phases(),
        }
    }

    /// Returns the ascending levels of the predicted quantiles: the deciles, and the ends of the interval.
    pub fn levels(&self) -> Vec<f64> {
        let ends = [0.5 - 0.5 * self.interval, 0.5 + 0.5 * self.interval];
        let mut levels: Vec<f64> = (1..10).map(|i| f64::from(i) / 10.0).chain(ends).collect();
        levels.sort_by(f64::total_cmp);
        levels.dedup_by(|a, b| (*a - *b).abs() < 1e-9);
        levels
    }

    /// Returns the places of the interval's ends among the [levels](Self::levels).
    pub fn ends(&self) -> [usize; 2] {
        let levels = self.levels();
        let nearest = |end: f64| {
            let far = |i: &usize| (levels[*i] - end).abs();
            (0..levels.len()).min_by(|a, b| far(a).total_cmp(&far(b))).unwrap_or(0)
        };
        [nearest(0.5 - 0.5 * self.interval), nearest(0.5 + 0.5 * self.interval)]
    }

    /// Returns the value of the table for a value in model units.
    pub fn to_units(&self, series: usize, z: f64) -> f64 {
        self.transform.invert(self.scales[series][0].invert(z))
    }

    /// Adds the specification to a file's metadata.
    pub fn write(&self, file: &mut TensorFile) {
        let scales = |scales: &Vec<Scale>| scales.iter().map(|s| json!([s.mean, s.deviation])).collect::<Value>();
        let fields = json!({
            "columns": self.columns,
            "known": self.known,
            "holidays": self.holidays,
            "statics": self.statics.to_json(),
            "scales": self.scales.iter().map(scales).collect::<Value>(),
            "transform": self.transform.name(),
            "difference": self.difference,
            "mask": self.mask,
            "window": self.window,
            "horizon": self.horizon,
            "cycles": self.cycles.iter().map(|c| c.name()).collect::<Vec<_>>(),
            "loss": self.loss.name(),
            "interval": self.interval,
            "hidden": self.hidden,
            "members": self.members,
            "refit": self.refit,
        });
        file.metadata.insert(MARK.into(), VERSION.into());
        file.metadata.insert(FIELDS.into(), fields.to_string());
    }

    /// Reads a specification that [`Spec::write`] wrote.
    ///
    /// # Errors
    /// [`wgru::Error::Format`] naming the field.
    pub fn read(file: &TensorFile) -> Result<Self> {
        if metadata(file, MARK)? != VERSION {
            return Err(refuse(MARK, "written by another version of this example; train again"));
        }
        let fields = Fields(files::json(file, FIELDS)?);
        let columns = fields.texts("columns")?;
        if columns.is_empty() {
            return Err(refuse("columns", "names none"));
        }
        let statics = Statics::from_json(&fields.0["statics"]).ok_or_else(|| refuse("statics", "cannot be read"))?;
        let scales = fields.scales("scales", columns.len())?;
        if scales.len() != statics.series() {
            return Err(refuse("scales", format!("expected {} lists, one for each series", statics.series())));
        }
        let known = fields.number("known")?;
        if known >= columns.len() {
            return Err(refuse("known", "expected fewer than the columns"));
        }
        let interval = fields.0["interval"].as_f64().filter(|share| *share > 0.0 && *share < 1.0);
        let size = |name: &str| match fields.number(name)? {
            0 => Err(refuse(name, "expected a number, at least 1")),
            n => Ok(n),
        };
        Ok(Self {
            columns,
            known,
            holidays: fields.flag("holidays")?,
            statics,
            scales,
            transform: fields.choice("transform")?,
            difference: fields.flag("difference")?,
            mask: fields.flag("mask")?,
            window: size("window")?,
            horizon: size("horizon")?,
            cycles: fields.texts("cycles")?.iter().map(|name| choice("cycles", name)).collect::<Result<_>>()?,
            loss: fields.choice("loss")?,
            interval: interval.ok_or_else(|| refuse("interval", "expected a share between 0 and 1"))?,
            hidden: size("hidden")?,
            members: size("members")?,
            refit: fields.flag("refit")?,
        })
    }

    /// Checks that the options on the command line match the model.
    ///
    /// # Errors
    /// [`wgru::Error::Format`] saying what differs.
    pub fn check_request(&self, asked: &Asked) -> Result<()> {
        let first_known = self.first_known();
        let differs = |what: &str, model: String, asked: String| {
            let why = format!("the model has {model}, the command line requests {asked}");
            if model == asked { Ok(()) } else { Err(refuse(what, why)) }
        };
        let lists = [
            ("--features", &self.columns[1..first_known], &asked.features),
            ("--known", &self.columns[first_known..], &asked.known),
            ("--static", &self.statics.columns()[..], &asked.statics),
        ];
        for (what, model, asked) in lists {
            asked.as_ref().map_or(Ok(()), |asked| differs(what, format!("{model:?}"), format!("{asked:?}")))?;
        }
        let texts = [("--column", Some(&self.columns[0]), &asked.column)];
        let series = self.statics.series_column();
        for (what, model, asked) in texts.into_iter().chain([("--series", series.as_ref(), &asked.series)]) {
            if let Some(asked) = asked {
                differs(what, model.map_or("none".into(), |m| format!("{m:?}")), format!("{asked:?}"))?;
            }
        }
        for (what, model, asked) in
            [("--window", self.window, asked.window), ("--horizon", self.horizon, asked.horizon)]
        {
            asked.map_or(Ok(()), |asked| differs(what, model.to_string(), asked.to_string()))?;
        }
        asked.interval.map_or(Ok(()), |asked| differs("--interval", self.interval.to_string(), asked.to_string()))?;
        asked.refit.map_or(Ok(()), |asked| differs("--refit", self.refit.to_string(), asked.to_string()))
    }

    /// Checks that a table meets the model's requirements besides the columns. Returns, for each of its series, the
    /// number of the series in the model.
    ///
    /// # Errors
    /// [`wgru::Error::Format`] saying what is missing.
    pub fn check_table(&self, panel: &Panel) -> Result<Vec<usize>> {
        let needed = self.cycles.iter().map(|c| c.name()).chain(self.holidays.then_some("holidays"));
        let needed: Vec<&str> = needed.collect();
        if !needed.is_empty() && panel.series.iter().any(|series| series.step.is_none()) {
            let why = format!("the model needs dates ({}), the table has none", needed.join(", "));
            return Err(refuse("--load", why));
        }
        panel.series.iter().map(|series| self.statics.number(series)).collect()
    }
}

/// Fields of the specification in a file.
struct Fields(Value);

impl Fields {
    fn texts(&self, name: &str) -> Result<Vec<String>> {
        let text = |value: &Value| value.as_str().map(String::from);
        let list = self.0[name].as_array().and_then(|list| list.iter().map(text).collect());
        list.ok_or_else(|| refuse(name, "expected a list of texts"))
    }

    fn number(&self, name: &str) -> Result<usize> {
        let number = self.0[name].as_u64().and_then(|n| usize::try_from(n).ok());
        number.ok_or_else(|| refuse(name, "expected a whole number"))
    }

    fn flag(&self, name: &str) -> Result<bool> {
        self.0[name].as_bool().ok_or_else(|| refuse(name, "expected true or false"))
    }

    fn choice<T: ValueEnum>(&self, name: &str) -> Result<T> {
        choice(name, self.0[name].as_str().unwrap_or_default())
    }

    fn scales(&self, name: &str, columns: usize) -> Result<Vec<Vec<Scale>>> {
        let scale = |pair: &Value| {
            let scale = Scale { mean: pair.get(0)?.as_f64()?, deviation: pair.get(1)?.as_f64()? };
            (scale.deviation > 0.0).then_some(scale)
        };
        let list = |list: &Value| {
            let scales: Option<Vec<Scale>> = list.as_array()?.iter().map(scale).collect();
            scales.filter(|scales| scales.len() == columns)
        };
        let all = self.0[name].as_array().and_then(|all| all.iter().map(list).collect());
        all.ok_or_else(|| refuse(name, "expected a mean and a positive deviation for each column"))
    }
}

fn choice<T: ValueEnum>(field: &str, name: &str) -> Result<T> {
    T::from_str(name, false).map_err(|_| refuse(field, format!("{name:?} is not known")))
}

/// Inputs requested on the command line; `None` for those of the model.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    pub column: Option<String>,
    pub features: Option<Vec<String>>,
    pub known: Option<Vec<String>>,
    pub statics: Option<Vec<String>>,
    pub series: Option<String>,
    pub window: Option<usize>,
    pub horizon: Option<usize>,
    pub interval: Option<f64>,
    pub refit: Option<bool>,
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::series::Series;
    use wgru::Error;

    /// A specification for one series with one column.
    pub fn plain(scale: Scale, window: usize, horizon: usize) -> Spec {
        Spec {
            columns: vec!["y".into()],
            known: 0,
            holidays: false,
            statics: Statics::default(),
            scales: vec![vec![scale]],
            transform: Transform::None,
            difference: false,
            mask: false,
            window,
            horizon,
            cycles: Vec::new(),
            loss: Loss::Mse,
            interval: 0.9,
            hidden: 3,
            members: 2,
            refit: false,
        }
    }

    pub fn series(values: Vec<f64>) -> Series {
        let observed = vec![true; values.len()];
        Series { name: String::new(), statics: Vec::new(), columns: vec![values], observed, times: None, step: None }
    }

    pub fn panel(values: Vec<f64>) -> Panel {
        Panel { source: "t.csv".into(), series: vec![series(values)], notes: Vec::new() }
    }

    fn spec() -> Spec {
        let scales =
            vec![vec![Scale { mean: 0.1 + 0.2, deviation: 1.0 / 3.0 }, Scale { mean: -1e-17, deviation: 1e17 }]];
        Spec {
            columns: vec!["y, \"quoted\"".into(), "x".into()],
            scales,
            cycles: vec![Cycle::Year, Cycle::Week],
            loss: Loss::StudentT,
            transform: Transform::Log,
            difference: true,
            mask: true,
            known: 1,
            holidays: true,
            ..plain(Scale { mean: 0.0, deviation: 1.0 }, 28, 2)
        }
    }

    #[test]
    fn spec_survives_a_file() {
        let mut file = TensorFile::default();
        spec().write(&mut file);
        assert_eq!(Spec::read(&file).unwrap(), spec());
    }

    #[test]
    fn widths_count_all_inputs() {
        assert_eq!((spec().inputs(), spec().ahead()), (2 + 2 + 8 + 1, 1 + 2 + 8));
        let plain = plain(Scale { mean: 0.0, deviation: 1.0 }, 28, 2);
        assert_eq!((plain.inputs(), plain.ahead()), (1, 0));
    }

    #[test]
    fn levels_hold_the_ends_of_the_interval() {
        let spec = |interval| Spec { interval, ..plain(Scale { mean: 0.0, deviation: 1.0 }, 1, 1) };
        assert_eq!((spec(0.9).levels().len(), spec(0.9).ends()), (11, [0, 10]));
        assert_eq!((spec(0.8).levels().len(), spec(0.8).ends()), (9, [0, 8]));
        assert_eq!((spec(0.5).levels().len(), spec(0.5).ends()), (11, [2, 8]));
    }

    #[test]
    fn broken_fields_are_refused_by_name() {
        for (key, value) in [
            ("columns", json!([])),
            ("columns", json!("y")),
            ("columns", json!(["y", "x", "z"])),
            ("scales", json!([])),
            ("scales", json!([[[1.0, 0.0], [1.0, 1.0]]])),
            ("scales", json!([[[1.0, null], [1.0, 1.0]]])),
            ("known", json!(2)),
            ("window", json!(0)),
            ("hidden", json!(-1)),
            ("cycles", json!(["moon"])),
            ("loss", json!("guess")),
            ("interval", json!(1.0)),
            ("mask", json!(null)),
            ("statics", json!(3)),
            ("refit", json!(null)),
        ] {
            let mut file = TensorFile::default();
            spec().write(&mut file);
            let mut fields: Value = serde_json::from_str(&file.metadata[FIELDS]).unwrap();
            fields[key] = value;
            file.metadata.insert(FIELDS.into(), fields.to_string());
            let error = Spec::read(&file).unwrap_err();
            let named = if key == "columns" { "scales" } else { key };
            let right = matches!(&error, Error::Format { what, .. } if what == key || what == named);
            assert!(right, "{key}: {error}");
        }
        let mut file = TensorFile::default();
        spec().write(&mut file);
        file.metadata.insert(MARK.into(), "1".into());
        assert!(Spec::read(&file).unwrap_err().to_string().contains("another version"));
        assert!(matches!(Spec::read(&TensorFile::default()), Err(Error::Format { .. })));
    }

    #[test]
    fn another_request_or_table_is_refused() {
        let spec = Spec { known: 0, ..spec() };
        let asked = Asked { window: Some(27), ..Asked::default() };
        let why = spec.check_request(&asked).unwrap_err().to_string();
        assert_eq!(why, "--window: the model has 28, the command line requests 27");
        assert!(spec.check_request(&Asked { features: Some(Vec::new()), ..Asked::default() }).is_err());
        assert!(spec.check_request(&Asked { column: Some("x".into()), ..Asked::default() }).is_err());
        assert!(spec.check_request(&Asked { series: Some("x".into()), ..Asked::default() }).is_err());
        assert!(spec.check_request(&Asked { interval: Some(0.8), ..Asked::default() }).is_err());
        assert!(spec.check_request(&Asked { refit: Some(!spec.refit), ..Asked::default() }).is_err());
        assert!(spec.check_request(&Asked { horizon: Some(2), ..Asked::default() }).is_ok());

        let panel = panel(vec![1.0]);
        let why = spec.check_table(&panel).unwrap_err().to_string();
        assert_eq!(why, "--load: the model needs dates (year, week, holidays), the table has none");
        let plain = Spec { cycles: Vec::new(), holidays: false, ..spec };
        assert_eq!(plain.check_table(&panel).unwrap(), [0]);
    }
}
