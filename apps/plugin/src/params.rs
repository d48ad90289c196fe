//! The parameters: identifiers, ranges, display texts, and values shared by all threads.

use std::sync::atomic::{AtomicU64, Ordering};

use clack_extensions::params::{ParamInfo, ParamInfoFlags, ParamInfoWriter};
use clack_plugin::events::UnknownEvent;
use clack_plugin::events::event_types::ParamValueEvent;
use clack_plugin::utils::{ClapId, Cookie};

/// A parameter. Its place in [`ALL`] is its index.
pub struct Param {
    /// Never changes between versions, because hosts store it.
    pub id: u32,
    /// Name in saved states.
    pub key: &'static str,
    name: &'static [u8],
    pub range: [f64; 2],
    pub default: f64,
    unit: Unit,
}

#[derive(Clone, Copy, PartialEq)]
enum Unit {
    Decibels,
    /// 0 to 1, shown as 0 to 100 %.
    Percent,
}

pub const INPUT: usize = 0;
pub const OUTPUT: usize = 1;
pub const MIX: usize = 2;

pub const ALL: [Param; 3] = [
    Param { id: 1, key: "input", name: b"Input", range: [-24.0, 24.0], default: 0.0, unit: Unit::Decibels },
    Param { id: 2, key: "output", name: b"Output", range: [-24.0, 24.0], default: 0.0, unit: Unit::Decibels },
    Param { id: 3, key: "mix", name: b"Mix", range: [0.0, 1.0], default: 1.0, unit: Unit::Percent },
];

/// Returns the index of a parameter.
pub fn index(id: ClapId) -> Option<usize> {
    ALL.iter().position(|param| param.id == id.get())
}

impl Param {
    pub fn describe(&self, writer: &mut ParamInfoWriter) {
        writer.set(&ParamInfo {
            id: ClapId::new(self.id),
            flags: ParamInfoFlags::IS_AUTOMATABLE,
            cookie: Cookie::empty(),
            name: self.name,
            module: b"",
            min_value: self.range[0],
            max_value: self.range[1],
            default_value: self.default,
        });
    }

    /// Returns the text of a value.
    pub fn text(&self, value: f64) -> String {
        match self.unit {
            Unit::Decibels => format!("{value:.1} dB"),
            Unit::Percent => format!("{:.0} %", 100.0 * value),
        }
    }

    /// Parses a text such as `-3`, `-3 dB` or `50 %`.
    pub fn parse(&self, text: &str) -> Option<f64> {
        let (unit, scale) = match self.unit {
            Unit::Decibels => ("dB", 1.0),
            Unit::Percent => ("%", 0.01),
        };
        let text = text.trim();
        let number = text.strip_suffix(unit).unwrap_or(text).trim();
        number.parse().ok().filter(|value: &f64| value.is_finite()).map(|value| self.clamp(scale * value))
    }

    pub fn clamp(&self, value: f64) -> f64 {
        value.clamp(self.range[0], self.range[1])
    }

    /// Converts a value to a linear factor.
    fn factor(&self, value: f64) -> f32 {
        match self.unit {
            Unit::Decibels => 10.0f64.powf(value / 20.0) as f32,
            Unit::Percent => value as f32,
        }
    }
}

/// The values of all parameters.
pub struct Values([AtomicU64; ALL.len()]);

impl Default for Values {
    fn default() -> Self {
        Self(ALL.map(|param| AtomicU64::new(param.default.to_bits())))
    }
}

impl Values {
    pub fn get(&self, index: usize) -> f64 {
        f64::from_bits(self.0[index].load(Ordering::Relaxed))
    }

    /// Sets a value, clamped to its range. Ignores NaN.
    pub fn set(&self, index: usize, value: f64) {
        if !value.is_nan() {
            self.0[index].store(ALL[index].clamp(value).to_bits(), Ordering::Relaxed);
        }
    }

    /// Sets the value of a parameter event. Ignores other events.
    pub fn receive(&self, event: &UnknownEvent) {
        if let Some(event) = event.as_event::<ParamValueEvent>()
            && let Some(index) = event.param_id().and_then(index)
        {
            self.set(index, event.value());
        }
    }

    /// Returns the values as linear factors.
    pub fn factors(&self) -> [f32; ALL.len()] {
        std::array::from_fn(|index| ALL[index].factor(self.get(index)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_parsed_with_and_without_unit() {
        for (index, text, value) in [
            (INPUT, "-3", Some(-3.0)),
            (INPUT, " 4.5 dB ", Some(4.5)),
            (OUTPUT, "100", Some(24.0)),
            (MIX, "50 %", Some(0.5)),
            (MIX, "-5%", Some(0.0)),
            (MIX, "NaN", None),
            (INPUT, "loud", None),
        ] {
            assert_eq!(ALL[index].parse(text), value, "{text}");
        }
    }

    #[test]
    fn values_stay_in_their_ranges_and_ignore_nan() {
        let values = Values::default();
        values.set(INPUT, 1e9);
        values.set(MIX, f64::NAN);
        assert_eq!((values.get(INPUT), values.get(MIX)), (24.0, 1.0));
        assert_eq!(values.factors()[OUTPUT], 1.0);
    }
}
