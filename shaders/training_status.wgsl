// Adds one update's loss to an epoch's running total and counts the update, unless training has failed:
//
//   status = [total, updates, flag of parameter 0, flag of parameter 1, …]
//   total = NaN              if a flag is set: an earlier update was not finite
//   total = total + share·loss; updates = updates + 1 if the new total is finite
//
// A non-finite total stays as it is, and makes `adam` and `sgd` leave all weights unchanged.
// Twin: src/kernels/training_status.rs.
struct Params { share: f32, parameters: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> loss: array<f32>;                   // [1]
@group(0) @binding(2) var<storage, read_write> status: array<atomic<u32>>;   // [2 + parameters]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if linear(id) > 0u { return; }
    let before = bitcast<f32>(atomicLoad(&status[0]));
    if !is_finite(before) { return; }
    var flags = 0u;
    for (var i = 0u; i < params.parameters; i++) { flags |= atomicLoad(&status[2u + i]); }
    if flags != 0u {
        atomicStore(&status[0], 0x7fc00000u);
        return;
    }
    let total = before + params.share * loss[0];
    atomicStore(&status[0], bitcast<u32>(total));
    if is_finite(total) { atomicStore(&status[1], atomicLoad(&status[1]) + 1u); }
}
