//! Functions that only models from files use, written as in `shaders/common/rounding.wgsl`.

/// The nearest float16, as f32; the even one of two. Beyond 65504, infinity.
pub fn to_half(v: f32) -> f32 {
    half::f16::from_f32(v).to_f32()
}

/// The nearest bfloat16, as f32; the even one of two.
pub fn to_brain(v: f32) -> f32 {
    half::bf16::from_f32(v).to_f32()
}

/// The error function, by polynomials of N. Juffa. NaN gives NaN.
pub fn erf(v: f32) -> f32 {
    let (a, s) = (v.abs(), v * v);
    if a > 0.927_734_4 {
        let r = -1.728_534_7e-5 * a + 3.831_972e-4;
        let u = -3.883_964_4e-3 * a + 2.425_462_2e-2;
        let r = (((r * s + u) * a - 0.106_777_88) * a - 0.634_846_7) * a - 0.128_717_51;
        let r = 1.0 - (r * a - a).exp();
        return if v < 0.0 { -r } else { r };
    }
    let r = ((-5.967_617e-4 * s + 4.991_194e-3) * s - 2.676_813_5e-2) * s + 0.112_819_925;
    let r = (r * s - 0.376_125_34) * s + 0.128_379_17;
    r * v + v
}

/// The quadrant of an angle, and the rest within ±π/4. The three parts of π/2 have few bits, so that their multiples
/// are exact for angles up to some thousands.
fn reduced(v: f32) -> (i32, f32) {
    let k = (v * std::f32::consts::FRAC_2_PI).round_ties_even();
    let r = ((v - k * 1.570_312_5) - k * 4.837_513e-4) - k * 7.549_79e-8;
    (k as i32 & 3, r)
}

/// Sine and cosine of an angle within ±π/4, by the polynomials of Cephes.
fn sine(r: f32) -> f32 {
    let z = r * r;
    r + r * z * ((-1.951_529_6e-4 * z + 8.332_161e-3) * z - 0.166_666_55)
}

fn cosine(r: f32) -> f32 {
    let z = r * r;
    1.0 - 0.5 * z + z * z * ((2.443_315_7e-5 * z - 1.388_731_6e-3) * z + 4.166_664_6e-2)
}

/// `sin(v)`; NaN for infinity.
pub fn sin(v: f32) -> f32 {
    let (quadrant, r) = reduced(v);
    let y = if quadrant & 1 == 0 { sine(r) } else { cosine(r) };
    if quadrant & 2 == 0 { y } else { -y }
}

/// `cos(v)`; NaN for infinity.
pub fn cos(v: f32) -> f32 {
    let (quadrant, r) = reduced(v);
    let y = if quadrant & 1 == 0 { cosine(r) } else { sine(r) };
    if (quadrant + 1) & 2 == 0 { y } else { -y }
}

/// `atan(v)`, by the polynomial of Cephes, which holds up to tan(π/8). NaN gives NaN.
pub fn atan(v: f32) -> f32 {
    let a = v.abs();
    let (start, x) = if a > 2.414_213_7 {
        (std::f32::consts::FRAC_PI_2, -1.0 / a)
    } else if a > 0.414_213_57 {
        (std::f32::consts::FRAC_PI_4, (a - 1.0) / (a + 1.0))
    } else {
        (0.0, a)
    };
    let z = x * x;
    let series = ((8.053_745e-2 * z - 1.387_768_6e-1) * z + 1.997_771e-1) * z - 3.333_295e-1;
    let y = start + (series * z * x + x);
    if v < 0.0 { -y } else { y }
}
