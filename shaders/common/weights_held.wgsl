// Words of weights from registers: all steps use those that a lane read before the first. Requires HELD, the number of k
// per lane. As every index is a constant once the functions are inlined, compilers keep the array in registers.
var<private> held: array<Word, HELD / IN_WORD * GATES>;

// `at` counts from the first weight of the part.
fn word(at: u32) -> Word { return held[at / BLOCK]; }

// Reads four k of a unit from `u` on; those past the last are 0.
fn hold_four(u: u32, first: u32, i: u32) {
    hold_word(u, first, i);
    if IN_WORD < 4u { hold_word(u, first, i + 2u); }
    if IN_WORD < 2u {
        hold_word(u, first, i + 1u);
        hold_word(u, first, i + 3u);
    }
}

fn hold_word(u: u32, first: u32, i: u32) {
    let is_inside = first + i < params.hidden;
    let at = u + select(0u, (first + i) / IN_WORD * ROW, is_inside);
    let to = i / IN_WORD * GATES;
    held[to] = select(Word(), packed[at], is_inside);
    if GATES > 1u {
        held[to + 1u] = select(Word(), packed[at + BLOCK], is_inside);
        held[to + 2u] = select(Word(), packed[at + 2u * BLOCK], is_inside);
    }
    if GATES > 3u { held[to + 3u] = select(Word(), packed[at + 3u * BLOCK], is_inside); }
}

// Adds U·c of four k to `sum`, for the second half of a GRU with its reset gate before the product.
fn add_second(sum: ptr<function, vec4<f32>>, s: Step, first: u32, i: u32) {
    if HALVES == 2u {
        let j = i / IN_WORD * ROW + 2u * BLOCK;
        *sum += weight(j, 0u) * reset_state(s, first + i);
        *sum += weight(j + 1u / IN_WORD * ROW, 1u) * reset_state(s, first + i + 1u);
        *sum += weight(j + 2u / IN_WORD * ROW, 2u) * reset_state(s, first + i + 2u);
        *sum += weight(j + 3u / IN_WORD * ROW, 3u) * reset_state(s, first + i + 3u);
    }
}
