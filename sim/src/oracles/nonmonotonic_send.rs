//! `nonmonotonic-send` (jepsen.tests.kafka): a producer's second send to a partition, begun after the first
//! was acknowledged, got a lower offset.

use std::collections::BTreeMap;

use super::{Evidence, Violation};
use crate::history::What;

pub(super) fn check(evidence: &Evidence) -> Option<Violation> {
    // Per producer and partition the highest offset acknowledged; per value that bound when it was sent.
    let mut highest = BTreeMap::new();
    let mut floor = BTreeMap::new();
    for event in &evidence.events {
        match &event.what {
            What::Send { key, value, .. } => {
                if let Some(offset) = highest.get(&(event.client, *key)) {
                    floor.insert(*value, *offset);
                }
            }
            What::Acked { key, value, offset: Some(offset) } => {
                if let Some(before) = floor.get(value).filter(|before| *before >= offset) {
                    let message = format!(
                        "{value} was sent to {key} after {before} was acknowledged, and got {offset}"
                    );
                    return Some(Violation { time_ns: event.time_ns, message });
                }
                let top = highest.entry((event.client, *key)).or_insert(*offset);
                *top = (*top).max(*offset);
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::planted::*;
    use super::*;

    #[test]
    fn a_later_send_below_an_earlier_one_is_a_violation() {
        assert!(check(&history(vec![send(1), acked(1, 5), send(2), acked(2, 4)])).is_some());
    }

    #[test]
    fn sends_that_overlap_may_end_in_any_order() {
        assert_eq!(check(&history(vec![send(1), send(2), acked(1, 5), acked(2, 4)])), None);
    }
}
