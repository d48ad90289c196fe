//! The runs of a comparison, and their execution.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use indicatif::ProgressBar;
use wgru::{CpuOptions, Device};

use crate::args::{Args, TaskName};
use crate::batch::Measure;
use crate::cell::{Kind, Sizes, Sizing};
use crate::clock::{self, Times};
use crate::common::Result;
use crate::learn::{Course, Learned, learn};
use crate::store::{Key, Outcome, Phase, Store, to_key};
use crate::tasks::Task;

/// Learning rates that pilot runs try, in billionths.
const RATES: [u64; 3] = [1_000_000, 3_000_000, 10_000_000];
/// Relative difference between the results of two rates that is taken as chance.
const CLOSE: f64 = 0.01;
/// Seed of measurements and pilot runs. Those of the other runs start at 1.
const PILOT_SEED: u64 = 0;

/// A comparison: tasks, their sizes, and options.
pub struct Plan {
    /// All tasks with runs, in their usual order, with the sizes of their cells.
    pub tasks: Vec<(Task, Sizes)>,
    /// Tasks that the user chose. Others only have pilot runs.
    pub chosen: Vec<TaskName>,
    pub cells: Vec<Kind>,
    pub seeds: usize,
    layers: usize,
    /// Learning rate of all runs, in billionths.
    rate: Option<u64>,
}

/// A run that is to be made.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Job {
    key: Key,
    /// Index of the task.
    task: usize,
    updates: usize,
}

impl Plan {
    pub fn new(args: &Args, tasks: Vec<Task>) -> Self {
        let sizes = |task: &Task| Sizes::new(args.units, args.layers, task.shape.input.width(), task.shape.output);
        let tasks = tasks.into_iter().map(|task| {
            let sizes = sizes(&task);
            (task, sizes)
        });
        Self {
            tasks: tasks.collect(),
            chosen: args.tasks(),
            cells: args.cells(),
            seeds: args.seeds(),
            layers: args.layers,
            rate: args.rate().map(to_key),
        }
    }

    /// Iterates over the tasks that the user chose, with their sizes.
    pub fn measured(&self) -> impl Iterator<Item = &(Task, Sizes)> {
        self.tasks.iter().filter(|(task, _)| self.chosen.contains(&task.name))
    }

    /// Returns the number of parameters of a cell with its attention and head.
    pub fn parameters(&self, task: &Task, kind: Kind, units: usize) -> usize {
        kind.parameters(units, self.layers, task.shape.input.width(), task.shape.output)
    }

    /// Returns everything that a result depends on besides its key.
    fn settings(&self, task: &Task, updates: usize) -> String {
        let Plan { layers, .. } = self;
        format!("{layers} layers, {updates} updates, data {:016x}", task.data)
    }

    /// Returns the updates of a phase.
    fn updates(task: &Task, phase: Phase) -> usize {
        match phase {
            Phase::Time => 0,
            Phase::Pilot => task.updates.div_ceil(2),
            Phase::Run => task.updates,
        }
    }

    fn outcome<'a>(&self, store: &'a Store, task: &Task, key: &Key) -> Result<Option<&'a Outcome>> {
        store.get(key, &self.settings(task, Self::updates(task, key.phase)))
    }

    /// Returns the times of a cell, if they were measured.
    ///
    /// # Errors
    /// Says that the results are those of other options.
    pub fn times(&self, store: &Store, task: &Task, kind: Kind, units: usize) -> Result<Option<Times>> {
        let key = Key { phase: Phase::Time, task: task.name, kind, units, rate: 0, seed: PILOT_SEED };
        Ok(match self.outcome(store, task, &key)? {
            Some(Outcome::Times(times)) => Some(*times),
            _ => None,
        })
    }

    fn learned<'a>(&self, store: &'a Store, task: &Task, key: &Key) -> Result<Option<&'a Learned>> {
        Ok(match self.outcome(store, task, key)? {
            Some(Outcome::Learned(learned)) => Some(learned),
            _ => None,
        })
    }

    /// Returns the finished runs of a cell, by seed.
    ///
    /// # Errors
    /// Same as [`times`](Self::times).
    pub fn runs<'a>(&self, store: &'a Store, task: &Task, kind: Kind, units: usize) -> Result<Vec<&'a Learned>> {
        let Some(rate) = self.rate(store, task.name, kind)? else { return Ok(Vec::new()) };
        let key = |seed| Key { phase: Phase::Run, task: task.name, kind, units, rate, seed };
        let all = (1..=self.seeds as u64).map(|seed| self.learned(store, task, &key(seed)));
        Ok(all.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
    }

    /// Returns the learning rate of a cell in billionths, if all of its pilot runs have ended: the largest one that is
    /// at most [`CLOSE`] worse than the best.
    ///
    /// # Errors
    /// Same as [`times`](Self::times).
    pub fn rate(&self, store: &Store, name: TaskName, kind: Kind) -> Result<Option<u64>> {
        if self.rate.is_some() {
            return Ok(self.rate);
        }
        let Some((task, sizes)) = self.tasks.iter().find(|(task, _)| task.name == name.pilot()) else {
            return Ok(None);
        };
        let mut tried = Vec::new();
        for rate in RATES {
            let key = Key { phase: Phase::Pilot, task: task.name, kind, units: sizes.base, rate, seed: PILOT_SEED };
            let Some(learned) = self.learned(store, task, &key)? else { return Ok(None) };
            tried.push((rate, learned.best_validation()));
        }
        Ok(choose(task.measure, &tried))
    }

    /// Returns all runs of a phase, in the order in which they are made.
    fn jobs(&self, phase: Phase, store: &Store) -> Result<Vec<Job>> {
        let mut jobs = Vec::new();
        let seeds = if phase == Phase::Run { 1..=self.seeds as u64 } else { PILOT_SEED..=PILOT_SEED };
        for seed in seeds {
            for (index, (task, sizes)) in self.tasks.iter().enumerate() {
                let is_chosen = self.chosen.contains(&task.name);
                let is_pilot = self.rate.is_none() && task.name.pilot() == task.name;
                if if phase == Phase::Pilot { !is_pilot } else { !is_chosen } {
                    continue;
                }
                for &kind in &self.cells {
                    let units: BTreeSet<usize> = match phase {
                        Phase::Pilot => [sizes.base].into(),
                        _ => Sizing::ALL.map(|sizing| sizes.units(kind, sizing)).into(),
                    };
                    let rates = match phase {
                        Phase::Time => vec![0],
                        Phase::Pilot => RATES.to_vec(),
                        Phase::Run => self.rate(store, task.name, kind)?.into_iter().collect(),
                    };
                    for units in units {
                        let key = |rate| Key { phase, task: task.name, kind, units, rate, seed };
                        let updates = Self::updates(task, phase);
                        jobs.extend(rates.iter().map(|&rate| Job { key: key(rate), task: index, updates }));
                    }
                }
            }
        }
        Ok(jobs)
    }

    /// Makes all runs that `store` lacks, `threads` at a time. Returns whether all are there: not if `interrupted`.
    ///
    /// # Errors
    /// Errors from the device and from the file.
    pub fn execute(
        &self,
        store: &Mutex<Store>,
        threads: usize,
        bar: &ProgressBar,
        interrupted: &(dyn Fn() -> bool + Sync),
    ) -> Result<bool> {
        for phase in [Phase::Time, Phase::Pilot, Phase::Run] {
            let jobs = self.jobs(phase, &lock(store))?;
            let mut missing = VecDeque::new();
            for job in &jobs {
                if self.outcome(&lock(store), &self.tasks[job.task].0, &job.key)?.is_none() {
                    missing.push_back(*job);
                }
            }
            if missing.is_empty() {
                continue;
            }
            let cost = |jobs: &VecDeque<Job>| jobs.iter().map(|job| self.cost(&lock(store), job)).sum::<Result<u64>>();
            bar.reset();
            bar.set_length(cost(&missing)?);
            bar.set_position(0);
            // Times are measured while nothing else runs.
            let threads = if phase == Phase::Time { 1 } else { threads.min(missing.len()) };
            let (total, queue) = (jobs.len(), Mutex::new(missing));
            let failure: Mutex<Option<String>> = Mutex::new(None);
            let has_failed = AtomicBool::new(false);
            let is_over = || interrupted() || has_failed.load(SeqCst);
            std::thread::scope(|scope| {
                for _ in 0..threads {
                    scope.spawn(|| {
                        while !is_over()
                            && let Some(job) = next(&queue, bar, &self.tasks, total)
                        {
                            if let Err(error) = self.make(&job, store, bar, &is_over) {
                                has_failed.store(true, SeqCst);
                                lock(&failure).get_or_insert(error.to_string());
                            }
                        }
                    });
                }
            });
            if let Some(error) = lock(&failure).take() {
                return Err(error.into());
            }
            if interrupted() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Returns the expected time of a run in microseconds.
    fn cost(&self, store: &Store, job: &Job) -> Result<u64> {
        if job.key.phase == Phase::Time {
            return Ok(1);
        }
        Ok(job.updates as u64 * self.update_us(store, job)?)
    }

    fn update_us(&self, store: &Store, job: &Job) -> Result<u64> {
        let times = self.times(store, &self.tasks[job.task].0, job.key.kind, job.key.units)?;
        Ok(times.map_or(1000, |times| (1e3 * times.update_ms).ceil() as u64))
    }

    /// Makes one run, and adds it to the results unless it was interrupted.
    fn make(&self, job: &Job, store: &Mutex<Store>, bar: &ProgressBar, is_over: &dyn Fn() -> bool) -> Result<()> {
        let device = Device::cpu_with(CpuOptions { threads: Some(1), ..CpuOptions::default() })?;
        let Job { key, task, updates } = job;
        let task = &self.tasks[*task].0;
        let Key { kind, units, seed, .. } = *key;
        let course = Course { kind, units, layers: self.layers, rate: key.rate(), seed, updates: *updates };
        let outcome = if key.phase == Phase::Time {
            clock::measure(&device, task, &course, is_over)?.map(Outcome::Times)
        } else {
            let each = self.update_us(&lock(store), job)?;
            learn(&device, task, &course, is_over, &|| bar.inc(each))?.map(Outcome::Learned)
        };
        let Some(outcome) = outcome else { return Ok(()) };
        if key.phase == Phase::Time {
            bar.inc(1);
        }
        lock(store).add(*key, &self.settings(task, *updates), outcome)
    }
}

/// Returns the largest rate whose quality is at most [`CLOSE`] worse than the best.
fn choose(measure: Measure, tried: &[(u64, f64)]) -> Option<u64> {
    let better = |a: f64, b: f64| if measure.is_better(b, a) { b } else { a };
    let best = tried.iter().map(|(_, quality)| *quality).reduce(better)?;
    let is_close = |quality: f64| quality.to_bits() == best.to_bits() || (quality - best).abs() <= CLOSE * best.abs();
    tried.iter().filter(|(_, quality)| is_close(*quality)).map(|(rate, _)| *rate).max()
}

/// Takes the next run, and describes it beside the bar.
fn next(queue: &Mutex<VecDeque<Job>>, bar: &ProgressBar, tasks: &[(Task, Sizes)], total: usize) -> Option<Job> {
    let mut queue = lock(queue);
    let job = queue.pop_front()?;
    let number = total - queue.len();
    let what = match job.key.phase {
        Phase::Time => "times of".to_string(),
        Phase::Pilot => format!("learning rate {} for", job.key.rate()),
        Phase::Run => format!("seed {},", job.key.seed),
    };
    let (task, cell) = (tasks[job.task].0.name.name(), job.key.kind.title());
    bar.set_message(format!("{number} of {total}: {what} {task}, {cell}"));
    Some(job)
}

/// Locks; a thread that panicked ends the program anyway.
pub fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_rate_near_the_best_is_chosen() {
        let errors = |values: [f64; 3]| choose(Measure::Mse, &[(1, values[0]), (2, values[1]), (3, values[2])]);
        assert_eq!(errors([0.5, 0.1, 0.2]), Some(2));
        assert_eq!(errors([0.1622, 0.1625, 0.1627]), Some(3));
        assert_eq!(errors([0.1, 0.1005, 0.102]), Some(2));
        assert_eq!(errors([0.1, f64::NAN, f64::NAN]), Some(1));
        assert_eq!(errors([f64::NAN; 3]), Some(3));
        assert_eq!(choose(Measure::Accuracy, &[(1, 0.9), (2, 0.895), (3, 0.5)]), Some(2));
    }
}
