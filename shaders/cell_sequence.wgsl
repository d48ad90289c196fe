// LSTM or simple RNN layer over the whole sequence in one dispatch. A workgroup owns four rows of one direction and
// loops over the steps. It keeps h in workgroup memory and the LSTM's c in `state`.
//
//   v_g = x_g + U_g·h + d_g
//   LSTM:    i = σ(v_i)    f = σ(v_f)    g = tanh(v_g)    o = σ(v_o)    c' = f·c + i·g    h' = o·tanh(c')
//   simple:  h' = tanh(v), or max(v, 0)
//
// Twin: src/kernels/cell_sequence.rs.
@group(0) @binding(1) var<storage, read> x: array<f32>;             // [D, T, B, G·H]
@group(0) @binding(2) var<storage, read> packed: array<f32>;        // [D, blocks, H + 1, G, 16]
@group(0) @binding(3) var<storage, read> marks: array<u32>;         // [T, B]
@group(0) @binding(4) var<storage, read_write> state: array<f32>;   // [D, T + 1, B, width]
@group(0) @binding(5) var<storage, read_write> y: array<f32>;       // [T, B, D·H]
@group(0) @binding(6) var<storage, read_write> saved: array<f32>;   // [D, T, B, 5H or H] when params.save is 1

const LSTM: u32 = 2u;
const RELU: u32 = 4u;

var<workgroup> h_now: array<vec4<f32>, 256>;   // h of four rows
var<workgroup> h_next: array<vec4<f32>, 256>;

fn load_x(at: vec4<u32>) -> vec4<f32> { return vec4(x[at.x], x[at.y], x[at.z], x[at.w]); }

fn load_state(at: vec4<u32>) -> vec4<f32> { return vec4(state[at.x], state[at.y], state[at.z], state[at.w]); }

fn sigmoid4(v: vec4<f32>) -> vec4<f32> { return vec4(sigmoid(v.x), sigmoid(v.y), sigmoid(v.z), sigmoid(v.w)); }

fn tanh4(v: vec4<f32>) -> vec4<f32> {
    return vec4(tanh_stable(v.x), tanh_stable(v.y), tanh_stable(v.z), tanh_stable(v.w));
}

fn save4(at: vec4<u32>, v: vec4<f32>, count: u32) {
    if params.save == 0u { return; }
    for (var i = 0u; i < count; i++) { saved[at[i]] = v[i]; }
}

// Stores and returns the state after step t, given `old` before the step and `fresh` after it. `part` 0 is h, which is
// also written to y.
fn leave(d: u32, t: u32, row: u32, unit: u32, part: u32, old: vec4<f32>, fresh: vec4<f32>) -> vec4<f32> {
    let count = min(4u, params.batch - row);
    let rows = four(row);
    let at = t * params.batch + rows;
    let mark = vec4(marks[at.x], marks[at.y], marks[at.z], marks[at.w]);
    let now = select(old, fresh, (mark & vec4(VALID)) != vec4(0u));
    let out = select(vec4(0.0), now, (mark & vec4(VALID | repeat_bit(d))) != vec4(0u));
    let first = load_state(state_at(d, before(d, time_of(d, 0u)), rows) + part * params.hidden + unit);
    let start = select(vec4(0.0), first, (mark & vec4(TO_FIRST)) != vec4(0u));
    let next = select(now, start, (mark & vec4(reset_bit(d))) != vec4(0u));
    let dest = state_at(d, after(d, t), rows) + part * params.hidden + unit;
    let at_y = output_at(d, t, rows) + unit;
    for (var i = 0u; i < count; i++) {
        state[dest[i]] = next[i];
        if part == 0u { y[at_y[i]] = out[i]; }
    }
    return next;
}

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let h = params.hidden;
    let row = 4u * group.x;
    let d = group.y;
    let rows = four(row);
    let count = min(4u, params.batch - row);
    let is_lstm = params.cell == LSTM;
    let gates = select(1u, 4u, is_lstm);
    let blocks = (h + BLOCK - 1u) / BLOCK;
    let first = begin(d);
    // At the end, this is the slot after the last step, whose value is never used.
    let start = state_at(d, select(params.steps, before(d, time_of(d, first)), first < params.steps), rows);
    for (var unit = lane; unit < h; unit += 128u) { h_now[unit] = load_state(start + unit); }
    workgroupBarrier();

    for (var step = first; step < end(d, params.count); step++) {
        let t = time_of(d, step);
        let at_x = gates_at(d, t, rows, gates);
        let at_saved = gates_at(d, t, rows, select(1u, 5u, is_lstm));
        let now_at = state_at(d, before(d, t), rows);
        for (var unit = lane; unit < h; unit += 128u) {
            let u = (d * blocks + unit / BLOCK) * (h + 1u) * gates * BLOCK + unit % BLOCK;
            var v: array<vec4<f32>, 4>;
            for (var g = 0u; g < gates; g++) {
                var sum = vec4(packed[u + (h * gates + g) * BLOCK]) + load_x(at_x + g * h + unit);
                for (var k = 0u; k < h; k++) { sum += packed[u + (k * gates + g) * BLOCK] * h_now[k]; }
                v[g] = sum;
            }
            var fresh = tanh4(v[0]);
            if is_lstm {
                let i = sigmoid4(v[0]);
                let f = sigmoid4(v[1]);
                let g = tanh4(v[2]);
                let o = sigmoid4(v[3]);
                let old = load_state(now_at + h + unit);
                let c = f * old + i * g;
                let s = tanh4(c);
                fresh = o * s;
                save4(at_saved + unit, i, count);
                save4(at_saved + h + unit, f, count);
                save4(at_saved + 2u * h + unit, g, count);
                save4(at_saved + 3u * h + unit, o, count);
                save4(at_saved + 4u * h + unit, s, count);
                _ = leave(d, t, row, unit, 1u, old, c);
            } else {
                // Keeps NaN as NaN.
                if params.cell == RELU { fresh = select(v[0], vec4(0.0), v[0] < vec4(0.0)); }
                save4(at_saved + unit, fresh, count);
            }
            h_next[unit] = leave(d, t, row, unit, 0u, h_now[unit], fresh);
        }
        workgroupBarrier();
        for (var unit = lane; unit < h; unit += 128u) { h_now[unit] = h_next[unit]; }
        workgroupBarrier();
    }
}
