//! What all requests about the quorum have in common: they are of this cluster, and of its only metadata
//! partition; the answers say who leads.

use crate::env::Env;
use crate::error_code::ErrorCode;
use crate::node::context::{Operation, RequestContext, Resource};
use crate::node::raft::{Answered, TOPIC};
use crate::quorum::{Known, Request};

use super::Broker;

/// That a request is of this cluster, and may be made.
pub(super) fn check<E: Env>(
    broker: &Broker<E>,
    context: &RequestContext,
    cluster_id: Option<&str>,
) -> Result<(), ErrorCode> {
    if !context.authorize(Operation::ClusterAction, Resource::Cluster) {
        return Err(ErrorCode::ClusterAuthorizationFailed);
    }
    match cluster_id {
        Some(id) if id != broker.cluster_id => Err(ErrorCode::InconsistentClusterId),
        _ => Ok(()),
    }
}

/// Whether a topic is the one whose only partition is the metadata log.
pub(super) fn is_metadata(topic: &str, partition: i32) -> bool {
    topic == TOPIC && partition == 0
}

/// Asks the quorum.
pub(super) async fn ask<E: Env>(broker: &Broker<E>, request: Request) -> Result<Answered, ErrorCode> {
    // While the node stops it is no longer the one to ask.
    broker.raft.ask(request).await.ok_or(ErrorCode::NotLeaderOrFollower)
}

/// Leader id and epoch as they stand in answers.
pub(super) fn leader(known: &Known) -> (i32, i32) {
    (known.leader.as_ref().map_or(-1, |leader| leader.id.0), known.epoch.0)
}

/// `NodeEndpoints` with the leader, if it is known where that listens.
macro_rules! node_endpoints {
    ($known:expr, $message:ident) => {
        $known
            .leader
            .iter()
            .filter_map(|leader| {
                let address = leader.address.as_ref()?;
                #[allow(clippy::needless_update, reason = "that of Fetch has a rack, too")]
                Some($message::NodeEndpoint {
                    node_id: leader.id.0,
                    host: address.host.clone(),
                    port: address.port.into(),
                    ..$message::NodeEndpoint::default()
                })
            })
            .collect()
    };
}

pub(super) use node_endpoints;
