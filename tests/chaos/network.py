"""Hosts on one machine: a network namespace for each, joined by a bridge, and links that can be cut.

Meant for a process that is alone in a network and a mount namespace (see `run`): all of it goes with that.
"""
import pathlib
import subprocess

SUBNET = "10.77.0"
# The clients run beside the bridge.
CLIENTS = f"{SUBNET}.254"

# Packets are dropped where they arrive, silently: the sender notices nothing, as on a network that lost them.
RULES = """
table inet chaos {
  set unheard { type ipv4_addr; }
  set unanswered { type inet_service; }
  chain arriving { type filter hook input priority 0; ip saddr @unheard drop; tcp sport @unanswered drop; }
}
"""


def command(*words, text=None):
    done = subprocess.run(words, input=text, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")


def address(host):
    return f"{SUBNET}.{host}"


class Network:
    def __init__(self):
        # Names of namespaces are files here: the machine's own are hidden from us, and ours from it.
        names = pathlib.Path("/run/netns")
        if not names.exists():
            command("mount", "-t", "tmpfs", "none", "/run")
            names.mkdir()
        command("mount", "-t", "tmpfs", "none", str(names))
        command("ip", "link", "set", "lo", "up")
        command("ip", "link", "add", "bridge0", "type", "bridge")
        command("ip", "addr", "add", f"{CLIENTS}/24", "dev", "bridge0")
        command("ip", "link", "set", "bridge0", "up")
        self.hosts = []

    def add(self, host):
        """A host with an address and a link to the bridge."""
        name = f"host{host}"
        command("ip", "netns", "add", name)
        command("ip", "link", "add", f"link{host}", "type", "veth", "peer", "name", "eth0", "netns", name)
        command("ip", "link", "set", f"link{host}", "master", "bridge0", "up")
        self._on(host, "ip", "addr", "add", f"{address(host)}/24", "dev", "eth0")
        self._on(host, "ip", "link", "set", "eth0", "up")
        self._on(host, "ip", "link", "set", "lo", "up")
        self._on(host, "nft", "-f", "-", text=RULES)
        self.hosts.append(host)

    def inside(self, host):
        """What to put before a command to run it on a host."""
        return ["ip", "netns", "exec", f"host{host}"]

    def deafen(self, host, others):
        """The host hears nothing of the others any more; they hear it."""
        heard = ", ".join(address(other) for other in others)
        self._on(host, "nft", "add", "element", "inet", "chaos", "unheard", f"{{ {heard} }}")

    def cut(self, host, others):
        """The host and the others do not hear each other any more."""
        self.deafen(host, others)
        for other in others:
            self.deafen(other, [host])

    def lose_answers(self, host, port):
        """The host hears nothing of the servers on a port of other hosts."""
        self._on(host, "nft", "add", "element", "inet", "chaos", "unanswered", f"{{ {port} }}")

    def unplug(self, host):
        """Nobody hears the host, clients included."""
        command("ip", "link", "set", f"link{host}", "down")

    def heal(self):
        for host in self.hosts:
            for name in ("unheard", "unanswered"):
                self._on(host, "nft", "flush", "set", "inet", "chaos", name)
            command("ip", "link", "set", f"link{host}", "up")

    def _on(self, host, *words, text=None):
        command(*self.inside(host), *words, text=text)
