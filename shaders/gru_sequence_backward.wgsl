// Backward pass of gru_sequence in one dispatch. A workgroup owns four rows of one direction and loops over the steps,
// with the gate gradients of the current step in workgroup memory. Equations: gru_step_backward.wgsl.
//
// Twin: src/kernels/gru_sequence_backward.rs.
@group(0) @binding(1) var<storage, read> packed: array<f32>;          // [D, blocks, H, 3, 16]  transposed
@group(0) @binding(2) var<storage, read> marks: array<u32>;           // [T, B]
@group(0) @binding(3) var<storage, read> state: array<f32>;           // [D, T + 1, B, H]
@group(0) @binding(4) var<storage, read> saved: array<f32>;           // [D, T, B, 4H]
@group(0) @binding(5) var<storage, read> dy: array<f32>;              // [T, B, D·H]
@group(0) @binding(6) var<storage, read_write> d_gates: array<f32>;   // [D, T, B, 4H]
@group(0) @binding(7) var<storage, read_write> carry: array<f32>;     // [2, D, B, H]  dh_n, then dh0; dh0 from resets

var<workgroup> d_r: array<vec4<f32>, 256>;
var<workgroup> d_z: array<vec4<f32>, 256>;
var<workgroup> d_c: array<vec4<f32>, 256>;  // δn·r (reset after) or δn (reset before)
var<workgroup> v: array<vec4<f32>, 256>;    // the carry; a lane accesses only its own units

fn load_saved(at: vec4<u32>) -> vec4<f32> { return vec4(saved[at.x], saved[at.y], saved[at.z], saved[at.w]); }

fn store_gates(at: vec4<u32>, g: vec4<f32>, count: u32) {
    for (var i = 0u; i < count; i++) { d_gates[at[i]] = g[i]; }
}

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let h = params.hidden;
    let row = 4u * group.x;
    let d = group.y;
    let rows = four(row);
    let count = min(4u, params.batch - row);
    let at_carry = (d * params.batch + rows) * h;
    let passed = at_carry + params.directions * params.batch * h;
    for (var unit = lane; unit < h; unit += 128u) {
        let at = at_carry + unit;
        v[unit] = vec4(carry[at.x], carry[at.y], carry[at.z], carry[at.w]);
    }

    for (var step = end(d, params.count); step > begin(d); step--) {
        let t = time_of(d, step - 1u);
        let at_mark = t * params.batch + rows;
        let mark = vec4(marks[at_mark.x], marks[at_mark.y], marks[at_mark.z], marks[at_mark.w]);
        let is_valid = (mark & vec4(VALID)) != vec4(0u);
        let is_shown = (mark & vec4(VALID | repeat_bit(d))) != vec4(0u);
        let is_reset = (mark & vec4(reset_bit(d))) != vec4(0u);
        let at = gates_at(d, t, rows, 4u);
        let at_h = state_at(d, before(d, t), rows);
        for (var unit = lane; unit < h; unit += 128u) {
            let at_y = output_at(d, t, rows) + unit;
            for (var i = 0u; i < count; i++) {
                if is_reset[i] && has(mark[i], TO_FIRST) { carry[passed[i] + unit] += v[unit][i]; }
            }
            let g = select(v[unit], vec4(0.0), is_reset);
            let dh = g + select(vec4(0.0), vec4(dy[at_y.x], dy[at_y.y], dy[at_y.z], dy[at_y.w]), is_shown);
            let r = load_saved(at + unit);
            let z = load_saved(at + h + unit);
            let n = load_saved(at + 2u * h + unit);
            let c = load_saved(at + 3u * h + unit);
            let i = at_h + unit;
            let old = vec4(state[i.x], state[i.y], state[i.z], state[i.w]);
            let dn = select(vec4(0.0), dh * (1.0 - z) * (1.0 - n * n), is_valid);
            let dz = select(vec4(0.0), dh * (old - n) * z * (1.0 - z), is_valid);
            let dr = select(vec4(0.0), dn * c * r * (1.0 - r), is_valid);
            let dc = select(vec4(0.0), dn * r, is_valid);
            store_gates(at + unit, dr, count);
            store_gates(at + h + unit, dz, count);
            store_gates(at + 2u * h + unit, dn, count);
            store_gates(at + 3u * h + unit, dc, count);
            d_r[unit] = dr;
            d_z[unit] = dz;
            d_c[unit] = select(dc, dn, params.cell == 1u);
            v[unit] = select(dh, dh * z, is_valid);
        }
        workgroupBarrier();
        if params.cell == 1u {
            for (var unit = lane; unit < h; unit += 128u) {
                let u = packed_at(d, unit, h) + 2u * BLOCK;
                var q = vec4(0.0);
                for (var k = 0u; k < h; k++) { q += packed[u + k * LANES] * d_c[k]; }
                let r = load_saved(at + unit);
                let i = at_h + unit;
                let old = vec4(state[i.x], state[i.y], state[i.z], state[i.w]);
                let dr = select(vec4(0.0), q * old * r * (1.0 - r), is_valid);
                store_gates(at + unit, dr, count);
                d_r[unit] = dr;
                v[unit] = select(v[unit], v[unit] + q * r, is_valid);
            }
            workgroupBarrier();
        }
        for (var unit = lane; unit < h; unit += 128u) {
            let u = packed_at(d, unit, h);
            var sum = vec4(0.0);
            for (var k = 0u; k < h; k++) {
                let j = u + k * LANES;
                sum += packed[j] * d_r[k] + packed[j + BLOCK] * d_z[k];
                if params.cell == 0u { sum += packed[j + 2u * BLOCK] * d_c[k]; }
            }
            v[unit] += sum;
        }
        workgroupBarrier();
    }

    for (var unit = lane; unit < h; unit += 128u) {
        let at = at_carry + unit;
        for (var i = 0u; i < count; i++) { carry[at[i]] = v[unit][i]; }
    }
}
