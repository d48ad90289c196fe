//! The checks of `wgru report` run every kernel of the library.

#![cfg(feature = "gpu")]

use std::collections::BTreeSet;
use std::time::Instant;

use wgru::{Device, GpuOptions};
use wgru_report::{COMPLETE, Host, Options, Report, run};

struct Silent(Instant);

impl Host for Silent {
    fn now(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }

    fn should_stop(&self) -> bool {
        false
    }

    fn at(&self, _: &Report, _: f64, _: &str) {}
}

#[test]
fn every_kernel_is_checked() {
    let options = GpuOptions { timestamps: true, ..GpuOptions::default() };
    let device = match pollster::block_on(Device::gpu_with(options)) {
        Ok(device) => device,
        Err(error) => {
            assert!(std::env::var("WGRU_REQUIRE_GPU").as_deref() != Ok("1"), "a GPU is required: {error}");
            return eprintln!("SKIPPED: {error}");
        }
    };
    let options = Options { times: false, seconds: 3600.0, ..Options::default() };
    let report = pollster::block_on(run(&device, options, &Silent(Instant::now()), Report::default()));
    assert_eq!(report.ended, COMPLETE);
    let wrong: Vec<_> = report.checks.iter().filter(|check| !check.is_right()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let ran: BTreeSet<&str> = device.take_times_blocking().expect("times").iter().map(|time| time.kernel).collect();
    let subgroup = device.info().adapter.as_ref().map_or(0, |adapter| adapter.subgroup);
    let can_run = |needed: u32| needed == 0 || needed == subgroup;
    let kernels = wgru::kernels::all();
    let missing: Vec<&str> =
        kernels.iter().filter(|k| can_run(k.subgroup) && !ran.contains(k.name)).map(|k| k.name).collect();
    assert!(missing.is_empty(), "not checked: {missing:?}");
}
