//! `retention` (Kafka's `retention.bytes` and `retention.ms`): what is younger than the one, or within the other,
//! stays. That what is beyond goes is no promise to anybody; a sweep in which nothing ever went says so.

use std::collections::BTreeMap;

use super::{Evidence, Violation};
use crate::history::What;

/// By how much the clocks may disagree that stamp a record and judge its age: two that are five seconds off in
/// opposite directions, and drift.
const CLOCKS_MS: u64 = 10_100;
/// What a record takes in a log beside its value if it has a batch of its own.
const OVERHEAD_BYTES: u64 = 100;

pub(super) fn check(evidence: &Evidence) -> Option<Violation> {
    let limits = evidence.retention;
    let (drains, acked) = (evidence.drains(), evidence.acked());
    // A record's age counts from then, however late it is acknowledged.
    let sent: BTreeMap<_, _> = evidence
        .events
        .iter()
        .filter_map(|event| match event.what {
            What::Send { value, .. } => Some((value, event.time_ns)),
            _ => None,
        })
        .collect();
    evidence.events.iter().find_map(|event| {
        let What::LogStart { key, offset: start } = event.what else { return None };
        let wrong = |message: String| Some(Violation { time_ns: event.time_ns, message });
        if let Some(ms) = limits.ms {
            let young_ns = event.time_ns.saturating_sub(ms.saturating_sub(CLOCKS_MS) * 1_000_000);
            let gone = acked.iter().find(|acked| {
                let below = acked.key == key && acked.offset.is_some_and(|offset| offset < start);
                below && acked.time_ns < event.time_ns && sent[&acked.value] > young_ns
            });
            if let Some(gone) = gone {
                return wrong(format!("{} was sent lately and lies below {key}'s start {start}", gone.value));
            }
        }
        // When all is over; before, more may have been there than anybody saw.
        let end = drains.get(&key).filter(|drain| drain.time_ns <= event.time_ns)?.end;
        let left = (end - start).max(0) as u64 * (evidence.record_bytes + OVERHEAD_BYTES);
        match limits.bytes {
            Some(bytes) if start > 0 && left < bytes => {
                wrong(format!("{key} has at most {left} bytes left from {start} to {end}, not {bytes}"))
            }
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::planted::*;
    use super::*;

    #[test]
    fn more_than_the_bytes_beyond_the_limit_must_not_go() {
        let mut evidence = history(vec![drained(3, 10), starts(3, 6)]);
        evidence.record_bytes = 900;
        for (bytes, is_kept) in [(4_000, true), (4_001, false)] {
            evidence.retention.bytes = Some(bytes);
            assert_eq!(check(&evidence).is_none(), is_kept, "{bytes}");
        }
    }

    #[test]
    fn what_is_young_must_not_go() {
        let mut evidence = history(vec![named(), send(1), acked(1, 0), starts(3, 1)]);
        evidence.retention.ms = Some(60_000);
        assert!(check(&evidence).is_some());
        evidence.events[2].time_ns = 59_000_000_000;
        evidence.events[3].time_ns = 60_000_000_000;
        assert_eq!(check(&evidence), None, "it is old, though acknowledged lately");
    }
}
