//! The table of guarantees, as data: which faults an acknowledged record survives.
//!
//! Here for one broker, where replication factor and `min.insync.replicas` are 1. Whether a run was one that
//! must lose nothing is decided from the row and the faults alone, never from what the broker says.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::faults::FaultKind;
use crate::history::Acks;

/// What `flush.messages` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Flush {
    /// 1: a record counts when it is durable.
    #[serde(rename = "1")]
    EveryMessage,
    /// Kafka's own default: a record counts when it is in the page cache.
    #[serde(rename = "off")]
    Off,
}

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// What producers ask for.
    pub acks: Acks,
    /// How the topics are configured.
    pub flush: Flush,
}

impl Row {
    /// Whether acknowledged records (with acks 0: records delivered to a consumer) survive these kinds of
    /// faults in any number and order; else the first that is beyond.
    pub fn survives(self, kinds: &BTreeSet<FaultKind>) -> Result<(), FaultKind> {
        kinds.iter().copied().find(|kind| self.is_beyond(*kind, kinds)).map_or(Ok(()), Err)
    }

    fn is_beyond(self, kind: FaultKind, all: &BTreeSet<FaultKind>) -> bool {
        let power = all.contains(&FaultKind::PowerLoss);
        let restarts = power
            || [FaultKind::Crash, FaultKind::Stop, FaultKind::PowerOff].iter().any(|kind| all.contains(kind));
        match kind {
            // Only the sync makes a record of one broker outlive its power.
            FaultKind::PowerLoss => self.flush == Flush::Off,
            // A sync that lies is no sync; without a loss of power nobody notices.
            FaultKind::LyingSync => power,
            // A sole replica that reads rotten bytes while it recovers cannot tell them from a torn tail.
            FaultKind::BitRot => restarts,
            FaultKind::Crash
            | FaultKind::Stop
            // Whoever stops in good order syncs first, in the page-cache mode too.
            | FaultKind::PowerOff
            | FaultKind::Pause
            | FaultKind::SyncError
            | FaultKind::WriteError
            | FaultKind::ReadError
            | FaultKind::DiskFull
            | FaultKind::SlowDisk
            | FaultKind::Cut
            | FaultKind::CutOneWay
            | FaultKind::SlowLink
            | FaultKind::ClockStep => false,
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flush = match self.flush {
            Flush::EveryMessage => "1",
            Flush::Off => "off",
        };
        write!(f, "acks={} flush.messages={flush}", self.acks.label())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survives(flush: Flush, kinds: &[FaultKind]) -> Result<(), FaultKind> {
        Row { acks: Acks::All, flush }.survives(&kinds.iter().copied().collect())
    }

    #[test]
    fn only_a_topic_that_syncs_outlives_the_power() {
        assert_eq!(survives(Flush::EveryMessage, &[FaultKind::PowerLoss, FaultKind::Crash]), Ok(()));
        assert_eq!(survives(Flush::Off, &[FaultKind::Crash, FaultKind::Stop, FaultKind::PowerOff]), Ok(()));
        assert_eq!(
            survives(Flush::Off, &[FaultKind::Crash, FaultKind::PowerLoss]),
            Err(FaultKind::PowerLoss)
        );
    }

    #[test]
    fn some_faults_are_beyond_only_together() {
        assert_eq!(survives(Flush::EveryMessage, &[FaultKind::LyingSync]), Ok(()));
        assert_eq!(
            survives(Flush::EveryMessage, &[FaultKind::LyingSync, FaultKind::PowerLoss]),
            Err(FaultKind::LyingSync)
        );
        assert_eq!(survives(Flush::EveryMessage, &[FaultKind::BitRot]), Ok(()));
        assert_eq!(
            survives(Flush::EveryMessage, &[FaultKind::BitRot, FaultKind::Crash]),
            Err(FaultKind::BitRot)
        );
    }
}
