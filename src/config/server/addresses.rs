//! The addresses in a server's configuration, and what may be wrong with them.

use super::Given;
use crate::config::listeners::{
    HostPort, Listener, SecurityProtocol, Voter, parse_listener, parse_protocol_map, parse_server,
    parse_voter,
};
use crate::types::BrokerId;

/// Where this node listens and whom it looks for.
#[derive(Default)]
pub(super) struct Addresses {
    pub(super) listeners: Vec<Listener>,
    pub(super) controller_listeners: Vec<Listener>,
    pub(super) advertised_listeners: Vec<Listener>,
    pub(super) inter_broker_listener: String,
    pub(super) voters: Vec<Voter>,
    pub(super) bootstrap_servers: Vec<HostPort>,
}

impl Addresses {
    pub(super) fn parse(given: &Given<'_>, problems: &mut Vec<String>) -> Self {
        let mut addresses = Self::default();
        addresses.read_listeners(given, problems);
        addresses.read_quorum(given, problems);
        addresses
    }

    fn read_listeners(&mut self, given: &Given<'_>, problems: &mut Vec<String>) {
        let controllers: Vec<String> =
            given.list("controller.listener.names").iter().map(|name| name.to_uppercase()).collect();
        let map = given.get("listener.security.protocol.map").expect("it has a default");
        let mut protocols = match parse_protocol_map(map.text()) {
            Ok(protocols) => protocols,
            Err(error) => return problems.push(format!("listener.security.protocol.map: {error}")),
        };
        if !given.is_set("listener.security.protocol.map") {
            // As in Kafka, a controller's listener is plain text where no map says otherwise.
            for name in &controllers {
                protocols.entry(name.clone()).or_insert(SecurityProtocol::Plaintext);
            }
        }
        let mut read = |config: &str| -> Vec<Listener> {
            let parsed = given.list(config).into_iter().map(|text| parse_listener(&text, &protocols));
            let (good, bad): (Vec<_>, Vec<_>) = parsed.partition(Result::is_ok);
            problems
                .extend(bad.into_iter().filter_map(Result::err).map(|error| format!("{config}: {error}")));
            good.into_iter().filter_map(Result::ok).collect()
        };
        let listeners = read("listeners");
        self.advertised_listeners = read("advertised.listeners");
        check_listeners(&listeners, problems);
        (self.controller_listeners, self.listeners) =
            listeners.into_iter().partition(|listener| controllers.contains(&listener.name));
        self.check_controllers(&controllers, problems);
        self.check_advertised(problems);
        self.find_inter_broker(given, problems);
    }

    fn check_controllers(&self, controllers: &[String], problems: &mut Vec<String>) {
        if controllers.is_empty() {
            problems.push(
                "controller.listener.names is not set: name the listener of the controller, \
                 controller.listener.names=CONTROLLER"
                    .to_owned(),
            );
        }
        for name in controllers {
            if !self.controller_listeners.iter().any(|listener| listener.name == *name) {
                problems.push(format!(
                    "controller.listener.names has {name}, which listeners does not: add {name}://:9093 to \
                     listeners"
                ));
            }
        }
        if self.listeners.is_empty() {
            problems.push(
                "no listener is left for clients: add one to listeners that is not in \
                 controller.listener.names"
                    .to_owned(),
            );
        }
    }

    fn check_advertised(&self, problems: &mut Vec<String>) {
        for listener in &self.advertised_listeners {
            let name = &listener.name;
            if matches!(listener.host.as_str(), "" | "0.0.0.0" | "::") {
                problems.push(format!(
                    "advertised.listeners: {name} has an address nobody can connect to: give it a host name \
                     or an address of this machine"
                ));
            }
            let known = self.listeners.iter().chain(&self.controller_listeners);
            if !known.into_iter().any(|listener| listener.name == *name) {
                problems
                    .push(format!("advertised.listeners has {name}, which listeners does not: add it there"));
            }
        }
    }

    fn find_inter_broker(&mut self, given: &Given<'_>, problems: &mut Vec<String>) {
        let named = given.get("inter.broker.listener.name").map(|value| value.text().to_uppercase());
        if named.is_some() && given.is_set("security.inter.broker.protocol") {
            problems.push(
                "inter.broker.listener.name and security.inter.broker.protocol say the same twice: keep the \
                 first"
                    .to_owned(),
            );
        }
        let protocol = given.get("security.inter.broker.protocol").expect("it has a default");
        let name = named.unwrap_or_else(|| protocol.text().to_owned());
        if !self.listeners.is_empty() && !self.listeners.iter().any(|listener| listener.name == name) {
            let names: Vec<&str> = self.listeners.iter().map(|listener| listener.name.as_str()).collect();
            problems.push(format!(
                "the brokers' own listener {name} is not among the listeners: set inter.broker.listener.name \
                 to one of {}",
                names.join(", ")
            ));
        }
        self.inter_broker_listener = name;
    }

    fn read_quorum(&mut self, given: &Given<'_>, problems: &mut Vec<String>) {
        for text in given.list("controller.quorum.voters") {
            match parse_voter(&text) {
                Ok(voter) => self.voters.push(voter),
                Err(error) => problems.push(format!("controller.quorum.voters: {error}")),
            }
        }
        for text in given.list("controller.quorum.bootstrap.servers") {
            match parse_server(&text) {
                Ok(server) => self.bootstrap_servers.push(server),
                Err(error) => problems.push(format!("controller.quorum.bootstrap.servers: {error}")),
            }
        }
        let id = given.node_id().unwrap_or(BrokerId::NONE);
        let ids: Vec<BrokerId> = self.voters.iter().map(|voter| voter.id).collect();
        if ids.is_empty() && self.bootstrap_servers.is_empty() {
            problems.push(format!(
                "nothing says where the quorum is: set controller.quorum.voters={id}@localhost:9093, with \
                 the controller's own port"
            ));
        } else if !ids.is_empty() && ids != [id] {
            problems.push(format!(
                "controller.quorum.voters must name this node ({id}) and no other: this version runs a \
                 quorum of one"
            ));
        }
    }
}

fn check_listeners(listeners: &[Listener], problems: &mut Vec<String>) {
    for (index, listener) in listeners.iter().enumerate() {
        let earlier = &listeners[..index];
        let name = &listener.name;
        if earlier.iter().any(|other| other.name == *name) {
            problems.push(format!("listeners has {name} twice: give each listener a name of its own"));
        }
        // Two addresses may share a port; the system refuses to bind where they really meet.
        let meets = |other: &Listener| other.port == listener.port && other.host == listener.host;
        if listener.port != 0 && earlier.iter().any(meets) {
            problems.push(format!(
                "listeners has {}:{} twice: give each listener a port of its own",
                listener.host, listener.port
            ));
        }
        if listener.protocol != SecurityProtocol::Plaintext {
            problems.push(format!(
                "listener {name} asks for TLS or SASL, which this version does not have: map it to PLAINTEXT \
                 and keep it on a trusted network"
            ));
        }
    }
}
