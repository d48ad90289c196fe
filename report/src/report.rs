//! The report as data, written and read as JSON.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use wgru::{AdapterClass, AdapterReport};

/// Version of the format.
pub const VERSION: u64 = 1;

/// Bytes of the longest report that is read.
pub const MAX_LEN: usize = 4 << 20;

/// Results of a run on one adapter.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Version of the library.
    pub library: String,
    /// When the run began, in RFC 3339.
    pub time: String,
    /// Operating system and architecture, or the browser.
    pub system: String,
    /// Duration of the run.
    pub seconds: f64,
    /// Why the run ended: `complete`, or why it is partial.
    pub ended: String,
    /// The adapter; `None` if none could be opened.
    pub adapter: Option<Adapter>,
    /// Comparisons with f64.
    pub checks: Vec<Check>,
    /// Measured times.
    pub timings: Vec<Timing>,
    /// Work that was left out.
    pub skipped: Vec<Skipped>,
}

/// The adapter, and the device that was opened on it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Adapter {
    /// As the driver reports it; often empty in browsers.
    pub name: String,
    /// [`AdapterReport::vendor`]; in browsers, what they say.
    pub vendor: String,
    /// The architecture, as a browser tells it; empty elsewhere.
    pub architecture: String,
    /// `vulkan`, `metal`, `dx12`, `gl` or `webgpu`.
    pub backend: String,
    /// Driver and version.
    pub driver: String,
    /// `discrete`, `integrated`, `mobile` or `software`.
    pub class: String,
    /// Optional features in use.
    pub features: Vec<String>,
    /// Limits in use, by WebGPU's names.
    pub limits: BTreeMap<String, u64>,
    /// Subgroup size if shaders may use subgroups, else 0.
    pub subgroup: u64,
    /// [`AdapterReport::cached_workgroup_memory`].
    pub cached_workgroup_memory: bool,
}

/// A comparison with f64.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// The part of the library.
    pub group: String,
    /// The operation and its sizes.
    pub name: String,
    /// Largest error, relative to the largest expected value; infinite for NaN and for errors.
    pub worst: f64,
    /// Largest error that passes.
    pub tolerance: f64,
    /// The error, if the operation failed.
    pub error: Option<String>,
}

impl Check {
    /// Whether the operation ran, with an error within the tolerance.
    pub fn is_right(&self) -> bool {
        self.error.is_none() && self.worst <= self.tolerance
    }
}

/// The measured time of one choice for some work.
#[derive(Clone, Debug, PartialEq)]
pub struct Timing {
    /// The work; `docs/hardware/README.md` lists the kinds.
    pub kind: String,
    /// The cell of a layer, or the layout of a product; may be empty.
    pub of: String,
    /// Sizes, by kind.
    pub dims: Vec<u64>,
    /// The plan or shader; may be empty.
    pub choice: String,
    /// The times of a call.
    pub times: Times,
}

/// Percentiles of repeated measurements, in microseconds per call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Times {
    /// Number of measurements.
    pub repeats: u64,
    /// The 10th percentile.
    pub p10: f64,
    /// The median.
    pub median: f64,
    /// The 90th percentile.
    pub p90: f64,
}

impl Times {
    /// Returns the percentiles of times in seconds, which must not be empty.
    pub fn of(mut seconds: Vec<f64>) -> Self {
        seconds.sort_by(f64::total_cmp);
        let at = |percent: usize| seconds[(seconds.len() - 1) * percent / 100] * 1e6;
        Self { repeats: seconds.len() as u64, p10: at(10), median: at(50), p90: at(90) }
    }
}

/// Work that was left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Skipped {
    /// The work.
    pub name: String,
    /// The reason.
    pub why: String,
}

impl Adapter {
    /// Returns what the library knows about an adapter.
    pub fn of(a: &AdapterReport) -> Self {
        let limits = [
            ("maxStorageBufferBindingSize", a.max_binding),
            ("maxBufferSize", a.max_buffer),
            ("maxComputeWorkgroupsPerDimension", a.max_groups.into()),
            ("maxComputeWorkgroupStorageSize", a.workgroup_memory.into()),
        ];
        Self {
            name: a.name.clone(),
            vendor: a.vendor.to_string(),
            architecture: String::new(),
            backend: a.backend.clone(),
            driver: a.driver.clone(),
            class: class_name(a.class).to_string(),
            features: a.features.clone(),
            limits: limits.map(|(name, limit)| (name.to_string(), limit)).into(),
            subgroup: a.subgroup.into(),
            cached_workgroup_memory: a.cached_workgroup_memory,
        }
    }
}

/// Returns the name of a class.
pub fn class_name(class: AdapterClass) -> &'static str {
    match class {
        AdapterClass::Discrete => "discrete",
        AdapterClass::Integrated => "integrated",
        AdapterClass::Mobile => "mobile",
        _ => "software",
    }
}

impl Report {
    /// Whether the run is complete and all checks are right.
    pub fn is_right(&self) -> bool {
        self.ended == "complete" && !self.checks.is_empty() && self.checks.iter().all(Check::is_right)
    }

    /// Returns the report as readable JSON, with one line per check and timing.
    pub fn to_json(&self) -> String {
        let adapter = self.adapter.as_ref().map(|a| {
            json!({
                "name": a.name, "vendor": a.vendor, "architecture": a.architecture, "backend": a.backend,
                "driver": a.driver, "class": a.class, "features": a.features, "limits": a.limits,
                "subgroup": a.subgroup, "cached_workgroup_memory": a.cached_workgroup_memory,
            })
        });
        let check = |c: &Check| {
            // JSON has no infinity.
            let worst = c.worst.is_finite().then_some(c.worst);
            let mut value = json!({
                "group": c.group, "name": c.name, "worst": worst, "tolerance": c.tolerance, "ok": c.is_right(),
            });
            if let Some(error) = &c.error {
                value["error"] = json!(error);
            }
            value
        };
        let timing = |t: &Timing| {
            let round = |micros: f64| (micros * 100.0).round() / 100.0;
            json!({
                "kind": t.kind, "of": t.of, "dims": t.dims, "choice": t.choice, "repeats": t.times.repeats,
                "p10_us": round(t.times.p10), "median_us": round(t.times.median), "p90_us": round(t.times.p90),
            })
        };
        let skipped = |s: &Skipped| json!({ "name": s.name, "why": s.why });
        let parts = [
            ("wgru_report", json!(VERSION).to_string()),
            ("library", json!(self.library).to_string()),
            ("time", json!(self.time).to_string()),
            ("system", json!(self.system).to_string()),
            ("seconds", json!((self.seconds * 10.0).round() / 10.0).to_string()),
            ("ended", json!(self.ended).to_string()),
            ("adapter", format!("{:#}", json!(adapter)).replace('\n', "\n  ")),
            ("checks", lines(self.checks.iter().map(check))),
            ("timings", lines(self.timings.iter().map(timing))),
            ("skipped", lines(self.skipped.iter().map(skipped))),
        ];
        let parts = parts.map(|(name, value)| format!("  \"{name}\": {value}"));
        format!("{{\n{}\n}}\n", parts.join(",\n"))
    }

    /// Reads a report.
    ///
    /// # Errors
    /// A message that names the field, for text that is too long or not such a report.
    pub fn from_json(text: &str) -> Result<Self, String> {
        if text.len() > MAX_LEN {
            return Err(format!("has {} bytes; expected a report of at most {} MiB", text.len(), MAX_LEN >> 20));
        }
        let value: Value = serde_json::from_str(text).map_err(|error| format!("is not JSON: {error}"))?;
        let object = Fields::of(&value, "report")?;
        match object.number("wgru_report")? as u64 {
            VERSION => {}
            version => return Err(format!("is a report of version {version}; this program reads version {VERSION}")),
        }
        let adapter = match object.get("adapter")? {
            Value::Null => None,
            value => Some(adapter(&Fields::of(value, "adapter")?)?),
        };
        let check = |c: Fields| {
            let worst = match c.get("worst")? {
                Value::Null => f64::INFINITY,
                _ => c.number("worst")?,
            };
            let error = c.0.get("error").map(|_| c.text("error")).transpose()?;
            let check = Check {
                group: c.text("group")?,
                name: c.text("name")?,
                worst,
                tolerance: c.number("tolerance")?,
                error,
            };
            match c.get("ok")?.as_bool() {
                Some(ok) if ok == check.is_right() => Ok(check),
                _ => Err(format!("checks: {:?}: `ok` contradicts `worst` and `tolerance`", check.name)),
            }
        };
        let timing = |t: Fields| {
            let [p10, median, p90] = [t.number("p10_us")?, t.number("median_us")?, t.number("p90_us")?];
            let dims = t.list("dims")?.iter().map(|dim| dim.as_u64().ok_or("timings: `dims` are not sizes"));
            Ok(Timing {
                kind: t.text("kind")?,
                of: t.text("of")?,
                dims: dims.collect::<Result<_, _>>()?,
                choice: t.text("choice")?,
                times: Times { repeats: t.number("repeats")? as u64, p10, median, p90 },
            })
        };
        let skipped = |s: Fields| Ok(Skipped { name: s.text("name")?, why: s.text("why")? });
        Ok(Self {
            library: object.text("library")?,
            time: object.text("time")?,
            system: object.text("system")?,
            seconds: object.number("seconds")?,
            ended: object.text("ended")?,
            adapter,
            checks: object.each("checks", check)?,
            timings: object.each("timings", timing)?,
            skipped: object.each("skipped", skipped)?,
        })
    }
}

fn lines(values: impl Iterator<Item = Value>) -> String {
    let lines: Vec<String> = values.map(|value| format!("    {value}")).collect();
    if lines.is_empty() { "[]".to_string() } else { format!("[\n{}\n  ]", lines.join(",\n")) }
}

fn adapter(a: &Fields) -> Result<Adapter, String> {
    let limits = Fields::of(a.get("limits")?, "limits")?;
    let limit = |(name, limit): (&String, &Value)| {
        limit
            .as_u64()
            .map(|limit| (name.clone(), limit))
            .ok_or_else(|| format!("limits: `{name}` is not a whole number"))
    };
    let feature = |v: &Value| v.as_str().map(str::to_string).ok_or("adapter: `features` are not names".to_string());
    Ok(Adapter {
        name: a.text("name")?,
        vendor: a.text("vendor")?,
        architecture: a.text("architecture")?,
        backend: a.text("backend")?,
        driver: a.text("driver")?,
        class: a.text("class")?,
        features: a.list("features")?.iter().map(feature).collect::<Result<_, _>>()?,
        limits: limits.0.iter().map(limit).collect::<Result<_, _>>()?,
        subgroup: a.number("subgroup")? as u64,
        cached_workgroup_memory: a
            .get("cached_workgroup_memory")?
            .as_bool()
            .ok_or("adapter: expected a truth value")?,
    })
}

/// The fields of an object, and its name in messages.
struct Fields<'a>(&'a Map<String, Value>, &'a str);

impl<'a> Fields<'a> {
    fn of(value: &'a Value, name: &'a str) -> Result<Self, String> {
        value.as_object().map(|map| Self(map, name)).ok_or_else(|| format!("{name}: expected an object"))
    }

    fn get(&self, field: &str) -> Result<&'a Value, String> {
        self.0.get(field).ok_or_else(|| format!("{}: `{field}` is missing", self.1))
    }

    fn text(&self, field: &str) -> Result<String, String> {
        let text = self.get(field)?.as_str().map(str::to_string);
        text.ok_or_else(|| format!("{}: `{field}` is not text", self.1))
    }

    /// Returns a finite number of at least 0.
    fn number(&self, field: &str) -> Result<f64, String> {
        let number = self.get(field)?.as_f64().filter(|v| v.is_finite() && *v >= 0.0);
        number.ok_or_else(|| format!("{}: `{field}` is not a number of at least 0", self.1))
    }

    fn list(&self, field: &str) -> Result<&'a Vec<Value>, String> {
        self.get(field)?.as_array().ok_or_else(|| format!("{}: `{field}` is not a list", self.1))
    }

    fn each<T>(&self, field: &'a str, read: impl Fn(Fields) -> Result<T, String>) -> Result<Vec<T>, String> {
        self.list(field)?.iter().map(|value| read(Fields::of(value, field)?)).collect()
    }
}
