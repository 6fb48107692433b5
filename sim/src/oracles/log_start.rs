//! `log-start` (KIP-107): a log starts no later than somebody asked for by DeleteRecords, unless retention is on;
//! and never before where anybody was told that it starts, whatever happened in between: not the broker's
//! restart either. Inside a broker it never falls.

use std::collections::BTreeMap;

use ottla::env::Event;

use super::{Evidence, Violation};
use crate::history::What;
use crate::scenario::Retention;

pub(super) fn check(evidence: &Evidence) -> Option<Violation> {
    told(evidence).or_else(|| inside(evidence))
}

fn told(evidence: &Evidence) -> Option<Violation> {
    let mut asked = BTreeMap::new();
    let mut latest: BTreeMap<_, i64> = BTreeMap::new();
    // A client asks and is told in turn: what it is told is not older than what anybody knew when it asked. It
    // asked after it did whatever it did last.
    let mut when_asked = BTreeMap::new();
    evidence.events.iter().find_map(|event| {
        let wrong = |message: String| Some(Violation { time_ns: event.time_ns, message });
        if let What::Deleting { key, before } = event.what {
            let furthest = asked.entry(key).or_insert(0);
            *furthest = before.unwrap_or(i64::MAX).max(*furthest);
        }
        if let What::LogStart { key, offset } = event.what {
            let furthest = asked.get(&key).copied().unwrap_or(0);
            if offset > furthest && evidence.retention == Retention::default() {
                return wrong(format!("{key} starts at {offset}, and nobody asked for more than {furthest}"));
            }
            let known = when_asked.get(&event.client).and_then(|known: &BTreeMap<_, i64>| known.get(&key));
            if let Some(known) = known.filter(|known| **known > offset) {
                return wrong(format!("{key} starts at {offset}, having started at {known}"));
            }
            let told = latest.entry(key).or_insert(offset);
            *told = offset.max(*told);
        }
        when_asked.insert(event.client, latest.clone());
        None
    })
}

fn inside(evidence: &Evidence) -> Option<Violation> {
    let mut latest = BTreeMap::new();
    evidence.observed.iter().find_map(|observed| {
        let node = observed.life.node;
        match &observed.event {
            Event::ReplicaOpened { partition, log_start, .. } => {
                latest.insert((node, *partition), *log_start);
                None
            }
            Event::PositionsMoved { partition, log_start, .. } => {
                let before = latest.insert((node, *partition), *log_start)?;
                (before > *log_start).then(|| Violation {
                    time_ns: observed.time_ns,
                    message: format!(
                        "{node}: the log start of {partition} fell from {before} to {log_start}"
                    ),
                })
            }
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::{inside::*, planted::*};
    use super::*;

    #[test]
    fn a_log_that_starts_later_than_asked_has_lost_records() {
        assert_eq!(check(&history(vec![deleting(2, Some(3)), starts(2, 3), starts(3, 3)])), None);
        assert_eq!(check(&history(vec![deleting(2, None), starts(2, 7)])), None);
        assert!(check(&history(vec![deleting(2, Some(3)), starts(2, 4)])).is_some());
        let mut evidence = history(vec![starts(3, 1)]);
        assert!(check(&evidence).is_some(), "nobody asked");
        evidence.retention.bytes = Some(1);
        assert_eq!(check(&evidence), None, "retention needs nobody who asks");
    }

    #[test]
    fn a_log_that_starts_earlier_again_brings_the_deleted_back() {
        let gone_back = vec![deleting(2, Some(5)), starts(2, 5), drained(3, 9), starts(3, 4)];
        assert!(check(&history(gone_back)).expect("it was at 5").message.contains("having started at 5"));
        let overlapping = vec![deleting(2, Some(5)), drained(3, 9), starts(2, 5), starts(3, 4)];
        assert_eq!(check(&history(overlapping)), None, "3 may have asked before 2 was told");
    }

    #[test]
    fn inside_a_broker_it_does_not_fall() {
        assert!(check(&said(vec![(0, moved(3, 5, 5, 5)), (0, moved(2, 5, 5, 5))])).is_some());
        assert_eq!(check(&said(vec![(0, moved(3, 5, 5, 5)), (1, opened(2, 5, 5))])), None);
    }
}
