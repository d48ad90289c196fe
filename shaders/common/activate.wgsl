// Activations that a gate may have, by number (ONNX's list). Requires common/nan. CPU side: src/math/activation.rs,
// which names them.
fn expm1(v: f32) -> f32 {
    let series = v * (1.0 + v * (0.5 + v * (1.0 / 6.0 + v * (1.0 / 24.0 + v * (1.0 / 120.0)))));
    return select(exp(min(v, 0.0)) - 1.0, series, v > -0.25);
}

// Selects NaN after the fact, because a branch around the switch would cost software adapters time.
fn activate(kind: u32, alpha: f32, beta: f32, v: f32) -> f32 {
    return select(activate_number(kind, alpha, beta, v), v, is_nan(v));
}

fn activate_number(kind: u32, alpha: f32, beta: f32, v: f32) -> f32 {
    switch kind {
        case 0u: { return sigmoid(v); }
        case 1u: { return tanh_stable(v); }
        case 2u: { return select(v, 0.0, v < 0.0); }
        case 3u: { return alpha * v + beta; }
        case 4u: { return select(v, alpha * v, v < 0.0); }
        case 5u: { return select(v, 0.0, v < alpha); }
        case 6u: { return alpha * tanh_stable(beta * v); }
        case 7u: {
            let line = alpha * v + beta;
            return select(select(line, 1.0, line > 1.0), 0.0, line < 0.0);
        }
        case 8u: { return select(v, alpha * expm1(v), v < 0.0); }
        case 9u: { return v / (1.0 + abs(v)); }
        default: { return softplus(v); }
    }
}

// f'(v), given y = f(v)
fn slope(kind: u32, alpha: f32, beta: f32, v: f32, y: f32) -> f32 {
    switch kind {
        case 0u: { return y * (1.0 - y); }
        case 1u: { return 1.0 - y * y; }
        case 2u: { return select(select(0.0, 1.0, v > 0.0), v, is_nan(v)); }
        case 3u: { return alpha; }
        case 4u: { return select(1.0, alpha, v < 0.0); }
        case 5u: { return select(1.0, 0.0, v < alpha); }
        case 6u: {
            let t = tanh_stable(beta * v);
            return alpha * beta * (1.0 - t * t);
        }
        case 7u: { return select(0.0, alpha, y > 0.0 && y < 1.0); }
        case 8u: { return select(1.0, y + alpha, v < 0.0); }
        case 9u: {
            let s = 1.0 + abs(v);
            return 1.0 / (s * s);
        }
        default: { return sigmoid(v); }
    }
}
