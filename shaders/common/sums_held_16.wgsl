// For recurrent_sequence_split with common/weights_held: a lane holds the weights of 16 k: up to 64 units.
const HELD: u32 = 16u;

fn hold(u: u32, first: u32) {
    hold_four(u, first, 0u);
    hold_four(u, first, 4u);
    hold_four(u, first, 8u);
    hold_four(u, first, 12u);
}

fn sum_of_part(u: u32, at: vec4<u32>, first: u32, last: u32) -> Sums {
    var sums = Sums();
    add_four(&sums, 0u, at, first);
    add_four(&sums, 4u / IN_WORD * ROW, at, first + 4u);
    add_four(&sums, 8u / IN_WORD * ROW, at, first + 8u);
    add_four(&sums, 12u / IN_WORD * ROW, at, first + 12u);
    return sums;
}

fn second_sum_of_part(s: Step, u: u32, first: u32, last: u32) -> vec4<f32> {
    var sum = vec4(0.0);
    add_second(&sum, s, first, 0u);
    add_second(&sum, s, first, 4u);
    add_second(&sum, s, first, 8u);
    add_second(&sum, s, first, 12u);
    return sum;
}
