//! What a new metadata log begins with, the registration of controllers, and blocks of producer ids.

use super::features::{ELR_LEVEL, ELR_VERSION, METADATA_LEVEL, METADATA_VERSION};
use super::{Controller, Decision, Refusal};
use crate::error_code::ErrorCode;
use crate::types::{BrokerEpoch, BrokerId, ProducerId};
use crate::wire::messages::controller_registration::*;
use crate::wire::metadata::*;

/// How many producer ids a broker is given at a time, as in Kafka.
pub const PRODUCER_ID_BLOCK: i64 = 1000;

/// Producer ids that belong to one broker: `first` and the `count - 1` that follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerIdBlock {
    /// The first one.
    pub first: ProducerId,
    /// How many there are.
    pub count: i64,
}

impl Controller {
    /// What a controller writes when it becomes active: nothing, as a rule; the end of a transaction that its
    /// predecessor left open; and in a new log the finalized features and the cluster-wide defaults, so that
    /// these no longer depend on which node's `server.properties` is asked. `bootstrap` is what formatting has
    /// written down for that, if it has.
    pub fn activate(&self, bootstrap: Option<&[MetadataRecord]>) -> Decision<()> {
        let mut records = Vec::new();
        if self.metadata.open_transaction().is_some() {
            let reason = Some("Controller failover".to_owned());
            records.push(AbortTransactionRecord { reason }.into());
        }
        if self.metadata.published().feature(METADATA_VERSION) == 0 {
            match bootstrap {
                Some(bootstrap) => records.extend_from_slice(bootstrap),
                None => {
                    for (name, feature_level) in
                        [(METADATA_VERSION, METADATA_LEVEL), (ELR_VERSION, ELR_LEVEL)]
                    {
                        records.push(FeatureLevelRecord { name: name.to_owned(), feature_level }.into());
                    }
                }
            }
            records.push(self.cluster_min_isr().into());
        }
        Decision::atomic(records, ())
    }

    /// Registers a controller (KIP-919): which features it supports, and where it listens. Nothing is written if
    /// that is known.
    pub fn register_controller(&self, request: &ControllerRegistrationRequest) -> Decision<()> {
        let endpoint = |listener: &Listener| ControllerEndpoint {
            name: listener.name.clone(),
            host: listener.host.clone(),
            port: listener.port,
            security_protocol: listener.security_protocol,
        };
        let feature = |feature: &Feature| ControllerFeature {
            name: feature.name.clone(),
            min_supported_version: feature.min_supported_version,
            max_supported_version: feature.max_supported_version,
        };
        let record = MetadataRecord::from(RegisterControllerRecord {
            controller_id: request.controller_id,
            incarnation_id: request.incarnation_id,
            zk_migration_ready: false,
            end_points: request.listeners.iter().map(endpoint).collect(),
            features: request.features.iter().map(feature).collect(),
        });
        let mut after = self.image().clone();
        after.apply(&record).expect("a registration can be applied");
        let known = after.controllers == self.image().controllers;
        Decision::atomic(if known { Vec::new() } else { vec![record] }, ())
    }

    /// Gives a broker a block of producer ids that nobody ever had.
    pub fn allocate_producer_ids(
        &self,
        id: BrokerId,
        epoch: BrokerEpoch,
    ) -> Decision<Result<ProducerIdBlock, Refusal>> {
        if let Err(refusal) = self.check_broker_epoch(id, epoch) {
            return Decision::answer(Err(refusal));
        }
        let first = self.image().next_producer_id();
        let Some(next) = first.0.checked_add(PRODUCER_ID_BLOCK) else {
            let message = "All producer ids have been given away";
            return Decision::answer(Err(Refusal::new(ErrorCode::UnknownServerError, message)));
        };
        let record = ProducerIdsRecord { broker_id: id.0, broker_epoch: epoch.0, next_producer_id: next };
        Decision::atomic(vec![record.into()], Ok(ProducerIdBlock { first, count: PRODUCER_ID_BLOCK }))
    }
}
