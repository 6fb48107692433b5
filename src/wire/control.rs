//! Control records: those that the log itself is about, in batches with the control bit set.
//!
//! The key says the type: see [`ControlType`]. The value is a message that says its own version in its first
//! two bytes; a version higher than known is read as the highest known.

use super::Message;
use super::declare::declare;
use super::error::{DecodeError, EncodeError};
use super::primitives::{Reader, Writer};
use super::records::ControlType;
use crate::types::Uuid;
use bytes::Bytes;

/// A control record of the metadata log.
#[derive(Debug, Clone, PartialEq)]
pub enum ControlRecord {
    /// Type 2.
    LeaderChange(LeaderChangeMessage),
    /// Type 3.
    SnapshotHeader(SnapshotHeaderRecord),
    /// Type 4.
    SnapshotFooter(SnapshotFooterRecord),
    /// Type 5.
    KRaftVersion(KRaftVersionRecord),
    /// Type 6.
    KRaftVoters(VotersRecord),
}

impl ControlRecord {
    /// Reads a control record of the metadata log. `Ok(None)` is a type that is not known yet, to be skipped.
    ///
    /// # Errors
    /// [`DecodeError::UnknownRecord`] for the end of a transaction, which the metadata log does not know;
    /// others if malformed.
    pub fn decode(key: &Bytes, value: &Bytes) -> Result<Option<Self>, DecodeError> {
        let control_type = ControlType::parse(key).map_err(|_| DecodeError::ControlKey)?;
        match control_type {
            None => return Ok(None),
            Some(ControlType::LeaderChange) => decode_value(value).map(Self::LeaderChange),
            Some(ControlType::SnapshotHeader) => decode_value(value).map(Self::SnapshotHeader),
            Some(ControlType::SnapshotFooter) => decode_value(value).map(Self::SnapshotFooter),
            Some(ControlType::KraftVersion) => decode_value(value).map(Self::KRaftVersion),
            Some(ControlType::KraftVoters) => decode_value(value).map(Self::KRaftVoters),
            Some(end @ (ControlType::Abort | ControlType::Commit)) => {
                Err(DecodeError::UnknownRecord { kind: "control", code: end as i64 })
            }
        }
        .map(Some)
    }

    /// The type that goes with [`Self::encode`], whose `key` is the record's.
    pub fn control_type(&self) -> ControlType {
        match self {
            Self::LeaderChange(_) => ControlType::LeaderChange,
            Self::SnapshotHeader(_) => ControlType::SnapshotHeader,
            Self::SnapshotFooter(_) => ControlType::SnapshotFooter,
            Self::KRaftVersion(_) => ControlType::KraftVersion,
            Self::KRaftVoters(_) => ControlType::KraftVoters,
        }
    }

    /// The value, in the version that the record itself says.
    ///
    /// # Errors
    /// If that version does not exist or cannot express the record.
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        let mut writer = Writer::new();
        match self {
            Self::LeaderChange(record) => record.encode(&mut writer, record.version)?,
            Self::SnapshotHeader(record) => record.encode(&mut writer, record.version)?,
            Self::SnapshotFooter(record) => record.encode(&mut writer, record.version)?,
            Self::KRaftVersion(record) => record.encode(&mut writer, record.version)?,
            Self::KRaftVoters(record) => record.encode(&mut writer, record.version)?,
        }
        Ok(writer.into_bytes())
    }
}

fn decode_value<T: Message>(value: &Bytes) -> Result<T, DecodeError> {
    let version = Reader::new(value).i16()?.min(T::VERSIONS.max);
    T::decode(&mut Reader::new(value), version)
}

declare! {
    /// A leader was elected: the first record of its epoch.
    message LeaderChangeMessage, 0..=1, flexible 0.. {
        version: i16, 0..;
        leader_id: i32, 0..;
        voters: Vec<LeaderChangeVoter>, 0..;
        granting_voters: Vec<LeaderChangeVoter>, 0..;
    }

    /// A voter of that election. Kafka's schema calls it `Voter` too.
    struct LeaderChangeVoter {
        voter_id: i32, 0..;
        voter_directory_id: Uuid, 1..;
    }

    /// A snapshot begins.
    message SnapshotHeaderRecord, 0..=0, flexible 0.. {
        version: i16, 0..;
        last_contained_log_timestamp: i64, 0..;
    }

    /// A snapshot ends: without it, it is not whole.
    message SnapshotFooterRecord, 0..=0, flexible 0.. {
        version: i16, 0..;
    }

    /// The level of kraft.version.
    message KRaftVersionRecord, 0..=0, flexible 0.. {
        version: i16, 0..;
        k_raft_version: i16, 0..;
    }

    /// The voters from here on (KIP-853).
    message VotersRecord, 0..=0, flexible 0.. {
        version: i16, 0..;
        voters: Vec<Voter>, 0..;
    }

    /// A voter.
    struct Voter {
        voter_id: i32, 0..;
        voter_directory_id: Uuid, 0..;
        endpoints: Vec<Endpoint>, 0..;
        k_raft_version_feature: KRaftVersionFeature, 0..;
    }

    /// Where a voter listens.
    struct Endpoint {
        name: String, 0..;
        host: String, 0..;
        port: u16, 0..;
    }

    /// The levels of kraft.version that a voter supports.
    struct KRaftVersionFeature {
        min_supported_version: i16, 0..;
        max_supported_version: i16, 0..;
    }
}
