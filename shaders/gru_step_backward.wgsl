// One backward step of the chain plan, for all directions. p is the step after t in forward order, whose gate gradients
// are already computed; v is the carry, the elementwise part of dh, initially dh_n:
//
//   dh = v + Σ_g U_gᵀ·∂c_g[p] + dy[t]         g over r, z, n (reset after) or r, z (reset before)
//   δn = dh·(1 − z)·(1 − n²)    δz = dh·(h − n)·z·(1 − z)    δr = δn·c·r·(1 − r)    v = dh·z
//
// Reset before the product leaves δr to gru_reset_backward. A masked step passes dh on. A reset passes dh to the first
// state, or drops it (marks). At step = steps, after all others, only dh = v + Σ is computed, which is dh0.
// Twin: src/kernels/gru_step_backward.rs.
@group(0) @binding(1) var<storage, read> packed: array<f32>;          // [D, blocks, H, 3, 16]  transposed
@group(0) @binding(2) var<storage, read> marks: array<u32>;           // [T, B]
@group(0) @binding(3) var<storage, read> state: array<f32>;           // [D, T + 1, B, H]
@group(0) @binding(4) var<storage, read> saved: array<f32>;           // [D, T, B, 4H]
@group(0) @binding(5) var<storage, read> dy: array<f32>;              // [T, B, D·H]
@group(0) @binding(6) var<storage, read_write> d_gates: array<f32>;   // [D, T, B, 4H]
@group(0) @binding(7) var<storage, read_write> carry: array<f32>;     // [2, D, B, H]  v; resets' share of dh0

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let h = params.hidden;
    let unit = id.x;
    let row = 4u * id.y;
    let d = id.z;
    if unit >= h { return; }
    let rows = four(row);

    var dh = vec4(0.0);
    if params.step > 0u {
        let p = time_of(d, params.steps - params.step);
        let at = gates_at(d, p, rows, 4u);
        let u = packed_at(d, unit, h);
        for (var k = 0u; k < h; k++) {
            let r = at + k;
            let z = r + h;
            let j = u + k * LANES;
            dh += packed[j] * vec4(d_gates[r.x], d_gates[r.y], d_gates[r.z], d_gates[r.w]);
            dh += packed[j + BLOCK] * vec4(d_gates[z.x], d_gates[z.y], d_gates[z.z], d_gates[z.w]);
            if params.cell == 0u {
                let c = r + 3u * h;
                dh += packed[j + 2u * BLOCK] * vec4(d_gates[c.x], d_gates[c.y], d_gates[c.z], d_gates[c.w]);
            }
        }
    }

    for (var i = 0u; i < min(4u, params.batch - row); i++) {
        let v = (d * params.batch + row + i) * h + unit;
        var g = dh[i] + carry[v];
        if params.step == params.steps {
            carry[v] = g;
            continue;
        }
        let t = time_of(d, params.steps - 1u - params.step);
        let at = gates_at(d, t, rows, 4u)[i] + unit;
        let mark = marks[t * params.batch + row + i];
        if has(mark, reset_bit(d)) {
            if has(mark, TO_FIRST) { carry[v + params.directions * params.batch * h] += g; }
            g = 0.0;
        }
        let y = dy[output_at(d, t, rows)[i] + unit];
        if !has(mark, VALID) {
            carry[v] = g + select(0.0, y, has(mark, repeat_bit(d)));
            d_gates[at] = 0.0;
            d_gates[at + h] = 0.0;
            d_gates[at + 2u * h] = 0.0;
            d_gates[at + 3u * h] = 0.0;
            continue;
        }
        g += y;
        let r = saved[at];
        let z = saved[at + h];
        let n = saved[at + 2u * h];
        let old = state[state_at(d, before(d, t), rows)[i] + unit];
        let dn = g * (1.0 - z) * (1.0 - n * n);
        d_gates[at] = dn * saved[at + 3u * h] * r * (1.0 - r);
        d_gates[at + h] = g * (old - n) * z * (1.0 - z);
        d_gates[at + 2u * h] = dn;
        d_gates[at + 3u * h] = dn * r;
        carry[v] = g * z;
    }
}
