//! Newtypes for every number that can be mixed up, and their only conversions.
//!
//! A partition has four positions (DESIGN, rule 3), each a type of its own: [`LogEnd`] is *appended*,
//! [`CountedEnd`] is *counted* (durable where the topic syncs before it counts, else appended),
//! [`HighWatermark`] is *committed*, [`LogStart`] is where the log begins. All are ends: the offset of the
//! first record that is *not* covered, so that an empty log has all of them equal.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// The position of a record in a partition; also, as an end, of the first record not covered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Offset(pub i64);

impl Offset {
    /// The first offset of a partition that never dropped a record.
    pub const ZERO: Self = Self(0);

    /// The offset after this one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl Add<i64> for Offset {
    type Output = Self;
    fn add(self, count: i64) -> Self {
        Self(self.0 + count)
    }
}

impl Sub for Offset {
    type Output = i64;
    fn sub(self, earlier: Self) -> i64 {
        self.0 - earlier.0
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! position {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub Offset);

        impl $name {
            /// The bare offset, for comparison with a position of another kind.
            pub fn offset(self) -> Offset {
                self.0
            }
        }

        impl From<Offset> for $name {
            fn from(offset: Offset) -> Self {
                Self(offset)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

position! {
    /// The first offset that can be read; raised by retention and DeleteRecords.
    LogStart
}
position! {
    /// The end of what was appended: visible to reads of the log itself, not yet promised to anyone.
    LogEnd
}
position! {
    /// The end of what counts toward an acknowledgement: durable where the topic syncs, else appended.
    CountedEnd
}
position! {
    /// The end of what is committed and shown to consumers.
    HighWatermark
}
position! {
    /// The last stable offset: the end of what a read_committed consumer sees.
    LastStable
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident: $repr:ty, none = $none:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $repr);

        impl $name {
            /// Kafka's value for "there is none".
            pub const NONE: Self = Self($none);
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// Raised whenever a partition changes leaders; stamped into every batch (R1).
    LeaderEpoch: i32, none = -1
}
number! {
    /// Raised at every change of a partition's registration (R2).
    PartitionEpoch: i32, none = -1
}
number! {
    /// A node of the cluster, as broker or as controller.
    BrokerId: i32, none = -1
}
impl BrokerId {
    /// In whose name Kafka's tools look into replicas, leading or not.
    pub const DEBUGGING: Self = Self(-2);
}
number! {
    /// One registration of a broker: the offset of its RegisterBrokerRecord.
    BrokerEpoch: i64, none = -1
}
number! {
    /// An idempotent or transactional producer.
    ProducerId: i64, none = -1
}
number! {
    /// One incarnation of a producer id.
    ProducerEpoch: i16, none = -1
}

/// A 128-bit id as Kafka writes it: topic ids, directory ids, incarnation ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Uuid(pub u128);

impl Uuid {
    /// Kafka's ZERO_UUID: "no id".
    pub const ZERO: Self = Self(0);
    /// The id of the metadata topic, which Kafka reserves.
    pub const METADATA_TOPIC: Self = Self(1);

    /// Kafka's reserved ids, which no topic or directory may have.
    pub fn is_reserved(self) -> bool {
        self.0 < 100
    }

    /// A random id (RFC 4122, version 4) from 128 random bits; never reserved, never starting with `-`,
    /// which tools would take for an option.
    pub fn from_random(mut next: impl FnMut() -> u128) -> Self {
        loop {
            let bits = next() & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
            let id = Self(bits);
            if !id.is_reserved() && !id.to_string().starts_with('-') {
                return id;
            }
        }
    }

    /// Reads Kafka's text form: 22 characters of URL-safe base64 without padding.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.as_bytes();
        if text.len() != 22 {
            return None;
        }
        let mut bits: u128 = 0;
        for (index, &character) in text.iter().enumerate() {
            let value = BASE64.iter().position(|&known| known == character)? as u128;
            if index < 21 {
                bits = bits << 6 | value;
            } else {
                // 21 characters carry 126 bits; the last one carries two, its low four bits must be zero.
                if value & 0xf != 0 {
                    return None;
                }
                bits = bits << 2 | value >> 4;
            }
        }
        Some(Self(bits))
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0u8; 22];
        for (index, slot) in text.iter_mut().enumerate() {
            let six = if index < 21 { (self.0 >> (122 - 6 * index)) & 0x3f } else { (self.0 & 0x3) << 4 };
            *slot = BASE64[six as usize];
        }
        f.write_str(std::str::from_utf8(&text).expect("base64 is ASCII"))
    }
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A partition by the id of its topic: the key of everything inside a node (names resolve at the edge).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionKey {
    /// The topic's id.
    pub topic_id: Uuid,
    /// The partition's index within the topic.
    pub index: i32,
}

impl fmt::Display for PartitionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic_id, self.index)
    }
}

/// Monotonic time: nanoseconds since an origin of the node's own. Never compared between nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Mono(pub u64);

impl Mono {
    /// The time elapsed since `earlier`, zero if that lies ahead.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Mono {
    type Output = Self;
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// Wall-clock time: milliseconds since the Unix epoch, as Kafka's timestamps. May step either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct WallMs(pub i64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuid_text_is_kafkas() {
        // Facts from Kafka: ZERO_UUID and METADATA_TOPIC_ID print like this.
        assert_eq!(Uuid::ZERO.to_string(), "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(Uuid::METADATA_TOPIC.to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
        for bits in [0, 1, u128::MAX, 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef] {
            assert_eq!(Uuid::parse(&Uuid(bits).to_string()), Some(Uuid(bits)));
        }
    }

    #[test]
    fn uuid_text_of_the_wrong_shape_is_refused() {
        assert_eq!(Uuid::parse(""), None);
        assert_eq!(Uuid::parse("AAAAAAAAAAAAAAAAAAAAA!"), None);
        assert_eq!(Uuid::parse("AAAAAAAAAAAAAAAAAAAAAB"), None, "the last character carries only two bits");
    }

    #[test]
    fn random_ids_are_version_four_and_never_look_like_an_option() {
        let mut state = 7u128;
        for _ in 0..1000 {
            let id = Uuid::from_random(|| {
                state = state.wrapping_mul(0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645).wrapping_add(1);
                state
            });
            assert_eq!(id.0 >> 76 & 0xf, 4);
            assert!(!id.to_string().starts_with('-'));
        }
    }
}
