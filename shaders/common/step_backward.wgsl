// Four rows of a backward step in their buffers. Requires common/fused, marks and time.
@group(0) @binding(1) var<storage, read> packed: array<f32>;          // GRU: [D, blocks, H, 3, 16]; others: [D, blocks, G·H, 16]
@group(0) @binding(2) var<storage, read> marks: array<u32>;           // [T, B]
@group(0) @binding(3) var<storage, read> state: array<f32>;           // [D, T + 1, B, width]
@group(0) @binding(4) var<storage, read> saved: array<f32>;           // [D, T, B, SAVED·H]
@group(0) @binding(5) var<storage, read> dy: array<f32>;              // [T, B, D·H]
@group(0) @binding(6) var<storage, read_write> d_gates: array<f32>;   // [D, T, B, GRADIENTS·H]
@group(0) @binding(7) var<storage, read_write> carry: array<f32>;     // [2, D, B, width]  v; resets' share of dh0

struct Step { d: u32, t: u32, rows: vec4<u32>, count: u32, mark: vec4<u32>, is_valid: vec4<bool> }

fn step_of(d: u32, t: u32, row: u32) -> Step {
    let rows = four(row);
    let at = t * params.batch + rows;
    let mark = vec4(marks[at.x], marks[at.y], marks[at.z], marks[at.w]);
    return Step(d, t, rows, min(4u, params.batch - row), mark, have(mark, VALID));
}

// A part of the state before the step.
fn old_state(s: Step, part: u32, unit: u32) -> vec4<f32> {
    let at = state_at(s.d, before(s.d, s.t), s.rows) + part * params.hidden + unit;
    return vec4(state[at.x], state[at.y], state[at.z], state[at.w]);
}

fn load_saved(s: Step, part: u32, unit: u32) -> vec4<f32> {
    let at = vectors_at(s.d, s.t, s.rows, SAVED) + part * params.hidden + unit;
    return vec4(saved[at.x], saved[at.y], saved[at.z], saved[at.w]);
}

fn carry_at(d: u32, rows: vec4<u32>, part: u32, unit: u32) -> vec4<u32> {
    return (d * params.batch + rows) * STATES * params.hidden + part * params.hidden + unit;
}

fn load_carry(at: vec4<u32>) -> vec4<f32> { return vec4(carry[at.x], carry[at.y], carry[at.z], carry[at.w]); }

fn store_carry(at: vec4<u32>, v: vec4<f32>, count: u32) {
    for (var i = 0u; i < count; i++) { carry[at[i]] = v[i]; }
}

// Returns the carry v into the step, 0 after a reset, which passes v to the first state or drops it.
fn take(s: Step, at: vec4<u32>, v: vec4<f32>) -> vec4<f32> {
    let is_reset = have(s.mark, reset_bit(s.d));
    let passed = at + params.directions * params.batch * STATES * params.hidden;
    for (var i = 0u; i < s.count; i++) {
        if is_reset[i] && has(s.mark[i], TO_FIRST) { carry[passed[i]] += v[i]; }
    }
    return select(v, vec4(0.0), is_reset);
}

// Returns the gradient of h after the step: the carry v, and dy where the output is h.
fn take_shown(s: Step, unit: u32, v: vec4<f32>) -> vec4<f32> {
    let at = output_at(s.d, s.t, s.rows) + unit;
    let shown = vec4(dy[at.x], dy[at.y], dy[at.z], dy[at.w]);
    let left = take(s, carry_at(s.d, s.rows, 0u, unit), v);
    return left + select(vec4(0.0), shown, have(s.mark, VALID | repeat_bit(s.d)));
}

// Stores the carry out of the step; a masked step passes dh on.
fn pass_on(s: Step, part: u32, unit: u32, dh: vec4<f32>, v: vec4<f32>) {
    store_carry(carry_at(s.d, s.rows, part, unit), select(dh, v, s.is_valid), s.count);
}
