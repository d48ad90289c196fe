//! The timer: warm-up, then runs until a budget is spent.

use std::time::Instant;

use wgru::Result;

pub struct Timing {
    pub median: f64,
    pub min: f64,
    pub runs: usize,
}

/// Returns the seconds per call of `f`, measured in 5 to 200 runs of `inner` calls.
pub fn time(budget: f64, inner: usize, mut f: impl FnMut() -> Result<()>) -> Result<Timing> {
    let start = Instant::now();
    let mut warm = 0;
    while warm < 2 || (start.elapsed().as_secs_f64() < budget * 0.2 && warm < 50) {
        (0..inner).try_for_each(|_| f())?;
        warm += 1;
    }
    let mut all = Vec::new();
    let start = Instant::now();
    while all.len() < 5 || (start.elapsed().as_secs_f64() < budget && all.len() < 200) {
        let one = Instant::now();
        (0..inner).try_for_each(|_| f())?;
        all.push(one.elapsed().as_secs_f64() / inner as f64);
        if start.elapsed().as_secs_f64() > 60.0 && all.len() >= 3 {
            break;
        }
    }
    all.sort_by(f64::total_cmp);
    Ok(Timing { median: all[all.len() / 2], min: all[0], runs: all.len() })
}
