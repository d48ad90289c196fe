//! The adding problem: the sum of two marked numbers among many.
//!
//! Hochreiter, Schmidhuber: *Long short-term memory* (1997), with the inputs of Le, Jaitly, Hinton: *A simple way to
//! initialize recurrent networks of rectified linear units* (2015).

use wgru::Rng;

use super::{HELD_OUT, PARTS, Task, rows};
use crate::args::TaskName;
use crate::batch::{Batch, Measure, Target, Values};
use crate::model::{Input, Read, Shape};

pub fn task(name: TaskName, steps: usize) -> Task {
    let mut rng = Rng::new(PARTS);
    let mut held_out = || (0..HELD_OUT / rows(steps)).map(|_| draw(steps, &mut rng)).collect();
    Task {
        name,
        title: format!("adding problem, T = {steps}"),
        shape: Shape { input: Input::Features(2), output: 1, read: Read::Last },
        measure: Measure::Mse,
        threshold: 0.01,
        // The variance of the sum of two numbers uniform in [0, 1).
        guess: ("always 1", 1.0 / 6.0),
        updates: match steps {
            50 => 1500,
            200 => 2000,
            _ => 700,
        },
        draw: Box::new(move |rng| draw(steps, rng)),
        validation: held_out(),
        test: held_out(),
        data: 0,
    }
}

/// Draws sequences of numbers in [0, 1), each with a mark, which is 1 for one number in each half.
fn draw(steps: usize, rng: &mut Rng) -> Batch {
    let rows = rows(steps);
    let (mut input, mut target) = (vec![0.0; steps * rows * 2], vec![0.0; rows]);
    for (row, sum) in target.iter_mut().enumerate() {
        let at = |t: usize| 2 * (t * rows + row);
        (0..steps).for_each(|t| input[at(t)] = rng.uniform(0.0, 1.0));
        let half = steps / 2;
        for t in [rng.below(half), half + rng.below(steps - half)] {
            input[at(t) + 1] = 1.0;
            *sum += input[at(t)];
        }
    }
    Batch { steps, rows, input: Values::Numbers(input), lengths: None, target: Target::Numbers(target) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::ROWS;

    #[test]
    fn targets_are_the_sums_of_the_two_marked_numbers() {
        for steps in [2, 5, 50] {
            let Batch { input: Values::Numbers(input), target: Target::Numbers(target), .. } =
                draw(steps, &mut Rng::new(1))
            else {
                panic!("numbers")
            };
            assert_eq!((input.len(), target.len()), (2 * steps * ROWS, ROWS));
            for (row, want) in target.iter().enumerate() {
                let step = |t: usize| &input[2 * (t * ROWS + row)..][..2];
                let marked: Vec<usize> = (0..steps).filter(|&t| step(t)[1] == 1.0).collect();
                assert!(marked.len() == 2 && marked[0] < steps / 2 && marked[1] >= steps / 2, "{marked:?}");
                assert!((0..steps).all(|t| (0.0..1.0).contains(&step(t)[0]) && [0.0, 1.0].contains(&step(t)[1])));
                assert_eq!(*want, step(marked[0])[0] + step(marked[1])[0]);
            }
        }
    }

    #[test]
    fn the_guess_has_the_error_of_always_1() {
        let task = task(TaskName::Adding50, 50);
        let error = task.measure.of(task.test.iter().map(|batch| (batch, vec![1.0; ROWS])));
        assert!((error - task.guess.1).abs() < 0.03, "{error}");
        assert_ne!(task.validation, task.test);
    }
}
