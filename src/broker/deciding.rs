//! Asking the controller: like its own refusals, that it cannot be asked is a code and a message.

use std::time::Duration;

use super::Broker;
use crate::controller::{Decision, Refusal};
use crate::env::{Clock, Env};
use crate::error_code::ErrorCode;
use crate::node::context::RequestContext;
use crate::node::metadata::NotDecided;
use crate::node::raft::Desk;

impl<E: Env> Broker<E> {
    /// Has the controller decide; returns once the decision is committed and published here: a client that hears
    /// of its new topic finds it here.
    ///
    /// # Errors
    ///
    /// NOT_CONTROLLER, which clients retry, if this node is not the active controller, or stops being it. Whether
    /// the decision took effect is then unknown. POLICY_VIOLATION if it is too large to be committed at once.
    pub(super) async fn decide<R: Send + 'static>(
        &self,
        decide: impl FnOnce(&mut Desk<'_>) -> Decision<R> + Send + 'static,
    ) -> Result<R, Refusal> {
        let (response, end) = self.metadata.decide(decide).await.map_err(undecided)?;
        self.metadata.reached(end).await;
        Ok(response)
    }

    /// The same, for other nodes: what they need to know reaches them by the log, and they do not wait until this
    /// node has opened the replicas that somebody else has asked for.
    ///
    /// # Errors
    ///
    /// As [`Self::decide`].
    pub(super) async fn decide_for_node<R: Send + 'static>(
        &self,
        decide: impl FnOnce(&mut Desk<'_>) -> Decision<R> + Send + 'static,
    ) -> Result<R, Refusal> {
        self.metadata.decide(decide).await.map(|(response, _)| response).map_err(undecided)
    }

    /// The same, for no longer than the client waits.
    ///
    /// # Errors
    ///
    /// As [`Self::decide`]; REQUEST_TIMED_OUT once `timeout_ms` have passed since the request arrived. The
    /// decision may still take effect.
    pub(super) async fn decide_within<R: Send + 'static>(
        &self,
        context: &RequestContext,
        timeout_ms: i32,
        decide: impl FnOnce(&mut Desk<'_>) -> Decision<R> + Send + 'static,
    ) -> Result<R, Refusal> {
        let timeout = Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0));
        let decided = self.env.clock().timeout_at(context.deadline(timeout), self.decide(decide)).await;
        decided.unwrap_or_else(|| {
            let message = format!("The controller has not answered within {timeout_ms} ms.");
            Err(Refusal::new(ErrorCode::RequestTimedOut, message))
        })
    }
}

fn undecided(reason: NotDecided) -> Refusal {
    let code = match reason {
        NotDecided::Gone | NotDecided::NotController => ErrorCode::NotController,
        NotDecided::TooLarge => ErrorCode::PolicyViolation,
    };
    Refusal::new(code, reason.to_string())
}
