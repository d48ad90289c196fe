// For recurrent_sequence_split: the first half of a step passes c to all lanes in workgroup memory, and z to its own lane.
var<workgroup> passed: array<vec4<f32>, 256>;
var<private> update: vec4<f32>;

fn share(unit: u32, c: vec4<f32>) { passed[unit] = c; }

fn reset_state(s: Step, k: u32) -> vec4<f32> { return passed[k]; }

fn put_update(s: Step, unit: u32, z: vec4<f32>) {
    keep(s, 1u, unit, z);
    update = z;
}

fn update_gate(s: Step, unit: u32) -> vec4<f32> { return update; }
