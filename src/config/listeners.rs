//! Addresses in configuration: listeners (`NAME://host:port`), voters (`id@host:port`) and servers
//! (`host:port`).

use std::collections::BTreeMap;
use std::fmt;

use crate::types::{BrokerId, Uuid};

/// A listener: where to listen, or what to advertise for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Its name, in upper case.
    pub name: String,
    /// The host; empty means every interface.
    pub host: String,
    /// The port; 0 lets the system choose.
    pub port: u16,
    /// How its traffic is protected.
    pub protocol: SecurityProtocol,
}

impl Listener {
    /// Whether it listens on every interface, which is no address that others could dial.
    pub fn is_on_every_interface(&self) -> bool {
        matches!(self.host.as_str(), "" | "0.0.0.0" | "::")
    }
}

/// How a listener's traffic is protected; the numbers are Kafka's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i16)]
pub enum SecurityProtocol {
    /// Not at all.
    Plaintext = 0,
    /// By TLS.
    Ssl = 1,
    /// By authentication alone.
    SaslPlaintext = 2,
    /// By TLS and authentication.
    SaslSsl = 3,
}

impl SecurityProtocol {
    /// Kafka's names.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "PLAINTEXT" => Some(Self::Plaintext),
            "SSL" => Some(Self::Ssl),
            "SASL_PLAINTEXT" => Some(Self::SaslPlaintext),
            "SASL_SSL" => Some(Self::SaslSsl),
            _ => None,
        }
    }
}

/// The security protocol of each listener name.
pub type ProtocolMap = BTreeMap<String, SecurityProtocol>;

/// A voter of a static quorum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Voter {
    /// The id of the node.
    pub id: BrokerId,
    /// Where its controller listens.
    pub address: HostPort,
}

/// A voter that a dynamic quorum begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitialVoter {
    /// The id of the node.
    pub id: BrokerId,
    /// Where its controller is reached.
    pub address: HostPort,
    /// The id of its metadata directory.
    pub directory: Uuid,
}

impl fmt::Display for InitialVoter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}:{}", self.id, self.address, self.directory)
    }
}

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// A name, or an address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// An address that is not of its form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// A listener is not `NAME://host:port`.
    #[error("{0} is not of the form NAME://host:port")]
    Listener(String),
    /// A listener's name has no security protocol.
    #[error(
        "listener {0} has no security protocol in listener.security.protocol.map: add {0}:PLAINTEXT to it"
    )]
    NoProtocol(String),
    /// An entry of the map is not `NAME:PROTOCOL`.
    #[error("{0} is not of the form NAME:PROTOCOL, with PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL")]
    Protocol(String),
    /// A voter is not `id@host:port`.
    #[error("{0} is not of the form id@host:port")]
    Voter(String),
    /// An initial voter is not `id@host:port:directory-id`.
    #[error(
        "{0} is not of the form id@host:port:directory-id, the last as `ottla storage random-uuid` prints it"
    )]
    InitialVoter(String),
    /// A server is not `host:port`.
    #[error("{0} is not of the form host:port")]
    Server(String),
}

/// Reads `NAME:PROTOCOL, ...`.
pub fn parse_protocol_map(text: &str) -> Result<ProtocolMap, AddressError> {
    let mut map = ProtocolMap::new();
    for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        let refused = || AddressError::Protocol(entry.to_owned());
        let (name, protocol) = entry.split_once(':').ok_or_else(refused)?;
        let protocol = SecurityProtocol::from_name(protocol.trim()).ok_or_else(refused)?;
        if name.trim().is_empty() {
            return Err(refused());
        }
        map.insert(name.trim().to_uppercase(), protocol);
    }
    Ok(map)
}

/// Reads one `NAME://host:port`.
pub fn parse_listener(text: &str, protocols: &ProtocolMap) -> Result<Listener, AddressError> {
    let refused = || AddressError::Listener(text.to_owned());
    let (name, address) = text.split_once("://").ok_or_else(refused)?;
    let HostPort { host, port } = host_port(address).ok_or_else(refused)?;
    if name.is_empty() {
        return Err(refused());
    }
    let name = name.to_uppercase();
    let protocol = *protocols.get(&name).ok_or_else(|| AddressError::NoProtocol(name.clone()))?;
    Ok(Listener { name, host, port, protocol })
}

/// Reads one `id@host:port`.
pub fn parse_voter(text: &str) -> Result<Voter, AddressError> {
    let refused = || AddressError::Voter(text.to_owned());
    let (id, address) = text.split_once('@').ok_or_else(refused)?;
    let id = id.parse().ok().filter(|id| *id >= 0).ok_or_else(refused)?;
    let address = host_port(address).filter(|address| !address.host.is_empty()).ok_or_else(refused)?;
    Ok(Voter { id: BrokerId(id), address })
}

/// Reads one `id@host:port:directory-id`.
pub fn parse_initial_voter(text: &str) -> Result<InitialVoter, AddressError> {
    let parsed = text.trim().rsplit_once(':').and_then(|(voter, directory)| {
        let Voter { id, address } = parse_voter(voter).ok()?;
        let directory = Uuid::parse(directory).filter(|id| !id.is_reserved())?;
        Some(InitialVoter { id, address, directory })
    });
    parsed.ok_or_else(|| AddressError::InitialVoter(text.to_owned()))
}

/// Reads one `host:port`.
pub fn parse_server(text: &str) -> Result<HostPort, AddressError> {
    let address = host_port(text).filter(|address| !address.host.is_empty());
    address.ok_or_else(|| AddressError::Server(text.to_owned()))
}

/// `host:port` or `[address]:port`; the host may be empty.
fn host_port(text: &str) -> Option<HostPort> {
    let (host, port) = text.rsplit_once(':')?;
    let host = match host.strip_prefix('[') {
        Some(bracketed) => bracketed.strip_suffix(']')?,
        // An address with colons needs its brackets, or the port would be ambiguous.
        None if host.contains(':') => return None,
        None => host,
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-%._:".contains(&byte);
    if !host.bytes().all(plain) || !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(HostPort { host: host.to_owned(), port: port.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn protocols() -> ProtocolMap {
        parse_protocol_map("PLAINTEXT:PLAINTEXT, inner:SSL").expect("it is of the form")
    }

    #[test]
    fn listeners_have_a_name_a_host_and_a_port() {
        for (text, name, host, port) in [
            ("PLAINTEXT://:9092", "PLAINTEXT", "", 9092),
            ("plaintext://localhost:0", "PLAINTEXT", "localhost", 0),
            ("INNER://[::1]:65535", "INNER", "::1", 65535),
        ] {
            let listener = parse_listener(text, &protocols()).expect("it is of the form");
            assert_eq!((listener.name.as_str(), listener.host.as_str(), listener.port), (name, host, port));
        }
        for text in [
            "localhost:9092",
            "://h:1",
            "PLAINTEXT://h",
            "PLAINTEXT://h:",
            "PLAINTEXT://h:65536",
            "PLAINTEXT://h:+1",
            "PLAINTEXT://::1:9092",
            "PLAINTEXT://[::1:9092",
            "PLAINTEXT://a b:1",
        ] {
            assert_eq!(parse_listener(text, &protocols()), Err(AddressError::Listener(text.to_owned())));
        }
        let unknown = parse_listener("OTHER://h:1", &protocols());
        assert_eq!(unknown, Err(AddressError::NoProtocol("OTHER".to_owned())));
    }

    #[test]
    fn voters_servers_and_maps_are_checked() {
        let voter = parse_voter("3@host:9093").expect("it is of the form");
        assert_eq!((voter.id, voter.address.to_string()), (BrokerId(3), "host:9093".to_owned()));
        assert_eq!(parse_server("[::1]:1").expect("it is of the form").to_string(), "[::1]:1");
        for text in ["host:1", "-1@host:1", "x@host:1", "1@host", "1@:1"] {
            assert!(parse_voter(text).is_err(), "{text}");
        }
        for text in ["1@[::1]:9093:JEXY6aqzQY-32P5TStzaFg", " 1@h:9093:JEXY6aqzQY-32P5TStzaFg"] {
            assert_eq!(parse_initial_voter(text).expect("it is of the form").to_string(), text.trim());
        }
        for text in ["1@h:9093", "1@h:JEXY6aqzQY-32P5TStzaFg", "1@h:1:AAAAAAAAAAAAAAAAAAAAAA", "h:1:x", ""] {
            assert!(parse_initial_voter(text).is_err(), "{text}");
        }
        for text in ["host", ":1", "host:"] {
            assert!(parse_server(text).is_err(), "{text}");
        }
        for text in ["A", "A:TLS", ":SSL"] {
            assert!(parse_protocol_map(text).is_err(), "{text}");
        }
    }
}
