//! `vanished` (DESIGN, "What we promise"): a record that was delivered to a consumer, whatever its acks, stays
//! in the log: the last reader, who reads everything, finds it too, unless it lies below the log start.

use std::collections::BTreeSet;

use super::{Evidence, Violation};

pub(super) fn check(evidence: &Evidence) -> Option<Violation> {
    let (drains, starts) = (evidence.drains(), evidence.log_starts());
    let last: BTreeSet<_> = evidence
        .reads()
        .filter(|read| drains.get(&read.key).is_some_and(|drain| drain.client == read.client))
        .map(|read| (read.key, read.offset, read.value))
        .collect();
    evidence.reads().find_map(|read| {
        let drain = drains.get(&read.key).filter(|drain| read.time_ns <= drain.time_ns)?;
        let is_deleted = starts.get(&read.key).is_some_and(|start| read.offset < *start);
        (!is_deleted && !last.contains(&(read.key, read.offset, read.value))).then(|| Violation {
            time_ns: drain.time_ns,
            message: format!(
                "{} was read in {} at {}, but the last reader did not find it there; the log ends at {}",
                read.value, read.key, read.offset, drain.end
            ),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::planted::*;
    use super::*;

    #[test]
    fn what_was_read_and_is_gone_in_the_end_has_vanished() {
        let evidence = history(vec![
            send_unasked(1),
            polled(2, &[(0, 1)]),
            sought(3, 0),
            polled(3, &[(0, 7)]),
            drained(3, 1),
        ]);
        assert!(check(&evidence).expect("1 is gone").message.starts_with("1 was read in topic-0/0 at 0"));
    }

    #[test]
    fn what_was_deleted_need_not_be_found() {
        let deleted = vec![polled(2, &[(0, 1)]), starts(3, 1), sought(3, 1), drained(3, 1)];
        assert_eq!(check(&history(deleted)), None);
    }

    #[test]
    fn what_is_read_after_the_last_reader_is_not_his_to_find() {
        let evidence = history(vec![sought(3, 0), drained(3, 0), polled(2, &[(0, 1)])]);
        assert_eq!(check(&evidence), None);
    }
}
