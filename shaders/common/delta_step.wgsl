// Gate gradients of a step of the chain. Requires common/step_backward.
fn delta(at: vec4<u32>, part: u32, k: u32) -> vec4<f32> {
    let i = at + part * params.hidden + k;
    return vec4(d_gates[i.x], d_gates[i.y], d_gates[i.z], d_gates[i.w]);
}

// Stores the gradients of a gate, 0 in rows where the step is masked.
fn store_gate(s: Step, part: u32, unit: u32, v: vec4<f32>) {
    let g = select(vec4(0.0), v, s.is_valid);
    let at = vectors_at(s.d, s.t, s.rows, GRADIENTS) + part * params.hidden + unit;
    for (var i = 0u; i < s.count; i++) { d_gates[at[i]] = g[i]; }
}
