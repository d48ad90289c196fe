//! The audio thread. After activation, it never allocates, locks or waits.

use clack_extensions::params::PluginAudioProcessorParams;
use clack_plugin::prelude::*;
use clack_plugin::process::audio::PairedChannels;

use crate::engine::Engine;
use crate::main_thread::MainThread;
use crate::params::{ALL, INPUT, MIX, OUTPUT};
use crate::ramp::Ramp;
use crate::shared::Shared;

/// Number of samples that are processed at once.
const BLOCK: usize = 128;
/// Duration of parameter changes and of fades to another model, in seconds.
const RAMP: f64 = 0.02;
/// Largest magnitude of a sample for a model, 80 dB above full scale. No sum in a model overflows then.
const LOUDEST: f32 = 1e4;
/// Most channels of a configuration of ports.
const CHANNELS: usize = 2;

/// The part of an instance that lives on the audio thread.
pub struct Processor<'a> {
    shared: &'a Shared<'a>,
    ramps: [Ramp; ALL.len()],
    engine: Box<Engine>,
    fade: Option<Fade>,
    /// An engine waiting to be returned to the main thread.
    retiring: Option<Box<Engine>>,
    /// Duration of a fade in samples.
    fade_length: u32,
    delays: [Delay; CHANNELS],
    buffers: Box<Buffers>,
}

/// A cross-fade from the old engine.
struct Fade {
    from: Box<Engine>,
    /// Share of the new engine.
    share: Ramp,
    /// Samples left.
    left: u32,
}

/// Buffers for one block.
struct Buffers {
    /// Factors of the parameters.
    factors: [[f32; BLOCK]; ALL.len()],
    /// Share of the new engine during a fade.
    share: [f32; BLOCK],
    dry: [f32; BLOCK],
    wet: [f32; BLOCK],
    /// Output of the old engine during a fade.
    former: [f32; BLOCK],
}

/// Delays the dry signal by the latency of the model.
struct Delay {
    past: Box<[f32]>,
    at: usize,
}

impl Delay {
    fn new(samples: usize) -> Self {
        Self { past: vec![0.0; samples].into(), at: 0 }
    }

    fn process(&mut self, samples: &mut [f32]) {
        if self.past.is_empty() {
            return;
        }
        for sample in samples {
            std::mem::swap(sample, &mut self.past[self.at]);
            self.at = (self.at + 1) % self.past.len();
        }
    }

    fn reset(&mut self) {
        self.past.fill(0.0);
    }
}

impl Processor<'_> {
    /// Takes a new engine, if there is one, and returns the old engine when its fade has ended.
    fn exchange(&mut self) {
        if self.fade.as_ref().is_some_and(|fade| fade.left == 0) {
            self.retiring = self.fade.take().map(|fade| fade.from);
        }
        if let Some(engine) = self.retiring.take() {
            // If the slot still holds the previous engine, `put` returns it, and the next block tries again.
            self.retiring = self.shared.retired.put(engine);
            self.shared.host.request_callback();
        }
        if self.fade.is_none()
            && self.retiring.is_none()
            && let Some(engine) = self.shared.incoming.take()
        {
            let mut share = Ramp::new(0.0, self.fade_length);
            share.set(1.0);
            let from = std::mem::replace(&mut self.engine, engine);
            self.fade = Some(Fade { from, share, left: self.fade_length });
        }
    }

    /// Starts ramps to the current values of the parameters.
    fn follow(&mut self) {
        for (ramp, factor) in self.ramps.iter_mut().zip(self.shared.values.factors()) {
            ramp.set(factor);
        }
    }

    /// Processes the samples from `start` to `end` of all channels.
    fn run(&mut self, channels: &mut PairedChannels<f32>, start: usize, end: usize) {
        let mut at = start;
        while at < end {
            let count = BLOCK.min(end - at);
            self.block(channels, at, count);
            at += count;
        }
    }

    fn block(&mut self, channels: &mut PairedChannels<f32>, at: usize, count: usize) {
        let Self { ramps, engine, fade, delays, buffers, .. } = self;
        for (ramp, factors) in ramps.iter_mut().zip(&mut buffers.factors) {
            ramp.fill(&mut factors[..count]);
        }
        if let Some(fade) = fade {
            fade.share.fill(&mut buffers.share[..count]);
            fade.left = fade.left.saturating_sub(count as u32);
        }
        for channel in 0..channels.channel_pair_count() {
            let output = match channels.channel_pair(channel) {
                Some(ChannelPair::InPlace(both)) => &mut both[at..at + count],
                Some(ChannelPair::InputOutput(input, output)) => {
                    let output = &mut output[at..at + count];
                    output.copy_from_slice(&input[at..at + count]);
                    output
                }
                Some(ChannelPair::OutputOnly(output)) => {
                    output[at..at + count].fill(0.0);
                    continue;
                }
                Some(ChannelPair::InputOnly(_)) | None => continue,
            };
            let (dry, wet) = (&mut buffers.dry[..count], &mut buffers.wet[..count]);
            dry.copy_from_slice(output);
            for ((wet, x), gain) in wet.iter_mut().zip(&*dry).zip(&buffers.factors[INPUT]) {
                *wet = (usual(*x) * gain).clamp(-LOUDEST, LOUDEST);
            }
            if let Some(fade) = fade {
                let former = &mut buffers.former[..count];
                former.copy_from_slice(wet);
                fade.from.process(channel, former);
                engine.process(channel, wet);
                for ((wet, former), share) in wet.iter_mut().zip(&*former).zip(&buffers.share) {
                    *wet = former * (1.0 - share) + *wet * share;
                }
            } else {
                engine.process(channel, wet);
            }
            if let Some(delay) = delays.get_mut(channel) {
                delay.process(dry);
            }
            let factors = buffers.factors[OUTPUT].iter().zip(&buffers.factors[MIX]);
            for (((y, x), wet), (gain, mix)) in output.iter_mut().zip(&*dry).zip(&*wet).zip(factors) {
                // Without the model, the very input, whatever it is.
                *y = if *mix == 0.0 { *x } else { usual(*x) * (1.0 - mix) + wet * gain * mix };
            }
        }
    }
}

/// Silence instead of NaN, infinity, and subnormal numbers, with which processors are slow.
fn usual(v: f32) -> f32 {
    if v.is_normal() { v } else { 0.0 }
}

impl<'a> PluginAudioProcessor<'a, Shared<'a>, MainThread<'a>> for Processor<'a> {
    fn activate(
        _: HostAudioProcessorHandle<'a>,
        main_thread: &MainThread<'a>,
        shared: &'a Shared<'a>,
        config: PluginAudioConfiguration,
    ) -> Result<Self, PluginError> {
        let engine = main_thread.activate(config.sample_rate);
        let fade_length = (RAMP * config.sample_rate).max(1.0) as u32;
        let quiet = [0.0; BLOCK];
        let buffers = Buffers { factors: [quiet; ALL.len()], share: quiet, dry: quiet, wet: quiet, former: quiet };
        Ok(Self {
            shared,
            ramps: shared.values.factors().map(|factor| Ramp::new(factor, fade_length)),
            delays: std::array::from_fn(|_| Delay::new(engine.latency())),
            engine,
            fade: None,
            retiring: None,
            fade_length,
            buffers: Box::new(buffers),
        })
    }

    fn process(&mut self, _: Process, mut audio: Audio, events: Events) -> Result<ProcessStatus, PluginError> {
        let frames = audio.frames_count() as usize;
        let Some(mut pair) = audio.port_pair(0) else { return Ok(ProcessStatus::Continue) };
        let channels = pair.channels().ok().and_then(|channels| channels.into_f32());
        let Some(mut channels) = channels else {
            return Err(PluginError::Message("expected buffers of 32-bit samples for input and output"));
        };
        self.exchange();
        self.follow();
        let mut at = 0;
        for event in events.input {
            // If a host does not sort its events, they are applied late rather than lost.
            let time = (event.header().time() as usize).clamp(at, frames);
            self.run(&mut channels, at, time);
            at = time;
            self.shared.values.receive(event);
            self.follow();
        }
        self.run(&mut channels, at, frames);
        Ok(ProcessStatus::Continue)
    }

    fn deactivate(self, main_thread: &MainThread<'a>) {
        main_thread.deactivate();
    }

    fn reset(&mut self) {
        self.follow();
        self.ramps.iter_mut().for_each(Ramp::finish);
        self.engine.reset();
        self.delays.iter_mut().for_each(Delay::reset);
        if let Some(fade) = &mut self.fade {
            fade.share.finish();
            fade.left = 0;
        }
    }
}

impl PluginAudioProcessorParams for Processor<'_> {
    fn flush(&mut self, input: &InputEvents, _: &mut OutputEvents) {
        input.iter().for_each(|event| self.shared.values.receive(event));
    }
}
