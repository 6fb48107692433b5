//! `sequence` (KIP-98): an idempotent producer that has lost nothing itself is never told that its sequence is
//! broken: the broker remembers as many batches as may be in flight. Once one of its batches has failed, the
//! sequence *is* broken.

use std::collections::BTreeSet;

use super::{Evidence, Violation};
use crate::history::What;

/// What a broker says to a producer whose batch is not the next one, or whose epoch is not the latest.
const BROKEN: [&str; 3] = ["OUT_OF_ORDER_SEQUENCE_NUMBER", "INVALID_PRODUCER_EPOCH", "UNKNOWN_PRODUCER_ID"];

pub(super) fn check(evidence: &Evidence) -> Option<Violation> {
    if !evidence.idempotent {
        return None;
    }
    let mut failed = BTreeSet::new();
    evidence.events.iter().find_map(|event| {
        let What::Failed { key, value, error, .. } = &event.what else { return None };
        let is_first = failed.insert((event.client, *key));
        (is_first && BROKEN.iter().any(|code| error.contains(code)))
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
}
