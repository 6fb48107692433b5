//! `garbled` (DESIGN, "What we promise": bit rot is detected and never served): a consumer got a record that
//! no producer wrote.

use std::collections::BTreeSet;

use super::{Evidence, Violation};
use crate::history::What;

pub(super) fn check(evidence: &Evidence) -> Option<Violation> {
    let sent: BTreeSet<_> = evidence
        .events
        .iter()
        .filter_map(|event| match event.what {
            What::Send { key, value, .. } => Some((key, value)),
            _ => None,
        })
        .collect();
    let garbled = evidence.events.iter().find_map(|event| match &event.what {
        What::Garbled { key, offset, detail } => Some(Violation {
            time_ns: event.time_ns,
            message: format!("the record of {key} at {offset} is no record of ours: {detail}"),
        }),
        _ => None,
    });
    garbled.or_else(|| {
        evidence.reads().find(|read| !sent.contains(&(read.key, read.value))).map(|read| Violation {
            time_ns: read.time_ns,
            message: format!("{} was read in {} and never sent there", read.value, read.key),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::planted::*;
    use super::*;

    #[test]
    fn a_record_that_nobody_wrote_is_garbled() {
        assert!(check(&history(vec![send(1), polled(2, &[(0, 2)])])).is_some());
        let detail = "checksum".to_owned();
        assert!(check(&history(vec![(2, What::Garbled { key: KEY, offset: 3, detail })])).is_some());
        assert_eq!(check(&history(vec![send(1), polled(2, &[(0, 1)])])), None);
    }
}
