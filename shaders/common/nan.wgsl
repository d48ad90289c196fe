// Keeps NaN as NaN where a driver does not (SwiftShader's exp and log, in Chromium).
fn is_nan(v: f32) -> bool { return (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u; }

fn exp_or_nan(v: f32) -> f32 { return select(exp(v), v, is_nan(v)); }

fn log_or_nan(v: f32) -> f32 { return select(log(v), v, is_nan(v)); }
