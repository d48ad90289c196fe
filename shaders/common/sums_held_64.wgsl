// For recurrent_sequence_split with common/weights_held: a lane holds the weights of 64 k: up to 128 units, in
// low precision.
const HELD: u32 = 64u;

fn hold(u: u32, first: u32) {
    hold_four(u, first, 0u);
    hold_four(u, first, 4u);
    hold_four(u, first, 8u);
    hold_four(u, first, 12u);
    if params.hidden <= 64u { return; }
    hold_four(u, first, 16u);
    hold_four(u, first, 20u);
    hold_four(u, first, 24u);
    hold_four(u, first, 28u);
    hold_four(u, first, 32u);
    hold_four(u, first, 36u);
    hold_four(u, first, 40u);
    hold_four(u, first, 44u);
    hold_four(u, first, 48u);
    hold_four(u, first, 52u);
    hold_four(u, first, 56u);
    hold_four(u, first, 60u);
}

fn sum_of_part(u: u32, at: vec4<u32>, first: u32, last: u32) -> Sums {
    var sums = Sums();
    add_four(&sums, 0u, at, first);
    add_four(&sums, 4u / IN_WORD * ROW, at, first + 4u);
    add_four(&sums, 8u / IN_WORD * ROW, at, first + 8u);
    add_four(&sums, 12u / IN_WORD * ROW, at, first + 12u);
    if params.hidden <= 64u { return sums; }
    add_four(&sums, 16u / IN_WORD * ROW, at, first + 16u);
    add_four(&sums, 20u / IN_WORD * ROW, at, first + 20u);
    add_four(&sums, 24u / IN_WORD * ROW, at, first + 24u);
    add_four(&sums, 28u / IN_WORD * ROW, at, first + 28u);
    add_four(&sums, 32u / IN_WORD * ROW, at, first + 32u);
    add_four(&sums, 36u / IN_WORD * ROW, at, first + 36u);
    add_four(&sums, 40u / IN_WORD * ROW, at, first + 40u);
    add_four(&sums, 44u / IN_WORD * ROW, at, first + 44u);
    add_four(&sums, 48u / IN_WORD * ROW, at, first + 48u);
    add_four(&sums, 52u / IN_WORD * ROW, at, first + 52u);
    add_four(&sums, 56u / IN_WORD * ROW, at, first + 56u);
    add_four(&sums, 60u / IN_WORD * ROW, at, first + 60u);
    return sums;
}

fn second_sum_of_part(s: Step, u: u32, first: u32, last: u32) -> vec4<f32> {
    var sum = vec4(0.0);
    add_second(&sum, s, first, 0u);
    add_second(&sum, s, first, 4u);
    add_second(&sum, s, first, 8u);
    add_second(&sum, s, first, 12u);
    if params.hidden <= 64u { return sum; }
    add_second(&sum, s, first, 16u);
    add_second(&sum, s, first, 20u);
    add_second(&sum, s, first, 24u);
    add_second(&sum, s, first, 28u);
    add_second(&sum, s, first, 32u);
    add_second(&sum, s, first, 36u);
    add_second(&sum, s, first, 40u);
    add_second(&sum, s, first, 44u);
    add_second(&sum, s, first, 48u);
    add_second(&sum, s, first, 52u);
    add_second(&sum, s, first, 56u);
    add_second(&sum, s, first, 60u);
    return sum;
}
