//! The report in a browser. The page's worker (`worker.js`) is the only caller; values cross as JSON.

use js_sys::Function;
use serde_json::Value;
use wasm_bindgen::prelude::*;
use wgru::Device;
use wgru_report::{Adapter, Host, Options, Report};

#[wasm_bindgen]
extern "C" {
    /// Milliseconds since the worker started.
    #[wasm_bindgen(js_namespace = performance)]
    fn now() -> f64;
}

/// Runs when the module is instantiated. A panic becomes an exception with its message.
#[wasm_bindgen(start)]
pub fn start() {
    std::panic::set_hook(Box::new(|info| wasm_bindgen::throw_str(&info.to_string())));
}

/// Calls `at(json, done, name)` before every step.
struct Page {
    at: Function,
}

impl Host for Page {
    fn now(&self) -> f64 {
        now() / 1e3
    }

    /// The page ends the worker instead.
    fn should_stop(&self) -> bool {
        false
    }

    fn at(&self, report: &Report, done: f64, name: &str) {
        let arguments = [report.to_json().into(), done.into(), name.into()];
        let [json, done, name]: [JsValue; 3] = arguments;
        // An exception of the page's own code does not end the run.
        let _ = self.at.call3(&JsValue::NULL, &json, &done, &name);
    }
}

/// Makes a report. `request` is a JSON object with `time`, `system`, `vendor`, `architecture`, and optionally `seconds`,
/// `quick` and `spoil`.
///
/// # Errors
/// A request that is not JSON.
#[wasm_bindgen]
pub async fn run(request: String, at: Function) -> Result<String, JsError> {
    let request: Value = serde_json::from_str(&request)?;
    let text = |name: &str| request[name].as_str().unwrap_or_default().to_string();
    let usual = Options::default();
    let options = Options {
        seconds: request["seconds"].as_f64().unwrap_or(usual.seconds),
        quick: request["quick"].as_bool().unwrap_or(usual.quick),
        spoil: request["spoil"].as_f64().unwrap_or(usual.spoil),
        ..usual
    };
    let blank = Report { time: text("time"), system: text("system"), ..Report::default() };
    let device = match Device::gpu().await {
        Ok(device) => device,
        Err(error) => return Ok(Report { ended: format!("failed: {error}"), ..blank }.to_json()),
    };
    let adapter = device.info().adapter.as_ref().map(|a| {
        let adapter = Adapter::of(a);
        let vendor = if adapter.vendor.is_empty() { text("vendor") } else { adapter.vendor };
        Adapter { vendor, architecture: text("architecture"), ..adapter }
    });
    let report = wgru_report::run(&device, options, &Page { at }, Report { adapter, ..blank }).await;
    Ok(report.to_json())
}

/// Draws a report.
///
/// # Errors
/// Text that is not a report.
#[wasm_bindgen]
pub fn picture(json: &str) -> Result<String, JsError> {
    Report::from_json(json).map(|report| wgru_report::picture(&report)).map_err(|why| JsError::new(&why))
}
