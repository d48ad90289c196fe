// Four rows of a forward step in their buffers, and the commit of the state that the cell computes.
// Requires common/fused, marks, time and activation.
@group(0) @binding(1) var<storage, read> x: array<f32>;             // [D, T, B, G·H]
@group(0) @binding(3) var<storage, read> marks: array<u32>;         // [T, B]
@group(0) @binding(4) var<storage, read_write> state: array<f32>;   // [D, T + 1, B, width]
@group(0) @binding(5) var<storage, read_write> y: array<f32>;       // [T, B, D·H]
@group(0) @binding(6) var<storage, read_write> saved: array<f32>;   // [D, T, B, SAVED·H] when params.save is 1

struct Step { d: u32, t: u32, rows: vec4<u32>, count: u32, mark: vec4<u32> }

fn step_of(d: u32, t: u32, row: u32) -> Step {
    let rows = four(row);
    let at = t * params.batch + rows;
    return Step(d, t, rows, min(4u, params.batch - row), vec4(marks[at.x], marks[at.y], marks[at.z], marks[at.w]));
}

fn sigmoid4(v: vec4<f32>) -> vec4<f32> { return vec4(sigmoid(v.x), sigmoid(v.y), sigmoid(v.z), sigmoid(v.w)); }

fn tanh4(v: vec4<f32>) -> vec4<f32> {
    return vec4(tanh_stable(v.x), tanh_stable(v.y), tanh_stable(v.z), tanh_stable(v.w));
}

fn load_state(at: vec4<u32>) -> vec4<f32> { return vec4(state[at.x], state[at.y], state[at.z], state[at.w]); }

// The projected input of a gate.
fn input(s: Step, gate: u32, unit: u32) -> vec4<f32> {
    let at = vectors_at(s.d, s.t, s.rows, GATES) + gate * params.hidden + unit;
    return vec4(x[at.x], x[at.y], x[at.z], x[at.w]);
}

// Part 0 of the state before the step is h, part 1 the LSTM's c.
fn old_state(s: Step, part: u32, unit: u32) -> vec4<f32> {
    return load_state(state_at(s.d, before(s.d, s.t), s.rows) + part * params.hidden + unit);
}

// Keeps a value for the backward pass.
fn keep(s: Step, part: u32, unit: u32, v: vec4<f32>) {
    if params.save == 0u { return; }
    let at = vectors_at(s.d, s.t, s.rows, SAVED) + part * params.hidden + unit;
    for (var i = 0u; i < s.count; i++) { saved[at[i]] = v[i]; }
}

// Stores the state that follows the step, given the one before it and the one that the cell computed, and the output,
// which is part 0. A masked step keeps the old state. Returns the state for the next step.
fn commit(s: Step, part: u32, unit: u32, old: vec4<f32>, fresh: vec4<f32>) -> vec4<f32> {
    let offset = part * params.hidden + unit;
    let start = load_state(state_at(s.d, before(s.d, time_of(s.d, 0u)), s.rows) + offset);
    let left = select(old, fresh, have(s.mark, VALID));
    let out = select(vec4(0.0), left, have(s.mark, VALID | repeat_bit(s.d)));
    let first = select(vec4(0.0), start, have(s.mark, TO_FIRST));
    let next = select(left, first, have(s.mark, reset_bit(s.d)));
    let to = state_at(s.d, after(s.d, s.t), s.rows) + offset;
    let to_y = output_at(s.d, s.t, s.rows) + unit;
    for (var i = 0u; i < s.count; i++) {
        state[to[i]] = next[i];
        if part == 0u { y[to_y[i]] = out[i]; }
    }
    return next;
}
