//! Runs ONNX's test folders: a model, its inputs, and the expected outputs.

use std::fs;
use std::path::{Path, PathBuf};

use wgru::io::onnx::{OnnxModel, Value, read_tensor};
use wgru::{Device, Error, Result};

/// An output may differ by `atol + rtol·|expected|`.
#[derive(Clone, Copy)]
pub struct Tolerance {
    pub rtol: f64,
    pub atol: f64,
}

/// Runs every test folder, and prints a line for each. Returns whether all of them passed.
pub fn all(device: &Device, folders: &[PathBuf], tolerance: Tolerance) -> Result<bool> {
    let mut cases = Vec::new();
    for folder in folders {
        if folder.join("model.onnx").is_file() {
            cases.push(folder.clone());
            continue;
        }
        cases.extend(list(folder)?.into_iter().filter(|path| path.join("model.onnx").is_file()));
    }
    let mut passed = 0;
    for case in &cases {
        let name = case.file_name().unwrap_or_default().to_string_lossy();
        match folder(device, case, tolerance) {
            Ok(error) => {
                passed += 1;
                println!("ok      {name}: largest error {error:.1e}");
            }
            Err(error) => println!("FAILED  {name}: {error}"),
        }
    }
    println!("{passed} of {} passed", cases.len());
    Ok(passed == cases.len() && passed > 0)
}

/// Returns the entries of a folder, sorted.
fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let io = |source| Error::Io { path: folder.into(), source };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(io)? {
        paths.push(entry.map_err(io)?.path());
    }
    paths.sort();
    Ok(paths)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|source| Error::Io { path: path.into(), source })
}

/// Returns the largest error of one test folder.
fn folder(device: &Device, case: &Path, tolerance: Tolerance) -> Result<f64> {
    let model = OnnxModel::load(device, &read(&case.join("model.onnx"))?)?;
    let is_set = |path: &PathBuf| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("test_data_set_"));
    let sets: Vec<PathBuf> = list(case)?.into_iter().filter(is_set).collect();
    if sets.is_empty() {
        return Err(Error::Format { what: case.display().to_string(), why: "has no test data".into() });
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
            worst = worst.max(compare(&name, &got, &want, tolerance)?);
        }
    }
    Ok(worst)
}

/// Returns the largest difference, or an error naming the first one that is too large.
fn compare(name: &str, got: &Value, want: &Value, tolerance: Tolerance) -> Result<f64> {
    let failed = |why: String| Err(Error::Format { what: format!("output {name:?}"), why });
    if got.dims() != want.dims() {
        return failed(format!("has extents {:?}; expected {:?}", got.dims(), want.dims()));
    }
    let (got, want) = match (got, want) {
        (Value::Ints(_) | Value::Whole(_), Value::Ints(_)) => {
            return if got.read_ints_blocking()? == want.as_ints()? {
                Ok(0.0)
            } else {
                failed("has other integers than expected".into())
            };
        }
        _ => (got.as_tensor()?.read_blocking()?, want.as_tensor()?.read_blocking()?),
    };
    let mut worst = 0.0f64;
    for (i, (&g, &w)) in got.iter().zip(&want).enumerate() {
        let (error, allowed) = ((g as f64 - w as f64).abs(), tolerance.atol + tolerance.rtol * (w as f64).abs());
        // NaN matches only NaN, and infinity only infinity.
        let same = g == w || (g.is_nan() && w.is_nan());
        if !(same || error.is_finite() && error <= allowed) {
            return failed(format!("element {i} is {g}; expected {w} ± {allowed:.1e}"));
        }
        worst = worst.max(if same { 0.0 } else { error });
    }
    Ok(worst)
}
