//! `high-watermark-monotone` (MonotonicHighWatermark of Kafka's raft simulation): a replica's high watermark
//! does not fall, except by opening its log anew or by truncating it.

use std::collections::BTreeMap;

use ottla::env::Event;

use super::{Evidence, Violation};

pub(super) fn check(evidence: &Evidence) -> Option<Violation> {
    let mut highest = BTreeMap::new();
    for observed in &evidence.observed {
        let node = observed.life.node;
        match &observed.event {
            Event::ReplicaOpened { partition, high_watermark, .. } => {
                highest.insert((node, *partition), *high_watermark);
            }
            Event::LogTruncated { partition, .. } => {
                highest.remove(&(node, *partition));
            }
            Event::PositionsMoved { partition, high_watermark, .. } => {
                let top = highest.entry((node, *partition)).or_insert(*high_watermark);
                if high_watermark < top {
                    let message = format!(
                        "{node}: the high watermark of {partition} fell from {top} to {high_watermark}"
                    );
                    return Some(Violation { time_ns: observed.time_ns, message });
                }
                *top = *high_watermark;
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::inside::*;
    use super::*;

    #[test]
    fn a_fall_within_one_life_of_a_log_is_a_violation() {
        assert!(check(&said(vec![(0, moved(0, 5, 5, 5)), (0, moved(0, 4, 5, 5))])).is_some());
    }

    #[test]
    fn a_restart_and_a_truncation_begin_anew() {
        let restarted = vec![(0, moved(0, 5, 5, 5)), (1, opened(0, 3, 5)), (1, moved(0, 4, 5, 5))];
        assert_eq!(check(&said(restarted)), None);
        let truncated = vec![(0, moved(0, 5, 5, 5)), (0, cut(5, 3)), (0, moved(0, 3, 3, 3))];
        assert_eq!(check(&said(truncated)), None);
    }
}
