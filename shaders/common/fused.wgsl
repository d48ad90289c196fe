// Parameters and index arithmetic that the fused kernels share. Requires the constants of a cell: common/cell_*.
// Host side and twin: src/kernels/fused.rs.
struct Params {
    steps: u32, batch: u32, hidden: u32, directions: u32,
    reverse: u32,
    step: u32, count: u32,  // the steps of this dispatch: `count` from `step` on; 1 in a chain
    lag: u32,               // steps by which a direction trails the one before it
    cell: u32,              // 0, 1: GRU, reset after or before; 2: LSTM; 3, 4: simple, tanh or ReLU
    save: u32,
    half: u32,              // 1: the second half of a step of the chain, reset before
    shader: u32,            // which shader this is; only the host reads it
}

@group(0) @binding(0) var<uniform> params: Params;

const BLOCK: u32 = 16u;           // units of a packed block
const ROW: u32 = GATES * BLOCK;   // words from one k to the next

// The four rows starting at `row`. Past the batch, repeats the last row, which is then read but never stored.
fn four(row: u32) -> vec4<u32> { return min(row + vec4(0u, 1u, 2u, 3u), vec4(params.batch - 1u)); }

// Half-open range of the steps of direction d in a dispatch of `count` steps. May be empty.
fn begin(d: u32) -> u32 { return min(max(params.step, d * params.lag) - d * params.lag, params.steps); }
fn end(d: u32, count: u32) -> u32 {
    return min(max(params.step + count, d * params.lag) - d * params.lag, params.steps);
}

fn state_at(d: u32, slot: u32, rows: vec4<u32>) -> vec4<u32> {
    return ((d * (params.steps + 1u) + slot) * params.batch + rows) * STATES * params.hidden;
}
// Rows of x, saved or d_gates, with `count` vectors of H.
fn vectors_at(d: u32, t: u32, rows: vec4<u32>, count: u32) -> vec4<u32> {
    return ((d * params.steps + t) * params.batch + rows) * count * params.hidden;
}
fn output_at(d: u32, t: u32, rows: vec4<u32>) -> vec4<u32> {
    return ((t * params.batch + rows) * params.directions + d) * params.hidden;
}
// First weight of a unit in a packed matrix with `depth` rows per block.
fn packed_at(d: u32, unit: u32, depth: u32) -> u32 {
    let blocks = (params.hidden + BLOCK - 1u) / BLOCK;
    return (d * blocks + unit / BLOCK) * depth * ROW + unit % BLOCK;
}

// For the whole plan with split sums: the number of lanes of a part, at least that of the units.
fn width_of_units() -> u32 { return select(select(256u, 128u, params.hidden <= 128u), 64u, params.hidden <= 64u); }
