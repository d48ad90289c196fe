//! Copying memory: symbols, a long pause, and a signal to repeat the symbols.
//!
//! Hochreiter, Schmidhuber: *Long short-term memory* (1997); in this form, Arjovsky, Shah, Bengio: *Unitary evolution
//! recurrent neural networks* (2016), with fewer symbols.

use wgru::Rng;

use super::{HELD_OUT, PARTS, Task, rows};
use crate::args::TaskName;
use crate::batch::{Batch, Measure, Target, Values};
use crate::model::{Input, Read, Shape};

/// Number of different symbols, and of the symbols in a sequence.
const ALPHABET: usize = 8;
const SYMBOLS: usize = 3;
/// Features of a step: one for each symbol, for a pause, and for the signal.
const WIDTH: usize = ALPHABET + 2;
const PAUSE: usize = ALPHABET;
const SIGNAL: usize = ALPHABET + 1;

pub fn task(name: TaskName, pause: usize) -> Task {
    let mut rng = Rng::new(PARTS + 1);
    let mut held_out = || (0..HELD_OUT / rows(pause)).map(|_| draw(pause, &mut rng)).collect();
    Task {
        name,
        title: format!("copying memory, {SYMBOLS} symbols, T = {pause}"),
        shape: Shape { input: Input::Features(WIDTH), output: ALPHABET, read: Read::Tail(SYMBOLS) },
        measure: Measure::Accuracy,
        threshold: 0.9,
        guess: ("at random", 1.0 / ALPHABET as f64),
        updates: match pause {
            50 | 200 => 2000,
            _ => 700,
        },
        draw: Box::new(move |rng| draw(pause, rng)),
        validation: held_out(),
        test: held_out(),
        data: 0,
    }
}

/// Draws sequences of symbols, `pause − 1` pauses, the signal, and as many pauses as symbols, during which the symbols
/// are to be repeated.
fn draw(pause: usize, rng: &mut Rng) -> Batch {
    let rows = rows(pause);
    let steps = 2 * SYMBOLS + pause;
    let (mut input, mut target) = (vec![0.0; steps * rows * WIDTH], vec![0; SYMBOLS * rows]);
    for row in 0..rows {
        let symbols: Vec<usize> = (0..SYMBOLS).map(|_| rng.below(ALPHABET)).collect();
        for t in 0..steps {
            let feature = match t {
                t if t < SYMBOLS => symbols[t],
                t if t == SYMBOLS + pause - 1 => SIGNAL,
                _ => PAUSE,
            };
            input[(t * rows + row) * WIDTH + feature] = 1.0;
        }
        symbols.iter().enumerate().for_each(|(t, &symbol)| target[t * rows + row] = symbol as u32);
    }
    Batch { steps, rows, input: Values::Numbers(input), lengths: None, target: Target::Classes(target) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::ROWS;

    #[test]
    fn targets_are_the_symbols_before_the_pause() {
        let pause = 7;
        let batch = draw(pause, &mut Rng::new(1));
        let (Values::Numbers(input), Target::Classes(target)) = (&batch.input, &batch.target) else { panic!("types") };
        assert_eq!((batch.steps, input.len(), target.len()), (13, 13 * ROWS * WIDTH, SYMBOLS * ROWS));
        for row in 0..ROWS {
            let symbols: Vec<usize> = (0..batch.steps)
                .map(|t| {
                    let step = &input[(t * ROWS + row) * WIDTH..][..WIDTH];
                    assert_eq!((step.iter().sum::<f32>(), step.iter().filter(|&&v| v == 1.0).count()), (1.0, 1));
                    step.iter().position(|&v| v == 1.0).unwrap()
                })
                .collect();
            let want: Vec<usize> = (0..SYMBOLS).map(|t| target[t * ROWS + row] as usize).collect();
            assert_eq!(symbols[..3], want);
            assert!(want.iter().all(|&symbol| symbol < ALPHABET));
            assert_eq!(symbols[3..], [vec![PAUSE; 6], vec![SIGNAL], vec![PAUSE; 3]].concat());
        }
        assert!((0..ALPHABET as u32).all(|symbol| target.contains(&symbol)));
    }
}
