//! Measures plans and matrix products on the current adapter.

use std::time::{Duration, Instant};

use super::linalg::{self, product_by};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::kernels::MatMul;
use crate::tensor::Tensor;
use crate::tuning::{Answer, Layout, Plan, Question, Tuning, Variant};

/// Maximum number of timed runs per candidate; the fastest counts.
const RUNS: usize = 5;
/// Time after which no further timed run of a candidate starts.
const PATIENCE: Duration = Duration::from_millis(200);
/// A candidate replaces the best so far only if it takes less than this fraction of its time.
const MARGIN: f64 = 0.95;

impl Device {
    /// Measures the plans and matrix products that `call` needs, and uses the fastest from now on. Returns all choices
    /// in use on this device, which can be saved and preset with [`GpuOptions::tuning`](crate::GpuOptions::tuning).
    ///
    /// `call` should do what the program does, on tensors of the sizes it will use; it runs a few times for each plan.
    /// Products are measured separately, on sizes rounded up to powers of two. Nothing else should run on the device
    /// meanwhile.
    ///
    /// ```no_run
    /// use wgru::{Device, GpuOptions, Rng, Tensor, Tuning, nn::{RecurrentConfig, Mode, Module}};
    /// let device = Device::gpu_blocking()?;
    /// let gru = RecurrentConfig { input: 64, hidden: 256, ..Default::default() }.build(&device, &mut Rng::new(0))?;
    /// let x = Tensor::zeros(&device, &[100, 8, 64])?;
    /// device.tune(|| gru.forward(&x).map(drop))?.save("tuning.json")?;
    ///
    /// let tuning = Some(Tuning::load("tuning.json")?);        // the next time
    /// let device = pollster::block_on(Device::gpu_with(GpuOptions { tuning, ..Default::default() }))?;
    /// # Ok::<(), wgru::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Value`] on the CPU, and any error from `call`. The choices are then unchanged.
    pub fn tune(&self, mut call: impl FnMut() -> Result<()>) -> Result<Tuning> {
        if !self.is_gpu() {
            return Err(Error::value("Device::tune", "device", "a GPU", &self.info().name));
        }
        let before = self.tuned().choices.clone();
        // Disables dead-code elimination: `call` drops its results, but they must be computed to be measured.
        self.run_dropped(true);
        let result = self.measure_plans(&mut call).and_then(|()| self.measure_products(&mut call));
        self.run_dropped(false);
        let mut tuned = self.tuned();
        tuned.asked = None;
        if let Err(error) = result {
            tuned.choices = before;
            return Err(error);
        }
        drop(tuned);
        Ok(self.tuning())
    }

    /// Returns the decisions that `call` depends on.
    fn asked(&self, call: &mut impl FnMut() -> Result<()>) -> Result<Vec<Question>> {
        self.tuned().asked = Some(Default::default());
        call()?;
        self.wait_blocking()?;
        Ok(self.tuned().asked.take().unwrap_or_default().into_iter().collect())
    }

    fn measure_plans(&self, call: &mut impl FnMut() -> Result<()>) -> Result<()> {
        for question in self.asked(call)? {
            let Question::Plan { cell, sizes: [hidden, batch], fused } = question else { continue };
            let rule = if fused {
                Plan::choose_fused(self, hidden as usize)
            } else {
                Plan::of(self, [hidden, batch].map(|n| n as usize), cell)
            };
            let others = [Plan::Whole, Plan::Chain, Plan::Steps].into_iter().filter(|&plan| {
                let fits = plan.check(self, hidden as usize, Some(cell)).is_ok();
                plan != rule && fits && !(fused && plan == Plan::Steps)
            });
            let candidates = [rule].into_iter().chain(others).map(Answer::Plan);
            self.decide(question, candidates, |answer| {
                self.tuned().choices.insert(question, answer);
                call()
            })?;
        }
        Ok(())
    }

    fn measure_products(&self, call: &mut impl FnMut() -> Result<()>) -> Result<()> {
        for question in self.asked(call)? {
            let Question::Product { sizes, layout, splits } = question else { continue };
            let p = sample(sizes, layout);
            let (reads, [c]) = p.reach();
            let [a, b, c] = [reads[0], reads[1], c].map(|len| Tensor::zeros(self, &[len]));
            let (a, b, c) = (a?, b?, c?);
            let rule = linalg::rule(self, &p);
            let rule = if splits { rule } else { (linalg::variant(self, &p), 1) };
            let all = [
                Variant::Plain,
                Variant::Tiled,
                Variant::TiledBlocks,
                Variant::Blocks,
                Variant::Rows,
                Variant::Wide,
                Variant::Subgroup,
                Variant::Tall,
                Variant::Outer,
            ];
            let parts: &[u32] = if splits { &[1, 4, 16, 64] } else { &[1] };
            let others = all.into_iter().flat_map(|variant| parts.iter().map(move |&splits| (variant, splits)));
            let others = others.filter(|&choice| choice != rule && linalg::takes(self, choice, &p));
            let candidates = [rule].into_iter().chain(others).map(|(variant, splits)| Answer::Product(variant, splits));
            self.decide(question, candidates, |answer| match answer {
                Answer::Product(variant, splits) => product_by((variant, splits), &p, &a, &b, None, &c),
                Answer::Plan(_) => Ok(()),
            })?;
        }
        Ok(())
    }

    /// Keeps the fastest candidate; the first is the rule's choice.
    fn decide(
        &self,
        question: Question,
        candidates: impl Iterator<Item = Answer>,
        mut run: impl FnMut(Answer) -> Result<()>,
    ) -> Result<()> {
        let mut best: Option<(Answer, f64)> = None;
        for answer in candidates {
            let least = best.map_or(f64::INFINITY, |(_, time)| time * MARGIN);
            let time = self.time(least, || run(answer))?;
            log::info!("tuning {question}: {answer} {:.3} ms", time * 1e3);
            if time < least {
                best = Some((answer, time));
            }
        }
        let mut tuned = self.tuned();
        match best {
            Some((answer, _)) => tuned.choices.insert(question, answer),
            None => tuned.choices.remove(&question),
        };
        Ok(())
    }

    /// Returns the seconds of the fastest run, after one warm-up. Stops after a single run if it takes more than twice
    /// `least`.
    fn time(&self, least: f64, mut run: impl FnMut() -> Result<()>) -> Result<f64> {
        let mut once = || -> Result<f64> {
            let start = Instant::now();
            run()?;
            self.wait_blocking()?;
            Ok(start.elapsed().as_secs_f64())
        };
        once()?;
        let (start, mut best) = (Instant::now(), f64::INFINITY);
        for _ in 0..RUNS {
            best = best.min(once()?);
            if best > 2.0 * least || start.elapsed() > PATIENCE {
                break;
            }
        }
        Ok(best)
    }
}

/// Returns a product with these sizes and this layout.
fn sample([m, n, k]: [u32; 3], layout: Layout) -> MatMul {
    let p = MatMul::new(m as usize, n as usize, k as usize);
    match layout {
        Layout::Along => p.b_transposed(),
        Layout::Across => p.a_transposed(),
        Layout::Mixed => p,
    }
}
