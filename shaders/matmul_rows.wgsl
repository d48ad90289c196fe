// c = a·b (+ bias) (+ c) for few rows: a workgroup computes four rows of one column; its lanes split the sum over k
//
// Twin: src/kernels/matmul.rs.
var<workgroup> partial: array<vec4<f32>, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let col = group.x;
    let row = 4u * group.y;
    let z = group.z;
    let rows = min(row + vec4(0u, 1u, 2u, 3u), vec4(params.m - 1u));
    let ia = params.a_offset + z * params.a_batch + rows * params.a_row;
    let ib = params.b_offset + z * params.b_batch + col * params.b_col;

    var sum = vec4(0.0);
    let k = depth(z);
    for (var i = lane; i < k; i += 64u) {
        let ja = ia + i * params.a_col;
        sum += vec4(a[ja.x], a[ja.y], a[ja.z], a[ja.w]) * b[ib + i * params.b_row];
    }
    partial[lane] = sum;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half /= 2u) {
        if lane < half { partial[lane] += partial[lane + half]; }
        workgroupBarrier();
    }
    if lane < 4u { store(z, row + lane, col, partial[0][lane]); }
}
