//! The levels of features (KIP-584, KIP-778).
//!
//! A level is finalized if this controller, every registered broker and every voter of the quorum supports it.
//! All updates of a request are carried out, or none.
//!
//! # Eligible leader replicas (KIP-966)
//!
//! While they are kept `min.insync.replicas` must be the same to everybody: turning them on writes the
//! cluster's value down and removes those of single brokers. Turning them off leaves no partition without an
//! ISR that has an ELR: that becomes its ISR, for each of its members has every acknowledged record.
//!
//! `kraft.version` belongs to the quorum, and its level stands among the quorum's own records. It is what the
//! directories were formatted with: Kafka can raise it later, this version cannot; neither can lower it.

use std::collections::BTreeMap;

use super::draft::Draft;
pub use super::image::{ELR_VERSION, METADATA_VERSION};
use super::image::{FeatureRange, ResourceType};
use super::{Controller, Decision, Refusal};
use crate::config::Layers;
use crate::config::broker_keys::effective;
use crate::error_code::ErrorCode;
use crate::types::BrokerId;
use crate::wire::messages::update_features::*;
use crate::wire::metadata::*;

/// The level at which a cluster is formatted: 4.3-IV0.
pub const METADATA_LEVEL: i16 = 30;
/// The level of eligible leader replicas at which a cluster is formatted.
pub const ELR_LEVEL: i16 = 1;
/// The features and levels that this version supports, as a broker and as a controller.
pub const SUPPORTED_FEATURES: &[(&str, FeatureRange)] = &[
    (ELR_VERSION, FeatureRange { min: 0, max: ELR_LEVEL }),
    (METADATA_VERSION, FeatureRange { min: METADATA_LEVEL, max: METADATA_LEVEL }),
];

/// The feature that the quorum keeps itself, and the levels that this version supports: at 0 the voters are fixed, at 1
/// they can change (KIP-853).
pub const KRAFT_VERSION: &str = "kraft.version";
/// See [`KRAFT_VERSION`].
pub const KRAFT_LEVELS: FeatureRange = FeatureRange { min: 0, max: 1 };

/// All features and levels that this version supports, that of the quorum included.
pub fn all_supported() -> impl Iterator<Item = (&'static str, FeatureRange)> {
    SUPPORTED_FEATURES.iter().copied().chain([(KRAFT_VERSION, KRAFT_LEVELS)])
}

const UPGRADE: i8 = 1;
const SAFE_DOWNGRADE: i8 = 2;
const UNSAFE_DOWNGRADE: i8 = 3;

/// Up to this version a response has one result per feature.
const LAST_WITH_RESULTS: i16 = 1;

/// What counts of the quorum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumFeatures {
    /// Its voters.
    pub voters: Vec<BrokerId>,
    /// Its level of [`KRAFT_VERSION`].
    pub kraft_version: i16,
}

impl Controller {
    /// Changes the levels of features. `version` is that of the request.
    pub fn update_features(
        &self,
        request: &UpdateFeaturesRequest,
        version: i16,
        quorum: &QuorumFeatures,
    ) -> Decision<UpdateFeaturesResponse> {
        // Of several updates of one feature the last one counts.
        let updates: BTreeMap<&str, &FeatureUpdateKey> =
            request.feature_updates.iter().map(|update| (update.feature.as_str(), update)).collect();
        let mut draft = Draft::new(self);
        for update in updates.values() {
            if let Err(refusal) = draft.set_level(update, self, quorum) {
                return Decision::answer(failed(&refusal));
            }
        }
        let result = |update: &FeatureUpdateKey| UpdatableFeatureResult {
            feature: update.feature.clone(),
            error_code: ErrorCode::None.code(),
            error_message: None,
        };
        let results = request.feature_updates.iter().filter(|_| version <= LAST_WITH_RESULTS).map(result);
        let response = UpdateFeaturesResponse {
            error_message: None,
            results: results.collect(),
            ..UpdateFeaturesResponse::default()
        };
        if request.validate_only { Decision::answer(response) } else { draft.atomic(response) }
    }

    fn check_level(&self, name: &str, level: i16, voters: &[BrokerId]) -> Result<(), String> {
        const DISABLED: FeatureRange = FeatureRange { min: 0, max: 0 };
        let check = |who: String, range: Option<FeatureRange>| {
            let FeatureRange { min, max } = range.unwrap_or(DISABLED);
            match (min..=max).contains(&level) {
                true => Ok(()),
                false if max == 0 => Err(format!("{who} does not support this feature.")),
                false => Err(format!("{who} only supports versions {min}-{max}")),
            }
        };
        let own = self.settings.node_id;
        let supported = all_supported().find(|(known, _)| *known == name);
        check(format!("Local controller {own}"), supported.map(|(_, range)| range))?;
        for broker in self.image().brokers() {
            check(format!("Broker {}", broker.id), broker.features.get(name).copied())?;
        }
        for controller in self.image().controllers().filter(|controller| controller.id != own) {
            check(format!("Controller {}", controller.id), controller.features.get(name).copied())?;
        }
        let registered = |id: BrokerId| id == own || self.image().controllers().any(|it| it.id == id);
        match voters.iter().copied().find(|&id| !registered(id)) {
            Some(id) => Err(format!("controller {id} has not registered, and may not support this feature")),
            None => Ok(()),
        }
    }
}

impl Draft<'_> {
    fn set_level(
        &mut self,
        update: &FeatureUpdateKey,
        controller: &Controller,
        quorum: &QuorumFeatures,
    ) -> Result<(), Refusal> {
        let (name, level) = (update.feature.as_str(), update.max_version_level);
        let refuse = |why: &str| {
            let message = format!("Invalid update version {level} for feature {name}. {why}");
            Err(Refusal::new(ErrorCode::InvalidUpdateVersion, message))
        };
        // Version 0 says it with a flag.
        let kind = if update.allow_downgrade { SAFE_DOWNGRADE } else { update.upgrade_type };
        if !(UPGRADE..=UNSAFE_DOWNGRADE).contains(&kind) {
            return refuse("The controller does not support the given upgrade type.");
        }
        if level < 0 {
            return refuse("A feature version cannot be less than 0.");
        }
        if let Err(reason) = controller.check_level(name, level, &quorum.voters) {
            return refuse(&reason);
        }
        let is_quorums = name == KRAFT_VERSION;
        let current = if is_quorums { quorum.kraft_version } else { self.image().feature(name) };
        if level < current && kind == UPGRADE {
            return refuse(
                "Can't downgrade the version of this feature without setting the upgrade type to either \
                 safe or unsafe downgrade.",
            );
        }
        if level > current && kind != UPGRADE {
            return refuse("Can't downgrade to a newer version.");
        }
        if is_quorums && level < current {
            return refuse("Can't downgrade the version of this feature.");
        }
        if is_quorums && level > current {
            return refuse(
                "It is chosen when the directories are formatted, and cannot be raised by this version.",
            );
        }
        if level != current {
            if name == ELR_VERSION {
                self.prepare_elrs(level, controller);
            }
            self.push(FeatureLevelRecord { name: name.to_owned(), feature_level: level });
        }
        Ok(())
    }

    fn prepare_elrs(&mut self, level: i16, controller: &Controller) {
        if level > 0 {
            self.pin_min_isr(controller);
            return;
        }
        for key in self.partitions(|_, it| !it.elr.is_empty() || !it.last_known_elr.is_empty()) {
            let partition = self.image().partition(key.topic_id, key.index).expect("it was just found");
            let ids = || partition.elr.iter().map(|id| id.0).collect::<Vec<_>>();
            let record = PartitionChangeRecord {
                topic_id: key.topic_id,
                partition_id: key.index,
                isr: (partition.isr.is_empty() && !partition.elr.is_empty()).then(ids),
                eligible_leader_replicas: Some(Vec::new()),
                last_known_elr: Some(Vec::new()),
                ..PartitionChangeRecord::default()
            };
            self.push(record);
        }
    }

    /// Writes down the `min.insync.replicas` of the cluster, and removes those of single brokers.
    fn pin_min_isr(&mut self, controller: &Controller) {
        if !self.image().config(ResourceType::Broker, "").contains_key(MIN_ISR) {
            self.push(controller.cluster_min_isr());
        }
        let of_brokers = self.image().configs.iter().filter(|((kind, name), texts)| {
            *kind == ResourceType::Broker && !name.is_empty() && texts.contains_key(MIN_ISR)
        });
        let removals: Vec<ConfigRecord> =
            of_brokers.map(|((_, name), _)| min_isr_record(name.clone(), None)).collect();
        removals.into_iter().for_each(|removal| self.push(removal));
    }
}

/// The config that says how many replicas must be in sync.
pub(super) const MIN_ISR: &str = "min.insync.replicas";

impl Controller {
    /// The record that writes down this server's `min.insync.replicas` as the cluster's.
    pub(super) fn cluster_min_isr(&self) -> ConfigRecord {
        let minimum = effective(MIN_ISR, Layers::only_server(&self.settings.texts))
            .expect("the server's configuration was checked")
            .expect("it has a default");
        min_isr_record(String::new(), Some(minimum.to_string()))
    }
}

fn min_isr_record(resource_name: String, value: Option<String>) -> ConfigRecord {
    let resource_type = ResourceType::Broker as i8;
    ConfigRecord { resource_type, resource_name, name: MIN_ISR.to_owned(), value }
}

fn failed(refusal: &Refusal) -> UpdateFeaturesResponse {
    let message = format!(
        "The update failed for all features since the following feature had an error: {}",
        refusal.message
    );
    UpdateFeaturesResponse {
        error_code: refusal.code.code(),
        error_message: Some(message),
        ..UpdateFeaturesResponse::default()
    }
}
