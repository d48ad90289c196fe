// Threefry-2x32-20: maps two key words and two counter words to two random words. CPU side: src/rng.rs.
fn threefry_round(v: vec2<u32>, rotation: u32) -> vec2<u32> {
    let x = v.x + v.y;
    return vec2(x, ((v.y << rotation) | (v.y >> (32u - rotation))) ^ x);
}

fn threefry(key: vec2<u32>, counter: vec2<u32>) -> vec2<u32> {
    var keys = array<u32, 3>(key.x, key.y, key.x ^ key.y ^ 0x1BD11BDAu);
    var v = vec2(counter.x + keys[0], counter.y + keys[1]);
    for (var i = 1u; i <= 5u; i++) {
        if i % 2u == 1u {
            v = threefry_round(threefry_round(threefry_round(threefry_round(v, 13u), 15u), 26u), 6u);
        } else {
            v = threefry_round(threefry_round(threefry_round(threefry_round(v, 17u), 29u), 16u), 24u);
        }
        v = vec2(v.x + keys[i % 3u], v.y + keys[(i + 1u) % 3u] + i);
    }
    return v;
}
