//! The addresses in a server's configuration, and what may be wrong with them.

use super::{Given, Roles};
use crate::config::listeners::{
    AddressError, HostPort, Listener, ProtocolMap, SecurityProtocol, Voter, parse_listener,
    parse_protocol_map, parse_server, parse_voter,
};
use crate::types::BrokerId;

/// Where this node listens and whom it looks for.
#[derive(Default)]
pub(super) struct Addresses {
    pub(super) listeners: Vec<Listener>,
    pub(super) controller_listeners: Vec<Listener>,
    pub(super) controller_listener_names: Vec<String>,
    pub(super) advertised_listeners: Vec<Listener>,
    pub(super) inter_broker_listener: String,
    pub(super) voters: Vec<Voter>,
    pub(super) bootstrap_servers: Vec<HostPort>,
}

impl Addresses {
    pub(super) fn parse(given: &Given<'_>, roles: Roles, problems: &mut Vec<String>) -> Self {
        let names = given.list("controller.listener.names");
        let mut addresses = Self {
            controller_listener_names: names.iter().map(|name| name.to_uppercase()).collect(),
            ..Self::default()
        };
        addresses.read_listeners(given, roles, problems);
        addresses.read_quorum(given, problems);
        addresses.check_place_in_quorum(given, roles, problems);
        addresses
    }

    fn read_listeners(&mut self, given: &Given<'_>, roles: Roles, problems: &mut Vec<String>) {
        let Some(protocols) = self.protocols(given, problems) else { return };
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
        (self.controller_listeners, self.listeners) = listeners
            .into_iter()
            .partition(|listener| self.controller_listener_names.contains(&listener.name));
        self.check_controller_names(roles, &protocols, problems);
        self.check_clients(given, roles, problems);
        self.check_advertised(roles, problems);
        self.find_inter_broker(given, roles, problems);
    }

    fn protocols(&self, given: &Given<'_>, problems: &mut Vec<String>) -> Option<ProtocolMap> {
        let map = given.get("listener.security.protocol.map").expect("it has a default");
        let mut protocols = match parse_protocol_map(map.text()) {
            Ok(protocols) => protocols,
            Err(error) => {
                problems.push(format!("listener.security.protocol.map: {error}"));
                return None;
            }
        };
        if !given.is_set("listener.security.protocol.map") {
            // As in Kafka, a controller's listener is plain text where no map says otherwise.
            for name in &self.controller_listener_names {
                protocols.entry(name.clone()).or_insert(SecurityProtocol::Plaintext);
            }
        }
        Some(protocols)
    }

    fn check_controller_names(&self, roles: Roles, protocols: &ProtocolMap, problems: &mut Vec<String>) {
        if self.controller_listener_names.is_empty() {
            problems.push(
                "controller.listener.names is not set: name the listener of the controller, \
                 controller.listener.names=CONTROLLER"
                    .to_owned(),
            );
        }
        for name in &self.controller_listener_names {
            let listens = self.controller_listeners.iter().any(|listener| listener.name == *name);
            if roles.controller && !listens {
                problems.push(format!(
                    "controller.listener.names has {name}, which listeners does not: add {name}://:9093 to \
                     listeners"
                ));
            }
            if roles.only_broker() && listens {
                problems.push(format!(
                    "listeners has {name}, which controller.listener.names gives to the controllers, and \
                     process.roles=broker is none: remove it from listeners, and leave it in \
                     controller.listener.names"
                ));
            }
            match protocols.get(name) {
                _ if listens => {}
                None => problems
                    .push(format!("controller.listener.names: {}", AddressError::NoProtocol(name.clone()))),
                Some(SecurityProtocol::Plaintext) => {}
                Some(_) => problems.push(needs_security(name)),
            }
        }
    }

    fn check_clients(&self, given: &Given<'_>, roles: Roles, problems: &mut Vec<String>) {
        if roles.broker && self.listeners.is_empty() {
            problems.push(
                "no listener is left for clients: add one to listeners that is not in \
                 controller.listener.names"
                    .to_owned(),
            );
        }
        if !roles.only_controller() {
            return;
        }
        if !given.is_set("listeners") {
            let name = self.controller_listener_names.first().map_or("CONTROLLER", String::as_str);
            problems.push(format!(
                "listeners is not set, and its default is for clients, whom process.roles=controller does not \
                 answer: set listeners={name}://:9093"
            ));
            return;
        }
        for Listener { name, .. } in &self.listeners {
            problems.push(format!(
                "listeners has {name}, which controller.listener.names does not, and \
                 process.roles=controller answers controllers and brokers only: remove it from listeners, or \
                 add broker to process.roles"
            ));
        }
    }

    /// Checks what is advertised. What has no listener here is left out, where Kafka does not mind either.
    fn check_advertised(&mut self, roles: Roles, problems: &mut Vec<String>) {
        let own: Vec<String> =
            self.listeners.iter().chain(&self.controller_listeners).map(|it| it.name.clone()).collect();
        for listener in &self.advertised_listeners {
            let name = &listener.name;
            if listener.is_on_every_interface() {
                problems.push(format!(
                    "advertised.listeners: {name} has an address nobody can connect to: give it a host name \
                     or an address of this machine"
                ));
            }
            if roles.broker && !own.contains(name) && !self.controller_listener_names.contains(name) {
                problems
                    .push(format!("advertised.listeners has {name}, which listeners does not: add it there"));
            }
        }
        self.advertised_listeners.retain(|listener| own.contains(&listener.name));
    }

    fn find_inter_broker(&mut self, given: &Given<'_>, roles: Roles, problems: &mut Vec<String>) {
        let named = given.text("inter.broker.listener.name").map(|name| name.to_uppercase());
        if named.is_some() && given.is_set("security.inter.broker.protocol") {
            problems.push(
                "inter.broker.listener.name and security.inter.broker.protocol say the same twice: keep the \
                 first"
                    .to_owned(),
            );
        }
        if roles.only_controller()
            && named.as_ref().is_some_and(|it| self.controller_listener_names.contains(it))
        {
            problems.push(format!(
                "inter.broker.listener.name={} is a listener of the controllers: name that of the brokers, or \
                 remove it",
                named.as_deref().unwrap_or_default()
            ));
        }
        let protocol = given.get("security.inter.broker.protocol").expect("it has a default");
        let name = named.unwrap_or_else(|| protocol.text().to_owned());
        let is_listener = self.listeners.iter().any(|listener| listener.name == name);
        if roles.broker && !self.listeners.is_empty() && !is_listener {
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
        for (index, Voter { id, address }) in self.voters.iter().enumerate() {
            let earlier = &self.voters[..index];
            if earlier.iter().any(|other| other.id == *id) {
                problems.push(format!(
                    "controller.quorum.voters has node {id} twice: name each voter once, with one address"
                ));
            }
            if earlier.iter().any(|other| other.address == *address) {
                problems.push(format!(
                    "controller.quorum.voters has {address} twice: give each voter the address of its own \
                     controller listener"
                ));
            }
            if matches!(address.host.as_str(), "0.0.0.0" | "::") || address.port == 0 && self.voters.len() > 1
            {
                problems.push(format!(
                    "controller.quorum.voters: {id}@{address} is an address nobody can connect to: give it the \
                     host name or address, and the port, where that node's controller listens"
                ));
            }
        }
    }

    /// That the quorum can be found, and that this node is in it if and only if it can vote.
    fn check_place_in_quorum(&self, given: &Given<'_>, roles: Roles, problems: &mut Vec<String>) {
        let id = given.node_id().unwrap_or(BrokerId::NONE);
        let says = |name| !given.list(name).is_empty();
        if !says("controller.quorum.voters") && !says("controller.quorum.bootstrap.servers") {
            problems.push(if roles.only_broker() {
                "nothing says where the quorum is: set controller.quorum.bootstrap.servers=HOST:9093, with the \
                 controllers' own hosts and ports"
                    .to_owned()
            } else {
                format!(
                    "nothing says where the quorum is: set controller.quorum.voters={id}@localhost:9093, with \
                     the controller's own port"
                )
            });
        }
        let own = self.voters.iter().find(|voter| voter.id == id);
        if own.is_some() && roles.only_broker() {
            problems.push(format!(
                "controller.quorum.voters has this node ({id}), which is no controller with \
                 process.roles=broker: remove it there, add controller to process.roles, or give this node \
                 another node.id"
            ));
        }
        if own.is_none() && roles.controller && !self.voters.is_empty() {
            problems.push(format!(
                "controller.quorum.voters does not have this node ({id}), which is a controller: add {id} with \
                 its address on every node, remove controller from process.roles, or correct node.id"
            ));
        }
        let Some(Voter { address, .. }) = own.filter(|_| roles.controller) else { return };
        if certainly_not_at(&self.controller_listeners, &self.advertised_listeners, address) {
            let listeners: Vec<String> = self
                .controller_listeners
                .iter()
                .map(|it| format!("{}://{}:{}", it.name, it.host, it.port))
                .collect();
            problems.push(format!(
                "controller.quorum.voters has this node ({id}) at {address}, where it does not listen: its \
                 controller listens at {}; make the two agree",
                listeners.join(", ")
            ));
        }
    }
}

/// Whether an address certainly leads to none of a node's controller listeners: the host is the same, the port is
/// another. With other hosts one cannot tell: names, proxies and containers translate addresses.
pub(super) fn certainly_not_at(listeners: &[Listener], advertised: &[Listener], address: &HostPort) -> bool {
    let translated = advertised.iter().any(|it| listeners.iter().any(|listener| listener.name == it.name));
    let elsewhere = |listener: &Listener| {
        let same_host = listener.host == address.host
            || is_loopback(&address.host)
                && (is_loopback(&listener.host) || listener.is_on_every_interface());
        same_host && listener.port != 0 && listener.port != address.port
    };
    !translated && !listeners.is_empty() && listeners.iter().all(elsewhere)
}

fn is_loopback(host: &str) -> bool {
    matches!(host, "localhost" | "127.0.0.1" | "::1")
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
            problems.push(needs_security(name));
        }
    }
}

fn needs_security(name: &str) -> String {
    format!(
        "listener {name} asks for TLS or SASL, which this version does not have: map it to PLAINTEXT and keep it \
         on a trusted network"
    )
}
