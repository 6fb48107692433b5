//! The APIs of Kafka 4.3: keys, names, versions.
//!
//! The table is the one place that says which versions exist. A message is declared with the same range; a
//! test holds the two together. Keys 4 to 7 belonged to ZooKeeper's time and are gone.

use super::declare::NEVER;
use std::fmt;

/// An inclusive range of versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VersionRange {
    /// The lowest version.
    pub min: i16,
    /// The highest version.
    pub max: i16,
}

impl VersionRange {
    /// Whether `version` lies within.
    #[inline]
    pub fn contains(self, version: i16) -> bool {
        self.min <= version && version <= self.max
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.min, self.max)
    }
}

macro_rules! apis {
    ($($name:ident = $key:literal, $min:literal - $max:literal, flexible $flexible:tt;)*) => {
        /// One of Kafka's APIs, under the name that Kafka's documentation gives it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(i16)]
        pub enum ApiKey {
            $($name = $key,)*
        }

        impl ApiKey {
            /// All APIs, by key.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The API with this key.
            pub fn from_code(key: i16) -> Option<Self> {
                match key {
                    $($key => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// Kafka's name of the API.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// The versions in which Kafka 4.3 serves the API.
            pub fn versions(self) -> VersionRange {
                match self {
                    $(Self::$name => VersionRange { min: $min, max: $max },)*
                }
            }

            /// The first version with compact lengths and tagged fields.
            fn flexible_since(self) -> i16 {
                match self {
                    $(Self::$name => $flexible,)*
                }
            }
        }
    };
}

apis! {
    Produce = 0, 3-13, flexible 9;
    Fetch = 1, 4-18, flexible 12;
    ListOffsets = 2, 1-11, flexible 6;
    Metadata = 3, 0-13, flexible 9;
    OffsetCommit = 8, 2-10, flexible 8;
    OffsetFetch = 9, 1-10, flexible 6;
    FindCoordinator = 10, 0-6, flexible 3;
    JoinGroup = 11, 0-9, flexible 6;
    Heartbeat = 12, 0-4, flexible 4;
    LeaveGroup = 13, 0-5, flexible 4;
    SyncGroup = 14, 0-5, flexible 4;
    DescribeGroups = 15, 0-6, flexible 5;
    ListGroups = 16, 0-5, flexible 3;
    SaslHandshake = 17, 0-1, flexible NEVER;
    ApiVersions = 18, 0-4, flexible 3;
    CreateTopics = 19, 2-7, flexible 5;
    DeleteTopics = 20, 1-6, flexible 4;
    DeleteRecords = 21, 0-2, flexible 2;
    InitProducerId = 22, 0-5, flexible 2;
    OffsetForLeaderEpoch = 23, 2-4, flexible 4;
    AddPartitionsToTxn = 24, 0-5, flexible 3;
    AddOffsetsToTxn = 25, 0-4, flexible 3;
    EndTxn = 26, 0-5, flexible 3;
    WriteTxnMarkers = 27, 1-2, flexible 1;
    TxnOffsetCommit = 28, 0-5, flexible 3;
    DescribeAcls = 29, 1-3, flexible 2;
    CreateAcls = 30, 1-3, flexible 2;
    DeleteAcls = 31, 1-3, flexible 2;
    DescribeConfigs = 32, 1-4, flexible 4;
    AlterConfigs = 33, 0-2, flexible 2;
    AlterReplicaLogDirs = 34, 1-2, flexible 2;
    DescribeLogDirs = 35, 1-5, flexible 2;
    SaslAuthenticate = 36, 0-2, flexible 2;
    CreatePartitions = 37, 0-3, flexible 2;
    CreateDelegationToken = 38, 1-3, flexible 2;
    RenewDelegationToken = 39, 1-2, flexible 2;
    ExpireDelegationToken = 40, 1-2, flexible 2;
    DescribeDelegationToken = 41, 1-3, flexible 2;
    DeleteGroups = 42, 0-2, flexible 2;
    ElectLeaders = 43, 0-2, flexible 2;
    IncrementalAlterConfigs = 44, 0-1, flexible 1;
    AlterPartitionReassignments = 45, 0-1, flexible 0;
    ListPartitionReassignments = 46, 0-0, flexible 0;
    OffsetDelete = 47, 0-0, flexible NEVER;
    DescribeClientQuotas = 48, 0-1, flexible 1;
    AlterClientQuotas = 49, 0-1, flexible 1;
    DescribeUserScramCredentials = 50, 0-0, flexible 0;
    AlterUserScramCredentials = 51, 0-0, flexible 0;
    Vote = 52, 0-2, flexible 0;
    BeginQuorumEpoch = 53, 0-1, flexible 1;
    EndQuorumEpoch = 54, 0-1, flexible 1;
    DescribeQuorum = 55, 0-2, flexible 0;
    AlterPartition = 56, 2-3, flexible 0;
    UpdateFeatures = 57, 0-2, flexible 0;
    Envelope = 58, 0-0, flexible 0;
    FetchSnapshot = 59, 0-1, flexible 0;
    DescribeCluster = 60, 0-2, flexible 0;
    DescribeProducers = 61, 0-0, flexible 0;
    BrokerRegistration = 62, 0-4, flexible 0;
    BrokerHeartbeat = 63, 0-2, flexible 0;
    UnregisterBroker = 64, 0-0, flexible 0;
    DescribeTransactions = 65, 0-0, flexible 0;
    ListTransactions = 66, 0-2, flexible 0;
    AllocateProducerIds = 67, 0-0, flexible 0;
    ConsumerGroupHeartbeat = 68, 0-1, flexible 0;
    ConsumerGroupDescribe = 69, 0-1, flexible 0;
    ControllerRegistration = 70, 0-0, flexible 0;
    GetTelemetrySubscriptions = 71, 0-0, flexible 0;
    PushTelemetry = 72, 0-0, flexible 0;
    AssignReplicasToDirs = 73, 0-0, flexible 0;
    ListConfigResources = 74, 0-1, flexible 0;
    DescribeTopicPartitions = 75, 0-0, flexible 0;
    ShareGroupHeartbeat = 76, 1-1, flexible 0;
    ShareGroupDescribe = 77, 1-1, flexible 0;
    ShareFetch = 78, 1-2, flexible 0;
    ShareAcknowledge = 79, 1-2, flexible 0;
    AddRaftVoter = 80, 0-1, flexible 0;
    RemoveRaftVoter = 81, 0-0, flexible 0;
    UpdateRaftVoter = 82, 0-0, flexible 0;
    InitializeShareGroupState = 83, 0-0, flexible 0;
    ReadShareGroupState = 84, 0-0, flexible 0;
    WriteShareGroupState = 85, 0-1, flexible 0;
    DeleteShareGroupState = 86, 0-0, flexible 0;
    ReadShareGroupStateSummary = 87, 0-1, flexible 0;
    StreamsGroupHeartbeat = 88, 0-0, flexible 0;
    StreamsGroupDescribe = 89, 0-0, flexible 0;
    DescribeShareGroupOffsets = 90, 0-1, flexible 0;
    AlterShareGroupOffsets = 91, 0-0, flexible 0;
    DeleteShareGroupOffsets = 92, 0-0, flexible 0;
}

impl ApiKey {
    /// The key's number.
    pub fn code(self) -> i16 {
        self as i16
    }

    /// The versions that ApiVersions lists.
    ///
    /// librdkafka concludes from Produce's lowest version what else the broker can do, so that it is listed
    /// from 0 although nothing below 3 is served (KAFKA-18659).
    pub fn advertised(self) -> VersionRange {
        match self {
            Self::Produce => VersionRange { min: 0, ..self.versions() },
            _ => self.versions(),
        }
    }

    /// Whether requests of this version have compact lengths and tagged fields, in header and body.
    pub fn request_is_flexible(self, version: i16) -> bool {
        version >= self.flexible_since()
    }

    /// Whether the header of a response of this version has tagged fields.
    ///
    /// That of ApiVersions never does: its client does not know yet which versions the broker understands,
    /// and an answer to an unknown version comes in version 0.
    pub fn response_header_is_flexible(self, version: i16) -> bool {
        self != Self::ApiVersions && self.request_is_flexible(version)
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_codes_agree() {
        for key in ApiKey::ALL {
            assert_eq!(ApiKey::from_code(key.code()), Some(*key));
        }
        for gone in [-1, 4, 5, 6, 7, 93, i16::MAX] {
            assert_eq!(ApiKey::from_code(gone), None);
        }
    }

    #[test]
    fn produce_is_advertised_from_zero_and_served_from_three() {
        assert_eq!(ApiKey::Produce.advertised(), VersionRange { min: 0, max: 13 });
        assert_eq!(ApiKey::Produce.versions(), VersionRange { min: 3, max: 13 });
        assert_eq!(ApiKey::Fetch.advertised(), ApiKey::Fetch.versions());
    }

    #[test]
    fn the_response_header_of_api_versions_is_never_flexible() {
        assert!(ApiKey::ApiVersions.request_is_flexible(3));
        assert!(!ApiKey::ApiVersions.response_header_is_flexible(4));
        assert!(ApiKey::Fetch.response_header_is_flexible(12));
        assert!(!ApiKey::Fetch.response_header_is_flexible(11));
        assert!(!ApiKey::SaslHandshake.request_is_flexible(1));
    }
}
