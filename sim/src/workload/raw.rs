//! Requests as they are, to a broker of one's choice: for whoever does what the crate's clients do not.

use std::time::Duration;

use ottla::client::connection::Connection;
use ottla::env::{Clock as _, Env as _};
use ottla::wire::Request;

use super::{BROKER_PORT, client_config};
use crate::engine::NodeId;
use crate::env::SimEnv;
use crate::run::Stage;

const PATIENCE: Duration = Duration::from_secs(5);

/// A connection to one broker.
pub(super) struct Line {
    env: SimEnv,
    connection: Connection<SimEnv>,
}

impl Line {
    /// `None` if the broker cannot be reached.
    pub(super) async fn open(stage: &Stage, env: &SimEnv, broker: NodeId) -> Option<Self> {
        let config = client_config(stage, env);
        let connection = Connection::open(env, &broker.to_string(), BROKER_PORT, &config).await.ok()?;
        Some(Self { env: env.clone(), connection })
    }

    /// Asks in a version up to `cap`; `None` if there is no answer.
    pub(super) async fn ask<R>(&self, request: &R, cap: i16) -> Option<R::Response>
    where
        R: Request<Response: Send>,
    {
        let deadline = self.env.clock().now() + PATIENCE;
        let call = self.connection.start(request, cap, deadline).ok()?;
        self.env.clock().timeout_at(deadline, call.wait()).await?.ok()
    }
}
