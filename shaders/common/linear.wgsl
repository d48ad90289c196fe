// Index of an invocation whose workgroups of 64 are folded at 32,768 along x. Host side: kernel::linear_groups.
fn linear(id: vec3<u32>) -> u32 {
    return id.y * 2097152u + id.x;
}
