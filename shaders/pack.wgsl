// packed[d, block, k, gate, lane] = U[gate·H + unit, k]      unit = 16·block + lane; row k = K holds b_hh
// transposed:                       U[gate·K + k, unit]      no bias row
//
// Units past H are 0. Twin: src/kernels/pack.rs.
struct Params { hidden: u32, gates: u32, depth: u32, direction: u32, transposed: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> u: array<f32>;             // [gates, hidden, depth]
@group(0) @binding(2) var<storage, read> bias: array<f32>;          // [gates, hidden]
@group(0) @binding(3) var<storage, read_write> packed: array<f32>;  // [direction + 1, blocks, rows, gates, 16]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let blocks = (params.hidden + 15u) / 16u;
    let rows = params.depth + 1u - params.transposed;
    let row = 16u * params.gates;
    let i = linear(id);
    if i >= blocks * rows * row { return; }
    let unit = i / (rows * row) * 16u + i % 16u;
    let k = i / row % rows;
    let gate = i / 16u % params.gates;
    var v = 0.0;
    if unit < params.hidden {
        if k == params.depth {
            v = bias[gate * params.hidden + unit];
        } else if params.transposed == 1u {
            v = u[(gate * params.depth + k) * params.hidden + unit];
        } else {
            v = u[(gate * params.hidden + unit) * params.depth + k];
        }
    }
    packed[params.direction * blocks * rows * row + i] = v;
}
