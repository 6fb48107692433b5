//! `read-committed` (DESIGN, "What we promise"): no consumer gets a record above the high watermark.

use super::timeline::walk;
use super::{Evidence, Violation};
use crate::history::What;

pub(super) fn check(evidence: &Evidence) -> Option<Violation> {
    walk(evidence, |event, shown| {
        let What::Polled { key, records } = &event.what else { return None };
        let (committed, last) = (shown(*key)?.high_watermark, records.last()?.0);
        (last >= committed).then(|| Violation {
            time_ns: event.time_ns,
            message: format!("client {} read {key} up to {last}, committed up to {committed}", event.client),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::{inside::*, planted::*};
    use super::*;

    #[test]
    fn only_what_is_committed_is_read() {
        for (high_watermark, is_kept) in [(1, false), (2, true)] {
            let mut evidence = history(vec![named(), polled(2, &[(0, 1), (1, 2)])]);
            evidence.observed = said(vec![(0, moved(0, high_watermark, 9, 9))]).observed;
            assert_eq!(check(&evidence).is_none(), is_kept, "{high_watermark}");
        }
    }
}
