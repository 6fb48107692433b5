//! `positions-ordered` (DESIGN, rule 3): log start <= high watermark <= counted end <= log end.

use ottla::env::Event;

use super::{Evidence, Violation};

pub(super) fn check(evidence: &Evidence) -> Option<Violation> {
    evidence.observed.iter().find_map(|observed| {
        let positions = match &observed.event {
            Event::PositionsMoved { log_start, high_watermark, counted_end, log_end, .. } => {
                vec![log_start.0, high_watermark.0, counted_end.0, log_end.0]
            }
            Event::ReplicaOpened { log_start, high_watermark, log_end, .. } => {
                vec![log_start.0, high_watermark.0, log_end.0]
            }
            _ => return None,
        };
        (!positions.is_sorted()).then(|| Violation {
            time_ns: observed.time_ns,
            message: format!("{}: positions out of order: {:?}", observed.life.node, observed.event),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::inside::*;
    use super::*;

    #[test]
    fn a_high_watermark_above_the_counted_end_is_out_of_order() {
        assert!(check(&said(vec![(0, moved(0, 5, 4, 9))])).is_some());
        assert!(check(&said(vec![(0, opened(3, 2, 4))])).is_some());
        assert_eq!(check(&said(vec![(0, opened(0, 0, 4)), (0, moved(0, 4, 4, 9))])), None);
    }
}
