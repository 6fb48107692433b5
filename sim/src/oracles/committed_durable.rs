//! `committed-durable` (DESIGN, "What we promise"): what a sole replica committed stays in its log, through
//! every fault that its row of the table survives: a log never opens, and is never cut, below the greatest
//! high watermark that it has shown.

use std::collections::BTreeMap;

use ottla::env::Event;

use super::{Evidence, Violation};

pub(super) fn check(evidence: &Evidence) -> Option<Violation> {
    let mut greatest = BTreeMap::new();
    for observed in &evidence.observed {
        let node = observed.life.node;
        let (partition, end, how) = match &observed.event {
            Event::PositionsMoved { partition, high_watermark, .. } => {
                let top = greatest.entry((node, *partition)).or_insert(high_watermark.0);
                *top = (*top).max(high_watermark.0);
                continue;
            }
            Event::ReplicaOpened { partition, log_end, .. } => (partition, log_end, "opened"),
            Event::LogTruncated { partition, to, .. } => (partition, to, "was cut"),
            _ => continue,
        };
        if let Some(top) = greatest.get(&(node, *partition)).filter(|top| **top > end.0) {
            let message = format!("{node}: {partition} had committed up to {top} and {how} at {end}");
            return Some(Violation { time_ns: observed.time_ns, message });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::inside::*;
    use super::*;

    #[test]
    fn a_log_that_opens_or_is_cut_below_what_it_committed_has_lost_it() {
        assert!(check(&said(vec![(0, moved(0, 5, 5, 7)), (1, opened(0, 4, 4))])).is_some());
        assert!(check(&said(vec![(0, moved(0, 5, 5, 7)), (0, cut(7, 4))])).is_some());
    }

    #[test]
    fn what_was_not_committed_may_go() {
        assert_eq!(check(&said(vec![(0, moved(0, 5, 5, 7)), (1, opened(0, 4, 5)), (1, cut(7, 5))])), None);
    }
}
