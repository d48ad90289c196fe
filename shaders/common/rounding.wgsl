// Functions that only models from files use. CPU side: src/math/rounding.rs.

// The nearest float16, as f32; the even one of two. Beyond 65504, infinity.
fn to_half(v: f32) -> f32 {
    let bits = bitcast<u32>(v);
    let size = bits & 0x7fffffffu;
    if size > 0x7f800000u { return v; }
    let sign = bits & 0x80000000u;
    // Below 2^-14, float16 is subnormal: multiples of 2^-24.
    if size < 0x38800000u {
        let small = round(abs(v) * 16777216.0) / 16777216.0;
        return bitcast<f32>(bitcast<u32>(small) | sign);
    }
    let near = (size + 0xfffu + ((size >> 13u) & 1u)) & 0xffffe000u;
    return bitcast<f32>(select(near, 0x7f800000u, near > 0x477fe000u) | sign);
}

// The nearest bfloat16, as f32; the even one of two.
fn to_brain(v: f32) -> f32 {
    let bits = bitcast<u32>(v);
    if (bits & 0x7fffffffu) > 0x7f800000u { return v; }
    return bitcast<f32>((bits + 0x7fffu + ((bits >> 16u) & 1u)) & 0xffff0000u);
}

// The error function, by polynomials of N. Juffa.
fn erf(v: f32) -> f32 {
    let a = abs(v);
    let s = v * v;
    if a > 0.9277344 {
        let far = -1.7285347e-5 * a + 3.831972e-4;
        let u = -3.8839644e-3 * a + 2.4254622e-2;
        let r = (((far * s + u) * a - 0.10677788) * a - 0.6348467) * a - 0.12871751;
        // Beyond 6, the result is 1.
        let y = 1.0 - exp(max(r * a - a, -80.0));
        return select(select(y, 1.0, a > 6.0), -select(y, 1.0, a > 6.0), v < 0.0);
    }
    let r = ((-5.967617e-4 * s + 4.991194e-3) * s - 2.6768135e-2) * s + 0.112819925;
    return ((r * s - 0.37612534) * s + 0.12837917) * v + v;
}

// Sine and cosine of an angle within ±π/4, by the polynomials of Cephes.
fn sine(r: f32) -> f32 {
    let z = r * r;
    return r + r * z * ((-1.9515296e-4 * z + 8.332161e-3) * z - 0.16666655);
}

fn cosine(r: f32) -> f32 {
    let z = r * r;
    return 1.0 - 0.5 * z + z * z * ((2.4433157e-5 * z - 1.3887316e-3) * z + 4.1666646e-2);
}

// sin(v + turns·π/2). The three parts of π/2 have few bits, so that their multiples are exact for angles up to some
// thousands.
fn turned_sine(v: f32, turns: i32) -> f32 {
    let k = round(v * 0.63661977);
    let r = ((v - k * 1.5703125) - k * 4.837513e-4) - k * 7.54979e-8;
    let quadrant = i32(k) + turns;
    let y = select(cosine(r), sine(r), (quadrant & 1) == 0);
    return select(-y, y, (quadrant & 2) == 0);
}

// atan(v), by the polynomial of Cephes, which holds up to tan(π/8).
fn arc_tangent(v: f32) -> f32 {
    let a = abs(v);
    var start = 0.0;
    var x = a;
    if a > 2.4142137 {
        start = 1.5707964;
        x = -1.0 / a;
    } else if a > 0.41421357 {
        start = 0.7853982;
        x = (a - 1.0) / (a + 1.0);
    }
    let z = x * x;
    let series = ((8.053745e-2 * z - 1.3877686e-1) * z + 1.997771e-1) * z - 3.333295e-1;
    let y = start + (series * z * x + x);
    return select(y, -y, v < 0.0);
}
