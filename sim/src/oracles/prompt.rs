//! `prompt`: where nothing goes wrong nothing takes long. A client that hears a wrong answer, or none, gives its
//! connection up and tries again, and in the end all is well: without a fault there is nothing to try again.

use std::collections::BTreeMap;

use super::{Evidence, Violation};
use crate::history::What;

/// A sync takes a millisecond; most of this is for the rolls and checkpoints that may come before.
const SOON_NS: u64 = 2_000_000_000;

pub(super) fn check(evidence: &Evidence) -> Option<Violation> {
    if !evidence.faults.is_empty() {
        return None;
    }
    let mut sent = BTreeMap::new();
    evidence.events.iter().find_map(|event| {
        let (value, how) = match &event.what {
            What::Send { value, .. } => {
                sent.insert(*value, event.time_ns);
                return None;
            }
            What::Acked { value, .. } => (value, "acknowledged".to_owned()),
            What::Failed { value, certain: false, error, .. } => (value, format!("given up: {error}")),
            _ => return None,
        };
        let took_ns = event.time_ns - sent.get(value)?;
        (took_ns > SOON_NS).then(|| Violation {
            time_ns: event.time_ns,
            message: format!("{value} took {} ms, without any fault, to be {how}", took_ns / 1_000_000),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::planted::*;
    use super::*;
    use crate::faults::FaultKind;

    #[test]
    fn without_a_fault_nothing_takes_long() {
        let mut evidence = history(vec![send(1), acked(1, 0), send(2), acked(2, 1)]);
        assert_eq!(check(&evidence), None);
        evidence.events[3].time_ns = 3_000_000_000;
        assert!(check(&evidence).expect("2 is late").message.starts_with("2 took 2998 ms"));
        evidence.faults = vec![FaultKind::Pause];
        assert_eq!(check(&evidence), None);
    }
}
