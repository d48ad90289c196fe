// Flat index of an invocation; workgroups of 64 wrap to the next y after 32,768 along x.
// Host side: kernel::linear_groups.
fn linear(id: vec3<u32>) -> u32 {
    return id.y * 2097152u + id.x;
}
