"""Several nodes and one etcd on this machine, for people (tools/cluster) and for tests.

    with Cluster(directory) as cluster:        # stops everything, and takes the network down again
        cluster.kill(2); cluster.start(2)
        cluster.cut(1, 3, one_way=True); cluster.heal()

What runs where is noted in `directory`/cluster.json, so that another process can go on with it.
"""
import argparse
import glob
import json
import os
import pathlib
import secrets
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

import network
from node import READY, NodeFailed, binary
from processes import Process

ROOT = pathlib.Path(__file__).resolve().parents[2]
PORTS = {"kafka": 9092, "http": 8080, "postgres": 5433, "peer": 9192}
CLOCKS = "/usr/lib/*/faketime/libfaketimeMT.so.1"
ETCD = "etcd"


class Cluster:
    """`nodes` are those that a new directory begins with. `settings`: KEY=VALUE for every node. `clocks`: each node has a clock
    that can be set. `disk`: bytes of a small file system under each node's data. `detached`: outlives this process."""

    def __init__(self, directory, nodes=3, settings=(), loopback=False, clocks=False, disk=None, detached=False, etcd=True):
        self.directory = pathlib.Path(directory).absolute()
        self.file = self.directory / "cluster.json"
        self.detached = detached
        self.processes = {}
        self.environment = {}        # node -> more of its environment, for tests; not noted
        if self.file.exists():
            known = json.loads(self.file.read_text())
            self.processes = {int(name) if name.isdigit() else name: Process(*pair) for name, pair in known["processes"].items()}
        else:
            loopback = loopback or not network.is_possible()
            known = {"nodes": list(range(1, nodes + 1)), "settings": list(settings), "loopback": loopback, "clocks": clocks,
                     "disk": disk, "etcd": etcd, "ports": {}}
        self.known = known
        self.network = (network.Loopback if known["loopback"] else network.Namespaces)(self.directory)

    def save(self):
        self.known["processes"] = {str(name): [process.pid, process.started] for name, process in self.processes.items()}
        new = self.file.with_suffix(".new")
        new.write_text(json.dumps(self.known, indent=1))
        new.replace(self.file)

    # ---- where things are

    @property
    def nodes(self):
        return list(self.known["nodes"])

    def data(self, name):
        return self.directory / f"node-{name}" / "data" if name != ETCD else self.directory / "etcd"

    def log(self, name):
        return self.directory / (f"node-{name}.log" if name != ETCD else "etcd.log")

    def port(self, name, role, wanted):
        key = f"{name} {role}"
        if key not in self.known["ports"]:
            address = self.network.address(name)
            self.known["ports"][key] = network.free_port(address, wanted) if self.known["loopback"] else wanted
        return self.known["ports"][key]

    def address(self, name, role="kafka"):
        wanted = PORTS.get(role) or {"client": 2379, "peers": 2380}[role]
        return f"{self.network.address(name)}:{self.port(name, role, wanted)}"

    @property
    def etcd_url(self):
        return f"http://{self.address(ETCD, 'client')}"

    @property
    def bootstrap(self):
        return ",".join(self.address(name) for name in self.nodes)

    def alive(self, name):
        return name in self.processes and self.processes[name].alive()

    # ---- running

    def up(self):
        """Starts what does not run and waits until all of it is ready."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self.network.up([*self.nodes, *([ETCD] if self.known["etcd"] else [])])
        if not self.known["loopback"]:
            self.network.owned_by(0 if self.detached else os.getpid())
        if self.known["etcd"]:
            self.start(ETCD)
        begun = {name: self.launch(name) for name in self.nodes if not self.alive(name)}
        for name, begin in begun.items():
            self.wait_ready(name, begin)
        return self

    def launch(self, name):
        """Starts a node without waiting for it; returns where its log begins."""
        self.prepare(name)
        log = self.log(name)
        begin = log.stat().st_size if log.exists() else 0
        command = [*self.network.command(name), binary(), "serve", "--data-dir", str(self.data(name)), "--node-id", str(name)]
        for role, option in (("kafka", "--listen"), ("http", "--http"), ("postgres", "--postgres")):
            command += [option, self.address(name, role)]
        if self.known["etcd"]:
            command += ["--peer", self.address(name, "peer"), "--etcd", self.etcd_url]
            if not self.known["loopback"]:
                command += ["--set", f"quire.peer.secret.file={self.secret()}"]
        for setting in self.known["settings"]:
            command += ["--set", setting]
        environment = {**os.environ}
        for more in (self.clock_environment(name), self.environment.get(name, {})):
            preloaded = [value for value in (environment.get("LD_PRELOAD"), more.get("LD_PRELOAD")) if value]
            environment |= {**more, **({"LD_PRELOAD": ":".join(preloaded)} if preloaded else {})}
        self.processes[name] = Process.start(command, log, environment, self.detached)
        self.save()
        return begin

    def wait_ready(self, name, begin, seconds=120):
        deadline = time.monotonic() + seconds
        while True:
            text = self.log_text(name, begin)
            if READY.search(text):
                return
            if not self.alive(name):
                raise NodeFailed(f"node {name} ended at start:\n{text[-3000:]}")
            if time.monotonic() > deadline:
                raise NodeFailed(f"node {name} was not ready within {seconds} s:\n{text[-3000:]}")
            time.sleep(0.02)

    def start(self, name, seconds=120):
        if self.alive(name):
            return
        if name == ETCD:
            self.start_etcd()
        else:
            self.wait_ready(name, self.launch(name), seconds)

    def start_etcd(self, seconds=60):
        peers = f"http://{self.address(ETCD, 'peers')}"
        self.processes[ETCD] = Process.start(
            [*self.network.command(ETCD), str(etcd_binary()), "--data-dir", str(self.data(ETCD)), "--listen-client-urls",
             self.etcd_url, "--advertise-client-urls", self.etcd_url, "--listen-peer-urls", peers,
             "--initial-advertise-peer-urls", peers, "--initial-cluster", f"default={peers}", "--log-level", "warn"],
            self.log(ETCD), detached=self.detached)
        self.save()
        deadline = time.monotonic() + seconds
        while True:
            try:
                with urllib.request.urlopen(f"{self.etcd_url}/health", timeout=2) as answer:
                    if json.load(answer)["health"] == "true":
                        return
            except (OSError, ValueError):
                pass
            if not self.alive(ETCD):
                raise NodeFailed(f"etcd ended at start:\n{self.log_text(ETCD)[-2000:]}")
            if time.monotonic() > deadline:
                raise NodeFailed(f"etcd was not ready within {seconds} s:\n{self.log_text(ETCD)[-2000:]}")
            time.sleep(0.05)

    def add(self):
        """One more node, with a number that none has had."""
        name, begin = self.launch_new()
        self.wait_ready(name, begin)
        return name

    def launch_new(self):
        """`add` without waiting; returns the node, and where its log begins."""
        name = self.known["newest"] = max(self.known.get("newest", 0), *self.nodes) + 1
        self.network.add(name)
        self.known["nodes"].append(name)
        return name, self.launch(name)

    def forget(self, name):
        """A node that has been removed from the cluster: stopped, and not started again."""
        self.stop(name)
        self.known["nodes"].remove(name)
        self.save()

    def kill(self, *names):
        """kill -9, all of them as nearly at once as can be."""
        for name in names:
            self.processes[name].signal(signal.SIGKILL)
        for name in names:
            self.processes[name].wait(20)

    def stop(self, name, seconds=90):
        """SIGTERM; returns the exit status where it is known (by the process that started it)."""
        if not self.alive(name):
            return None
        if not self.processes[name].end(seconds):
            raise NodeFailed(f"{name} still ran {seconds} s after SIGTERM:\n{self.log_text(name)[-3000:]}")
        return self.processes[name].status

    def pause(self, name):
        process = self.processes[name]
        process.signal(signal.SIGSTOP)
        while process.alive() and not process.stopped():
            time.sleep(0.001)

    def go_on(self, name):
        self.processes[name].signal(signal.SIGCONT)

    def down(self):
        """Everything ends: nodes first, by SIGTERM, then etcd, then the network."""
        running = [process for name, process in self.processes.items() if name != ETCD and process.alive()]
        for process in running:
            process.signal(signal.SIGCONT)
            process.signal(signal.SIGTERM)
        for process in running:
            if not process.wait(60):
                process.kill()
        self.destroy()

    def destroy(self):
        """As `down`, at once. The files stay."""
        for process in self.processes.values():
            process.signal(signal.SIGKILL)
        for process in self.processes.values():
            process.wait(20)
            for left in glob.glob(f"/dev/shm/*faketime_*_{process.pid}"):
                os.unlink(left)
        for name in self.nodes:
            self.unmount(name)
        self.network.down()

    def __enter__(self):
        try:
            return self.up()
        except BaseException:
            self.destroy()
            raise

    def __exit__(self, *_):
        self.destroy()

    # ---- faults

    def cut(self, one, other, one_way=False, refuse=False):
        """Between two of: a node's number, "etcd", "client"."""
        if not self.network.can_cut:
            raise SystemExit("links can be cut only between network namespaces, which want root")
        self.network.cut(one, other, refuse)
        if not one_way:
            self.network.cut(other, one, refuse)

    def isolate(self, name, refuse=False):
        """From the other nodes and from etcd; clients still reach it."""
        for other in [*self.nodes, *([ETCD] if self.known["etcd"] else [])]:
            if other != name:
                self.cut(name, other, refuse=refuse)

    def heal(self):
        """Every link is whole, every clock right, nothing is paused, and what was dead runs."""
        self.network.heal()
        for name in [*self.nodes, ETCD]:
            if name in self.processes:
                self.go_on(name)
        for name in self.nodes:
            self.set_clock(name, 0)
            if self.known["disk"]:
                self.disk_ballast(name).unlink(missing_ok=True)
        self.up()

    def set_clock(self, name, seconds):
        """Its wall clock is wrong by so much from now on (within a second); timers keep their pace."""
        if self.known["clocks"]:
            path = self.directory / f"node-{name}.clock"
            path.with_suffix(".new").write_text(f"{seconds:+d}s\n" if seconds else "+0s\n")
            path.with_suffix(".new").replace(path)

    def clock_environment(self, name):
        if not self.known["clocks"]:
            return {}
        library = (sorted(glob.glob(CLOCKS)) or [None])[0]
        if not library:
            raise SystemExit("no libfaketime: tools/install installs Debian's faketime")
        path = self.directory / f"node-{name}.clock"
        if not path.exists():
            self.set_clock(name, 0)
        return {"LD_PRELOAD": library, "FAKETIME_TIMESTAMP_FILE": str(path), "FAKETIME_CACHE_DURATION": "1", "NO_FAKE_STAT": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}

    def prepare(self, name):
        """The directory in which a node's data are, with a file system of its own if `disk` says how large."""
        home = self.data(name).parent
        home.mkdir(parents=True, exist_ok=True)
        if self.known["disk"] and not os.path.ismount(home):
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={self.known['disk']}", "quire-cluster", str(home)], check=True)

    def unmount(self, name):
        home = self.data(name).parent
        if self.known["disk"] and os.path.ismount(home):
            subprocess.run(["umount", "--lazy", str(home)], check=False)

    def disk_ballast(self, name):
        return self.data(name).parent / "ballast"

    def fill_disk(self, name):
        """Takes what room is left there, as another program would; `heal` gives it back."""
        with open(self.disk_ballast(name), "ab", buffering=0) as ballast:
            chunk = 1 << 24
            while chunk >= 1 << 12:
                try:
                    os.posix_fallocate(ballast.fileno(), os.fstat(ballast.fileno()).st_size, chunk)
                except OSError:
                    chunk >>= 1

    # ---- asking

    def ask(self, name, sql):
        """Of a node, over HTTP: its status and what it says, a JSON object a line."""
        request = urllib.request.Request(
            f"http://{self.address(name, 'http')}/v1/query", json.dumps({"sql": sql, "format": "jsonl"}).encode(),
            {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def log_text(self, name, begin=0):
        try:
            with open(self.log(name), "rb") as log:
                log.seek(begin)
                return log.read().decode(errors="replace")
        except FileNotFoundError:
            return ""

    def secret(self):
        path = self.directory / "secret"
        if not path.exists():
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_hex(32) + "\n")
        return path

    def metrics(self, name):
        """{name{labels}: value} of one node."""
        with urllib.request.urlopen(f"http://{self.address(name, 'http')}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if line and not line.startswith("#")}

    def metric(self, name, metric):
        """The sum of all its series."""
        return sum(value for series, value in self.metrics(name).items() if series.split("{")[0] == metric)


def etcd_binary():
    path = pathlib.Path(os.environ.get("QUIRE_ETCD") or ROOT / ".build/etcd/usr/bin/etcd")
    if not path.exists():
        raise SystemExit(f"there is no {path}: tools/install unpacks it")
    return path


# ---- the command

def name_of(word):
    return int(word) if word.isdigit() else word


def main():
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--dir", default=str(ROOT / ".build/cluster"), help="where all of it is (default .build/cluster)")
    parser = argparse.ArgumentParser(prog="tools/cluster", description="Three nodes and etcd on this machine.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="COMMAND")

    def verb(name, help, *names, **more):
        one = verbs.add_parser(name, help=help, parents=[common])
        for argument in names:
            one.add_argument(argument, type=name_of)
        return one

    up = verb("up", "start what does not run")
    up.add_argument("--nodes", type=int, default=3)
    up.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="for every node")
    up.add_argument("--loopback", action="store_true", help="no namespaces: nothing can be cut")
    up.add_argument("--clocks", action="store_true", help="each node has a clock that can be set")
    up.add_argument("--disk", help="size of a file system of its own under each node (as 256m)")
    verb("down", "stop everything; the files stay").add_argument("--remove", action="store_true", help="the files go too")
    verb("status", "what runs where")
    verb("add", "start one more node")
    verb("start", "start a node, or etcd", "name")
    verb("stop", "stop a node as an operator would (SIGTERM)", "name")
    verb("kill", "kill -9", "name")
    verb("pause", "SIGSTOP", "name")
    verb("cont", "SIGCONT", "name")
    cut = verb("cut", "lose what is sent between two of: a node's number, etcd, client", "one", "other")
    cut.add_argument("--one-way", action="store_true", help="only what the first sends")
    cut.add_argument("--refuse", action="store_true", help="by a blackhole route: new connections fail at once")
    clock = verb("clock", "set a node's clock (up --clocks)", "name")
    clock.add_argument("seconds", type=int, help="how much it is ahead")
    verb("fill", "fill a node's file system (up --disk)", "name")
    verb("heal", "links, clocks, disks whole; what is paused or dead runs again")
    options = parser.parse_args()

    made = vars(options)
    cluster = Cluster(options.dir, made.get("nodes", 3), made.get("set", ()), made.get("loopback", False),
                      made.get("clocks", False), made.get("disk"), detached=True)
    if options.verb != "up" and not cluster.file.exists():
        raise SystemExit(f"tools/cluster: there is no cluster in {options.dir}; tools/cluster up makes one")
    try:
        act(cluster, options)
    except (NodeFailed, OSError) as error:
        raise SystemExit(f"tools/cluster: {error}") from None


def act(cluster, options):
    verb = options.verb
    if verb == "up":
        cluster.up()
        print(cluster.bootstrap)
        print_status(cluster, sys.stderr)
    elif verb == "down":
        cluster.down()
        if options.remove:
            shutil.rmtree(cluster.directory)
    elif verb == "status":
        print_status(cluster, sys.stdout)
    elif verb == "add":
        print(cluster.add())
    elif verb in ("start", "stop", "kill", "pause"):
        known = [*cluster.nodes, ETCD]
        if options.name not in known:
            raise SystemExit(f"tools/cluster: there is no {options.name}, only {' '.join(map(str, known))}")
        getattr(cluster, verb)(options.name)
    elif verb == "cont":
        cluster.go_on(options.name)
    elif verb == "cut":
        cluster.cut(options.one, options.other, options.one_way, options.refuse)
    elif verb == "clock":
        cluster.set_clock(options.name, options.seconds)
    elif verb == "fill":
        cluster.fill_disk(options.name)
    elif verb == "heal":
        cluster.heal()


def print_status(cluster, out):
    for name in [*cluster.nodes, *([ETCD] if cluster.known["etcd"] else [])]:
        state = "down"
        if cluster.alive(name):
            state = "paused" if cluster.processes[name].stopped() else f"process {cluster.processes[name].pid}"
        if name == ETCD:
            print(f"etcd    {state:16} {cluster.etcd_url}   log {cluster.log(name)}", file=out)
        else:
            print(f"node {name}  {state:16} Kafka {cluster.address(name)}  HTTP http://{cluster.address(name, 'http')}  "
                  f"Postgres {cluster.address(name, 'postgres')}  log {cluster.log(name)}", file=out)
    for sender, receiver in cluster.network.cuts():
        print(f"cut     {sender} -> {receiver}", file=out)


if __name__ == "__main__":
    main()
