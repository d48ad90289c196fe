// The recurrence of a minimal GRU, h' = a·h + b, from its pre-activations:
//
//   z = σ(k)    a = 1 − z    b = z·v,   or with params.log the logarithms of a and of z·g(v),
//   g(v) = v + ½ for v ≥ 0, else σ(v)
//
// A step past a sequence's length keeps the state: a = 1, b = 0. Twin: src/kernels/min_gru_gates.rs.
struct Params { steps: u32, batch: u32, hidden: u32, reverse: u32, log: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> k: array<f32>;        // [steps, batch, hidden]
@group(0) @binding(2) var<storage, read> v: array<f32>;        // [steps, batch, hidden]
@group(0) @binding(3) var<storage, read> lengths: array<u32>;  // [batch]
@group(0) @binding(4) var<storage, read_write> a: array<f32>;  // [steps, batch, hidden]
@group(0) @binding(5) var<storage, read_write> b: array<f32>;  // [steps, batch, hidden]

// log(1 + e), e in [0, 1]: the series where 1 + e would round e away, step after step.
fn log_1p(e: f32) -> f32 {
    let series = e * (1.0 - e * (0.5 - e * (1.0 / 3.0 - e * (0.25 - e * (0.2 - e / 6.0)))));
    return select(log(1.0 + e), series, e < 0.0625);
}

fn log_sigmoid(x: f32) -> f32 { return select(x, 0.0, x >= 0.0) - log_1p(exp(-abs(x))); }

// log g(x)
fn log_g(x: f32) -> f32 {
    if x >= 0.0 { return log(x + 0.5); }
    return log_sigmoid(x);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear(id);
    let row = i / params.hidden;
    if row >= params.steps * params.batch { return; }
    let is_log = params.log == 1u;
    if row / params.batch >= lengths[row % params.batch] {
        a[i] = select(1.0, 0.0, is_log);
        b[i] = select(0.0, LOW, is_log);
    } else if is_log {
        a[i] = at_least_low(log_sigmoid(-k[i]));
        b[i] = at_least_low(log_sigmoid(k[i]) + log_g(v[i]));
    } else {
        a[i] = sigmoid(-k[i]);
        b[i] = sigmoid(k[i]) * v[i];
    }
}
