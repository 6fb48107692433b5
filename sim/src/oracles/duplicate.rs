//! `duplicate` (jepsen.tests.kafka): one value at more than one offset. Idempotent producers never write one
//! twice, however often they had to send it; the outcome of a send that failed may appear, but once.

use std::collections::BTreeMap;

use super::{Evidence, Violation};

pub(super) fn check(evidence: &Evidence) -> Option<Violation> {
    if !evidence.idempotent {
        return None;
    }
    let mut places = BTreeMap::new();
    evidence.reads().find_map(|read| {
        let (key, offset) = *places.entry(read.value).or_insert((read.key, read.offset));
        ((key, offset) != (read.key, read.offset)).then(|| Violation {
            time_ns: read.time_ns,
            message: format!(
                "{} was read in {key} at {offset} and in {} at {}",
                read.value, read.key, read.offset
            ),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::planted::*;
    use super::*;

    #[test]
    fn a_value_at_two_offsets_is_a_duplicate() {
        let mut evidence = history(vec![send(1), failed(1, false), polled(2, &[(0, 1), (1, 1)])]);
        assert!(check(&evidence).is_some());
        evidence.idempotent = false;
        assert_eq!(check(&evidence), None, "a plain producer that retries may write twice");
    }

    #[test]
    fn reading_a_record_twice_is_none() {
        assert_eq!(check(&history(vec![polled(2, &[(0, 1)]), polled(3, &[(0, 1)])])), None);
    }
}
