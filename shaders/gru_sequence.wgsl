// GRU layer over the whole sequence in one dispatch. A workgroup owns four rows of one direction and loops over the
// steps, with the state in workgroup memory. Equations: gru_step.wgsl; reset before the product: gru_gates.wgsl and
// gru_candidate.wgsl.
//
// `packed` is binding 2 of common/weights_*. Twin: src/kernels/gru_sequence.rs.
const MAX_HIDDEN: u32 = 256u;

@group(0) @binding(1) var<storage, read> x: array<f32>;             // [D, T, B, 3H]
@group(0) @binding(3) var<storage, read> marks: array<u32>;         // [T, B]
@group(0) @binding(4) var<storage, read_write> state: array<f32>;   // [D, T + 1, B, H]
@group(0) @binding(5) var<storage, read_write> y: array<f32>;       // [T, B, D·H]
@group(0) @binding(6) var<storage, read_write> saved: array<f32>;   // [D, T, B, 4H] when params.save is 1

var<workgroup> h_now: array<vec4<f32>, 256>;   // the state of four rows
var<workgroup> h_next: array<vec4<f32>, 256>;
var<workgroup> kept: array<vec4<f32>, 256>;    // r·h, for reset before
var<workgroup> update: array<vec4<f32>, 256>;  // z, for reset before

fn load_x(at: vec4<u32>) -> vec4<f32> { return vec4(x[at.x], x[at.y], x[at.z], x[at.w]); }

fn sigmoid4(v: vec4<f32>) -> vec4<f32> { return vec4(sigmoid(v.x), sigmoid(v.y), sigmoid(v.z), sigmoid(v.w)); }

fn tanh4(v: vec4<f32>) -> vec4<f32> {
    return vec4(tanh_stable(v.x), tanh_stable(v.y), tanh_stable(v.z), tanh_stable(v.w));
}

fn save4(at: vec4<u32>, v: vec4<f32>, count: u32) {
    if params.save == 0u { return; }
    for (var i = 0u; i < count; i++) { saved[at[i]] = v[i]; }
}

// Writes the new state and the output of one unit, in the rows within the batch.
fn finish(d: u32, t: u32, row: u32, unit: u32, n: vec4<f32>, z: vec4<f32>) {
    let count = min(4u, params.batch - row);
    let rows = four(row);
    let at = t * params.batch + rows;
    let mark = vec4(marks[at.x], marks[at.y], marks[at.z], marks[at.w]);
    let is_valid = (mark & vec4(VALID)) != vec4(0u);
    let is_shown = (mark & vec4(VALID | repeat_bit(d))) != vec4(0u);
    let is_reset = (mark & vec4(reset_bit(d))) != vec4(0u);
    let fresh = select(h_now[unit], n + z * (h_now[unit] - n), is_valid);
    let out = select(vec4(0.0), fresh, is_shown);
    let start = state_at(d, before(d, time_of(d, 0u)), rows) + unit;
    let first = vec4(state[start.x], state[start.y], state[start.z], state[start.w]);
    let next = select(fresh, select(vec4(0.0), first, (mark & vec4(TO_FIRST)) != vec4(0u)), is_reset);
    let dest = state_at(d, after(d, t), rows) + unit;
    let at_y = output_at(d, t, rows) + unit;
    for (var i = 0u; i < count; i++) {
        state[dest[i]] = next[i];
        y[at_y[i]] = out[i];
    }
    h_next[unit] = next;
}

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let h = params.hidden;
    let row = 4u * group.x;
    let d = group.y;
    let rows = four(row);
    let count = min(4u, params.batch - row);
    let first = begin(d);
    // At the end, this is the slot after the last step, whose value is never used.
    let start = state_at(d, select(params.steps, before(d, time_of(d, first)), first < params.steps), rows);
    for (var unit = lane; unit < h; unit += 128u) {
        let at = start + unit;
        h_now[unit] = vec4(state[at.x], state[at.y], state[at.z], state[at.w]);
    }
    workgroupBarrier();

    for (var step = first; step < end(d, params.count); step++) {
        let t = time_of(d, step);
        let at_x = gates_at(d, t, rows, 3u);
        let at_saved = gates_at(d, t, rows, 4u);
        for (var unit = lane; unit < h; unit += 128u) {
            let u = packed_at(d, unit, depth());
            var ar = vec4(0.0);
            var az = vec4(0.0);
            var c = vec4(0.0);
            for (var k = 0u; k < h; k += IN_WORD) {
                let j = u + k / IN_WORD * LANES;
                let wr = weights(j);
                let wz = weights(j + BLOCK);
                var wc = vec4(0.0);
                if params.cell == 0u { wc = weights(j + 2u * BLOCK); }
                for (var i = 0u; i < IN_WORD; i++) {
                    let v = known(k + i, h_now[within(k + i)]);
                    ar += wr[i] * v;
                    az += wz[i] * v;
                    c += wc[i] * v;
                }
            }
            c = product(u + 2u * BLOCK, c);
            let r = sigmoid4(load_x(at_x + unit) + product(u, ar));
            let z = sigmoid4(load_x(at_x + h + unit) + product(u + BLOCK, az));
            save4(at_saved + unit, r, count);
            save4(at_saved + h + unit, z, count);
            if params.cell == 0u {
                let n = tanh4(load_x(at_x + 2u * h + unit) + r * c);
                save4(at_saved + 2u * h + unit, n, count);
                save4(at_saved + 3u * h + unit, c, count);
                finish(d, t, row, unit, n, z);
            } else {
                kept[unit] = r * h_now[unit];
                update[unit] = z;
                save4(at_saved + 3u * h + unit, kept[unit], count);
            }
        }
        workgroupBarrier();
        if params.cell == 1u {
            for (var unit = lane; unit < h; unit += 128u) {
                let u = packed_at(d, unit, depth()) + 2u * BLOCK;
                var c = vec4(0.0);
                for (var k = 0u; k < h; k += IN_WORD) {
                    let w = weights(u + k / IN_WORD * LANES);
                    for (var i = 0u; i < IN_WORD; i++) {
                        c += w[i] * known(k + i, kept[within(k + i)]);
                    }
                }
                let n = tanh4(load_x(at_x + 2u * h + unit) + product(u, c));
                save4(at_saved + 2u * h + unit, n, count);
                finish(d, t, row, unit, n, update[unit]);
            }
            workgroupBarrier();
        }
        for (var unit = lane; unit < h; unit += 128u) {
            h_now[unit] = h_next[unit];
        }
        workgroupBarrier();
    }
}
