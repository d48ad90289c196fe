// Parameters and arithmetic that the kernels of a first-order recurrence share. Host side and twin: src/kernels/scan.rs.
//
//   h_i = a_i·h_{i−1} + b_i,  i as the direction goes;  with params.log, all as logarithms, and LOW for log 0
struct Params { steps: u32, width: u32, chunk: u32, reverse: u32, lag: u32, log: u32, exp: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;  // [steps, width]
@group(0) @binding(2) var<storage, read> b: array<f32>;  // [steps, width]

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

// Row of the i-th step.
fn row_of(i: u32) -> u32 { return select(i, params.steps - 1u - i, params.reverse == 1u) * params.width; }

// a_i; with params.lag, that of the step before.
fn factor(i: u32, column: u32) -> f32 {
    if params.lag == 0u { return a[row_of(i) + column]; }
    if i == 0u { return one(); }
    return a[row_of(i - 1u) + column];
}
