//! `sequence` (KIP-98): an idempotent producer that has lost nothing itself is never told that its sequence is
//! broken: the broker remembers as many batches as may be in flight. Once one of its batches has failed, the
//! sequence *is* broken.
//!
//! A batch whose time is up names what it heard last. That may be that it is not the next: the one before it had
//! met a broker that did not lead yet, and both were to be sent again. Where that broker then went away nobody is
//! to blame; where one went on to acknowledge what others sent, for longer than any back-off, it should have taken
//! this, too.

use std::collections::{BTreeMap, BTreeSet};

use super::{Evidence, Violation};
use crate::history::What;

/// What a broker says to a producer whose batch is not the next one, or whose epoch is not the latest.
const BROKEN: [&str; 3] = ["OUT_OF_ORDER_SEQUENCE_NUMBER", "INVALID_PRODUCER_EPOCH", "UNKNOWN_PRODUCER_ID"];

/// What a producer says whose batch was not acknowledged in time.
const TIMED_OUT: &str = "timed out";

/// Acknowledgements no further apart than this come from one stretch of service.
const ONE_STRETCH_NS: u64 = 500_000_000;

/// Whoever is served for so long by others has seen each producer's next attempt: back-offs end at a second.
const LONG_ENOUGH_NS: u64 = 5_000_000_000;

pub(super) fn check(evidence: &Evidence) -> Option<Violation> {
    if !evidence.idempotent {
        return None;
    }
    let mut failed = BTreeSet::new();
    let (mut sent_ns, mut service) = (BTreeMap::new(), BTreeMap::<_, Service>::new());
    evidence.events.iter().find_map(|event| {
        let (key, value, error) = match &event.what {
            What::Send { value, .. } => {
                sent_ns.insert(*value, event.time_ns);
                return None;
            }
            What::Acked { key, .. } => {
                service.entry(*key).or_default().acknowledged(event.time_ns);
                return None;
            }
            What::Failed { key, value, error, .. } => (key, value, error),
            _ => return None,
        };
        let is_first = failed.insert((event.client, *key));
        let since_ns = sent_ns.get(value).copied().unwrap_or(event.time_ns);
        let was_served = service.get(key).is_some_and(|service| service.lasted_since(since_ns));
        let is_excused = error.contains(TIMED_OUT) && !was_served;
        (is_first && !is_excused && BROKEN.iter().any(|code| error.contains(code)))
            .then(|| Violation { time_ns: event.time_ns, message: format!("{value} to {key}: {error}") })
    })
}

/// When one partition's records were acknowledged: stretches, from the first to the last of each.
#[derive(Default)]
struct Service {
    stretches: Vec<(u64, u64)>,
}

impl Service {
    fn acknowledged(&mut self, now_ns: u64) {
        match self.stretches.last_mut() {
            Some((_, last)) if now_ns - *last <= ONE_STRETCH_NS => *last = now_ns,
            _ => self.stretches.push((now_ns, now_ns)),
        }
    }

    /// Whether a stretch has been long enough after a moment.
    fn lasted_since(&self, since_ns: u64) -> bool {
        self.stretches.iter().any(|(first, last)| *last >= LONG_ENOUGH_NS + since_ns.max(*first))
    }
}

#[cfg(test)]
mod tests {
    use super::super::planted::*;
    use super::*;

    fn refused(value: u64) -> (u32, What) {
        let error = "unknown whether written: OUT_OF_ORDER_SEQUENCE_NUMBER (45)".to_owned();
        (1, What::Failed { key: KEY, value, certain: false, error })
    }

    #[test]
    fn a_sequence_breaks_only_behind_something_that_failed() {
        assert!(check(&history(vec![send(1), refused(1)])).is_some());
        assert_eq!(check(&history(vec![send(1), failed(1, false), send(2), refused(2)])), None);
    }

    #[test]
    fn a_batch_whose_time_was_up_is_told_so_only_if_others_were_served() {
        let late = || {
            let error = "not written: timed out after: OUT_OF_ORDER_SEQUENCE_NUMBER (45)".to_owned();
            (1, What::Failed { key: KEY, value: 7, certain: true, error })
        };
        let served = |from_ms: u64, to_ms: u64| {
            let mut evidence = history(vec![send(7)]);
            for (index, at_ms) in (from_ms..=to_ms).step_by(400).enumerate() {
                let mut event = history(vec![acked(8, i64::try_from(index).unwrap())]).events.remove(0);
                event.time_ns = at_ms * 1_000_000;
                evidence.events.push(event);
            }
            let mut event = history(vec![late()]).events.remove(0);
            event.time_ns = 60_000_000_000;
            evidence.events.push(event);
            evidence
        };
        assert_eq!(check(&history(vec![send(6), acked(6, 0), send(7), late()])), None);
        assert_eq!(check(&served(1_000, 4_000)), None);
        assert!(check(&served(1_000, 9_000)).is_some());
    }

    #[test]
    fn two_stretches_are_not_one() {
        let mut service = Service::default();
        for at_ms in [0, 300, 600, 4_000, 4_300, 4_700, 6_000] {
            service.acknowledged(at_ms * 1_000_000);
        }
        assert!(!service.lasted_since(0));
        for at_ms in (6_400..12_000).step_by(400) {
            service.acknowledged(at_ms * 1_000_000);
        }
        assert!(service.lasted_since(0) && !service.lasted_since(8_000_000_000));
    }
}
