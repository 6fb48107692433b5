//! `lost-write` (jepsen.tests.kafka): a value that was acknowledged, below the highest offset that anybody
//! read of its partition and not below its log start, and that nobody ever read.

use std::collections::{BTreeMap, BTreeSet};

use super::{Evidence, Violation};

pub(super) fn check(evidence: &Evidence) -> Option<Violation> {
    let mut highest = BTreeMap::new();
    let mut read = BTreeSet::new();
    for one in evidence.reads() {
        let entry = highest.entry(one.key).or_insert((one.offset, one.time_ns));
        *entry = (*entry).max((one.offset, one.time_ns));
        read.insert(one.value);
    }
    let starts = evidence.log_starts();
    let lost = evidence.acked().into_iter().find_map(|acked| {
        let (top, seen_ns) = *highest.get(&acked.key)?;
        let offset = acked.offset?;
        let is_deleted = starts.get(&acked.key).is_some_and(|start| offset < *start);
        (offset < top && !is_deleted && !read.contains(&acked.value)).then_some((acked, offset, top, seen_ns))
    });
    lost.map(|(acked, offset, top, seen_ns)| Violation {
        time_ns: acked.time_ns.max(seen_ns),
        message: format!(
            "{} was acknowledged in {} at {offset}; {top} was read there, {} by nobody",
            acked.value, acked.key, acked.value
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::super::planted::*;
    use super::*;

    #[test]
    fn an_acknowledged_value_that_readers_passed_by_is_lost() {
        let evidence = history(vec![send(1), acked(1, 0), send(2), acked(2, 1), polled(2, &[(1, 2)])]);
        let violation = check(&evidence).expect("1 is lost");
        assert!(violation.message.starts_with("1 was acknowledged in topic-0/0 at 0"), "{violation:?}");
    }

    #[test]
    fn what_was_deleted_is_not_lost() {
        let mut events = vec![send(1), acked(1, 0), send(2), acked(2, 1), polled(2, &[(1, 2)])];
        events.push(starts(2, 1));
        assert_eq!(check(&history(events)), None);
    }

    #[test]
    fn what_nobody_asked_to_be_acknowledged_may_be_lost() {
        let sent = vec![send_unasked(1), acked(1, 0), send(2), acked(2, 1), polled(2, &[(1, 2)])];
        assert_eq!(check(&history(sent)), None);
    }

    #[test]
    fn what_lies_above_all_reads_is_not_lost_yet() {
        assert_eq!(check(&history(vec![send(1), acked(1, 5), polled(2, &[(4, 9)])])), None);
    }
}
