//! `reordered` (KIP-98): the records that an idempotent producer sends to a partition stand there in the order
//! in which they were sent, however many requests are on their way at once.

use std::collections::BTreeMap;

use super::{Evidence, Violation};
use crate::history::What;

pub(super) fn check(evidence: &Evidence) -> Option<Violation> {
    if !evidence.idempotent {
        return None;
    }
    let mut sent = BTreeMap::new();
    for (turn, event) in evidence.events.iter().enumerate() {
        if let What::Send { value, .. } = event.what {
            sent.insert(value, (event.client, turn));
        }
    }
    let places: BTreeMap<_, _> =
        evidence.reads().map(|read| ((read.key, read.offset), (read.value, read.time_ns))).collect();
    let mut latest = BTreeMap::new();
    places.into_iter().find_map(|((key, offset), (value, time_ns))| {
        let (client, turn) = *sent.get(&value)?;
        let (before, before_value) = latest.insert((key, client), (turn, value))?;
        (turn < before).then(|| Violation {
            time_ns,
            message: format!(
                "{value} stands in {key} at {offset}, behind {before_value}, which was sent later"
            ),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::planted::*;
    use super::*;

    #[test]
    fn what_was_sent_first_stands_first() {
        let mut evidence = history(vec![send(1), send(2), polled(2, &[(0, 2), (1, 1)])]);
        assert!(check(&evidence).expect("1 was first").message.contains("behind 2"));
        evidence.idempotent = false;
        assert_eq!(check(&evidence), None, "a plain producer that retries may overtake itself");
        assert_eq!(check(&history(vec![send(1), send(2), polled(2, &[(0, 1), (4, 2)])])), None);
    }

    #[test]
    fn producers_overtake_each_other() {
        let other = |(_, what): (u32, What)| (7, what);
        assert_eq!(check(&history(vec![send(1), other(send(2)), polled(2, &[(0, 2), (1, 1)])])), None);
    }
}
