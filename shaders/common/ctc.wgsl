// Parameters and index arithmetic shared by the kernels of connectionist temporal classification (CTC).
// Host side and twin: src/kernels/ctc.rs.
//
// Blanks extend a sequence of S labels to 2S + 1 positions: blank, label, blank, label, …, blank.
struct Params { steps: u32, batch: u32, classes: u32, labels: u32, blank: u32, zero_infinity: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> targets: array<u32>;  // [batch, labels]
@group(0) @binding(2) var<storage, read> lengths: array<u32>;  // [2, batch]  steps and labels of each sequence

fn steps_of(b: u32) -> u32 { return min(lengths[b], params.steps); }

fn positions_of(b: u32) -> u32 { return 2u * min(lengths[params.batch + b], params.labels) + 1u; }

// First element of a row [2·labels + 1] of alpha and occupancy.
fn row_at(t: u32, b: u32) -> u32 { return (t * params.batch + b) * (2u * params.labels + 1u); }

// The class of position s.
fn class_at(b: u32, s: u32) -> u32 {
    if s % 2u == 0u { return params.blank; }
    return targets[b * params.labels + s / 2u];
}
