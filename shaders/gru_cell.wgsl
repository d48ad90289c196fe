// GRU cell after its recurrent product: the whole cell (params.half = 0, reset after), or one of its two halves (reset
// before). Each gate has its own activation, and every pre-activation is clipped.
//
//   r = f_r(x_r + a_r)    z = f_z(x_z + a_z)    h̃ = n + z·(h − n)
//   reset after:   c = a_n    n = f_n(x_n + r·c)
//   reset before:  c = r·h    n = f_n(x_n + a_n),  a_n = U_n·c + d_n computed between the halves
//
// Twin: src/kernels/gru_cell.rs.
@group(0) @binding(1) var<storage, read> x: array<f32>;            // [D, T, B, 3H]
@group(0) @binding(2) var<storage, read> rec: array<f32>;          // [D, B, 3H]  a
@group(0) @binding(3) var<storage, read> state: array<f32>;        // [D, T + 1, B, H], first half: after dropout
@group(0) @binding(4) var<storage, read_write> fresh: array<f32>;  // [D, B, H]
@group(0) @binding(5) var<storage, read_write> saved: array<f32>;  // [D, T, B, 7H]  r, z, n, c, slopes of r, z, n;
                                                                  // without n and slopes unless params.save = 1

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear(id);
    let h = params.hidden;
    if i >= params.directions * params.batch * h { return; }
    let d = i / h / params.batch;
    let row = i / h % params.batch;
    let unit = i % h;
    let t = time_of(d, params.step);
    let at = saved_at(d, t, row) + unit;
    let at_x = ((d * params.steps + t) * params.batch + row) * 3u * h + unit;
    let at_a = (d * params.batch + row) * 3u * h + unit;
    let old = state[state_at(d, before(d, t), row) + unit];

    if params.half < 2u {
        let vr = x[at_x] + rec[at_a];
        let vz = x[at_x + h] + rec[at_a + h];
        let r = gate(0u, clipped(vr));
        let z = gate(1u, clipped(vz));
        saved[at] = r;
        saved[at + h] = z;
        saved[at + 3u * h] = select(r * old, rec[at_a + 2u * h], params.half == 0u);
        if params.save == 1u {
            saved[at + 4u * h] = gate_slope(0u, vr, r);
            saved[at + 5u * h] = gate_slope(1u, vz, z);
        }
    }
    if params.half == 1u { return; }
    let scale = select(1.0, saved[at], params.half == 0u);
    let vn = x[at_x + 2u * h] + scale * rec[at_a + 2u * h];
    let n = gate(2u, clipped(vn));
    if params.save == 1u {
        saved[at + 2u * h] = n;
        saved[at + 6u * h] = gate_slope(2u, vn, n);
    }
    fresh[i] = n + saved[at + h] * (old - n);
}
