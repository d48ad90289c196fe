//! `wgru check`: runs ONNX's test folders, and the verification runs in files of recurrent layers.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use wgru::Device;
use wgru::io::onnx::{OnnxModel, Value, read_tensor};
use wgru::io::{TensorFile, load_recurrent_verified};

use crate::device::{Which, open};
use crate::failure::{Failure, Result, tolerance};
use crate::model::floats;
use crate::output::{Answer, Output};

/// Runs tests and compares the outputs: ONNX's test folders (model.onnx, test_data_set_*/input_*.pb and output_*.pb),
/// and files of recurrent layers with a verification run.
///
/// The exit code is 1 if a test fails, or if there is none.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Test folders, folders of them, or files with a verification run
    #[arg(required = true)]
    tests: Vec<PathBuf>,
    /// Relative tolerance of the outputs
    #[arg(long, default_value_t = 1e-3, value_parser = tolerance)]
    rtol: f64,
    /// Absolute tolerance of the outputs, added to the relative one
    #[arg(long, default_value_t = 1e-7, value_parser = tolerance)]
    atol: f64,
    /// Device to use
    #[arg(long, default_value = "auto")]
    device: Which,
}

pub fn check(args: &Args, out: &Output) -> Result<Answer> {
    let device = open(args.device)?;
    out.line(format!("on {}", device.info().name));
    let mut cases = Vec::new();
    for path in &args.tests {
        let is_case = |path: &Path| path.join("model.onnx").is_file();
        if path.is_file() || is_case(path) {
            cases.push(path.clone());
        } else {
            cases.extend(list(path)?.into_iter().filter(|path| is_case(path)));
        }
    }
    let progress = out.progress(cases.len());
    let (mut passed, mut results) = (0, Vec::new());
    for case in &cases {
        let name = case.file_name().unwrap_or_default().to_string_lossy().into_owned();
        progress.at(&name);
        let result = if case.is_file() { verified(&device, case) } else { folder(&device, case, args) };
        results.push(match result {
            Ok(error) => {
                passed += 1;
                out.line(format!("ok      {name}: largest error {error:.1e}"));
                json!({ "name": name, "passed": true, "error": error })
            }
            Err(failure) => {
                out.line(format!("FAILED  {name}: {}", failure.text));
                json!({ "name": name, "passed": false, "why": failure.text })
            }
        });
        progress.advance();
    }
    drop(progress);
    out.line(format!("{passed} of {} passed", cases.len()));
    let json = json!({ "device": device.info().name, "passed": passed, "tests": results });
    Ok(Answer { json, yes: passed == cases.len() && passed > 0 })
}

/// Returns the entries of a folder, sorted.
fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| Failure::file(folder, error))? {
        paths.push(entry.map_err(|error| Failure::file(folder, error))?.path());
    }
    paths.sort();
    Ok(paths)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| Failure::file(path, error))
}

/// Runs the verification run of a file, and returns its largest error.
fn verified(device: &Device, path: &Path) -> Result<f64> {
    match pollster::block_on(load_recurrent_verified(device, &TensorFile::import(path)?))? {
        (_, Some(error)) => Ok(error),
        (_, None) => Err(Failure::file(path, "holds no verification run; io::add_verification adds one")),
    }
}

/// Returns the largest error of one test folder.
fn folder(device: &Device, case: &Path, args: &Args) -> Result<f64> {
    let model = OnnxModel::open(device, case.join("model.onnx"))?;
    let is_set = |path: &PathBuf| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("test_data_set_"));
    let sets: Vec<PathBuf> = list(case)?.into_iter().filter(is_set).collect();
    if sets.is_empty() {
        return Err(Failure::file(case, "has no test data"));
    }
    let mut worst = 0.0f64;
    for set in sets {
        let names: Vec<String> = model.inputs().map(|info| info.name.clone()).collect();
        let mut inputs = Vec::new();
        for (i, name) in names.iter().enumerate() {
            inputs.push((name.as_str(), read_tensor(device, &read(&set.join(format!("input_{i}.pb")))?)?.1));
        }
        for (i, (name, got)) in model.run_blocking(&inputs)?.into_iter().enumerate() {
            let (_, want) = read_tensor(&Device::cpu(), &read(&set.join(format!("output_{i}.pb")))?)?;
            worst = worst.max(difference(&name, &got, &want, args)?);
        }
    }
    Ok(worst)
}

/// Returns the largest difference, or an error naming the first one that is too large.
fn difference(name: &str, got: &Value, want: &Value, args: &Args) -> Result<f64> {
    let failed = |why: String| Err(Failure { exit: crate::failure::NO, text: format!("output {name:?} {why}") });
    if got.dims() != want.dims() {
        return failed(format!("has extents {:?}; expected {:?}", got.dims(), want.dims()));
    }
    if let (Ok(got), Ok(want)) = (got.read_ints_blocking(), want.read_ints_blocking())
        && got == want
    {
        return Ok(0.0);
    }
    let (got, want) = (floats(got)?, floats(want)?);
    let mut worst = 0.0f64;
    for (i, (&g, &w)) in got.iter().zip(&want).enumerate() {
        let (error, allowed) = ((f64::from(g) - f64::from(w)).abs(), args.atol + args.rtol * f64::from(w).abs());
        // NaN matches only NaN, and infinity only infinity.
        let same = g == w || (g.is_nan() && w.is_nan());
        if !(same || error.is_finite() && error <= allowed) {
            return failed(format!("has {g} at element {i}; expected {w} ± {allowed:.1e}"));
        }
        worst = worst.max(if same { 0.0 } else { error });
    }
    Ok(worst)
}
