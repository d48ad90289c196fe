// Keeps NaN as NaN where a driver does not. SwiftShader's exp and log, in Chromium, return numbers. DX12 and Metal
// compile with fast math: a comparison of floats may be negated or become a minimum or maximum, so that NaN takes
// either branch. Where one of the branches is not NaN, test the bits as well.
fn is_nan(v: f32) -> bool { return (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u; }

fn exp_or_nan(v: f32) -> f32 { return select(exp(v), v, is_nan(v)); }

fn log_or_nan(v: f32) -> f32 { return select(log(v), v, is_nan(v)); }

// 1, −1, or v itself if it is 0 or NaN.
fn sign_or_nan(v: f32) -> f32 { return select(select(select(v, 1.0, v > 0.0), -1.0, v < 0.0), v, is_nan(v)); }
