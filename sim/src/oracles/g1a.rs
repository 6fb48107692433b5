//! `G1a` (jepsen.tests.kafka): somebody read a value whose write failed for certain.

use std::collections::BTreeSet;

use super::{Evidence, Violation};
use crate::history::What;

pub(super) fn check(evidence: &Evidence) -> Option<Violation> {
    let failed: BTreeSet<_> = evidence
        .events
        .iter()
        .filter_map(|event| match event.what {
            What::Failed { value, certain: true, .. } => Some(value),
            _ => None,
        })
        .collect();
    evidence.reads().find(|read| failed.contains(&read.value)).map(|read| Violation {
        time_ns: read.time_ns,
        message: format!("{} was refused, and read in {} at {}", read.value, read.key, read.offset),
    })
}

#[cfg(test)]
mod tests {
    use super::super::planted::*;
    use super::*;

    #[test]
    fn a_refused_value_must_not_be_read() {
        assert!(check(&history(vec![send(1), failed(1, true), polled(2, &[(0, 1)])])).is_some());
    }

    #[test]
    fn an_unknown_outcome_may_be_read() {
        assert_eq!(check(&history(vec![send(1), failed(1, false), polled(2, &[(0, 1)])])), None);
    }
}
