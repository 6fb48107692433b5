//! Which version of an API to speak with a broker: the highest that both know; pure.

use std::collections::BTreeMap;

use super::metadata::code;
use crate::error_code::ErrorCode;
use crate::wire::messages::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use crate::wire::{ApiKey, DecodeError, Message, Reader, Request, VersionRange};

/// What a broker says it can do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Versions {
    ranges: BTreeMap<i16, (i16, i16)>,
    features: BTreeMap<String, VersionRange>,
}

impl Versions {
    /// From a broker's answer.
    pub fn new(response: &ApiVersionsResponse) -> Self {
        let ranges = response.api_keys.iter().map(|api| (api.api_key, (api.min_version, api.max_version)));
        let features = response.supported_features.iter().map(|feature| {
            (feature.name.clone(), VersionRange { min: feature.min_version, max: feature.max_version })
        });
        Self { ranges: ranges.collect(), features: features.collect() }
    }

    /// The levels of a feature that the broker supports; `None` if it does not name it.
    pub fn feature(&self, name: &str) -> Option<VersionRange> {
        self.features.get(name).copied()
    }

    /// The version to send requests of type `R` in, at most `cap`.
    ///
    /// # Errors
    ///
    /// [`Unsupported`] if there is none.
    pub fn choose<R: Request>(&self, cap: i16) -> Result<i16, Unsupported> {
        let ours = VersionRange { min: R::VERSIONS.min, max: R::VERSIONS.max.min(cap) };
        let unsupported = |theirs| Unsupported { api: R::KEY, ours, theirs };
        let &(min, max) = self.ranges.get(&R::KEY.code()).ok_or_else(|| unsupported(None))?;
        let theirs = VersionRange { min, max };
        let version = ours.max.min(max);
        if version < ours.min || version < min {
            return Err(unsupported(Some(theirs)));
        }
        Ok(version)
    }
}

/// A broker cannot do what it would be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the broker does not support {api} as this client speaks it (versions {ours}); {}",
    .theirs.map_or("it does not offer it at all".to_owned(), |theirs| format!("it offers {theirs}"))
)]
pub struct Unsupported {
    /// The API.
    pub api: ApiKey,
    /// What we could send.
    pub ours: VersionRange,
    /// What the broker takes.
    pub theirs: Option<VersionRange>,
}

/// What an answer to ApiVersions means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handshake {
    /// The broker told its versions.
    Done(Versions),
    /// It does not know the version asked in: ask again in this one.
    Again(i16),
    /// It refuses.
    Refused(ErrorCode),
}

/// Reads the answer (without its header) to an ApiVersions request of `version`.
///
/// A broker that does not know the version answers in version 0, with an error and at least its range for
/// ApiVersions itself (KIP-511); brokers older than that say nothing of it, and know version 0.
///
/// # Errors
///
/// If the bytes are malformed.
pub fn read_handshake(body: &mut Reader<'_>, version: i16) -> Result<Handshake, DecodeError> {
    const ERROR_BYTES: usize = 2;
    let mut ahead = body.clone();
    let error = code(i16::from_be_bytes(ahead.take(ERROR_BYTES)?.try_into().expect("two bytes were taken")));
    if error == ErrorCode::UnsupportedVersion && version > 0 {
        let response = ApiVersionsResponse::decode(body, 0)?;
        let range = response.api_keys.iter().find(|api| api.api_key == ApiKey::ApiVersions.code());
        let highest = range.map_or(0, |range| range.max_version);
        return Ok(Handshake::Again(highest.clamp(0, version - 1)));
    }
    let response = ApiVersionsResponse::decode(body, version)?;
    if !error.is_none() {
        return Ok(Handshake::Refused(error));
    }
    Ok(Handshake::Done(Versions::new(&response)))
}

/// The first request of every connection.
pub fn handshake_request() -> ApiVersionsRequest {
    ApiVersionsRequest {
        client_software_name: "ottla".to_owned(),
        client_software_version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::wire::Writer;
    use crate::wire::messages::api_versions::ApiVersion;
    use crate::wire::messages::produce::ProduceRequest;

    fn offering(min_version: i16, max_version: i16) -> ApiVersionsResponse {
        let produce = ApiVersion { api_key: 0, min_version, max_version };
        ApiVersionsResponse { api_keys: vec![produce], ..Default::default() }
    }

    #[test]
    fn the_highest_common_version_is_chosen() {
        assert_eq!(Versions::new(&offering(0, 9)).choose::<ProduceRequest>(i16::MAX), Ok(9));
        assert_eq!(Versions::new(&offering(0, 99)).choose::<ProduceRequest>(i16::MAX), Ok(13));
        assert_eq!(Versions::new(&offering(0, 99)).choose::<ProduceRequest>(12), Ok(12), "the cap holds");
    }

    #[test]
    fn what_a_broker_lacks_is_named() {
        let old = Versions::new(&offering(0, 2)).choose::<ProduceRequest>(i16::MAX).unwrap_err();
        let new = Versions::new(&offering(14, 15)).choose::<ProduceRequest>(i16::MAX).unwrap_err();
        let none = Versions::default().choose::<ProduceRequest>(i16::MAX).unwrap_err();
        insta::assert_snapshot!(format!("{old}\n{new}\n{none}"), @r"
        the broker does not support Produce as this client speaks it (versions 3-13); it offers 0-2
        the broker does not support Produce as this client speaks it (versions 3-13); it offers 14-15
        the broker does not support Produce as this client speaks it (versions 3-13); it does not offer it at all
        ");
    }

    #[test]
    fn a_broker_that_does_not_know_the_version_is_asked_again() {
        let encode = |response: &ApiVersionsResponse, version| {
            let mut writer = Writer::new();
            response.encode(&mut writer, version).unwrap();
            writer.into_bytes()
        };
        let read = |bytes: &Bytes, version| read_handshake(&mut Reader::new(bytes), version);
        let itself = ApiVersion { api_key: 18, min_version: 0, max_version: 3 };
        let telling = ApiVersionsResponse { error_code: 35, api_keys: vec![itself], ..Default::default() };
        assert_eq!(read(&encode(&telling, 0), 4), Ok(Handshake::Again(3)));
        let silent = ApiVersionsResponse { error_code: 35, ..Default::default() };
        assert_eq!(read(&encode(&silent, 0), 4), Ok(Handshake::Again(0)));
        assert_eq!(read(&encode(&silent, 0), 0), Ok(Handshake::Refused(ErrorCode::UnsupportedVersion)));
        let good = offering(0, 13);
        assert_eq!(read(&encode(&good, 4), 4), Ok(Handshake::Done(Versions::new(&good))));
        assert!(read(&Bytes::from_static(&[0]), 4).is_err());
    }
}
