// packed[d, block, k, gate, lane] = U[gate·H + unit, k]      unit = 16·block + lane, the row k = H holds b_hh
// transposed:                       U[gate·H + k, unit]      no row for the bias
//
// Units past H are 0. Twin: src/kernels/gru_pack.rs.
struct Params { hidden: u32, direction: u32, transposed: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> u: array<f32>;             // [3, hidden, hidden]
@group(0) @binding(2) var<storage, read> bias: array<f32>;          // [3, hidden]
@group(0) @binding(3) var<storage, read_write> packed: array<f32>;  // [direction + 1, blocks, depth, 3, 16]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let blocks = (params.hidden + 15u) / 16u;
    let depth = params.hidden + 1u - params.transposed;
    let i = linear(id);
    if i >= blocks * depth * 48u { return; }
    let unit = i / (depth * 48u) * 16u + i % 16u;
    let k = i / 48u % depth;
    let gate = i / 16u % 3u;
    var v = 0.0;
    if unit < params.hidden {
        if k == params.hidden {
            v = bias[gate * params.hidden + unit];
        } else if params.transposed == 1u {
            v = u[(gate * params.hidden + k) * params.hidden + unit];
        } else {
            v = u[(gate * params.hidden + unit) * params.hidden + k];
        }
    }
    packed[params.direction * blocks * depth * 48u + i] = v;
}
