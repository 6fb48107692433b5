//! `sequence` (KIP-98): an idempotent producer that has lost nothing itself is never told that its sequence is
//! broken: the broker remembers as many batches as may be in flight. Once one of its batches has failed, the
//! sequence *is* broken.
//!
//! A batch whose time is up names what it heard last. That may be that it is not the next: the one before it had
//! met a broker that did not lead yet, and both were to be sent again. Where that broker then went away nobody is
//! to blame; where it went on to acknowledge what others sent, it should have taken this, too.

use std::collections::{BTreeMap, BTreeSet};

use super::{Evidence, Violation};
use crate::history::What;

/// What a broker says to a producer whose batch is not the next one, or whose epoch is not the latest.
const BROKEN: [&str; 3] = ["OUT_OF_ORDER_SEQUENCE_NUMBER", "INVALID_PRODUCER_EPOCH", "UNKNOWN_PRODUCER_ID"];

/// What a producer says whose batch was not acknowledged in time.
const TIMED_OUT: &str = "timed out";

pub(super) fn check(evidence: &Evidence) -> Option<Violation> {
    if !evidence.idempotent {
        return None;
    }
    let mut failed = BTreeSet::new();
    let (mut sent_ns, mut served_ns) = (BTreeMap::new(), BTreeMap::new());
    evidence.events.iter().find_map(|event| {
        let (key, value, error) = match &event.what {
            What::Send { value, .. } => {
                sent_ns.insert(*value, event.time_ns);
                return None;
            }
            What::Acked { key, .. } => {
                served_ns.insert(*key, event.time_ns);
                return None;
            }
            What::Failed { key, value, error, .. } => (key, value, error),
            _ => return None,
        };
        let is_first = failed.insert((event.client, *key));
        let was_served = served_ns.get(key) > sent_ns.get(value);
        let is_excused = error.contains(TIMED_OUT) && !was_served;
        (is_first && !is_excused && BROKEN.iter().any(|code| error.contains(code)))
            .then(|| Violation { time_ns: event.time_ns, message: format!("{value} to {key}: {error}") })
    })
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
        let (key, error) =
            (KEY, "not written: timed out after: OUT_OF_ORDER_SEQUENCE_NUMBER (45)".to_owned());
        let late = (1, What::Failed { key, value: 7, certain: true, error });
        assert_eq!(check(&history(vec![send(6), acked(6, 0), send(7), late.clone()])), None);
        assert!(check(&history(vec![send(6), send(7), acked(6, 0), late])).is_some());
    }
}
