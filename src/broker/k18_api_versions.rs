//! ApiVersions (key 18), versions 0 to 4: what this broker serves. The first request of every connection.
//!
//! - A version that we do not know is answered in version 0 with UNSUPPORTED_VERSION and the range of this
//!   API alone, so that the client asks again in a version that we have (KIP-511).
//! - From version 3 on the client says what software it is; a name or version that is not plain letters,
//!   digits, dots and hyphens is INVALID_REQUEST.
//! - Listed are the APIs that [`serves`] names, each with the versions of Kafka 4.3, Produce from 0 on
//!   (KAFKA-18659). What librdkafka concludes from JoinGroup version 0 comes with group management.
//! - `kraft.version` is listed with the other features. Its level is that of the quorum's own records.
//! - Before version 4, a supported feature whose lowest level is 0 is left out: older clients cannot read it
//!   (KAFKA-17011).
//!
//! No authorization: whoever can connect may ask, as in Kafka.

use super::admission::throttle_time_ms;
use super::{Audience, Broker, decode, malformed, respond};
use crate::controller::Image;
use crate::controller::features::{KRAFT_VERSION, all_supported};
use crate::controller::image::FeatureRange;
use crate::env::Env;
use crate::error_code::ErrorCode;
use crate::node::context::RequestContext;
use crate::node::service::{IncomingRequest, Reply};
use crate::wire::ApiKey;
use crate::wire::messages::api_versions::*;

/// The first version that can tell of features whose lowest level is 0.
const SINCE_FEATURES_FROM_ZERO: i16 = 4;

pub(super) fn reply<E: Env>(broker: &Broker<E>, request: &IncomingRequest) -> Reply {
    let context = &request.context;
    if !ApiKey::ApiVersions.versions().contains(context.api_version) {
        let context = RequestContext { api_version: 0, ..context.clone() };
        return Reply::Now(respond::<ApiVersionsRequest>(&context, &unsupported()));
    }
    let decoded: ApiVersionsRequest = match decode(context, &request.body) {
        Ok(decoded) => decoded,
        Err(error) => return Reply::Now(malformed(context, &error)),
    };
    let response = if is_valid(&decoded, context.api_version) {
        let published = broker.metadata.current();
        let response = served(
            broker.audience(context),
            context.api_version,
            &published.image,
            broker.raft.kraft_version(),
        );
        ApiVersionsResponse { throttle_time_ms: throttle_time_ms(context), ..response }
    } else {
        let error_code = ErrorCode::InvalidRequest.code();
        let throttle_time_ms = throttle_time_ms(context);
        ApiVersionsResponse { error_code, throttle_time_ms, ..ApiVersionsResponse::default() }
    };
    Reply::Now(respond::<ApiVersionsRequest>(context, &response))
}

fn unsupported() -> ApiVersionsResponse {
    ApiVersionsResponse {
        error_code: ErrorCode::UnsupportedVersion.code(),
        api_keys: vec![versions(ApiKey::ApiVersions)],
        ..ApiVersionsResponse::default()
    }
}

fn served(audience: Audience, version: i16, image: &Image, kraft_version: i16) -> ApiVersionsResponse {
    let told = |range: FeatureRange| version >= SINCE_FEATURES_FROM_ZERO || range.min != 0;
    let supported = all_supported().filter(|(_, range)| told(*range));
    // A feature that is not listed is at level 0.
    let kraft = (kraft_version > 0).then_some((KRAFT_VERSION, kraft_version));
    ApiVersionsResponse {
        error_code: ErrorCode::None.code(),
        api_keys: ApiKey::ALL.iter().copied().filter(|&key| audience.is_served(key)).map(versions).collect(),
        supported_features: supported
            .map(|(name, range)| SupportedFeatureKey {
                name: name.to_owned(),
                min_version: range.min,
                max_version: range.max,
            })
            .collect(),
        finalized_features_epoch: image.offset().0,
        finalized_features: image
            .features()
            .chain(kraft)
            .map(|(name, level)| FinalizedFeatureKey {
                name: name.to_owned(),
                max_version_level: level,
                min_version_level: level,
            })
            .collect(),
        ..ApiVersionsResponse::default()
    }
}

fn versions(key: ApiKey) -> ApiVersion {
    let range = key.advertised();
    ApiVersion { api_key: key.code(), min_version: range.min, max_version: range.max }
}

fn is_valid(request: &ApiVersionsRequest, version: i16) -> bool {
    let says_who = version >= 3;
    !says_who || is_plain(&request.client_software_name) && is_plain(&request.client_software_version)
}

/// Letters and digits, with dots and hyphens between them.
fn is_plain(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-';
    let ends = [text.bytes().next(), text.bytes().last()];
    text.bytes().all(inner) && ends.iter().all(|end| end.is_some_and(|byte| byte.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::test_cluster::TestCluster;
    use crate::wire::metadata::FeatureLevelRecord;

    #[test]
    fn what_is_served_is_listed_by_key() {
        let response = served(Audience::Clients, 4, &Image::empty(), 0);
        let keys: Vec<i16> = response.api_keys.iter().map(|api| api.api_key).collect();
        assert_eq!(
            keys,
            [0, 1, 2, 3, 18, 19, 20, 21, 22, 23, 32, 35, 37, 43, 44, 45, 46, 55, 57, 60, 64, 75, 80, 81]
        );
        let produce = &response.api_keys[0];
        assert_eq!((produce.min_version, produce.max_version), (0, 13));
        let unknown = ApiVersionsResponse::default().finalized_features_epoch;
        assert_eq!(response.finalized_features_epoch, unknown, "before the first record it is not sent");
    }

    #[test]
    fn features_carry_their_levels_and_the_offset_that_says_so() {
        let level = FeatureLevelRecord { name: "metadata.version".to_owned(), feature_level: 30 };
        let image = TestCluster::new().broker(1).with(level).image();
        let response = served(Audience::Clients, 4, &image, 1);
        assert_eq!(response.finalized_features_epoch, 1);
        let levels = |response: ApiVersionsResponse| {
            let level = |it: FinalizedFeatureKey| (it.name, it.min_version_level, it.max_version_level);
            response.finalized_features.into_iter().map(level).collect::<Vec<_>>()
        };
        let metadata = ("metadata.version".to_owned(), 30, 30);
        assert_eq!(levels(response), [metadata.clone(), ("kraft.version".to_owned(), 1, 1)]);
        assert_eq!(levels(served(Audience::Clients, 4, &image, 0)), [metadata]);
    }

    #[test]
    fn kafka_17011_features_from_zero_are_kept_from_older_clients() {
        let names = |version| {
            let features = served(Audience::Clients, version, &Image::empty(), 0).supported_features;
            features.into_iter().map(|feature| feature.name).collect::<Vec<_>>()
        };
        assert_eq!(names(3), ["metadata.version"]);
        assert_eq!(names(4), ["eligible.leader.replicas.version", "metadata.version", "kraft.version"]);
    }

    #[test]
    fn kip_511_an_unknown_version_is_told_which_to_use() {
        let response = unsupported();
        assert_eq!(response.error_code, 35);
        let [only] = response.api_keys.as_slice() else { panic!("{response:?}") };
        assert_eq!((only.api_key, only.min_version, only.max_version), (18, 0, 4));
    }

    #[test]
    fn kip_511_client_software_has_a_plain_name() {
        for (name, fits) in [
            ("apache-kafka-java", true),
            ("a", true),
            ("4.3.0", true),
            ("", false),
            ("-a", false),
            ("a.", false),
            ("a b", false),
            ("librdkafka_1", false),
            ("é", false),
        ] {
            let named = |name: &str, version: &str| ApiVersionsRequest {
                client_software_name: name.to_owned(),
                client_software_version: version.to_owned(),
            };
            assert_eq!(is_valid(&named(name, "1"), 3), fits, "{name:?}");
            assert_eq!(is_valid(&named("n", name), 4), fits, "{name:?}");
            assert!(is_valid(&named(name, name), 2), "earlier versions do not say");
        }
    }
}
