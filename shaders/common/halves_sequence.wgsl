// In the whole plan, the first half of a step passes its gates to the second in workgroup memory.
var<workgroup> update: array<vec4<f32>, 256>;

fn reset_state(s: Step, k: u32) -> vec4<f32> { return passed[k]; }

fn put_update(s: Step, unit: u32, z: vec4<f32>) {
    keep(s, 1u, unit, z);
    update[unit] = z;
}

fn update_gate(s: Step, unit: u32) -> vec4<f32> { return update[unit]; }
