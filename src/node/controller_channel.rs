//! Requests to the active controller, wherever it is.
//!
//! Each use has a channel of its own: a sign of life never waits behind a request that takes the controller long.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use super::raft::{Leader, Leadership};
use crate::client::config::ClientConfig;
use crate::client::connection::{CallError, Connection};
use crate::client::futures::{Either, race};
use crate::env::{Clock, Env};
use crate::quorum::Address;
use crate::types::{LeaderEpoch, Mono};
use crate::wire::Request;

/// The pause after a failure, unless somebody else leads by then.
const RETRY_BACKOFF: Duration = Duration::from_millis(50);

/// Why the one that was asked is not waited for.
const SUCCEEDED: &str = "it was the active controller, and is no longer";

/// A connection to the active controller. Clones share it.
pub(crate) struct ControllerChannel<E: Env> {
    env: E,
    leadership: Leadership,
    config: Arc<ClientConfig>,
    open: Arc<Mutex<Open<E>>>,
}

/// The connection that is open, and where to.
type Open<E> = Option<(Address, Arc<Connection<E>>)>;

/// Why the controller has not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ChannelError {
    /// The time was over. Whether the controller has acted on the request is not known.
    #[error("the active controller has not answered in time: {0}")]
    TimedOut(String),
    /// The controller does not know the API in a version that can say what is asked.
    #[error("{0}")]
    Unsupported(String),
}

impl<E: Env> ControllerChannel<E> {
    /// A channel; `purpose` is what the controller sees of it in client ids.
    pub(super) fn new(env: E, leadership: Leadership, purpose: &str, node: i32) -> Self {
        let client_id = format!("{purpose}-{node}");
        let config = Arc::new(ClientConfig { client_id, ..ClientConfig::default() });
        Self { env, leadership, config, open: Arc::default() }
    }

    /// The epoch of whoever is the active controller, as far as is known.
    pub(super) fn leader_epoch(&self) -> LeaderEpoch {
        self.leadership.current().epoch
    }

    /// Asks whoever is the active controller, until `accept` takes an answer (`None` from it: not the controller,
    /// ask again), or the time is over.
    pub(crate) async fn ask<R: Request<Response: Send>, T>(
        &self,
        request: &R,
        deadline: Mono,
        mut accept: impl FnMut(R::Response) -> Option<T>,
    ) -> Result<T, ChannelError> {
        let mut reason = "no controller is known to be active".to_owned();
        loop {
            let leader = self.leadership.current();
            if self.env.clock().now() >= deadline {
                return Err(ChannelError::TimedOut(reason));
            }
            if let Some(address) = leader.id.and(leader.address.clone()) {
                match self.ask_at(&leader, &address, request, deadline).await {
                    Ok(response) => match accept(response) {
                        Some(taken) => return Ok(taken),
                        None => reason = format!("{}:{} is not the controller", address.host, address.port),
                    },
                    Err(CallError::Unsupported(what)) => return Err(ChannelError::Unsupported(what)),
                    Err(error) => reason = error.to_string(),
                }
            }
            self.pause(&leader, deadline).await;
        }
    }

    /// Asks whoever is the active controller by then, and only once: of what is sent again, it would not be known
    /// which copy an answer is about.
    pub(crate) async fn ask_once<R: Request<Response: Send>>(
        &self,
        request: &R,
        deadline: Mono,
    ) -> Result<R::Response, ChannelError> {
        loop {
            let leader = self.leadership.current();
            if let Some(address) = leader.id.and(leader.address.clone()) {
                let outcome = self.ask_at(&leader, &address, request, deadline).await;
                return outcome.map_err(|error| match error {
                    CallError::Unsupported(what) => ChannelError::Unsupported(what),
                    error => ChannelError::TimedOut(error.to_string()),
                });
            }
            if self.env.clock().now() >= deadline {
                return Err(ChannelError::TimedOut("no controller is known to be active".to_owned()));
            }
            self.pause(&leader, deadline).await;
        }
    }

    /// Asks one controller, as long as it is the active one: of one that hangs, or cannot be reached any more, the
    /// others make an end sooner than `deadline` does.
    async fn ask_at<R: Request<Response: Send>>(
        &self,
        leader: &Leader,
        address: &Address,
        request: &R,
        deadline: Mono,
    ) -> Result<R::Response, CallError> {
        let connecting = self.connection(address, deadline);
        let connection = match race(connecting, self.leadership.changed(leader)).await {
            Either::First(connection) => connection?,
            Either::Second(_) => return Err(CallError::NotSent(SUCCEEDED.to_owned())),
        };
        let call = connection.start(request, i16::MAX, deadline)?;
        let answering = self.env.clock().timeout_at(deadline, call.wait());
        let outcome = match race(answering, self.leadership.changed(leader)).await {
            Either::First(Some(outcome)) => outcome,
            Either::First(None) => Err(CallError::Lost("no answer in time".to_owned())),
            Either::Second(_) => Err(CallError::Lost(SUCCEEDED.to_owned())),
        };
        if matches!(outcome, Err(CallError::Lost(_) | CallError::NotSent(_))) {
            self.hang_up(&connection).await;
        }
        outcome
    }

    async fn connection(&self, address: &Address, deadline: Mono) -> Result<Arc<Connection<E>>, CallError> {
        let mut open = self.open.lock().await;
        if let Some((to, connection)) = &*open
            && to == address
            && !connection.is_closed()
        {
            return Ok(Arc::clone(connection));
        }
        *open = None;
        let Address { host, port } = address;
        let opening = Connection::open(&self.env, host, *port, &self.config);
        let opened = self.env.clock().timeout_at(deadline, opening).await;
        let opened = opened.unwrap_or_else(|| Err(format!("{host}:{port} does not answer in time")));
        let connection = Arc::new(opened.map_err(CallError::NotSent)?);
        *open = Some((address.clone(), Arc::clone(&connection)));
        Ok(connection)
    }

    async fn hang_up(&self, connection: &Arc<Connection<E>>) {
        let mut open = self.open.lock().await;
        if open.as_ref().is_some_and(|(_, known)| Arc::ptr_eq(known, connection)) {
            *open = None;
        }
    }

    /// Waits a little, or until somebody else leads.
    async fn pause(&self, leader: &Leader, deadline: Mono) {
        let until = deadline.min(self.env.clock().now() + RETRY_BACKOFF);
        // Without a leader there is nothing to try again before one is known.
        let until = if leader.id.is_none() { deadline } else { until };
        match race(self.leadership.changed(leader), self.env.clock().sleep_until(until)).await {
            Either::First(_) | Either::Second(()) => {}
        }
    }
}

impl<E: Env> Clone for ControllerChannel<E> {
    fn clone(&self) -> Self {
        Self {
            env: self.env.clone(),
            leadership: self.leadership.clone(),
            config: Arc::clone(&self.config),
            open: Arc::clone(&self.open),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::tokio::TokioEnv;
    use crate::env::{Listener as _, Network};
    use crate::types::{BrokerId, LeaderEpoch};
    use crate::wire::messages::broker_heartbeat::{BrokerHeartbeatRequest, BrokerHeartbeatResponse};

    const PATIENCE: Duration = Duration::from_secs(30);

    /// Controllers that take connections and never answer, as paused processes do.
    struct Setup {
        env: TokioEnv,
        leadership: Leadership,
        channel: ControllerChannel<TokioEnv>,
    }

    impl Setup {
        fn new() -> Self {
            let env = TokioEnv::new().expect("a world");
            let leadership = Leadership::default();
            let channel = ControllerChannel::new(env.clone(), leadership.clone(), "test", 1);
            Self { env, leadership, channel }
        }

        /// One that is active from now on.
        async fn succeed(&self, epoch: i32) -> <<TokioEnv as Env>::Network as Network>::Listener {
            let address = "127.0.0.1:0".parse().expect("it is an address");
            let listener = self.env.network().bind(address).await.expect("a port is free");
            let port = listener.local_address().port();
            self.leadership.set(Leader {
                epoch: LeaderEpoch(epoch),
                id: Some(BrokerId(epoch)),
                address: Some(Address { host: "127.0.0.1".to_owned(), port }),
                ..Leader::default()
            });
            listener
        }

        fn deadline(&self) -> Mono {
            self.env.clock().now() + 10 * PATIENCE
        }
    }

    #[tokio::test]
    async fn whoever_waits_for_a_controller_that_hangs_asks_the_next_one() {
        let setup = Setup::new();
        let mut first = setup.succeed(1).await;
        let request = BrokerHeartbeatRequest::default();
        let asking = setup.channel.ask(&request, setup.deadline(), |_: BrokerHeartbeatResponse| Some(()));
        let succession = async {
            let _connection = first.accept().await.expect("it is asked");
            let mut second = setup.succeed(2).await;
            second.accept().await.expect("it is asked in its turn");
        };
        let done = setup.env.clock().timeout_at(setup.env.clock().now() + PATIENCE, race(asking, succession));
        assert!(
            matches!(Box::pin(done).await, Some(Either::Second(()))),
            "the first one is still waited for"
        );
    }

    #[tokio::test]
    async fn what_is_asked_only_once_is_given_up_with_the_controller_that_was_asked() {
        let setup = Setup::new();
        let mut first = setup.succeed(1).await;
        let request = BrokerHeartbeatRequest::default();
        let asking = async { setup.channel.ask_once(&request, setup.deadline()).await.map(|_| ()) };
        let succession = async {
            let _connection = first.accept().await.expect("it is asked");
            let _second = setup.succeed(2).await;
            std::future::pending::<()>().await;
        };
        let done = setup.env.clock().timeout_at(setup.env.clock().now() + PATIENCE, race(asking, succession));
        let Some(Either::First(outcome)) = Box::pin(done).await else {
            panic!("the first one is still waited for")
        };
        assert_eq!(outcome, Err(ChannelError::TimedOut(SUCCEEDED.to_owned())));
    }
}
