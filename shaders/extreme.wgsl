// value[o, s, i] = max x[o, a, i] over the positions a of chunk s, or the minimum; index[o, s, i] is the position
//
// On ties, the first element wins. NaN counts as greater and as less than every number. One invocation compares one
// chunk; the host runs further passes over the chunks. Twin: src/kernels/extreme.rs.
struct Params { outer: u32, axis: u32, inner: u32, chunk: u32, least: u32, mapped: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;            // [outer, axis, inner]
@group(0) @binding(2) var<storage, read> at: array<u32>;           // [outer, axis, inner] if mapped
@group(0) @binding(3) var<storage, read_write> value: array<f32>;  // [outer, ⌈axis / chunk⌉, inner]
@group(0) @binding(4) var<storage, read_write> index: array<u32>;  // [outer, ⌈axis / chunk⌉, inner]

// Whether v replaces best, which comes before it.
fn beats(v: f32, best: f32) -> bool {
    return !is_nan(best) && (is_nan(v) || select(v > best, v < best, params.least == 1u));
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    // Rounds up without overflowing u32, even for the largest chunk.
    let chunks = (params.axis - 1u) / params.chunk + 1u;
    let i = linear(id);
    if i >= params.outer * chunks * params.inner { return; }
    let base = i / (chunks * params.inner) * params.axis * params.inner + i % params.inner;
    let first = i / params.inner % chunks * params.chunk;
    let last = first + min(params.chunk, params.axis - first);
    var best = x[base + first * params.inner];
    var place = first;
    for (var a = first + 1u; a < last; a++) {
        let v = x[base + a * params.inner];
        if beats(v, best) {
            best = v;
            place = a;
        }
    }
    if params.mapped == 1u { place = at[base + place * params.inner]; }
    value[i] = best;
    index[i] = place;
}
