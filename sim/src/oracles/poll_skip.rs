//! `poll-skip` (jepsen.tests.kafka): a consumer's polls jump over an offset at which somebody, ever, read a
//! record. Our consumers are assigned, not subscribed: no rebalance excuses it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Evidence, Violation};
use crate::history::What;

pub(super) fn check(evidence: &Evidence) -> Option<Violation> {
    let known: BTreeSet<_> = evidence.reads().map(|read| (read.key, read.offset)).collect();
    let mut next = BTreeMap::new();
    for event in &evidence.events {
        match &event.what {
            What::Sought { key, offset } => {
                next.insert((event.client, *key), *offset);
            }
            What::Polled { key, records } => {
                for (offset, _) in records {
                    let next = next.entry((event.client, *key)).or_insert(*offset);
                    if offset > next
                        && let Some((_, skipped)) = known.range((*key, *next)..(*key, *offset)).next()
                    {
                        let message = format!(
                            "client {} went on in {key} from {next} to {offset} past the record at {skipped}",
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
    fn jumping_over_what_others_read_is_a_violation() {
        let evidence = history(vec![
            sought(2, 0),
            polled(2, &[(0, 1)]),
            polled(2, &[(2, 3)]),
            polled(3, &[(0, 1), (1, 2), (2, 3)]),
        ]);
        assert!(check(&evidence).expect("1 is skipped").message.contains("past the record at 1"));
    }

    #[test]
    fn a_gap_in_which_nobody_ever_read_anything_is_none() {
        let evidence = history(vec![sought(2, 0), polled(2, &[(0, 1)]), polled(2, &[(2, 3)])]);
        assert_eq!(check(&evidence), None);
    }
}
