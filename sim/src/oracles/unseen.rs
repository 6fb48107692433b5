//! `unseen` (jepsen.tests.kafka): a value that was acknowledged and that nobody read, although its partition
//! was read to the end when all was over, and does not begin behind it.

use std::collections::BTreeSet;

use super::{Evidence, Violation};

pub(super) fn check(evidence: &Evidence) -> Option<Violation> {
    let (drains, starts) = (evidence.drains(), evidence.log_starts());
    let read: BTreeSet<_> = evidence.reads().map(|read| (read.key, read.value)).collect();
    evidence.acked().into_iter().find_map(|acked| {
        let drain = drains.get(&acked.key)?;
        let is_seen = read.contains(&(acked.key, acked.value)) || acked.time_ns > drain.time_ns;
        let is_deleted =
            starts.get(&acked.key).is_some_and(|start| acked.offset.is_some_and(|at| at < *start));
        (!is_seen && !is_deleted).then(|| Violation {
            time_ns: drain.time_ns,
            message: format!(
                "{} was acknowledged in {}{} and read by nobody; the log ends at {}",
                acked.value,
                acked.key,
                acked.offset.map(|offset| format!(" at {offset}")).unwrap_or_default(),
                drain.end
            ),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::planted::*;
    use super::*;

    #[test]
    fn an_acknowledged_value_that_is_not_there_in_the_end_is_unseen() {
        let evidence = history(vec![send(1), acked(1, 0), sought(2, 0), drained(2, 0)]);
        let violation = check(&evidence).expect("1 is nowhere");
        assert_eq!(violation.time_ns, 3_000_000);
    }

    #[test]
    fn what_was_deleted_need_not_be_there() {
        let deleted = vec![send(1), acked(1, 0), starts(2, 1), sought(2, 1), drained(2, 1)];
        assert_eq!(check(&history(deleted)), None);
    }

    #[test]
    fn without_a_last_read_to_the_end_nothing_can_be_said() {
        assert_eq!(check(&history(vec![send(1), acked(1, 0)])), None);
    }

    #[test]
    fn what_failed_or_was_never_to_be_acknowledged_may_be_absent() {
        let evidence = history(vec![send(1), failed(1, false), send_unasked(2), acked(2, 0), drained(2, 0)]);
        assert_eq!(check(&evidence), None);
    }
}
