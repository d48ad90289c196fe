// Updates the state from the cell's new value `fresh`:
//
//   h' = h + k·(h̃ − h)    k: weight of the fresh value under zoneout, 1 without
//
// A masked step keeps h; y is h', or 0 on a masked step; a reset restarts the state (marks). `dropped` is the input of
// the next recurrent product under recurrent dropout. Twin: src/kernels/state_update.rs.
@group(0) @binding(1) var<storage, read> marks: array<u32>;          // [T, B]
@group(0) @binding(2) var<storage, read> fresh: array<f32>;          // [D, B, width]
@group(0) @binding(3) var<storage, read_write> state: array<f32>;    // [D, T + 1, B, width]
@group(0) @binding(4) var<storage, read_write> y: array<f32>;        // [T, B, D·out]
@group(0) @binding(5) var<storage, read_write> dropped: array<f32>;  // [D, T + 1, B, out] when params.drops is 1

fn state_at(d: u32, slot: u32, row: u32) -> u32 {
    return ((d * (params.steps + 1u) + slot) * params.batch + row) * params.width;
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear(id);
    let width = params.width;
    if i >= params.directions * params.batch * width { return; }
    let d = i / width / params.batch;
    let row = i / width % params.batch;
    let j = i % width;
    let t = time_of(d, params.step);
    let mark = marks[t * params.batch + row];

    let old = state[state_at(d, before(d, t), row) + j];
    let k = keep(((d * params.steps + t) * params.batch + row) * width + j, j);
    let mixed = select(old + masked(fresh[i] - old, k), fresh[i], k == 1.0);
    let left = select(old, mixed, has(mark, VALID));
    let first = select(0.0, state[state_at(d, before(d, time_of(d, 0u)), row) + j], has(mark, TO_FIRST));
    let next = select(left, first, has(mark, reset_bit(d)));
    state[state_at(d, after(d, t), row) + j] = next;
    if j >= params.out { return; }
    let shown = has(mark, VALID | repeat_bit(d));
    y[((t * params.batch + row) * params.directions + d) * params.out + j] = select(0.0, left, shown);
    if params.drops == 0u { return; }
    let at = (((d * (params.steps + 1u)) + after(d, t)) * params.batch + row) * params.out + j;
    dropped[at] = masked(next, through((d * params.batch + row) * params.out + j));
}
