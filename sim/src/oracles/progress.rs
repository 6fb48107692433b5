//! `progress` (DESIGN, "Oracles": 60 virtual seconds after healing, everything progresses): every partition
//! acknowledges a record that was sent after all had healed, and is read to its end, before patience ends.

use std::collections::BTreeSet;

use super::{Evidence, Violation};
use crate::history::What;

pub(super) fn check(evidence: &Evidence) -> Option<Violation> {
    let mut sent = BTreeSet::new();
    let mut served = BTreeSet::new();
    let drains = evidence.drains();
    for event in &evidence.events {
        match &event.what {
            What::Send { value, .. } if event.time_ns >= evidence.healed_ns => {
                sent.insert(*value);
            }
            What::Acked { key, value, .. }
                if event.time_ns <= evidence.deadline_ns && sent.contains(value) =>
            {
                served.insert(*key);
            }
            _ => {}
        }
    }
    let late = |what: &str| Violation {
        time_ns: evidence.deadline_ns,
        message: format!("{what}, though all had healed by {} s", evidence.healed_ns / 1_000_000_000),
    };
    evidence.keys.iter().find_map(|key| {
        if !served.contains(key) {
            return Some(late(&format!("{key} acknowledged nothing")));
        }
        let drained = drains.get(key).is_some_and(|drain| drain.time_ns <= evidence.deadline_ns);
        (!drained).then(|| late(&format!("{key} was not read to its end")))
    })
}

#[cfg(test)]
mod tests {
    use super::super::planted::*;
    use super::*;

    #[test]
    fn a_partition_that_acknowledges_nothing_is_stuck() {
        let evidence = history(vec![send(1), failed(1, false), sought(2, 0), drained(2, 0)]);
        assert!(check(&evidence).expect("nothing acknowledged").message.contains("acknowledged nothing"));
    }

    #[test]
    fn a_partition_that_cannot_be_read_is_stuck() {
        let mut evidence = history(vec![send(1), acked(1, 0)]);
        assert!(check(&evidence).expect("not read").message.contains("not read to its end"));
        evidence = history(vec![send(1), acked(1, 0), sought(2, 0), drained(2, 1)]);
        assert_eq!(check(&evidence), None);
        evidence.deadline_ns = 2_000_000;
        assert!(check(&evidence).is_some(), "it came too late");
    }
}
