//! `serves` (DESIGN, "Oracles": during a cut the side with a quorum serves): while one machine or one rack is away,
//! or cut off, and nothing else is wrong, every partition goes on: what is sent to it then is acknowledged then,
//! from when the others have noticed. When that was so the faults alone say.

use std::collections::{BTreeMap, BTreeSet};

use super::{Evidence, Violation};
use crate::history::What;
use crate::outage::Outage;

const SECOND: u64 = 1_000_000_000;
/// What is sent later in an outage need not be acknowledged in it.
const ANSWERED_NS: u64 = 10 * SECOND;

pub(super) fn check(evidence: &Evidence) -> Option<Violation> {
    evidence.outages.iter().find_map(|outage| unserved(evidence, outage))
}

fn unserved(evidence: &Evidence, outage: &Outage) -> Option<Violation> {
    let from = outage.noticed_ns;
    let sent_until = outage.until_ns.saturating_sub(ANSWERED_NS);
    let (mut sent, mut served, mut asked) = (BTreeSet::new(), BTreeSet::new(), BTreeMap::new());
    for event in evidence.events.iter().filter(|event| (from..outage.until_ns).contains(&event.time_ns)) {
        match &event.what {
            What::Send { key, value, .. } if event.time_ns < sent_until => {
                sent.insert(*value);
                *asked.entry(*key).or_insert(0) += 1;
            }
            What::Acked { key, value, .. } if sent.contains(value) => {
                served.insert(*key);
            }
            _ => {}
        }
    }
    let (key, count) = asked.into_iter().find(|(key, count)| *count >= 3 && !served.contains(key))?;
    Some(Violation {
        time_ns: outage.until_ns,
        message: format!(
            "{key} acknowledged none of {count} records sent from {} s on, though since {} s nothing was wrong \
             but that {:?} were away",
            from / SECOND,
            outage.from_ns / SECOND,
            outage.nodes
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::super::planted::*;
    use super::*;
    use crate::engine::NodeId;
    use crate::history::ClientEvent;

    /// Records sent every second of an outage of a minute; acknowledged at once from some second on.
    fn outage(acked_from: u64) -> Option<Violation> {
        let mut evidence = history(Vec::new());
        for second in 0..60 {
            let time_ns = second * SECOND;
            let events = [Some(send(second)), (second >= acked_from).then(|| acked(second, second as i64))];
            let events = events.into_iter().flatten();
            evidence.events.extend(events.map(|(client, what)| ClientEvent { time_ns, client, what }));
        }
        evidence.outages = vec![Outage {
            nodes: vec![NodeId(1)],
            from_ns: 0,
            noticed_ns: 25 * SECOND,
            until_ns: 60 * SECOND,
        }];
        check(&evidence)
    }

    #[test]
    fn a_partition_that_acknowledges_nothing_while_one_is_away_is_a_violation() {
        assert_eq!(outage(0), None);
        assert_eq!(outage(30), None, "it has taken its time");
        assert!(outage(60).is_some());
    }
}
