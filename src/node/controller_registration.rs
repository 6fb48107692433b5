//! Makes this node's controller known in the metadata: where it listens, and which features it supports (KIP-919).
//!
//! Whenever the metadata has another run of it, or none, the active controller is told. So everybody who asks a
//! controller finds the others, and no feature is turned on that one of them does not support.

use std::time::Duration;

use super::controller_channel::ControllerChannel;
use super::metadata::{Metadata, Published};
use crate::client::futures::race;
use crate::controller::features::METADATA_VERSION;
use crate::env::{Clock, Env};
use crate::error_code::ErrorCode;
use crate::wire::messages::controller_registration::ControllerRegistrationRequest;

/// The pause before the active controller is told once more.
const RETRY_BACKOFF: Duration = Duration::from_millis(500);

/// How long an answer may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The task that tells.
pub(super) struct RegistersController<E: Env> {
    pub(super) env: E,
    pub(super) channel: ControllerChannel<E>,
    pub(super) metadata: Metadata<E>,
    pub(super) request: ControllerRegistrationRequest,
}

impl<E: Env> RegistersController<E> {
    /// Works for as long as it is kept.
    pub(super) async fn run(self) {
        loop {
            let published = self.metadata.current();
            let news = self.metadata.reached(published.end + 1);
            if self.is_known(&published) {
                news.await;
                continue;
            }
            self.tell().await;
            let pause = self.env.clock().sleep_until(self.env.clock().now() + RETRY_BACKOFF);
            let _ = race(news, pause).await;
        }
    }

    /// Whether there is nothing to tell: also before the log has begun.
    fn is_known(&self, published: &Published<E>) -> bool {
        let ControllerRegistrationRequest { controller_id, incarnation_id, .. } = self.request;
        let known = published.image.controllers().find(|known| known.id.0 == controller_id);
        published.image.feature(METADATA_VERSION) == 0
            || known.is_some_and(|known| known.incarnation == incarnation_id)
    }

    async fn tell(&self) {
        let deadline = self.env.clock().now() + REQUEST_TIMEOUT;
        let answer = self.channel.ask(&self.request, deadline, |response| {
            let code = ErrorCode::from_code(response.error_code).unwrap_or(ErrorCode::UnknownServerError);
            (code != ErrorCode::NotController).then_some(code)
        });
        match answer.await {
            Ok(ErrorCode::None) => {}
            Ok(code) => tracing::info!(%code, "the active controller does not register this one"),
            Err(error) => tracing::info!(%error, "this controller is not registered yet"),
        }
    }
}
