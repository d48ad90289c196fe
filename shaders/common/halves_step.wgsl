// In the chain, the first half of a step passes its gates to the second in `saved`.
fn load_saved(s: Step, part: u32, unit: u32) -> vec4<f32> {
    let at = vectors_at(s.d, s.t, s.rows, SAVED) + part * params.hidden + unit;
    return vec4(saved[at.x], saved[at.y], saved[at.z], saved[at.w]);
}

fn reset_state(s: Step, k: u32) -> vec4<f32> { return load_saved(s, 3u, k); }

fn put_update(s: Step, unit: u32, z: vec4<f32>) { keep(s, 1u, unit, z); }

fn update_gate(s: Step, unit: u32) -> vec4<f32> { return load_saved(s, 1u, unit); }
