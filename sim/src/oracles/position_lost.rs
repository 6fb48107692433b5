//! `position-lost` (DESIGN, "What we promise": a delivered record stays): a consumer that has read up to an offset
//! is told that the log does not reach it any more. Nothing deletes records in our workloads.

use super::{Evidence, Violation};
use crate::history::What;

pub(super) fn check(evidence: &Evidence) -> Option<Violation> {
    evidence.events.iter().find_map(|event| match &event.what {
        What::PositionLost { key, offset, detail } => Some(Violation {
            time_ns: event.time_ns,
            message: format!("client {} had read {key} up to {offset}: {detail}", event.client),
        }),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::planted::*;
    use super::*;

    #[test]
    fn a_log_that_shrinks_below_a_reader_is_a_violation() {
        let detail = "truncated".to_owned();
        assert!(check(&history(vec![(2, What::PositionLost { key: KEY, offset: 4, detail })])).is_some());
        assert_eq!(check(&history(vec![polled(2, &[(3, 1)])])), None);
    }
}
