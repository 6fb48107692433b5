//! `ack-committed` (DESIGN, "What we promise"): nothing is acknowledged with acks=all above the high watermark,
//! or with acks=1 above what the leader counts. A duplicate's answer waits for the original's position, too.

use std::collections::BTreeMap;

use super::timeline::walk;
use super::{Evidence, Violation};
use crate::history::{Acks, What};

pub(super) fn check(evidence: &Evidence) -> Option<Violation> {
    let mut asked = BTreeMap::new();
    walk(evidence, |event, shown| {
        match event.what {
            What::Send { value, acks, .. } => {
                asked.insert(value, acks);
            }
            What::Acked { key, value, offset: Some(offset) } => {
                let shown = shown(key)?;
                let reached = match asked.get(&value)? {
                    Acks::None => return None,
                    Acks::Leader => shown.counted_end,
                    Acks::All => shown.high_watermark,
                };
                return (offset >= reached).then(|| Violation {
                    time_ns: event.time_ns,
                    message: format!(
                        "{value} was acknowledged in {key} at {offset}, which counted up to {reached}"
                    ),
                });
            }
            _ => {}
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::super::{inside::*, planted::*};
    use super::*;

    #[test]
    fn an_acknowledgement_comes_after_what_it_says() {
        for (high_watermark, is_kept) in [(5, false), (6, true)] {
            let mut evidence = history(vec![named(), send(1), acked(1, 5)]);
            evidence.observed = said(vec![(0, moved(0, high_watermark, 9, 9))]).observed;
            assert_eq!(check(&evidence).is_none(), is_kept, "{high_watermark}");
        }
    }

    #[test]
    fn what_the_broker_says_later_is_too_late() {
        let mut evidence = history(vec![named(), send(1), acked(1, 5)]);
        evidence.observed = said(vec![(0, moved(0, 6, 9, 9))]).observed;
        evidence.observed[0].time_ns = 2_000_001;
        assert!(check(&evidence).is_some());
    }
}
