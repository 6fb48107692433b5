//! `whole` (DESIGN, "Oracles"): once all is healed every partition has a leader again, and every replica is in
//! sync, before patience ends.

use ottla::controller::Image;
use ottla::env::Event;

use super::{Evidence, Violation};

pub(super) fn check(evidence: &Evidence) -> Option<Violation> {
    let in_time = evidence.observed.iter().filter(|observed| observed.time_ns <= evidence.deadline_ns);
    let images = in_time.filter_map(|observed| match &observed.event {
        Event::MetadataCommitted { end, image, .. } => Some((*end, image)),
        _ => None,
    });
    let (_, latest) = images.max_by_key(|(end, _)| *end)?;
    let message = format!(
        "{}, though all had healed by {} s",
        what_is_missing(latest)?,
        evidence.healed_ns / 1_000_000_000
    );
    Some(Violation { time_ns: evidence.deadline_ns, message })
}

/// The first partition without a leader or with a replica out of sync.
pub(crate) fn what_is_missing(image: &Image) -> Option<String> {
    image.topics().find_map(|topic| {
        topic.partitions.iter().find_map(|(index, partition)| {
            let name = format!("{}/{index}", topic.name);
            if partition.leader.0 < 0 {
                return Some(format!("{name} has no leader: {partition:?}"));
            }
            let late = partition.replicas.iter().find(|replica| !partition.isr.contains(replica))?;
            Some(format!("{late} is out of sync with {name}: {partition:?}"))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::inside::*;
    use super::*;

    fn evidence(events: Vec<(u32, Event)>) -> Evidence {
        Evidence { deadline_ns: u64::MAX, ..said_by(events) }
    }

    #[test]
    fn a_partition_without_a_leader_or_a_replica_out_of_sync_is_a_violation() {
        assert_eq!(check(&evidence(vec![(1, metadata(7, &[(1, &[1, 2])]))])), None);
        let message = check(&evidence(vec![(1, metadata(7, &[(-1, &[1])]))])).expect("nobody leads").message;
        assert!(message.starts_with("topic-0/0 has no leader"), "{message}");
        let message = check(&evidence(vec![(1, metadata(7, &[(1, &[1])]))])).expect("2 is late").message;
        assert!(message.starts_with("2 is out of sync with topic-0/0"), "{message}");
    }

    #[test]
    fn what_counts_is_the_end() {
        let (hurt, whole) = (metadata(7, &[(-1, &[1])]), metadata(9, &[(1, &[1, 2])]));
        assert_eq!(check(&evidence(vec![(1, whole.clone()), (2, hurt.clone())])), None, "2 is behind");
        let mut late = evidence(vec![(2, hurt), (1, whole)]);
        late.deadline_ns = 0;
        assert!(check(&late).is_some());
    }
}
