//! `quiet` (F3; DESIGN, "Memory"): a cluster that has nothing to do does next to nothing. Its followers wait for
//! records at their leaders, and nobody looks for what has not come. What counts as much the scenario says.

use super::{Evidence, Violation};

pub(super) fn check(evidence: &Evidence) -> Option<Violation> {
    let (events, most) = evidence.events_per_second;
    let most = most.filter(|most| events > *most)?;
    let message = format!("{events} events per virtual second are more than {most}");
    Some(Violation { time_ns: evidence.deadline_ns, message })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_that_does_more_than_it_has_to_is_a_violation() {
        let busy = |events, most| Evidence { events_per_second: (events, most), ..Evidence::default() };
        assert_eq!(check(&busy(500, None)), None, "nobody has asked for quiet");
        assert_eq!(check(&busy(500, Some(500))), None);
        assert!(check(&busy(501, Some(500))).is_some());
    }
}
