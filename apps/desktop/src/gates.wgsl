// Heat map of gate values, read from the buffer that the GRU wrote them to.
//
// Days go from left to right, units from bottom to top. Host side: gates.rs.
struct Params {
    first: u32,   // first day shown
    days: u32,    // number of days shown
    hidden: u32,  // units
    flags: u32,   // see below
}

const SIGNED: u32 = 1u;  // values in [-1, 1] instead of [0, 1]
const DARK: u32 = 2u;    // dark theme
const RAMP: u32 = 4u;    // draws the color scale, with the smallest value at the bottom
const LINEAR: u32 = 8u;  // the target encodes sRGB by itself

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gates: array<f32>;  // [days, hidden]

struct Corner {
    @builtin(position) position: vec4<f32>,
    @location(0) place: vec2<f32>,  // (0, 0) at the lower left
}

@vertex
fn corner(@builtin(vertex_index) index: u32) -> Corner {
    let place = vec2<f32>(f32(index & 1u), f32(index >> 1u));
    return Corner(vec4<f32>(2.0 * place - 1.0, 0.0, 1.0), place);
}

fn between(low: vec3<f32>, high: vec3<f32>, share: f32) -> vec3<f32> {
    return mix(low, high, clamp(share, 0.0, 1.0));
}

// Viridis, interpolated from six of its colors.
fn sequential(value: f32) -> vec3<f32> {
    let at = 5.0 * clamp(value, 0.0, 1.0);
    var colour = between(vec3(0.267, 0.004, 0.329), vec3(0.255, 0.267, 0.529), at);
    colour = between(colour, vec3(0.165, 0.471, 0.557), at - 1.0);
    colour = between(colour, vec3(0.133, 0.659, 0.518), at - 2.0);
    colour = between(colour, vec3(0.478, 0.820, 0.318), at - 3.0);
    return between(colour, vec3(0.992, 0.906, 0.145), at - 4.0);
}

// Blue to orange, through the color of the card.
fn diverging(value: f32, dark: bool) -> vec3<f32> {
    let middle = select(vec3(0.96), vec3(0.09, 0.10, 0.12), dark);
    let low = select(vec3(0.02, 0.35, 0.68), vec3(0.36, 0.70, 1.00), dark);
    let high = select(vec3(0.78, 0.32, 0.02), vec3(1.00, 0.58, 0.24), dark);
    return select(between(middle, high, value), between(middle, low, -value), value < 0.0);
}

fn decoded(c: vec3<f32>) -> vec3<f32> {
    return select(pow((c + 0.055) / 1.055, vec3(2.4)), c / 12.92, c <= vec3(0.04045));
}

@fragment
fn colour(at: Corner) -> @location(0) vec4<f32> {
    let is_signed = (params.flags & SIGNED) != 0u;
    let day = params.first + min(u32(at.place.x * f32(params.days)), params.days - 1u);
    let unit = min(u32(at.place.y * f32(params.hidden)), params.hidden - 1u);
    var value = gates[day * params.hidden + unit];
    if (params.flags & RAMP) != 0u {
        value = select(at.place.y, 2.0 * at.place.y - 1.0, is_signed);
    }
    var out = sequential(value);
    if is_signed {
        out = diverging(value, (params.flags & DARK) != 0u);
    }
    if (params.flags & LINEAR) != 0u {
        out = decoded(out);
    }
    return vec4(out, 1.0);
}
