"""Hosts on one machine with links that can be cut: network namespaces on a bridge where root allows, else loopback addresses.

A cut is silent, as of a cable: the sender believes in a neighbour that nobody is. With `refuse` it is a blackhole route, where new
connections fail at once. Both work in one direction, so a cut both ways is two of them.
"""
import hashlib
import json
import os
import pathlib
import shutil
import socket
import subprocess

NOBODY = "02:00:00:00:00:fe"
RUN = pathlib.Path("/run")


def ip(*arguments, check=True):
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True)
    if check and done.returncode != 0:
        raise OSError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def is_possible():
    """Whether this process may make namespaces and join them by a bridge."""
    if os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("nsenter"):
        return False
    name = f"quire-try-{os.getpid()}"
    try:
        ip("netns", "add", name)
        try:
            ip("link", "add", f"qt{os.getpid()}", "type", "bridge")
            ip("link", "del", f"qt{os.getpid()}")
        finally:
            ip("netns", "del", name)
        return True
    except OSError:
        return False


def digits(directory):
    return hashlib.sha256(os.path.realpath(directory).encode()).hexdigest()


class Loopback:
    """Every host has an address in 127.0.0.0/8; nothing can be cut."""
    can_cut = False
    client = "127.0.0.1"

    def __init__(self, directory):
        tag = digits(directory)
        self.prefix = f"127.{int(tag[:2], 16) % 200 + 20}.{int(tag[2:4], 16)}"

    def up(self, hosts):
        pass

    def down(self):
        pass

    def add(self, host):
        pass

    def address(self, host):
        return f"{self.prefix}.{number(host)}"

    def command(self, host):
        return []

    def heal(self):
        pass

    def cuts(self):
        return []


def number(host):
    """The last byte of a host's address: nodes have their own number."""
    return {"etcd": 200, "client": 254}.get(host) or int(host)


class Namespaces:
    """Every host is a namespace of its own; clients are this machine, on the bridge."""
    can_cut = True

    def __init__(self, directory):
        self.tag = digits(directory)[:6]
        self.prefix = f"10.{int(self.tag[:2], 16) % 100 + 150}.{int(self.tag[2:4], 16)}"
        self.bridge = f"q{self.tag}"
        self.note = RUN / f"quire-cluster-{self.tag}.json"
        self.directory = os.path.realpath(directory)

    @property
    def client(self):
        return self.address("client")

    def address(self, host):
        return f"{self.prefix}.{number(host)}"

    def namespace(self, host):
        return f"quire-{self.tag}-{host}"

    def hosts(self):
        begin = f"quire-{self.tag}-"
        return [line.split()[0][len(begin):] for line in ip("netns", "list", check=False).splitlines() if line.startswith(begin)]

    def up(self, hosts):
        """Makes what is not there yet. What a killed script has left of other clusters goes first."""
        sweep()
        if f" {self.bridge}:" not in ip("-o", "link"):
            ip("link", "add", self.bridge, "type", "bridge")
            ip("addr", "add", f"{self.client}/24", "dev", self.bridge)
            ip("link", "set", self.bridge, "up")
        for host in hosts:
            self.add(host)

    def owned_by(self, pid):
        """Notes whose cluster this is: with that process gone, anybody may remove the network."""
        self.note.write_text(json.dumps({"owner": pid, "started": pid and started_at(pid), "directory": self.directory}))

    def add(self, host):
        if str(host) in self.hosts():
            return
        namespace, outside = self.namespace(host), f"q{self.tag}n{number(host)}"
        ip("netns", "add", namespace)
        ip("link", "add", outside, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        ip("link", "set", outside, "master", self.bridge, "up")
        ip("-n", namespace, "addr", "add", f"{self.address(host)}/24", "dev", "eth0")
        ip("-n", namespace, "link", "set", "eth0", "up")
        ip("-n", namespace, "link", "set", "lo", "up")

    def down(self):
        for host in self.hosts():
            ip("netns", "del", self.namespace(host), check=False)
        ip("link", "del", self.bridge, check=False)
        self.note.unlink(missing_ok=True)

    def command(self, host):
        """In front of a command that is to run there; it becomes that process."""
        return ["nsenter", f"--net=/run/netns/{self.namespace(host)}", "--"]

    def at(self, host):
        return [] if host == "client" else ["-n", self.namespace(host)]

    def device(self, host):
        return self.bridge if host == "client" else "eth0"

    def cut(self, sender, receiver, refuse=False):
        """What `sender` sends to `receiver` is lost from now on."""
        if refuse:
            ip(*self.at(sender), "route", "replace", "blackhole", f"{self.address(receiver)}/32")
        else:
            ip(*self.at(sender), "neigh", "replace", self.address(receiver), "lladdr", NOBODY, "nud", "permanent", "dev",
               self.device(sender))

    def heal(self):
        for sender, receiver in self.cuts():
            address = self.address(receiver)
            ip(*self.at(sender), "neigh", "del", address, "dev", self.device(sender), check=False)
            ip(*self.at(sender), "route", "del", "blackhole", f"{address}/32", check=False)

    def cuts(self):
        """(sender, receiver) of every cut."""
        hosts = [*self.hosts(), "client"]
        names = {self.address(host): host for host in hosts}
        found = []
        for sender in hosts:
            lost = [line.split()[0] for line in ip(*self.at(sender), "neigh", check=False).splitlines() if NOBODY in line]
            lost += [line.split()[1] for line in ip(*self.at(sender), "route", check=False).splitlines() if line.startswith("blackhole")]
            found += [(sender, names[address.split("/")[0]]) for address in lost if address.split("/")[0] in names]
        return found


def sweep():
    """Removes the networks of scripts that were killed before they could."""
    for note in RUN.glob("quire-cluster-*.json"):
        try:
            known = json.loads(note.read_text())
        except (OSError, ValueError):
            continue
        if known["owner"] and started_at(known["owner"]) != known["started"]:
            with open("/proc/mounts") as mounts:
                for place in [line.split()[1] for line in mounts if line.split()[1].startswith(known["directory"] + "/")]:
                    subprocess.run(["umount", "--lazy", place], check=False)
            Namespaces(known["directory"]).down()


def started_at(pid):
    """When a process began, in ticks since boot: with this, a number that is used again is not taken for it. None: it is gone."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def free_port(address, wanted):
    """The first port from `wanted` on that nobody listens on at that address."""
    for port in range(wanted, wanted + 500):
        with socket.socket() as attempt:
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                attempt.bind((address, port))
                return port
            except OSError:
                continue
    raise OSError(f"no port from {wanted} on is free at {address}")
