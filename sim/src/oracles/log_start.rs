//! `log-start` (KIP-107): a log starts no later than somebody asked for by DeleteRecords, unless retention is on;
//! and never before where anybody was told that it starts, whatever happened in between: not the broker's
//! restart either. Inside a broker it never falls.
//!
//! Where retention is on and there are several copies, each replica lets go by its own clock, as in Kafka: the next
//! leader may still have what the last one has let go, and a follower that begins anew begins where its leader does.

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
            let known = known.filter(|known| **known > offset && !by_each(evidence));
            if let Some(known) = known {
                return wrong(format!("{key} starts at {offset}, having started at {known}"));
            }
            let told = latest.entry(key).or_insert(offset);
            *told = offset.max(*told);
        }
        when_asked.insert(event.client, latest.clone());
        None
    })
}

/// Whether retention takes from each of several copies by itself.
fn by_each(evidence: &Evidence) -> bool {
    evidence.retention != Retention::default() && evidence.copies.replicas > 1
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
            Event::LogTruncated { partition, to, .. } if by_each(evidence) => {
                let before = latest.get_mut(&(node, *partition))?;
                *before = (*before).min(to.offset().into());
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
    fn each_copy_has_its_own_retention() {
        let mut told = history(vec![starts(2, 5), drained(3, 9), starts(3, 4)]);
        told.retention.bytes = Some(1);
        assert!(check(&told).is_some(), "there is one copy");
        told.copies.replicas = 2;
        assert_eq!(check(&told), None);
        let anew = || said(vec![(0, moved(7, 7, 7, 7)), (0, cut(7, 3)), (0, moved(3, 3, 3, 3))]);
        assert!(check(&anew()).is_some(), "without retention nobody is behind its own start");
        let mut evidence = anew();
        evidence.retention.bytes = Some(1);
        evidence.copies.replicas = 2;
        assert_eq!(check(&evidence), None);
        evidence.observed.remove(1);
        assert!(check(&evidence).is_some(), "it has not begun anew");
    }

    #[test]
    fn inside_a_broker_it_does_not_fall() {
        assert!(check(&said(vec![(0, moved(3, 5, 5, 5)), (0, moved(2, 5, 5, 5))])).is_some());
        assert_eq!(check(&said(vec![(0, moved(3, 5, 5, 5)), (1, opened(2, 5, 5))])), None);
    }
}
