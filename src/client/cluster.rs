//! A client's connections to the brokers of a cluster, and what it knows of the cluster: the driver's part
//! that producer, consumer and admin share.
//!
//! Nothing runs in the background apart from the connections' own tasks: dialling and asking for metadata are
//! futures that the client's one task awaits in [`Cluster::wait`].

use std::collections::BTreeMap;

use super::config::ClientConfig;
use super::connection::{CallError, Connection};
use super::futures::FutureSet;
use super::metadata::{Endpoint, Metadata, Refresh, code};
use crate::env::{Clock, Env, Purpose, Rng};
use crate::types::{BrokerId, Mono};
use crate::wire::messages::metadata::MetadataResponse;

/// Brokers and connections to them.
pub(crate) struct Cluster<E: Env> {
    env: E,
    config: ClientConfig,
    pub(crate) metadata: Metadata,
    pub(crate) refresh: Refresh,
    bootstrap: Vec<Endpoint>,
    links: BTreeMap<Target, Link<E>>,
    /// Where the next search for any broker begins.
    cursor: usize,
    rng: Rng,
    events: FutureSet<Event<E>>,
    /// What went wrong last, for people.
    last_error: Option<String>,
}

/// Someone to talk to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    /// A broker that metadata told of.
    Broker(BrokerId),
    /// One of `bootstrap.servers`.
    Bootstrap(usize),
}

/// Whom to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// Whoever is there.
    Any,
    /// This one only.
    Broker(BrokerId),
}

struct Link<E: Env> {
    endpoint: Endpoint,
    state: LinkState<E>,
    failures: u32,
}

enum LinkState<E: Env> {
    Idle { not_before: Mono },
    Connecting,
    Up(Connection<E>),
}

enum Event<E: Env> {
    Dialled(Target, Result<Connection<E>, String>),
    Metadata(Result<MetadataResponse, CallError>),
}

impl<E: Env> Cluster<E> {
    /// `subsystem` names the client's kind and `instance` the one of several, for their randomness.
    pub(crate) fn new(
        env: &E,
        config: &ClientConfig,
        auto_create: bool,
        subsystem: &'static str,
        instance: u64,
    ) -> Result<Self, String> {
        let bootstrap = config.bootstrap_servers.iter().map(|server| parse_server(server));
        let bootstrap: Vec<Endpoint> = bootstrap.collect::<Result<_, String>>()?;
        if bootstrap.is_empty() {
            return Err("bootstrap.servers names no server".to_owned());
        }
        let rng = |what| env.rng(Purpose { subsystem, what, instance });
        let refresh = Refresh::new(auto_create, config.metadata_max_age, config.retry(), rng("metadata"));
        Ok(Self {
            env: env.clone(),
            config: config.clone(),
            metadata: Metadata::default(),
            refresh,
            bootstrap,
            links: BTreeMap::new(),
            cursor: 0,
            rng: rng("reconnect"),
            events: FutureSet::new(),
            last_error: None,
        })
    }

    /// The connection to a broker, if it is up; else begins to dial, unless it is too early for that.
    pub(crate) fn broker(&mut self, now: Mono, broker: BrokerId) -> Option<&Connection<E>> {
        let endpoint = self.metadata.brokers().get(&broker)?.clone();
        self.link(now, Target::Broker(broker), &endpoint)
    }

    /// Whichever broker is up, another one each time; else begins to dial one.
    pub(crate) fn pick(&mut self, now: Mono) -> Option<Target> {
        let mut targets = self.targets();
        // Turn by turn: if one of them hears but does not answer, the next question goes to another.
        let start = self.cursor % targets.len();
        targets.rotate_left(start);
        if let Some(position) = targets.iter().position(|(target, _)| self.up(*target).is_some()) {
            self.cursor = (start + position + 1) % targets.len();
            return Some(targets[position].0);
        }
        if self.links.values().any(|link| matches!(link.state, LinkState::Connecting)) {
            return None;
        }
        for (position, (target, endpoint)) in targets.iter().enumerate() {
            self.link(now, *target, endpoint);
            let link = self.links.get(target);
            if link.is_some_and(|link| matches!(link.state, LinkState::Connecting)) {
                self.cursor = (start + position + 1) % targets.len();
                break;
            }
        }
        None
    }

    /// Asks for metadata if that is due.
    pub(crate) fn drive(&mut self, now: Mono) {
        if !self.refresh.is_due(now) {
            return;
        }
        let deadline = now + self.config.request_timeout;
        if self.refresh.is_needed() {
            self.dial_another(now);
        }
        let Some(target) = self.pick(now) else { return };
        let request = self.refresh.start();
        let started = self.up(target).map(|connection| connection.start(&request, i16::MAX, deadline));
        match started {
            Some(Ok(call)) => self.events.push(async move { Event::Metadata(call.wait().await) }),
            Some(Err(error)) => self.on_metadata(now, Err(error)),
            None => self.refresh.failed(now),
        }
    }

    /// Waits for something to happen to connections or metadata, and takes it in. Cancel-safe.
    pub(crate) async fn wait(&mut self) {
        let event = self.events.next().await;
        let now = self.env.clock().now();
        match event {
            Event::Dialled(target, outcome) => self.on_dialled(now, target, outcome),
            Event::Metadata(outcome) => self.on_metadata(now, outcome),
        }
    }

    /// When something can be tried again.
    pub(crate) fn deadline(&self, now: Mono) -> Option<Mono> {
        let links = self.links.values().filter_map(|link| match link.state {
            LinkState::Idle { not_before } => Some(not_before),
            _ => None,
        });
        links.chain(self.refresh.deadline()).filter(|&deadline| deadline > now).min()
    }

    /// A connection as chosen, waited for until `deadline`.
    pub(crate) async fn obtain(
        &mut self,
        choice: Choice,
        deadline: Mono,
    ) -> Result<&Connection<E>, CallError> {
        let clock = self.env.clock().clone();
        loop {
            let now = clock.now();
            let target = match choice {
                Choice::Any => self.pick(now),
                Choice::Broker(id) => self.broker(now, id).is_some().then_some(Target::Broker(id)),
            };
            if let Some(target) = target {
                return self
                    .up(target)
                    .ok_or_else(|| CallError::NotSent("the connection was closed".to_owned()));
            }
            if let Choice::Broker(id) = choice
                && !self.metadata.brokers().contains_key(&id)
            {
                return Err(CallError::NotSent(format!("broker {id} is not known to the cluster")));
            }
            if now >= deadline {
                return Err(CallError::NotSent(self.trouble()));
            }
            let wake = self.deadline(now).map_or(deadline, |wake| wake.min(deadline));
            clock.timeout_at(wake, self.wait()).await;
        }
    }

    /// What went wrong last in reaching brokers, for people.
    pub(crate) fn trouble(&self) -> String {
        self.last_error.clone().unwrap_or_else(|| "no broker could be reached in time".to_owned())
    }

    /// Forgets past troubles, so that [`Cluster::trouble`] tells of new ones.
    pub(crate) fn has_trouble(&self) -> bool {
        self.last_error.is_some()
    }

    /// Whoever may be asked what any broker knows: the brokers, and the bootstrap servers while no broker is known
    /// or none of them could be reached.
    fn targets(&self) -> Vec<(Target, Endpoint)> {
        let brokers = self.metadata.brokers().iter();
        let mut targets: Vec<_> =
            brokers.map(|(&id, endpoint)| (Target::Broker(id), endpoint.clone())).collect();
        if targets.iter().all(|(target, _)| self.is_out_of_reach(*target)) {
            let bootstrap = self.bootstrap.iter().enumerate();
            targets.extend(bootstrap.map(|(index, endpoint)| (Target::Bootstrap(index), endpoint.clone())));
        }
        targets
    }

    /// Sees to it that there is a second broker to ask next time. One that is cut off from the others, but not from
    /// us, answers, and goes on to tell what is no longer so.
    fn dial_another(&mut self, now: Mono) {
        let brokers: Vec<_> = self.metadata.brokers().clone().into_iter().collect();
        let there = |cluster: &Self, id| {
            let target = Target::Broker(id);
            let link = cluster.links.get(&target);
            cluster.up(target).is_some()
                || link.is_some_and(|link| matches!(link.state, LinkState::Connecting))
        };
        if brokers.iter().filter(|(id, _)| there(self, *id)).count() != 1 {
            return;
        }
        let first = self.cursor % brokers.len();
        for (id, endpoint) in brokers.iter().cycle().skip(first).take(brokers.len()) {
            if !there(self, *id) {
                self.link(now, Target::Broker(*id), endpoint);
                if there(self, *id) {
                    return;
                }
            }
        }
    }

    /// Whether the last attempt to reach a target has failed.
    fn is_out_of_reach(&self, target: Target) -> bool {
        let link = self.links.get(&target);
        link.is_some_and(|link| link.failures > 0 && !matches!(link.state, LinkState::Up(_)))
    }

    /// The connection to a target, if it is up.
    pub(crate) fn up(&self, target: Target) -> Option<&Connection<E>> {
        match &self.links.get(&target)?.state {
            LinkState::Up(connection) if !connection.is_closed() => Some(connection),
            _ => None,
        }
    }

    fn link(&mut self, now: Mono, target: Target, endpoint: &Endpoint) -> Option<&Connection<E>> {
        let (backoff, rng) = (self.config.reconnect(), &mut self.rng);
        let link = self.links.entry(target).or_insert_with(|| Link {
            endpoint: endpoint.clone(),
            state: LinkState::Idle { not_before: now },
            failures: 0,
        });
        let moved = (&link.endpoint.host, link.endpoint.port) != (&endpoint.host, endpoint.port);
        if moved && !matches!(link.state, LinkState::Connecting) {
            link.endpoint.clone_from(endpoint);
            link.state = LinkState::Idle { not_before: now };
        }
        if matches!(&link.state, LinkState::Up(connection) if connection.is_closed()) {
            link.state = LinkState::Idle { not_before: now + backoff.pause(0, rng) };
        }
        if let LinkState::Idle { not_before } = link.state
            && now >= not_before
        {
            link.state = LinkState::Connecting;
            let (env, config) = (self.env.clone(), self.config.clone());
            let Endpoint { host, port, .. } = link.endpoint.clone();
            self.events.push(async move {
                Event::Dialled(target, Connection::open(&env, &host, port, &config).await)
            });
        }
        match &self.links.get(&target)?.state {
            LinkState::Up(connection) => Some(connection),
            _ => None,
        }
    }

    fn on_dialled(&mut self, now: Mono, target: Target, outcome: Result<Connection<E>, String>) {
        let backoff = self.config.reconnect();
        let link = self.links.get_mut(&target).expect("links stay");
        match outcome {
            Ok(connection) => {
                link.failures = 0;
                link.state = LinkState::Up(connection);
                self.last_error = None;
            }
            Err(error) => {
                let not_before = now + backoff.pause(link.failures, &mut self.rng);
                link.failures = link.failures.saturating_add(1);
                link.state = LinkState::Idle { not_before };
                self.last_error = Some(error);
                // Who cannot be reached may not be who we think.
                self.refresh.request();
            }
        }
    }

    /// A bootstrap server that is one of the brokers needs no second connection.
    fn adopt_bootstrap_links(&mut self) {
        for (&id, endpoint) in self.metadata.brokers() {
            let same = |(target, link): (&Target, &Link<E>)| {
                let address = (&link.endpoint.host, link.endpoint.port);
                let is_bootstrap = matches!(target, Target::Bootstrap(_));
                let is_same = is_bootstrap && address == (&endpoint.host, endpoint.port);
                (is_same && matches!(link.state, LinkState::Up(_))).then_some(*target)
            };
            if !self.links.contains_key(&Target::Broker(id))
                && let Some(target) = self.links.iter().find_map(same)
                && let Some(link) = self.links.remove(&target)
            {
                self.links.insert(Target::Broker(id), link);
            }
        }
    }

    fn on_metadata(&mut self, now: Mono, outcome: Result<MetadataResponse, CallError>) {
        match outcome {
            Ok(response) if code(response.error_code).is_none() && !response.brokers.is_empty() => {
                self.metadata.apply(&response);
                self.refresh.succeeded(now);
                self.last_error = None;
                self.adopt_bootstrap_links();
                let known = self.metadata.brokers();
                self.links.retain(|target, link| match target {
                    Target::Broker(id) => {
                        known.contains_key(id) || matches!(link.state, LinkState::Connecting)
                    }
                    Target::Bootstrap(_) => true,
                });
            }
            Ok(response) => {
                self.refresh.failed(now);
                self.last_error = Some(format!("no metadata: {}", code(response.error_code)));
            }
            Err(error) => {
                self.refresh.failed(now);
                self.last_error = Some(error.to_string());
            }
        }
    }
}

/// Reads `host:port`, with the host in brackets if it is an IPv6 address.
fn parse_server(server: &str) -> Result<Endpoint, String> {
    let wrong = || format!("invalid bootstrap server {server:?}: expected host:port");
    let (host, port) = server.rsplit_once(':').ok_or_else(wrong)?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let port: u16 = port.parse().map_err(|_| wrong())?;
    if host.is_empty() || port == 0 {
        return Err(wrong());
    }
    Ok(Endpoint { host: host.to_owned(), port, rack: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_host_and_port() {
        let parsed = |server| parse_server(server).map(|endpoint| (endpoint.host, endpoint.port));
        assert_eq!(parsed("localhost:9092"), Ok(("localhost".to_owned(), 9092)));
        assert_eq!(parsed("[::1]:9092"), Ok(("::1".to_owned(), 9092)));
        for wrong in ["localhost", ":9092", "localhost:", "localhost:0", "localhost:70000"] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
    }
}
