//! `inconsistent-offsets` (jepsen.tests.kafka): more than one value at one offset, as readers see it or as
//! producers were told.

use std::collections::BTreeMap;

use super::{Evidence, Violation};

pub(super) fn check(evidence: &Evidence) -> Option<Violation> {
    let told = evidence
        .acked()
        .into_iter()
        .filter_map(|acked| Some((acked.time_ns, (acked.key, acked.offset?), acked.value)));
    let seen = evidence.reads().map(|read| (read.time_ns, (read.key, read.offset), read.value));
    let mut all: Vec<_> = told.chain(seen).collect();
    all.sort();
    let mut values = BTreeMap::new();
    all.into_iter().find_map(|(time_ns, (key, offset), value)| {
        let first = *values.entry((key, offset)).or_insert(value);
        (first != value).then(|| Violation {
            time_ns,
            message: format!("{key} holds both {first} and {value} at {offset}"),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::planted::*;
    use super::*;

    #[test]
    fn two_values_at_one_offset_are_inconsistent() {
        let evidence = history(vec![polled(2, &[(0, 1)]), polled(3, &[(0, 2)])]);
        assert_eq!(check(&evidence).expect("both at 0").message, "topic-0/0 holds both 1 and 2 at 0");
    }

    #[test]
    fn what_a_producer_was_told_counts_too() {
        assert!(check(&history(vec![send(1), acked(1, 0), polled(2, &[(0, 2)])])).is_some());
        assert_eq!(check(&history(vec![send(1), acked(1, 0), polled(2, &[(0, 1)])])), None);
    }
}
