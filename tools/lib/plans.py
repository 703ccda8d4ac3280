"""What one round of tools/chaos does, and when: drawn from a generator, so that the same seed gives the same plan."""
import damage
from cluster import ETCD

FAULTS = ("kill", "term", "pause", "cut", "clock", "disk", "flip", "wipe", "scale", "etcd", "power")
WANT_ROOT = {"cut", "disk"}


class Plan:
    """What a round does, and when: drawn from its generator alone."""

    def __init__(self, rng, faults, nodes, seconds):
        self.rng, self.nodes, self.seconds, self.events = rng, nodes, seconds, []
        self.power = "power" in faults and rng.random() < (1 if len(faults) == 1 else 0.2)
        # Of a node that joins, or begins with nothing, it is not recorded what is synced.
        drawn = [fault for fault in faults if fault != "power" and not (self.power and fault in ("scale", "wipe"))]
        self.damaged = self.leaving = None
        if drawn:
            for _ in range(rng.choice((1, 1, 2, 2, 3))):
                getattr(self, rng.choice(drawn))()
        self.events.sort(key=lambda event: event[0])

    def add(self, at, verb, *arguments):
        self.events.append((min(at, self.seconds), verb, arguments))

    def moment(self):
        return 0.3 + self.rng.random() * self.seconds * 0.6

    def lasting(self):
        """Mostly short, sometimes longer than a session lives; beyond the end of the round, until all is healed."""
        return self.rng.choice((self.rng.random(), self.rng.uniform(1, 6), self.rng.uniform(5, 20)))

    def someone(self):
        """A node by what it is at that moment."""
        draw = self.rng.random()
        if draw < 0.5:
            return ("leader", self.rng.randrange(1000))
        return ("controller", 0) if draw < 0.65 else ("node", self.rng.choice(self.nodes))

    def kill(self):
        at, who = self.moment(), self.someone()
        self.add(at, "kill", who)
        self.add(at + self.lasting(), "start", who)
        if self.rng.random() < 0.2:    # a second one, perhaps the last but one in sync
            self.add(at + self.rng.random() * 2, "kill", self.someone())

    def term(self):
        at, who = self.moment(), self.someone()
        self.add(at, "term", who)
        self.add(at + self.lasting(), "start", who)

    def pause(self):
        at, who = self.moment(), self.someone()
        self.add(at, "pause", who)
        self.add(at + self.lasting(), "cont", who)

    def cut(self):
        at, rng = self.moment(), self.rng
        refuse = rng.random() < 0.25
        way = rng.randrange(4)
        if way == 0:
            self.add(at, "isolate", self.someone(), refuse)
        elif way == 1:
            self.add(at, "cut", self.someone(), ("node", rng.choice(self.nodes)), rng.random() < 0.5, refuse)
        elif way == 2:
            self.add(at, "cut", self.someone(), ETCD, rng.random() < 0.3, refuse)
        else:
            self.add(at, "cut", ("node", rng.choice(self.nodes)), self.someone(), True, refuse)
        self.add(at + self.lasting(), "links")

    def clock(self):
        at, who = self.moment(), ("node", self.rng.choice(self.nodes))
        self.add(at, "clock", who, self.rng.choice((-1, 1)) * self.rng.choice((3, 60, 3600, 86_400)))
        if self.rng.random() < 0.5:
            self.add(at + self.lasting(), "clock", who, 0)

    def disk(self):
        at, who = self.moment(), ("node", self.rng.choice(self.nodes))
        self.add(at, "fill", who)
        self.add(at + self.lasting(), "empty", who)

    def flip(self):
        """Of one node in a round, so that what it had is still whole on the others."""
        if self.damaged is None:
            self.damaged = self.rng.choice(self.nodes)
        at, who = self.moment(), ("node", self.damaged)
        what = self.rng.choice(damage.KINDS), self.rng.choice(("led", "followed")), self.rng.random()
        if self.rng.random() < 0.5:
            self.add(at, "damage", who, *what)
        else:
            self.add(at, "kill", who)
            self.add(at + 0.1, "damage", who, *what)
            self.add(at + 0.1 + self.lasting(), "start", who)

    def wipe(self):
        """The disk of one node is lost, while every other has everything."""
        if self.damaged is None:
            self.damaged = self.rng.choice(self.nodes)
            at, who = self.moment(), ("node", self.damaged)
            self.add(at, "wipe", who)
            self.add(at + self.lasting(), "start", who)

    def scale(self):
        """Once in a round: one node more, and one of the others goes."""
        if self.leaving is None:
            self.leaving = self.rng.choice(self.nodes)
            self.add(self.moment() / 2, "scale", ("node", self.leaving))

    def etcd(self):
        at = self.moment()
        verb, back = self.rng.choice((("kill", "start"), ("pause", "cont")))
        self.add(at, verb, ETCD)
        self.add(at + self.lasting(), back, ETCD)

    def __str__(self):
        def word(argument):
            return f"{argument[0]} {argument[1]}" if isinstance(argument, tuple) else str(argument)
        return "; ".join(f"{at:.1f} s {verb} {', '.join(map(word, arguments))}".rstrip() for at, verb, arguments in self.events) \
            + ("; then all lose power" if self.power else "")
