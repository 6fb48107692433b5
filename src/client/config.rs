//! The clients' options: Kafka's names, Kafka's defaults.
//!
//! Fields carry Kafka's option name in snake case, with the unit in the type. [`ProducerConfig::set`] and
//! [`ConsumerConfig::set`] take an option by its Kafka name, as a command line or a properties file has it.

use std::time::Duration;

use super::backoff::Backoff;
use crate::wire::compression::Compression;

/// The most unresolved batches of a partition that an idempotent producer may have: a broker remembers
/// that many for recognising a repetition.
pub const IDEMPOTENT_IN_FLIGHT_MAX: usize = 5;

/// What all clients need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientConfig {
    /// Where to begin: `host:port`, several for safety.
    pub bootstrap_servers: Vec<String>,
    /// The name by which brokers know the client.
    pub client_id: String,
    /// How long one request may take.
    pub request_timeout: Duration,
    /// How long an operation may take, all its attempts together.
    pub default_api_timeout: Duration,
    /// The first pause before a request is tried again.
    pub retry_backoff: Duration,
    /// The longest such pause.
    pub retry_backoff_max: Duration,
    /// The first pause before a broker is dialled again.
    pub reconnect_backoff: Duration,
    /// The longest such pause.
    pub reconnect_backoff_max: Duration,
    /// How long dialling may take.
    pub socket_connection_setup_timeout: Duration,
    /// When metadata are asked for again though nothing calls for it.
    pub metadata_max_age: Duration,
    /// The largest answer accepted, in bytes: a length beyond it is taken for garbage.
    pub receive_message_max_bytes: usize,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            bootstrap_servers: vec!["127.0.0.1:9092".to_owned()],
            client_id: "ottla".to_owned(),
            request_timeout: Duration::from_secs(30),
            default_api_timeout: Duration::from_secs(60),
            retry_backoff: Duration::from_millis(100),
            retry_backoff_max: Duration::from_secs(1),
            reconnect_backoff: Duration::from_millis(50),
            reconnect_backoff_max: Duration::from_secs(1),
            socket_connection_setup_timeout: Duration::from_secs(10),
            metadata_max_age: Duration::from_secs(300),
            receive_message_max_bytes: 256 << 20,
        }
    }
}

impl ClientConfig {
    /// The pauses between attempts of a request.
    pub fn retry(&self) -> Backoff {
        Backoff { initial: self.retry_backoff, max: self.retry_backoff_max }
    }

    /// The pauses between attempts to reach a broker.
    pub fn reconnect(&self) -> Backoff {
        Backoff { initial: self.reconnect_backoff, max: self.reconnect_backoff_max }
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), ConfigError> {
        match name {
            "bootstrap.servers" => {
                self.bootstrap_servers = value.split(',').map(|server| server.trim().to_owned()).collect();
            }
            "client.id" => value.clone_into(&mut self.client_id),
            "request.timeout.ms" => self.request_timeout = millis(name, value)?,
            "default.api.timeout.ms" => self.default_api_timeout = millis(name, value)?,
            "retry.backoff.ms" => self.retry_backoff = millis(name, value)?,
            "retry.backoff.max.ms" => self.retry_backoff_max = millis(name, value)?,
            "reconnect.backoff.ms" => self.reconnect_backoff = millis(name, value)?,
            "reconnect.backoff.max.ms" => self.reconnect_backoff_max = millis(name, value)?,
            "socket.connection.setup.timeout.ms" => {
                self.socket_connection_setup_timeout = millis(name, value)?;
            }
            "metadata.max.age.ms" => self.metadata_max_age = millis(name, value)?,
            _ => return Err(ConfigError::UnknownOption(name.to_owned())),
        }
        Ok(())
    }
}

/// Who must have a record before it is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Acks {
    /// Nobody: sent is acknowledged, and nothing is promised.
    None,
    /// The leader.
    Leader,
    /// Every in-sync replica.
    All,
}

impl Acks {
    /// The number on the wire.
    pub fn code(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Leader => 1,
            Self::All => -1,
        }
    }

    /// Reads Kafka's spelling.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "0" => Some(Self::None),
            "1" => Some(Self::Leader),
            "all" | "-1" => Some(Self::All),
            _ => None,
        }
    }
}

/// The producer's options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerConfig {
    /// What all clients need.
    pub client: ClientConfig,
    /// Who must have a record before it is acknowledged.
    pub acks: Acks,
    /// Whether brokers shall recognise repetitions. `None`: where `acks` and
    /// `max.in.flight.requests.per.connection` allow it, as in Kafka.
    pub enable_idempotence: Option<bool>,
    /// The size that a batch grows to, in bytes before compression.
    pub batch_size: usize,
    /// How long a batch waits for more records.
    pub linger: Duration,
    /// The largest request, and the largest record, in bytes before compression.
    pub max_request_size: usize,
    /// Requests to one broker without an answer yet.
    pub max_in_flight_requests_per_connection: usize,
    /// Bytes of records that may wait; then sending waits.
    pub buffer_memory: usize,
    /// How long a record may wait for its topic to be known.
    pub max_block: Duration,
    /// From sending a record to its outcome, at most.
    pub delivery_timeout: Duration,
    /// Attempts after the first.
    pub retries: u32,
    /// How batches are compressed.
    pub compression_type: Compression,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            client: ClientConfig::default(),
            acks: Acks::All,
            enable_idempotence: None,
            batch_size: 16_384,
            linger: Duration::from_millis(5),
            max_request_size: 1 << 20,
            max_in_flight_requests_per_connection: 5,
            buffer_memory: 32 << 20,
            max_block: Duration::from_secs(60),
            delivery_timeout: Duration::from_secs(120),
            retries: u32::MAX,
            compression_type: Compression::None,
        }
    }
}

impl ProducerConfig {
    /// Sets an option by its Kafka name.
    ///
    /// # Errors
    ///
    /// [`ConfigError::UnknownOption`] and [`ConfigError::InvalidValue`].
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), ConfigError> {
        match name {
            "acks" => self.acks = Acks::parse(value).ok_or_else(|| invalid(name, value, "0, 1 or all"))?,
            "enable.idempotence" => self.enable_idempotence = Some(boolean(name, value)?),
            "batch.size" => self.batch_size = number(name, value)?,
            "linger.ms" => self.linger = millis(name, value)?,
            "max.request.size" => self.max_request_size = number(name, value)?,
            "max.in.flight.requests.per.connection" => {
                self.max_in_flight_requests_per_connection = number(name, value)?;
            }
            "buffer.memory" => self.buffer_memory = number(name, value)?,
            "max.block.ms" => self.max_block = millis(name, value)?,
            "delivery.timeout.ms" => self.delivery_timeout = millis(name, value)?,
            "retries" => self.retries = number(name, value)?,
            "compression.type" => {
                let codec = Compression::ALL.into_iter().find(|codec| codec.name() == value);
                self.compression_type =
                    codec.ok_or_else(|| invalid(name, value, "none, gzip, snappy, lz4 or zstd"))?;
            }
            _ => return self.client.set(name, value),
        }
        Ok(())
    }

    /// Whether the producer is idempotent, with these options together.
    pub fn is_idempotent(&self) -> bool {
        self.enable_idempotence.unwrap_or_else(|| self.allows_idempotence())
    }

    /// Checks the options against each other.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Conflict`], naming the options.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let conflict = |text: &str| Err(ConfigError::Conflict(text.to_owned()));
        if self.enable_idempotence == Some(true) && !self.allows_idempotence() {
            return conflict(
                "enable.idempotence needs acks=all, retries of at least 1 and \
                 max.in.flight.requests.per.connection of at most 5",
            );
        }
        if self.max_in_flight_requests_per_connection == 0 {
            return conflict("max.in.flight.requests.per.connection must be at least 1");
        }
        if self.batch_size == 0 || self.max_request_size == 0 || self.buffer_memory == 0 {
            return conflict("batch.size, max.request.size and buffer.memory must be at least 1");
        }
        if self.delivery_timeout < self.linger + self.client.request_timeout {
            return conflict("delivery.timeout.ms must be at least linger.ms + request.timeout.ms");
        }
        Ok(())
    }

    fn allows_idempotence(&self) -> bool {
        self.acks == Acks::All
            && self.retries > 0
            && self.max_in_flight_requests_per_connection <= IDEMPOTENT_IN_FLIGHT_MAX
    }
}

/// What a consumer does where it has no offset, or one that is no longer there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum OffsetReset {
    /// Begin with the oldest record.
    Earliest,
    /// Begin with the next new record.
    Latest,
    /// Say so.
    None,
}

/// Which records a consumer sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum IsolationLevel {
    /// All committed to the log.
    ReadUncommitted,
    /// Of transactions, only those that committed.
    ReadCommitted,
}

impl IsolationLevel {
    /// The number on the wire.
    pub fn code(self) -> i8 {
        match self {
            Self::ReadUncommitted => 0,
            Self::ReadCommitted => 1,
        }
    }
}

/// The consumer's options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerConfig {
    /// What all clients need.
    pub client: ClientConfig,
    /// What to do where the offset is out of range.
    pub auto_offset_reset: OffsetReset,
    /// Which records to see.
    pub isolation_level: IsolationLevel,
    /// Bytes that the broker waits for before it answers.
    pub fetch_min_bytes: i32,
    /// Bytes in one answer, more or less.
    pub fetch_max_bytes: i32,
    /// How long the broker waits for them.
    pub fetch_max_wait: Duration,
    /// Bytes of one partition in one answer, more or less.
    pub max_partition_fetch_bytes: i32,
    /// Records that one poll returns.
    pub max_poll_records: usize,
    /// Whether batches are checked for damage.
    pub check_crcs: bool,
    /// Whether asking for a topic may create it.
    pub allow_auto_create_topics: bool,
}

impl Default for ConsumerConfig {
    fn default() -> Self {
        Self {
            client: ClientConfig::default(),
            auto_offset_reset: OffsetReset::Latest,
            isolation_level: IsolationLevel::ReadUncommitted,
            fetch_min_bytes: 1,
            fetch_max_bytes: 50 << 20,
            fetch_max_wait: Duration::from_millis(500),
            max_partition_fetch_bytes: 1 << 20,
            max_poll_records: 500,
            check_crcs: true,
            allow_auto_create_topics: true,
        }
    }
}

impl ConsumerConfig {
    /// Sets an option by its Kafka name.
    ///
    /// # Errors
    ///
    /// [`ConfigError::UnknownOption`] and [`ConfigError::InvalidValue`].
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), ConfigError> {
        match name {
            "auto.offset.reset" => {
                self.auto_offset_reset = match value {
                    "earliest" => OffsetReset::Earliest,
                    "latest" => OffsetReset::Latest,
                    "none" => OffsetReset::None,
                    _ => return Err(invalid(name, value, "earliest, latest or none")),
                };
            }
            "isolation.level" => {
                self.isolation_level = match value {
                    "read_uncommitted" => IsolationLevel::ReadUncommitted,
                    "read_committed" => IsolationLevel::ReadCommitted,
                    _ => return Err(invalid(name, value, "read_uncommitted or read_committed")),
                };
            }
            "fetch.min.bytes" => self.fetch_min_bytes = number(name, value)?,
            "fetch.max.bytes" => self.fetch_max_bytes = number(name, value)?,
            "fetch.max.wait.ms" => self.fetch_max_wait = millis(name, value)?,
            "max.partition.fetch.bytes" => self.max_partition_fetch_bytes = number(name, value)?,
            "max.poll.records" => self.max_poll_records = number(name, value)?,
            "check.crcs" => self.check_crcs = boolean(name, value)?,
            "allow.auto.create.topics" => self.allow_auto_create_topics = boolean(name, value)?,
            _ => return self.client.set(name, value),
        }
        Ok(())
    }

    /// Checks the options against each other.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Conflict`], naming the options.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let conflict = |text: &str| Err(ConfigError::Conflict(text.to_owned()));
        if self.max_poll_records == 0 {
            return conflict("max.poll.records must be at least 1");
        }
        if self.fetch_min_bytes < 0 || self.fetch_max_bytes <= 0 || self.max_partition_fetch_bytes <= 0 {
            return conflict("fetch.max.bytes and max.partition.fetch.bytes must be at least 1");
        }
        if self.fetch_max_wait >= self.client.request_timeout {
            return conflict("fetch.max.wait.ms must be less than request.timeout.ms");
        }
        Ok(())
    }
}

/// Why options do not work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// There is no such option.
    #[error("unknown option {0}")]
    UnknownOption(String),
    /// The option cannot have this value.
    #[error("invalid value {value:?} for {name}: expected {expected}")]
    InvalidValue {
        /// The option.
        name: String,
        /// What was given.
        value: String,
        /// What would have been right.
        expected: &'static str,
    },
    /// Options contradict each other.
    #[error("{0}")]
    Conflict(String),
}

fn invalid(name: &str, value: &str, expected: &'static str) -> ConfigError {
    ConfigError::InvalidValue { name: name.to_owned(), value: value.to_owned(), expected }
}

fn millis(name: &str, value: &str) -> Result<Duration, ConfigError> {
    // Kafka's own limit for most of these; it also keeps sums of them from overflowing.
    let millis: u32 = value.parse().map_err(|_| invalid(name, value, "a number of milliseconds"))?;
    Ok(Duration::from_millis(u64::from(millis)))
}

fn number<N: std::str::FromStr>(name: &str, value: &str) -> Result<N, ConfigError> {
    value.parse().map_err(|_| invalid(name, value, "a number in range"))
}

fn boolean(name: &str, value: &str) -> Result<bool, ConfigError> {
    value.parse().map_err(|_| invalid(name, value, "true or false"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idempotence_is_on_unless_other_options_exclude_it() {
        let mut config = ProducerConfig::default();
        assert!(config.is_idempotent());
        config.set("acks", "1").unwrap();
        assert!(!config.is_idempotent(), "acks=1 alone turns it off quietly, as in Kafka");
        config.validate().unwrap();
        config.set("enable.idempotence", "true").unwrap();
        assert!(matches!(config.validate(), Err(ConfigError::Conflict(_))), "but not when it was asked for");
    }

    #[test]
    fn options_have_kafkas_names() {
        let mut config = ProducerConfig::default();
        config.set("linger.ms", "7").unwrap();
        config.set("compression.type", "zstd").unwrap();
        config.set("bootstrap.servers", "a:1, b:2").unwrap();
        assert_eq!(config.linger, Duration::from_millis(7));
        assert_eq!(config.compression_type, Compression::Zstd);
        assert_eq!(config.client.bootstrap_servers, ["a:1", "b:2"]);
        assert_eq!(config.set("linger", "7"), Err(ConfigError::UnknownOption("linger".to_owned())));
        assert!(matches!(config.set("linger.ms", "soon"), Err(ConfigError::InvalidValue { .. })));
        let mut config = ConsumerConfig::default();
        config.set("isolation.level", "read_committed").unwrap();
        assert_eq!(config.isolation_level, IsolationLevel::ReadCommitted);
    }

    #[test]
    fn a_delivery_cannot_be_shorter_than_one_request() {
        let mut config = ProducerConfig::default();
        config.set("delivery.timeout.ms", "1000").unwrap();
        assert!(matches!(config.validate(), Err(ConfigError::Conflict(_))));
    }
}
