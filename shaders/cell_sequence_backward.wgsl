// Backward pass of cell_sequence in one dispatch. A workgroup owns four rows of one direction and loops over the steps,
// with the gate gradients of the current step in workgroup memory.
//
//   dh = v + Σ_g U_gᵀ·δ_g of the previously processed step + dy[t]
//   LSTM:    δo = dh·s·o·(1 − o)    dc = v_c + dh·o·(1 − s²)    δi = dc·g·i·(1 − i)    δf = dc·c·f·(1 − f)
//            δg = dc·i·(1 − g²)     v_c = dc·f
//   simple:  δ = dh·(1 − h'²), or dh where h' > 0
//
// Twin: src/kernels/cell_sequence_backward.rs.
@group(0) @binding(1) var<storage, read> packed: array<f32>;          // [D, blocks, G·H, 16]  transposed
@group(0) @binding(2) var<storage, read> marks: array<u32>;           // [T, B]
@group(0) @binding(3) var<storage, read> state: array<f32>;           // [D, T + 1, B, width]
@group(0) @binding(4) var<storage, read> saved: array<f32>;           // [D, T, B, 5H or H]
@group(0) @binding(5) var<storage, read> dy: array<f32>;              // [T, B, D·H]
@group(0) @binding(6) var<storage, read_write> d_gates: array<f32>;   // [D, T, B, G·H]
@group(0) @binding(7) var<storage, read_write> carry: array<f32>;     // [2, D, B, width]  v; resets' share of dh0

const LSTM: u32 = 2u;
const RELU: u32 = 4u;

var<workgroup> delta: array<vec4<f32>, 1024>;  // [G·H] of four rows

fn load_saved(at: vec4<u32>) -> vec4<f32> { return vec4(saved[at.x], saved[at.y], saved[at.z], saved[at.w]); }

fn load_carry(at: vec4<u32>) -> vec4<f32> { return vec4(carry[at.x], carry[at.y], carry[at.z], carry[at.w]); }

fn store_carry(at: vec4<u32>, v: vec4<f32>, count: u32) {
    for (var i = 0u; i < count; i++) { carry[at[i]] = v[i]; }
}

// Stores the gradients of a gate, 0 in rows where the step is masked.
fn store_gate(at: vec4<u32>, i: u32, v: vec4<f32>, is_valid: vec4<bool>, count: u32) {
    let g = select(vec4(0.0), v, is_valid);
    for (var j = 0u; j < count; j++) { d_gates[at[j] + i] = g[j]; }
    delta[i] = g;
}

// Returns the carry into this step. On a reset it returns 0, and moves the carry to the initial state's gradient if
// TO_FIRST is set.
fn take_carry(at: vec4<u32>, mark: vec4<u32>, reset: u32, count: u32) -> vec4<f32> {
    let v = load_carry(at);
    let is_reset = (mark & vec4(reset)) != vec4(0u);
    for (var i = 0u; i < count; i++) {
        if is_reset[i] && has(mark[i], TO_FIRST) { carry[at[i] + params.directions * params.batch * width()] += v[i]; }
    }
    return select(v, vec4(0.0), is_reset);
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
    let at_v = (d * params.batch + rows) * width();

    for (var step = end(d, params.count); step > begin(d); step--) {
        let t = time_of(d, step - 1u);
        let at_mark = t * params.batch + rows;
        let mark = vec4(marks[at_mark.x], marks[at_mark.y], marks[at_mark.z], marks[at_mark.w]);
        let is_valid = (mark & vec4(VALID)) != vec4(0u);
        let is_shown = (mark & vec4(VALID | repeat_bit(d))) != vec4(0u);
        let at = gates_at(d, t, rows, gates);
        let at_saved = gates_at(d, t, rows, select(1u, 5u, is_lstm));
        for (var unit = lane; unit < h; unit += 128u) {
            let at_y = output_at(d, t, rows) + unit;
            let shown = select(vec4(0.0), vec4(dy[at_y.x], dy[at_y.y], dy[at_y.z], dy[at_y.w]), is_shown);
            let dh = take_carry(at_v + unit, mark, reset_bit(d), count) + shown;
            let first = load_saved(at_saved + unit);
            if is_lstm {
                let f = load_saved(at_saved + h + unit);
                let g = load_saved(at_saved + 2u * h + unit);
                let o = load_saved(at_saved + 3u * h + unit);
                let s = load_saved(at_saved + 4u * h + unit);
                let i = state_at(d, before(d, t), rows) + h + unit;
                let old = vec4(state[i.x], state[i.y], state[i.z], state[i.w]);
                let v = take_carry(at_v + h + unit, mark, reset_bit(d), count);
                let dc = v + dh * o * (1.0 - s * s);
                store_gate(at, unit, dc * g * first * (1.0 - first), is_valid, count);
                store_gate(at, h + unit, dc * old * f * (1.0 - f), is_valid, count);
                store_gate(at, 2u * h + unit, dc * first * (1.0 - g * g), is_valid, count);
                store_gate(at, 3u * h + unit, dh * s * o * (1.0 - o), is_valid, count);
                store_carry(at_v + h + unit, select(v, dc * f, is_valid), count);
            } else {
                // Keeps NaN as NaN: some drivers do not compute NaN·0 as NaN.
                let relu = select(select(first, vec4(0.0), first <= vec4(0.0)), vec4(1.0), first > vec4(0.0));
                let slope = select(1.0 - first * first, relu, params.cell == RELU);
                store_gate(at, unit, dh * slope, is_valid, count);
            }
            store_carry(at_v + unit, select(dh, vec4(0.0), is_valid), count);
        }
        workgroupBarrier();
        for (var unit = lane; unit < h; unit += 128u) {
            let u = (d * blocks + unit / BLOCK) * gates * h * BLOCK + unit % BLOCK;
            var sum = vec4(0.0);
            for (var k = 0u; k < gates * h; k++) { sum += packed[u + k * BLOCK] * delta[k]; }
            store_carry(at_v + unit, load_carry(at_v + unit) + sum, count);
        }
        workgroupBarrier();
    }
}
