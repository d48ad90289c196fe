// Operands of a matrix product as scalars. Requires common/matmul.
@group(0) @binding(1) var<storage, read> a: array<f32>;  // [batch, m, k] strided
@group(0) @binding(2) var<storage, read> b: array<f32>;  // [batch, k, n] strided
