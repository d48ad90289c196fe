// dh of a GRU, reset after the product: U_rᵀ·δr + U_zᵀ·δz + U_nᵀ·δc. Requires common/gru_backward.
alias Deltas = mat3x4<f32>;  // a column per gate, an element per row

fn gates(u: u32, k: u32) -> vec3<f32> {
    let j = u + k * ROW;
    return vec3(packed[j], packed[j + BLOCK], packed[j + 2u * BLOCK]);
}

fn deltas(at: vec4<u32>, k: u32) -> Deltas { return Deltas(delta(at, 0u, k), delta(at, 1u, k), delta(at, 3u, k)); }

fn plus(sum: vec4<f32>, w: vec3<f32>, d: Deltas) -> vec4<f32> { return sum + w.x * d[0] + w.y * d[1] + w.z * d[2]; }
