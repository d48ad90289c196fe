// The remainder of Stirling's formula and its slope, for v > 0. Source and CPU side: src/math/stirling.rs.
fn stirling(v: f32) -> f32 {
    var sum = 0.0;
    var y = v;
    if v < 1.0 {
        sum = (v + 0.5) * log((v + 1.0) / v) - 1.0;
        y = v + 1.0;
    }
    for (var i = 0u; i < 3u; i++) {
        if y < 4.0 {
            let t = 1.0 / (2.0 * y + 1.0);
            let q = t * t;
            var series = 1.0 / 17.0;
            for (var n = 15.0; n > 2.0; n -= 2.0) { series = 1.0 / n + q * series; }
            sum += q * series;
            y += 1.0;
        }
    }
    let u = 1.0 / y;
    let w = u * u;
    return sum + u * (1.0 / 12.0 - w * (1.0 / 360.0 - w * (1.0 / 1260.0 - w / 1680.0)));
}

fn stirling_slope(v: f32) -> f32 {
    var sum = 0.0;
    var y = v;
    if v < 1.0 {
        y = v + 1.0;
        sum = log(y / v) - (v + 0.5) / (v * y);
    }
    for (var i = 0u; i < 3u; i++) {
        if y < 4.0 {
            let t = 1.0 / (2.0 * y + 1.0);
            let q = t * t;
            var series = 8.0 / 17.0;
            for (var k = 7.0; k > 0.0; k -= 1.0) { series = k / (2.0 * k + 1.0) + q * series; }
            sum -= 4.0 * t * q * series;
            y += 1.0;
        }
    }
    let u = 1.0 / y;
    let w = u * u;
    return sum - w * (1.0 / 12.0 - w * (1.0 / 120.0 - w * (1.0 / 252.0 - w * (1.0 / 240.0 - w / 132.0))));
}
