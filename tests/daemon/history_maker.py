"""Makes histories at random. The same seed makes the same history."""

from random import Random

from histories import CARDS, History
from history_model import DAY

NUMBERS = ("A", "B", "C")
PEOPLE = ("p1", "p2")
UNTIL = (700, 4000, 2 * DAY, 90 * DAY, 90 * DAY, 90 * DAY)
STEPS = (1, 1, 2, 6, 30, 250, 400, 1800, 3700, DAY)

# what a history is about: weights of its events, over those of every history
COMMON = {"publish": 10, "lift": 5, "deliver": 30, "late": 8, "replay": 6, "write": 12, "contact": 14, "at": 8, "ask": 4}
THEMES = {
    "amendments": {"amend": 16, "lift": 8, "mark": 6, "snapshot": 6},
    "marks": {"amend": 8, "mark": 12, "lift": 8, "restart": 4},
    "clocks": {"at": 20, "wall": 10, "restart": 4, "gate": 4},
    "redis": {"flush": 6, "rbackup": 5, "rrestore": 6, "restart": 6, "gate": 3, "mark": 6},
    "journal": {"jbackup": 6, "jrestore": 6, "flush": 3, "mark": 6, "lift": 8, "snapshot": 4},
    "office": {"obackup": 5, "orestore": 5, "onew": 2, "approve": 6, "snapshot": 8, "amend": 6},
    "snapshots": {"snapshot": 14, "hole": 6, "meanwhile": 6, "amend": 8, "mark": 6},
    "steps": {"step": 14, "amend": 8, "mark": 8, "flush": 3, "restart": 4},
    "cards": {"cards": 24, "at": 6, "restart": 3, "lift": 3},
    "cards and disasters": {"cards": 16, "flush": 3, "wall": 4, "jbackup": 3, "jrestore": 3, "step": 6, "amend": 6},
    "stays": {"stay": 14, "unstay": 5, "object": 5, "unobject": 4, "restart": 4, "flush": 5, "mark": 4, "at": 4, "cards": 4},
    "stays past the daemon": {"stay": 8, "unstay": 4, "object": 4, "unobject": 4, "direct": 8, "flush": 4, "jbackup": 4,
        "jrestore": 4, "rbackup": 3, "rrestore": 3, "restart": 4, "mark": 4},
    "stays in steps": {"stay": 6, "unstay": 3, "object": 4, "unobject": 3, "direct": 3, "step": 10, "amend": 6, "mark": 6,
        "cards": 4, "wall": 3},
    "all": {"stay": 2, "unstay": 1, "object": 1, "unobject": 1, "direct": 1, "cards": 4, "amend": 6, "mark": 6, "at": 6,
        "wall": 2, "flush": 2, "rbackup": 2, "rrestore": 2, "restart": 4, "gate": 2, "jbackup": 3, "jrestore": 3, "obackup": 2,
        "orestore": 2, "onew": 1, "approve": 3, "snapshot": 6, "hole": 2, "meanwhile": 3, "step": 4},
}


class Maker:
    def __init__(self, seed, theme):
        self.r = Random(seed)
        self.h = History()
        weights = dict(COMMON)
        for name, w in THEMES[theme or list(THEMES)[seed % len(THEMES)]].items():
            weights[name] = weights.get(name, 0) + w
        self.names, self.weights = list(weights), list(weights.values())

    def do(self, text):
        self.h.apply(text)

    # ---- single events; each may find nothing to do

    def publish(self):
        unused = [n for n in NUMBERS if n not in self.h.office.orders]
        if not unused or (len(unused) < 3 and self.r.random() < 0.5):
            return self.amend()
        r, now = self.r, self.h.now
        served = r.choice((-3,) * 9 + (-1, 1))
        since = now + r.choice((-DAY,) * 8 + (-60, 300, 2 * DAY))
        until = max(now, since, served * DAY) + r.choice(UNTIL)
        flags = r.choice(("",) * 17 + (" o", " b", " x"))
        self.do(f"publish {unused[0]} {self.person()} {r.randint(1, 7):x} {served} {since} {until}{flags}")

    def person(self):
        return PEOPLE[0] if self.r.random() < 0.75 else self.r.choice(PEOPLE)

    def amend(self):
        o, r = self.h.office, self.r
        if not o.orders:
            return
        number = r.choice(list(o.orders))
        v = o.orders[number]
        measures, until, served, subject = v.measures, v.until, v.served, v.subject
        kind = r.choice(("narrow", "shorter", "wider", "longer", "wider served", "longer served", "wider served", "longer served",
                         "same", "narrow", "same", "subject", "unreadable", "objection", "observe", "three years"))
        if kind.startswith("wider"):
            measures |= 1 << r.randrange(3)
        if kind == "narrow":
            measures &= r.randint(1, 7)
        if kind == "shorter":
            until = max(v.since, v.served * DAY) + (until - max(v.since, v.served * DAY)) // 2 + 1
        if kind.startswith("longer"):
            until += r.choice(UNTIL)
        if kind.endswith("served"):
            served += 1
        if kind == "three years":
            until, served = until + 3 * 366 * DAY, served + 1
        if kind == "subject":
            subject = r.choice(PEOPLE)
        until = max(until, served * DAY + 1, v.since + 1)
        flags = {"unreadable": " x", "objection": " b", "observe": " o"}.get(kind, "")
        self.do(f"publish {number} {subject} {measures or v.measures:x} {served} {v.since} {until}{flags}")

    def lift(self):
        if self.h.office.orders:
            number = self.r.choice(list(self.h.office.orders))
            self.do(f"lift {number} {self.r.choice((0xffff, 0xffff, 1, 2, 4, 3)):x}")

    def mark(self):
        if self.h.office.orders:
            number = self.r.choice(list(self.h.office.orders))
            on = self.h.office.relief.get(number)
            self.do(f"mark {number} {int(not (on and on.objection)) if self.r.random() < 0.8 else self.r.randint(0, 1)}")

    def tokens(self, acked):
        return [n for n in self.h.made if n[0] in "cr" and (n in self.h.acked) == acked]

    def deliver(self):
        """The next of a lane, as a poll would bring it."""
        waiting = self.tokens(False)
        if waiting:
            lane = self.r.choice(waiting)[0]
            self.do("deliver " + next(n for n in waiting if n[0] == lane))
            if self.r.random() < 0.6:
                self.do("write")
                self.do("ask")

    def late(self):
        waiting = self.tokens(False)
        if waiting:
            self.do("deliver " + self.r.choice(waiting))
            self.do("ask")

    def replay(self):
        known = self.tokens(True)
        if known:
            self.do("deliver " + self.r.choice(known))
            self.do("write")
            self.do("ask")

    def contact(self):
        self.do("headmake")
        self.do(f"deliver h{self.h.count['h']}")
        self.do("write")
        self.do("ask")

    def snapshot(self):
        if self.h.count["s"] == 0 or self.r.random() < 0.7:
            self.do("snapmake")
        self.do(f"deliver s{self.r.randint(max(1, self.h.count['s'] - 1), self.h.count['s'])}")
        self.do("ask")

    def hole(self):
        if self.h.office.orders:
            self.do("snapmake without " + self.r.choice(list(self.h.office.orders)))
            self.do(f"deliver s{self.h.count['s']}")

    def meanwhile(self):
        self.do("snapmake")
        self.lift()
        waiting = [n for n in self.h.made if n[0] == "r" and n not in self.h.acked]
        self.do(f"deliver s{self.h.count['s']} " + " ".join(waiting[:2]))
        self.do("write")
        self.do("ask")

    def at(self):
        self.do(f"at {self.r.choice(STEPS)}")
        self.do("ask")
        if self.r.random() < 0.8:
            self.contact()

    def wall(self):
        r = self.r
        off = (0, 0, 60, -60, 290, -290, 310, -310, 4000, -4000, 2 * DAY, -2 * DAY)
        both = r.choice(off)
        self.do(f"wall {both if r.random() < 0.5 else r.choice(off)} {both}")
        self.do("ask")
        if r.random() < 0.3:
            self.contact()
        elif r.random() < 0.6:
            self.do("wall 0 0")
            self.do("ask")

    def restart(self):
        self.do("stop")
        if self.r.random() < 0.8:
            self.do("start")
            if self.r.random() < 0.7:
                self.do("write")
        self.do("ask")

    def jrestore(self):
        self.do("jrestore")
        if self.r.random() < 0.3:
            self.do("flush")
        if self.r.random() < 0.9:
            self.do("start")
            self.do("write")
        self.do("ask")

    def cards(self):
        """Issued, re-issued, returned, passed on, used by another, held by two at once, to come."""
        r, now, known = self.r, self.h.now, self.h.journal.links
        card, holder = r.choice(CARDS), self.person()
        other = PEOPLE[1 - PEOPLE.index(holder)]
        since = now - DAY
        lines = {
            "own": [f"{card},{holder},own,{since},-"],
            "reissue": [f"{card},{holder},own,{since},{now}", f"{r.choice([c for c in CARDS if c != card])},{holder},own,{now},-"],
            "return": [f"{card},{k.holder},-" for k in known.get(card, ())][:1],
            "pass on": [f"{card},{holder},own,{since},{now + r.choice((0, 0, 60, 700))}", f"{card},{other},own,{now + 700},-"],
            "taken over": [f"{card},{holder},-", f"{card},{other},own,{since},-"],
            "other": [f"{card},{holder},other,{since},-"],
            "two": [f"{card},{holder},own,{since},{r.choice(('-', now + 300))}", f"{card},{other},own,{since},-"],
            "to come": [f"{card},{holder},own,{now + r.choice((5, 300, 3000))},{now + 90 * DAY}"],
            "short": [f"{card},{holder},own,{since},{now + r.choice((5, 300, 3000))}"],
        }[r.choice(("own", "own", "own", "reissue", "return", "pass on", "taken over", "other", "two", "to come", "short"))]
        how = "delta"
        if lines and r.random() < 0.3:
            how = "full"
            lines = [l for l in lines if not l.endswith("-") or l.count(",") > 2]
            named = {l.split(",")[0] for l in lines}
            lines += [f"{c},{k.holder},{'own' if k.own else 'other'},{k.since},{k.until if k.until < 1 << 40 else '-'}"
                      for c, links in known.items() if c not in named and r.random() < 0.8 for k in links]
        self.do(f"holders {how} " + " ".join(lines))
        if r.random() < 0.8:
            self.do("write")
        self.do("ask")

    def targets(self):
        return list(self.h.office.orders) * 2 + list(PEOPLE) + list(CARDS)

    def stay(self):
        until = self.r.choice(("-", "-", self.h.now + self.r.choice((5, 300, 700, 4000, DAY))))
        self.plain(f"stay {self.r.choice(self.targets())} {until}")

    def unstay(self):
        standing = [t for t in self.h.journal.stays if self.h.journal.stay_of(t) is not None]
        self.plain(f"unstay {self.r.choice(standing or self.targets())}")
        self.do("write")
        self.do("ask")

    def object(self):
        if self.h.office.orders:
            self.plain("object " + self.r.choice(list(self.h.office.orders)))

    def unobject(self):
        standing = [n for n, stands in self.h.journal.objected.items() if stands]
        if standing or self.h.office.orders:
            self.plain("unobject " + self.r.choice(standing or list(self.h.office.orders)))
            self.do("write")
            self.do("ask")

    def direct(self):
        target = self.r.choice(self.targets())
        until = self.r.choice(("-", self.h.now + self.r.choice((5, 300, 4000)), "o" if target in self.h.office.orders else "-"))
        self.plain(f"direct {target} {until}")

    def plain(self, text):
        self.do(text)
        if text not in ("obackup", "jbackup", "rbackup", "onew"):
            self.do("ask")

    def event(self, name):
        if name == "step":
            self.plain(f"step {self.r.choice((1, 1, 2, 3, 5))}")
        elif name == "orestore":
            self.plain("orestore " + self.r.choice(("same", "new")))
        elif hasattr(self, name):
            getattr(self, name)()
        else:
            self.plain(name)

    # ---- the whole

    def settle(self):
        """What happens by itself when nothing is in the way: after it every decision must be right both ways."""
        h = self.h
        self.do("wall 0 0")
        self.do("start")
        if h.journal.forked and h.office.epoch <= h.journal.epoch:
            self.do("onew")
        if h.journal.known and h.office.epoch > h.journal.epoch and h.journal.approved != h.office.epoch:
            self.do("approve")
        for name in self.tokens(False):
            t = h.made[name]
            if t.epoch == h.office.epoch and h.journal.tokens.get((t.lane, t.epoch, t.seq), name) == name:
                self.do("deliver " + name)
        self.do("at 1")
        j, o = h.journal, h.office
        if (not j.known or j.epoch != o.epoch or j.forked or j.behind or j.seq != o.seq or j.relief_seq != o.relief_seq):
            self.do("snapmake")
            self.do(f"deliver s{h.count['s']}")
        self.do("at 1")
        self.contact()

    def make(self):
        r = self.r
        for _ in range(r.choice((1, 2, 2, 3))):
            self.publish()
        self.do("start")
        if r.random() < 0.7:
            self.cards()
        if r.random() < 0.7:
            self.snapshot()
            self.contact()
        for _ in range(r.randint(6, 16)):
            self.event(r.choices(self.names, self.weights)[0])
        if r.random() < 0.3:
            self.settle()
            for _ in range(r.randint(2, 6)):
                self.event(r.choices(self.names, self.weights)[0])
        self.settle()
        return self.h


def make(seed, theme=None):
    """The history of a seed; the themes come in turn unless one is named."""
    return Maker(seed, theme).make()
