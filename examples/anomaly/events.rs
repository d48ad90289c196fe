//! Alarms as events, and their comparison with known anomalies.

use std::ops::Range;

/// Joins flags that are at most `gap` apart.
pub fn join(flags: &[bool], gap: usize) -> Vec<Range<usize>> {
    let mut events: Vec<Range<usize>> = Vec::new();
    for i in (0..flags.len()).filter(|&i| flags[i]) {
        match events.last_mut() {
            Some(event) if i - event.end < gap => event.end = i + 1,
            _ => events.push(i..i + 1),
        }
    }
    events
}

/// How well alarms agree with known anomalies.
#[derive(Clone, Debug, PartialEq)]
pub struct Match {
    /// By anomaly, the steps from its beginning to the first alarm within it or soon after it.
    pub delays: Vec<Option<usize>>,
    /// By alarm, whether it is in an anomaly or soon after it.
    pub hits: Vec<bool>,
}

impl Match {
    /// Compares `alarms` with `anomalies`, after which an alarm may come up to `late` steps late.
    pub fn new(alarms: &[Range<usize>], anomalies: &[Range<usize>], late: usize) -> Self {
        let meet = |alarm: &Range<usize>, anomaly: &Range<usize>| {
            alarm.start < anomaly.end + late && anomaly.start < alarm.end
        };
        let delay = |anomaly: &Range<usize>| {
            let first = alarms.iter().find(|alarm| meet(alarm, anomaly))?;
            Some(first.start.saturating_sub(anomaly.start))
        };
        Self {
            delays: anomalies.iter().map(delay).collect(),
            hits: alarms.iter().map(|alarm| anomalies.iter().any(|anomaly| meet(alarm, anomaly))).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_join_to_events() {
        let mut flags = [false; 20];
        [2, 3, 6, 15].iter().for_each(|&i| flags[i] = true);
        assert_eq!(join(&flags, 4), [2..7, 15..16]);
        assert_eq!(join(&flags, 1), [2..4, 6..7, 15..16]);
    }

    #[test]
    fn alarms_match_anomalies() {
        let anomalies = [10..20, 40..50, 70..80];
        // The second alarm began before its anomaly; the third one comes in the time after the first anomaly.
        let found = Match::new(&[15..17, 38..42, 22..23, 60..61], &anomalies, 5);
        assert_eq!(found.delays, [Some(5), Some(0), None]);
        assert_eq!(found.hits, [true, true, true, false]);
        assert_eq!(Match::new(&[25..26], &anomalies, 5).delays, [None; 3]);
    }
}
