//! `nonmonotonic-poll` (jepsen.tests.kafka): a consumer's polls of a partition go back or repeat, though it
//! did not seek. Our consumers are assigned, not subscribed: no rebalance excuses it.

use std::collections::BTreeMap;

use super::{Evidence, Violation};
use crate::history::What;

pub(super) fn check(evidence: &Evidence) -> Option<Violation> {
    let mut next = BTreeMap::new();
    for event in &evidence.events {
        match &event.what {
            What::Sought { key, offset } => {
                next.insert((event.client, *key), *offset);
            }
            What::Polled { key, records } => {
                for (offset, value) in records {
                    let next = next.entry((event.client, *key)).or_insert(*offset);
                    if offset < next {
                        let message = format!(
                            "client {} got {value} of {key} at {offset}, having been before {next}",
                            event.client
                        );
                        return Some(Violation { time_ns: event.time_ns, message });
                    }
                    *next = offset + 1;
                }
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
    fn going_back_or_repeating_without_a_seek_is_a_violation() {
        let back = history(vec![sought(2, 0), polled(2, &[(0, 1), (1, 2)]), polled(2, &[(1, 2)])]);
        assert_eq!(check(&back).expect("it repeats").time_ns, 2_000_000);
        let below = history(vec![sought(2, 5), polled(2, &[(4, 1)])]);
        assert!(check(&below).is_some(), "it got less than it asked for");
    }

    #[test]
    fn a_seek_and_another_consumer_start_anew() {
        let evidence = history(vec![
            sought(2, 0),
            polled(2, &[(0, 1)]),
            sought(2, 0),
            polled(2, &[(0, 1)]),
            polled(3, &[(0, 1)]),
        ]);
        assert_eq!(check(&evidence), None);
    }
}
