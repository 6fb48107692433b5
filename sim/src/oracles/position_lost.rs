//! `position-lost` (DESIGN, "What we promise": a delivered record stays): a consumer that has read up to an offset
//! is told that the log does not have it, and it does not lie below the log's start either.

use super::{Evidence, Violation};
use crate::history::What;

pub(super) fn check(evidence: &Evidence) -> Option<Violation> {
    let starts = evidence.log_starts();
    let is_deleted = |key, offset: i64| starts.get(key).is_some_and(|start| offset < *start);
    evidence.events.iter().find_map(|event| match &event.what {
        What::PositionLost { key, offset, detail } if !is_deleted(key, *offset) => Some(Violation {
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

    #[test]
    fn a_log_that_starts_behind_a_reader_has_its_reasons() {
        let lost = || (2, What::PositionLost { key: KEY, offset: 4, detail: "deleted".to_owned() });
        assert_eq!(check(&history(vec![lost(), starts(2, 5)])), None);
        assert!(check(&history(vec![lost(), starts(2, 4)])).is_some(), "4 is still there");
    }
}
