// Arithmetic of a first-order recurrence, h' = a·h + b. With params.log, it works on logarithms, with LOW for log 0.
// Requires common/low and common/nan. Host side: src/kernels/scan.rs.

// log(e^x + e^y)
fn log_add(x: f32, y: f32) -> f32 {
    return select(x, y, y > x) + log_or_nan(1.0 + exp_or_nan(-abs(x - y)));
}

fn times(x: f32, y: f32) -> f32 {
    if params.log == 1u { return at_least_low(x + y); }
    return x * y;
}

fn plus(x: f32, y: f32) -> f32 {
    if params.log == 1u { return log_add(x, y); }
    return x + y;
}

fn zero() -> f32 { return select(0.0, LOW, params.log == 1u); }
fn one() -> f32 { return select(1.0, 0.0, params.log == 1u); }

// Converts a state to the recurrence's representation; the logarithm of a negative state is NaN. Pass any value not
// known at compile time as `run_time`: WGSL rejects a constant NaN.
fn first_state(v: f32, run_time: u32) -> f32 {
    if params.log == 0u || is_nan(v) { return v; }
    let nan = bitcast<f32>(0x7fc00000u | (run_time & 0u));
    return select(select(log(v), LOW, v == 0.0), nan, v < 0.0);
}
