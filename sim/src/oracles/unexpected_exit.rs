//! `unexpected-exit` (DESIGN, "Supervision" and "Syncs"): a broker ends by itself only when its disk failed:
//! losing the last log directory stops it, and damage that a sole replica cannot mend keeps it from starting.

use super::{Evidence, Violation};
use crate::faults::FaultKind;

pub(super) fn check(evidence: &Evidence) -> Option<Violation> {
    let is_excused = evidence.faults.iter().any(|kind| {
        matches!(
            kind,
            FaultKind::SyncError
                | FaultKind::WriteError
                | FaultKind::ReadError
                | FaultKind::DiskFull
                | FaultKind::BitRot
                | FaultKind::LyingSync
        )
    });
    if is_excused {
        return None;
    }
    evidence.exits.first().map(|exit| Violation {
        time_ns: exit.time_ns,
        message: format!("{} ended by itself though its disk was well: {}", exit.node, exit.reason),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::NodeId;
    use crate::process::Exit;

    #[test]
    fn an_exit_without_a_disk_fault_is_a_violation() {
        let exit = Exit { time_ns: 5, node: NodeId(1), reason: "no idea".to_owned() };
        let mut evidence = Evidence { exits: vec![exit], ..Evidence::default() };
        assert!(check(&evidence).is_some());
        evidence.faults = vec![FaultKind::Crash, FaultKind::PowerLoss];
        assert!(check(&evidence).is_some());
        evidence.faults.push(FaultKind::SyncError);
        assert_eq!(check(&evidence), None);
    }
}
