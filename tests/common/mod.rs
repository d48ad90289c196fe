//! Helpers shared by the tests: backends, comparison, seeded data.
#![allow(dead_code, reason = "each test file uses only some of these items")]

pub mod recurrent;

use wgru::{CpuOptions, Device};

/// Returns the CPU device that runs the reference twins.
pub fn twin() -> Device {
    Device::cpu_with(CpuOptions { reference: true, ..CpuOptions::default() }).expect("the twins run everywhere")
}

/// Returns the GPU, or `None` if there is none. With `WGRU_REQUIRE_GPU=1`, as in CI, a missing GPU is a failure.
pub fn gpu() -> Option<Device> {
    #[cfg(feature = "gpu")]
    match Device::gpu_blocking() {
        Ok(device) => return Some(device),
        Err(error) => {
            assert!(std::env::var("WGRU_REQUIRE_GPU").as_deref() != Ok("1"), "a GPU is required: {error}");
            eprintln!("SKIPPED on the GPU: {error}");
        }
    }
    None
}

/// Generates a test per backend from functions that take a device: `name::twin`, `name::cpu` and `name::gpu`.
#[macro_export]
macro_rules! on_every_backend {
    ($($name:ident),* $(,)?) => {
        $(mod $name {
            #[test]
            fn twin() {
                super::$name(&$crate::common::twin())
            }

            #[test]
            fn cpu() {
                super::$name(&wgru::Device::cpu())
            }

            #[test]
            #[cfg(feature = "gpu")]
            fn gpu() {
                match $crate::common::gpu() {
                    Some(device) => super::$name(&device),
                    None => eprintln!("SKIPPED {}::gpu: no adapter", stringify!($name)),
                }
            }
        })*
    };
}

/// Largest difference relative to the largest expected value. NaN counts as infinite; lengths must match.
pub fn relative_error(got: &[f32], want: &[f64]) -> f64 {
    assert_eq!(got.len(), want.len(), "length");
    assert!(!want.is_empty(), "nothing to compare");
    let top = want.iter().fold(1e-30f64, |m, v| m.max(v.abs()));
    let worst = got.iter().zip(want).map(|(&g, &w)| {
        let error = (g as f64 - w).abs();
        if error.is_nan() { f64::INFINITY } else { error }
    });
    worst.fold(0.0, f64::max) / top
}

/// Fails if the error relative to the largest expected value is above `tolerance`, or if any value is NaN.
#[track_caller]
pub fn assert_close(what: &str, got: &[f32], want: &[f64], tolerance: f64) {
    let error = relative_error(got, want);
    assert!(error <= tolerance, "{what}: error {error:.2e} > {tolerance:.0e}");
}

/// Hash that generates all test data; `tests/golden/generate.py` has the same one in Python.
pub fn mix(mut x: u32) -> u32 {
    x ^= x >> 16;
    x = x.wrapping_mul(0x7feb_352d);
    x ^= x >> 15;
    x = x.wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

/// Returns `n` elements of stream `stream`, uniform in (-scale, scale).
pub fn fill(stream: u32, n: usize, scale: f32) -> Vec<f32> {
    let seed = mix(stream + 1);
    (0..n as u32).map(|k| ((mix(k ^ seed) >> 8) as f32 / 8_388_608.0 - 1.0) * scale).collect()
}
