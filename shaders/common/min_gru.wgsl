// Parameters and index arithmetic shared by the kernels of a minimal GRU. Host side: src/kernels/min_gru_sequence.rs.
struct Params { steps: u32, batch: u32, hidden: u32, directions: u32, reverse: u32, log: u32, chunk: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> kv: array<f32>;       // [directions, 2, steps, batch, hidden]
@group(0) @binding(2) var<storage, read> lengths: array<u32>;  // [batch]

fn width() -> u32 { return params.directions * params.batch * params.hidden; }
fn chunks() -> u32 { return (params.steps + params.chunk - 1u) / params.chunk; }

// One unit of one sequence and direction, and the steps of one chunk in the order of processing.
struct Place { column: u32, d: u32, row: u32, unit: u32, first: u32, end: u32 }

fn place_of(i: u32) -> Place {
    let column = i % width();
    let row = column / params.hidden;
    let first = i / width() * params.chunk;
    return Place(
        column, row / params.batch, row % params.batch, column % params.hidden,
        first, min(first + params.chunk, params.steps),
    );
}

// Gate 0 is k, 1 is v.
fn kv_at(p: Place, gate: u32, t: u32) -> u32 {
    return (((2u * p.d + gate) * params.steps + t) * params.batch + p.row) * params.hidden + p.unit;
}

// Index into [steps, batch, directions, hidden].
fn output_at(p: Place, t: u32) -> u32 {
    return ((t * params.batch + p.row) * params.directions + p.d) * params.hidden + p.unit;
}
