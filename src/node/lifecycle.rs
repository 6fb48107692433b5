//! A broker's life in the cluster: it registers, shows that it lives, and asks to leave (KIP-631).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use super::broker_run;
use super::controller_channel::{ChannelError, ControllerChannel};
use super::directories::LogDirectory;
use super::metadata::{Metadata, Published};
use super::publisher::Registered;
use super::raft::Leadership;
use crate::client::futures::{Either, race};
use crate::env::{Clock, Env};
use crate::error_code::ErrorCode;
use crate::types::{BrokerEpoch, BrokerId, LeaderEpoch, Mono};
use crate::wire::messages::broker_heartbeat::{BrokerHeartbeatRequest, BrokerHeartbeatResponse};
use crate::wire::messages::broker_registration::BrokerRegistrationRequest;

/// Why a broker cannot be part of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LifecycleError {
    /// The controller does not take it.
    #[error("the controller refuses to register this broker: {}; {}", .0, way_out(*.0))]
    Refused(ErrorCode),
    /// Its id is another's.
    #[error(
        "another broker with the id {id} is alive{} (DUPLICATE_BROKER_REGISTRATION): give this one a node.id of its \
         own, and directories that are formatted for it, or stop the other",
        match address { Some(address) => format!(", at {address}"), None => String::new() }
    )]
    Used {
        /// The id.
        id: BrokerId,
        /// Where the other listens, if the metadata say so.
        address: Option<String>,
    },
    /// No controller has taken it in time, nor refused it.
    #[error(
        "not registered after {} ms (initial.broker.registration.timeout.ms): {reason}; see that most of the \
         controllers are up, and that controller.quorum.voters or controller.quorum.bootstrap.servers names them",
        after.as_millis()
    )]
    NotRegistered {
        /// How long that was tried.
        after: Duration,
        /// What came of the last attempt.
        reason: String,
    },
    /// The controller speaks another version.
    #[error("{0}")]
    Unsupported(String),
}

/// What to do about a registration that is refused. The answer has no room for more than a code.
fn way_out(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::InconsistentClusterId => {
            "its log directories are of another cluster: name the controllers of that cluster, or directories \
             formatted for this one"
        }
        ErrorCode::InvalidRegistration => {
            "the controller's log says why; if another broker has a directory with the same directory.id, one is a \
             copy: empty it and format it anew"
        }
        ErrorCode::UnsupportedVersion => {
            "the cluster has finalized a feature level that this version does not support, as the controller's log \
             says: run a newer version"
        }
        _ => "the controller's log says why",
    }
}

/// The task's own.
pub(super) struct Lifecycle<E: Env> {
    pub(super) env: E,
    pub(super) channel: ControllerChannel<E>,
    pub(super) registration: BrokerRegistrationRequest,
    pub(super) registered: Registered,
    pub(super) metadata: Metadata<E>,
    pub(super) directories: Vec<Arc<LogDirectory>>,
    /// `broker.heartbeat.interval.ms`.
    pub(super) interval: Duration,
    /// `broker.session.timeout.ms`: how long one request may take.
    pub(super) session_timeout: Duration,
    /// `initial.broker.registration.timeout.ms`: how long the first registration may take.
    pub(super) registration_timeout: Duration,
    /// Told when the replicas are open and clients are answered.
    pub(super) serves: oneshot::Receiver<()>,
    /// Told once, when the broker is not fenced for the first time.
    pub(super) ready: Option<oneshot::Sender<()>>,
    pub(super) leaving: Leaving,
    /// Why it is not registered yet, if so.
    pub(super) trouble: String,
}

/// The wish to stop, and its fulfilment. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Leaving {
    shared: Arc<Signals>,
}

#[derive(Debug, Default)]
struct Signals {
    wanted: AtomicBool,
    asked: Notify,
    granted: Notify,
}

impl Leaving {
    /// Asks the controller to move away what this broker leads. Says whether it has: not if it takes too long, or
    /// nobody is the controller for long enough to tell that nobody will be, as when a whole cluster stops.
    pub(super) async fn leave<E: Env>(&self, env: &E, leadership: &Leadership, patience: Duration) -> bool {
        self.shared.wanted.store(true, Ordering::SeqCst);
        self.shared.asked.notify_one();
        let deadline = env.clock().now() + patience;
        match race(self.shared.granted.notified(), nobody_leads(env, leadership, deadline)).await {
            Either::First(()) => true,
            Either::Second(()) => false,
        }
    }

    fn is_wanted(&self) -> bool {
        self.shared.wanted.load(Ordering::SeqCst)
    }

    fn grant(&self) {
        self.shared.granted.notify_one();
    }
}

/// Waits until nobody has led for [`LEADERLESS`], or until `deadline`.
pub(super) async fn nobody_leads<E: Env>(env: &E, leadership: &Leadership, deadline: Mono) {
    loop {
        let leader = leadership.current();
        let until = if leader.id.is_none() { env.clock().now() + LEADERLESS } else { deadline };
        match race(leadership.changed(&leader), env.clock().sleep_until(until.min(deadline))).await {
            Either::First(_) => {}
            Either::Second(()) => return,
        }
    }
}

/// For longer than this nobody leads a quorum that has a majority left: two rounds of its default timeouts.
const LEADERLESS: Duration = Duration::from_secs(4);

impl<E: Env> Lifecycle<E> {
    /// Lives. Ends when the controller lets the broker go, or does not take it.
    pub(super) async fn run(mut self) -> Result<(), LifecycleError> {
        let mut epoch = self.register_first().await?;
        // A heartbeat says that the broker is fit to lead: not before it serves.
        if (&mut self.serves).await.is_err() {
            return Ok(());
        }
        loop {
            match self.beat(epoch).await {
                Beat::Alive { fenced } => {
                    if !fenced && let Some(ready) = self.ready.take() {
                        // Whoever waits for it may have gone.
                        let _ = ready.send(());
                    }
                    self.pause(fenced, epoch).await;
                }
                Beat::Stranger => match standing(&self.metadata.current(), self.id(), epoch) {
                    Standing::Registered => self.pause(false, epoch).await,
                    Standing::Displaced => epoch = self.register().await?,
                    Standing::Unregistered if self.leaving.is_wanted() => {
                        self.leaving.grant();
                        return Ok(());
                    }
                    Standing::Unregistered => {
                        tracing::warn!(
                            "this broker was unregistered: it does not serve until it is started again"
                        );
                        self.pause(false, epoch).await;
                    }
                },
                Beat::ShutDown => {
                    self.leaving.grant();
                    return Ok(());
                }
                Beat::Unheard => self.pause(false, epoch).await,
            }
        }
    }

    fn id(&self) -> BrokerId {
        BrokerId(self.registration.broker_id)
    }

    /// Registers as long as that may take at a start. A later registration is tried for ever: the broker has been
    /// of use, and may be again.
    async fn register_first(&mut self) -> Result<BrokerEpoch, LifecycleError> {
        let (clock, after) = (self.env.clock().clone(), self.registration_timeout);
        let registered = clock.timeout_at(clock.now() + after, self.register()).await;
        registered
            .unwrap_or_else(|| Err(LifecycleError::NotRegistered { after, reason: self.trouble.clone() }))
    }

    async fn register(&mut self) -> Result<BrokerEpoch, LifecycleError> {
        let mut used = None;
        loop {
            let deadline = self.env.clock().now() + self.session_timeout;
            let answer = self.channel.ask(&self.registration, deadline, |response| {
                let code = ErrorCode::from_code(response.error_code).unwrap_or(ErrorCode::UnknownServerError);
                (code != ErrorCode::NotController).then_some((code, BrokerEpoch(response.broker_epoch)))
            });
            match answer.await {
                Ok((ErrorCode::None, epoch)) => {
                    tracing::info!(%epoch, "registered");
                    // On disk before a heartbeat follows it.
                    broker_run::keep(&self.env, &self.directories, epoch).await;
                    self.registered.set(epoch);
                    return Ok(epoch);
                }
                // An earlier run of this broker with other directories, or another broker with its id.
                Ok((ErrorCode::DuplicateBrokerRegistration, _)) => {
                    used = Some(self.check_used(used)?);
                    self.env.clock().sleep_until(self.env.clock().now() + self.interval).await;
                }
                Ok((code, _)) if code.is_retriable() => {
                    self.env.clock().sleep_until(self.env.clock().now() + self.interval).await;
                }
                Ok((code, _)) => return Err(LifecycleError::Refused(code)),
                Err(ChannelError::TimedOut(reason)) => {
                    tracing::info!(reason, "not registered yet");
                    self.trouble = reason;
                    // Whoever answers next may be another controller, which this node has not heard of yet.
                    used = None;
                }
                Err(ChannelError::Unsupported(what)) => return Err(LifecycleError::Unsupported(what)),
            }
        }
    }

    /// Another broker with this one's id has a session. If it has stopped that ends soon. `before` is since when it
    /// is known, and under which controller: a new one gives everybody a new session.
    fn check_used(&self, before: Option<(Mono, LeaderEpoch)>) -> Result<(Mono, LeaderEpoch), LifecycleError> {
        let (now, epoch) = (self.env.clock().now(), self.channel.leader_epoch());
        let id = self.id();
        match before.filter(|(_, known)| *known == epoch) {
            None => {
                tracing::warn!(%id, "a broker with this id was alive a moment ago: its session has to end first");
                Ok((now, epoch))
            }
            Some((since, _)) if now.since(since) > self.session_timeout * 2 => {
                let image = &self.metadata.current().image;
                let endpoint = image.broker(id).and_then(|broker| broker.endpoints.first());
                let address = endpoint.map(|endpoint| format!("{}:{}", endpoint.host, endpoint.port));
                Err(LifecycleError::Used { id, address })
            }
            Some(known) => Ok(known),
        }
    }

    async fn beat(&self, epoch: BrokerEpoch) -> Beat {
        let published = self.metadata.current();
        let offline = self.directories.iter().filter(|directory| !directory.is_online());
        let request = BrokerHeartbeatRequest {
            broker_id: self.registration.broker_id,
            broker_epoch: epoch.0,
            current_metadata_offset: published.end.0 - 1,
            want_fence: false,
            want_shut_down: self.leaving.is_wanted(),
            offline_log_dirs: offline.map(|directory| directory.id()).collect(),
            cordoned_log_dirs: None,
        };
        let deadline = self.env.clock().now() + self.session_timeout;
        let answer = self.channel.ask(&request, deadline, |response: BrokerHeartbeatResponse| {
            let code = ErrorCode::from_code(response.error_code).unwrap_or(ErrorCode::UnknownServerError);
            (code != ErrorCode::NotController).then_some((code, response))
        });
        match answer.await {
            Ok((ErrorCode::None, response)) if response.should_shut_down => Beat::ShutDown,
            Ok((ErrorCode::None, response)) => Beat::Alive { fenced: response.is_fenced },
            Ok((ErrorCode::StaleBrokerEpoch | ErrorCode::BrokerIdNotRegistered, _)) => Beat::Stranger,
            Ok((code, _)) => {
                tracing::warn!(%code, "a heartbeat is refused");
                Beat::Unheard
            }
            Err(error) => {
                tracing::warn!(%error, "a heartbeat is not heard");
                Beat::Unheard
            }
        }
    }

    /// Until the next heartbeat is due: at once if there is news that the controller waits for.
    async fn pause(&self, fenced: bool, epoch: BrokerEpoch) {
        let now = self.env.clock().now();
        let until: Mono = now + self.interval;
        if self.leaving.is_wanted() {
            // Nothing but the others' metadata is waited for, and that comes soon.
            self.env.clock().sleep_until(now + self.interval.min(LEAVING_INTERVAL)).await;
            return;
        }
        let caught_up = async {
            match fenced {
                true => self.metadata.reached(crate::types::Offset(epoch.0 + 1)).await,
                false => std::future::pending().await,
            }
        };
        let behind = fenced && self.metadata.current().end.0 <= epoch.0;
        if behind {
            let _ = race(caught_up, self.env.clock().sleep_until(until)).await;
            return;
        }
        match race(self.leaving.shared.asked.notified(), self.env.clock().sleep_until(until)).await {
            Either::First(()) | Either::Second(()) => {}
        }
    }
}

/// How often a broker that wants to leave asks whether it may.
const LEAVING_INTERVAL: Duration = Duration::from_millis(50);

/// What has become of a registration, as far as this node's metadata go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It stands. A controller that says otherwise is ahead.
    Registered,
    /// Another run has registered since.
    Displaced,
    /// Somebody has taken it away (UnregisterBroker).
    Unregistered,
}

fn standing<E: Env>(published: &Published<E>, id: BrokerId, epoch: BrokerEpoch) -> Standing {
    match published.image.broker(id) {
        // Our own registration is not here yet.
        _ if published.end.0 <= epoch.0 => Standing::Registered,
        Some(broker) if broker.epoch == epoch => Standing::Registered,
        Some(_) => Standing::Displaced,
        None => Standing::Unregistered,
    }
}

/// What a heartbeat came to.
enum Beat {
    Alive {
        fenced: bool,
    },
    /// The controller does not know this registration.
    Stranger,
    ShutDown,
    Unheard,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller;
    use crate::env::tokio::TokioEnv;
    use crate::types::Offset;
    use crate::wire::metadata::RegisterBrokerRecord;

    #[test]
    fn only_metadata_that_are_far_enough_say_that_a_registration_is_gone() {
        let id = BrokerId(5);
        let mut metadata = controller::Metadata::empty();
        let published = |metadata: &controller::Metadata, end| {
            Published::<TokioEnv>::bare(Arc::new(metadata.published().clone()), Offset(end))
        };
        let nothing = published(&metadata, 8);
        assert_eq!(standing(&nothing, id, BrokerEpoch(8)), Standing::Registered, "it is to come");
        assert_eq!(standing(&nothing, id, BrokerEpoch(7)), Standing::Unregistered);
        let record = RegisterBrokerRecord { broker_id: 5, broker_epoch: 7, ..Default::default() };
        metadata.replay(Offset(7), LeaderEpoch(1), &record.into()).expect("it can be applied");
        let registered = published(&metadata, 9);
        assert_eq!(
            standing(&registered, id, BrokerEpoch(7)),
            Standing::Registered,
            "the controller is ahead"
        );
        assert_eq!(standing(&registered, id, BrokerEpoch(3)), Standing::Displaced);
        assert_eq!(standing(&registered, id, BrokerEpoch(9)), Standing::Registered, "it is to come");
    }
}
