//! The `quorum-state` file: in which epoch a voter is, whom it voted for, who leads.
//!
//! # Format
//!
//! One line of JSON, as Kafka writes it; `data_version` says which fields there are. Version 1:
//!
//! ```text
//! {"leaderId":-1,"leaderEpoch":2,"votedId":1,"votedDirectoryId":"J8aAPcfLQt2bqs1JT_rMgQ","data_version":1}
//! ```
//!
//! Version 0 has no `votedDirectoryId` and some fields that nobody reads. Both are read, version 1 is
//! written: it names the directory that voted. Only the first line counts.

use serde::Deserialize;

use super::VoterKey;
use crate::types::{BrokerId, LeaderEpoch, Uuid};

/// What a voter must remember.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ElectionState {
    /// The epoch.
    pub epoch: LeaderEpoch,
    /// Who leads in it, if that is known.
    pub leader: Option<BrokerId>,
    /// Whom this voter voted for in it, if anybody. The directory is zero where it is not known.
    pub voted: Option<VoterKey>,
}

/// Why a `quorum-state` file cannot be read. The node must not start: to forget a vote is to vote twice.
#[derive(Debug, thiserror::Error)]
pub enum QuorumStateError {
    /// It is empty.
    #[error("the file is empty")]
    Empty,
    /// It is not the JSON that it should be.
    #[error("the file is not of Kafka's format: {0}")]
    Syntax(#[from] serde_json::Error),
    /// It was written by something newer.
    #[error("data_version {0} is not known: 0 and 1 are")]
    Version(i16),
    /// A field has a value that cannot be.
    #[error("{field} cannot be {value}")]
    Value {
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    leader_id: i32,
    leader_epoch: i32,
    voted_id: i32,
    voted_directory_id: Option<String>,
    #[serde(rename = "data_version")]
    data_version: i16,
}

impl ElectionState {
    /// Reads the file's content.
    pub fn parse(text: &str) -> Result<Self, QuorumStateError> {
        let line =
            text.lines().next().filter(|line| !line.trim().is_empty()).ok_or(QuorumStateError::Empty)?;
        let line: Line = serde_json::from_str(line)?;
        if !(0..=1).contains(&line.data_version) {
            return Err(QuorumStateError::Version(line.data_version));
        }
        if line.leader_epoch < 0 {
            let value = line.leader_epoch.to_string();
            return Err(QuorumStateError::Value { field: "leaderEpoch", value });
        }
        let node = |field: &'static str, id: i32| match id {
            -1 => Ok(None),
            id if id >= 0 => Ok(Some(BrokerId(id))),
            id => Err(QuorumStateError::Value { field, value: id.to_string() }),
        };
        let directory = match line.voted_directory_id {
            None if line.data_version == 0 => Uuid::ZERO,
            text => {
                let text = text.unwrap_or_default();
                let parsed = Uuid::parse(&text);
                parsed.ok_or(QuorumStateError::Value { field: "votedDirectoryId", value: text })?
            }
        };
        Ok(Self {
            epoch: LeaderEpoch(line.leader_epoch),
            leader: node("leaderId", line.leader_id)?,
            voted: node("votedId", line.voted_id)?.map(|id| VoterKey { id, directory }),
        })
    }
}

impl std::fmt::Display for ElectionState {
    /// The file's content.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let nobody = VoterKey { id: BrokerId::NONE, directory: Uuid::ZERO };
        let voted = self.voted.unwrap_or(nobody);
        let leader = self.leader.unwrap_or(BrokerId::NONE);
        write!(
            f,
            "{{\"leaderId\":{leader},\"leaderEpoch\":{},\"votedId\":{},\"votedDirectoryId\":\"{}\",\
             \"data_version\":1}}",
            self.epoch, voted.id, voted.directory
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_kafkas() {
        let text = "{\"leaderId\":-1,\"leaderEpoch\":2,\"votedId\":1,\
            \"votedDirectoryId\":\"J8aAPcfLQt2bqs1JT_rMgQ\",\"data_version\":1}";
        let state = ElectionState::parse(text).expect("it is of the format");
        let directory = Uuid::parse("J8aAPcfLQt2bqs1JT_rMgQ").expect("it is an id");
        let voted = Some(VoterKey { id: BrokerId(1), directory });
        assert_eq!(state, ElectionState { epoch: LeaderEpoch(2), leader: None, voted });
        assert_eq!(state.to_string(), text);
        assert_eq!(ElectionState::parse(&format!("{text}\n")).expect("a line may end"), state);
    }

    #[test]
    fn version_0_is_read() {
        let text = "{\"clusterId\":\"\",\"leaderId\":1,\"leaderEpoch\":2,\"votedId\":-1,\"appliedOffset\":0,\
            \"currentVoters\":[{\"voterId\":1}],\"data_version\":0}";
        let state = ElectionState::parse(text).expect("it is of the format");
        assert_eq!(state, ElectionState { epoch: LeaderEpoch(2), leader: Some(BrokerId(1)), voted: None });
        let nobody = "{\"leaderId\":1,\"leaderEpoch\":2,\"votedId\":-1,\
            \"votedDirectoryId\":\"AAAAAAAAAAAAAAAAAAAAAA\",\"data_version\":1}";
        assert_eq!(state.to_string(), nobody);
        assert_eq!(ElectionState::parse(nobody).expect("it is of the format"), state);
    }

    #[test]
    fn what_is_not_of_the_format_is_refused() {
        let line = |leader: i32, epoch: i32, voted: i32, directory: &str, version: i16| {
            format!(
                "{{\"leaderId\":{leader},\"leaderEpoch\":{epoch},\"votedId\":{voted},{directory}\
                 \"data_version\":{version}}}"
            )
        };
        let directory = "\"votedDirectoryId\":\"AAAAAAAAAAAAAAAAAAAAAA\",";
        assert!(ElectionState::parse(&line(1, 1, 1, directory, 1)).is_ok());
        for (text, expected) in [
            (String::new(), "empty"),
            ("\n{}".to_owned(), "empty"),
            ("{}".to_owned(), "missing field"),
            ("[1]".to_owned(), "not of Kafka's format"),
            (line(1, 1, 1, directory, 2), "data_version 2"),
            (line(1, -1, 1, directory, 1), "leaderEpoch cannot be -1"),
            (line(-2, 1, 1, directory, 1), "leaderId cannot be -2"),
            (line(1, 1, -2, directory, 1), "votedId cannot be -2"),
            (line(1, 1, 1, "", 1), "votedDirectoryId cannot be"),
            (line(1, 1, 1, "\"votedDirectoryId\":\"x\",", 0), "votedDirectoryId cannot be x"),
        ] {
            let error = ElectionState::parse(&text).expect_err("it is refused").to_string();
            assert!(error.contains(expected), "{error:?} does not say {expected:?}");
        }
    }
}
