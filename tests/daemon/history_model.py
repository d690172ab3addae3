"""What a denial may rest on: the model that histories are judged by. Written from design.md (sections 2, 5 to 7) and the
feed's contract in restrict-cache/README.md, not from the code.

Three places know things: the office (`Office`), the daemon's journal (`Journal`) and Redis (`Cache`), each a value that can be
copied, so that a backup is a copy and a disaster is going back to one. Beside them stands what nobody may forget: `freed`, all
relief that ever reached the daemon and is still known somewhere. Times are Unix seconds less BASE.
"""

from copy import copy

DAY = 86400
BASE = 20776 * DAY - 8 * 3600          # 2026-11-18T00:00:00+08:00
SKEW = 300                             # clocks further apart enforce nothing
MAX_STALE = 3600
TERM_MAX = 3 * 366 * DAY
WHOLE = 0xffff


class Version:
    """One version of an order as the office words it. Never changed once made."""

    __slots__ = ("number", "subject", "measures", "served", "since", "until", "observe", "objection", "readable")

    def __init__(self, number, subject, measures, served, since, until, observe=False, objection=False, readable=True):
        self.number, self.subject, self.measures, self.served = number, subject, measures, served
        self.since, self.until, self.observe, self.objection, self.readable = since, until, observe, objection, readable

    def but(self, **changed):
        v = copy(self)
        for name, value in changed.items():
            setattr(v, name, value)
        return v

    @property
    def start(self):
        """Nothing is enforced before the day on which the notice was served."""
        return max(self.since, self.served * DAY)


class Token:
    __slots__ = ("name", "lane", "epoch", "seq", "iat", "kind", "number", "value")

    def __init__(self, name, lane, epoch, seq, iat, kind, number, value):
        self.name, self.lane, self.epoch, self.seq, self.iat = name, lane, epoch, seq, iat
        self.kind, self.number, self.value = kind, number, value      # order: Version; lift: mask; mark: bool


class Head:
    """What the office signs: a head, or with records (number -> Version) a snapshot. `relief` is what it had freed by then."""

    __slots__ = ("iat", "epoch", "seq", "relief_seq", "relief", "records")

    def __init__(self, iat, office, records=None):
        self.iat, self.epoch, self.seq, self.relief_seq = iat, office.epoch, office.seq, office.relief_seq
        self.relief = {n: r for n, r in office.relief.items() if n not in office.contradicted}
        self.records = records


class Relief:
    """What frees one order number. lifted only grows; an objection may be ended by a later mark."""

    __slots__ = ("lifted", "objection", "mark")

    def __init__(self, lifted=0, objection=False, mark=(0, 0)):
        self.lifted, self.objection, self.mark = lifted, objection, mark

    def lift(self, mask):
        return Relief(self.lifted | mask, self.objection, self.mark)

    def marked(self, objection, mark):
        """true always frees; false only when it is above the last mark."""
        if mark > self.mark:
            return Relief(self.lifted, objection, mark)
        return Relief(self.lifted, True, self.mark) if objection else self


    def over_by(self, snapshot, v):
        """A snapshot of the epoch of the mark, and of a later moment, tells whether an objection still stands."""
        return (v.readable and self.objection and not v.objection and self.mark[0] == snapshot.epoch
                and snapshot.relief_seq > self.mark[1])


NOTHING = Relief()


class Link:
    """A card is `holder`'s in [since, until); `own`: not merely used by them."""

    __slots__ = ("holder", "since", "until", "own")

    def __init__(self, holder, since, until, own=True):
        self.holder, self.since, self.until, self.own = holder, since, until, own


def terms(links):
    """(holder, since, until) of own links, those of one holder that touch made one."""
    out = []
    for link in sorted((k for k in links if k.own), key=lambda k: (k.holder, k.since)):
        if out and out[-1][0] == link.holder and link.since <= out[-1][2]:
            out[-1] = (link.holder, out[-1][1], max(out[-1][2], link.until))
        else:
            out.append((link.holder, link.since, link.until))
    return out


def reached(links, holder, *clocks):
    """Whether the holder's orders reach the card, by all clocks: it is theirs, and nobody else's now or later in this term."""
    all_terms = terms(links)
    for h, since, until in all_terms:
        if h == holder and all(since <= c < until for c in clocks):
            both = max((min(until, u) for o, s, u in all_terms if o != holder and max(since, s) < min(until, u)), default=since)
            return all(c >= both for c in clocks)
    return False


class Held:
    """The version of a number that the daemon holds, and how it ended: None, "over" (expired or dropped: nothing of it is in force
    any more, and to bring it back is to add all of it), "refused" (a later version contradicts it or cannot be read)."""

    __slots__ = ("version", "first", "ended", "over")

    def __init__(self, version, first, ended=None, over=False):
        self.version, self.first, self.ended, self.over = version, first, ended, over

    def end(self, how):
        return Held(self.version, self.first, how, self.over or how == "over")

    def narrowed(self, v):
        w = self.version
        both = w.but(measures=w.measures & v.measures, until=min(w.until, v.until), since=max(w.start, v.start),
                     observe=w.observe or v.observe, objection=w.objection or v.objection)
        return Held(both, self.first) if both.measures and both.since < both.until else self.end("refused")


class Office:
    def __init__(self):
        self.epoch, self.seq, self.relief_seq = 1, 0, 0
        self.orders = {}               # number -> newest Version
        self.relief = {}               # number -> Relief
        self.contradicted = frozenset()     # numbers that it published again although it had lifted them

    def copy(self):
        o = copy(self)
        o.orders, o.relief = dict(self.orders), dict(self.relief)
        return o

    def records(self):
        """A snapshot's: what is left of each order."""
        out = {}
        for number, v in self.orders.items():
            r = self.relief.get(number, NOTHING)
            if not v.readable or v.measures & ~r.lifted:
                out[number] = v.but(measures=v.measures & ~r.lifted, objection=v.objection or r.objection) if v.readable else v
        return out


class Journal:
    """The daemon's memory, by the event table of design.md section 7."""

    def __init__(self):
        self.known = False             # any epoch yet
        self.epoch = self.seq = self.relief_seq = self.top = 0
        self.behind = self.forked = False
        self.approved = 0
        self.tokens = {}               # (lane, epoch, seq) -> name
        self.relief_iat = self.head_iat = self.head_relief = -BASE
        self.orders = {}               # number -> Held
        self.relief = {}               # number -> Relief
        self.links = {}                # card -> (Link, ...); never changed, only replaced
        self.stays = {}                # order or subject -> {until: standing}; never changed, only replaced
        self.objected = {}             # number -> standing: the operator's objections, likewise
        self.clock = None              # (iat, when it came, highest value given out)

    def copy(self):
        j = copy(self)
        j.tokens, j.orders, j.relief = dict(self.tokens), dict(self.orders), dict(self.relief)
        j.stays, j.objected = dict(self.stays), dict(self.objected)
        return j

    # ---- what the operator frees

    def stay(self, target, until):
        self.stays[target] = {**self.stays.get(target, {}), until: True}

    def unstay(self, target):
        """True when one stood."""
        old = self.stays.get(target, {})
        self.stays[target] = dict.fromkeys(old, False)
        return any(old.values())

    def stay_of(self, target):
        return max([u for u, stands in self.stays.get(target, {}).items() if stands], default=None)

    def lapse(self, at):
        for target, stays in self.stays.items():
            if any(stands and until <= at for until, stands in stays.items()):
                self.stays[target] = {u: stands and u > at for u, stands in stays.items()}

    # ---- the office clock: the last head's iat, and the time since; it never goes back

    def office_clock(self, now):
        if self.clock is None:
            return None
        iat, came, high = self.clock
        high = max(high, iat + now - came)
        self.clock = (iat, came, high)
        return high

    # ---- marks

    def advance(self):
        while ("relief", self.epoch, self.relief_seq + 1) in self.tokens:
            self.relief_seq += 1
        self.top = max(self.top, self.relief_seq)
        self.behind = self.top > self.relief_seq

    def begin_epoch(self, epoch):
        self.known, self.epoch, self.seq, self.relief_seq, self.head_relief = True, epoch, 0, 0, 0
        self.top = max([s for lane, e, s in self.tokens if lane == "relief" and e == epoch], default=0)
        self.advance()

    # ---- relief: applied whatever its place

    def apply_relief(self, t):
        """True when acknowledged, None when either will do: of an epoch that is over."""
        old = self.relief.get(t.number, NOTHING)
        new = old.lift(t.value) if t.kind == "lift" else old.marked(t.value, (t.epoch, t.seq))
        self.relief[t.number] = new
        held = self.orders.get(t.number)
        beyond = (t.epoch, t.seq) > (self.epoch, self.relief_seq)      # else a snapshot may know more than this mark
        if t.kind == "mark" and new is not old and not new.objection and held and held.version.objection and beyond:
            self.orders[t.number] = Held(held.version.but(objection=False), held.first, held.ended, held.over)
        at = (t.lane, t.epoch, t.seq)
        if t.epoch < self.epoch:
            return None
        if self.tokens.get(at, t.name) != t.name:
            self.forked |= t.epoch == self.epoch
            return False
        if t.epoch == self.epoch and t.seq <= self.relief_seq:
            return True
        if t.epoch == self.epoch:
            self.top = max(self.top, t.seq)
        self.relief_iat = max(self.relief_iat, t.iat)
        self.tokens[at] = t.name
        self.advance()
        return True

    # ---- changes: one after the other

    def apply_change(self, t):
        """True when acknowledged, None when either will do: of an epoch that is over."""
        at = (t.lane, t.epoch, t.seq)
        if t.epoch < self.epoch:
            return None
        other = self.tokens.get(at, t.name) != t.name
        if not other and t.epoch == self.epoch and t.seq <= self.seq:
            return True
        if other or self.forked:
            self.forked |= other and t.epoch == self.epoch
            return False
        if not self.known or t.epoch != self.epoch or t.seq != self.seq + 1:
            return False
        self.apply_version(t.number, t.value)
        self.tokens[at] = t.name
        self.seq = t.seq
        return True

    def apply_version(self, number, v):
        old = self.orders.get(number)
        lifted = self.relief.get(number, NOTHING).lifted
        if not v.readable:
            if old:
                self.orders[number] = old.end("refused")
            return
        if not v.measures & ~lifted:                    # a lifted order stays lifted
            if old:
                self.orders[number] = old.end("refused")
            return
        first = min(old.first, v.since) if old else v.since
        if old and v.subject != old.version.subject:    # one of the two names is wrong
            self.orders[number] = old.end("refused")
            return
        had = 0 if not old or old.over else old.version.measures
        new_notice = not old or v.served > old.version.served
        more = v.measures & ~had & ~lifted or v.until > old.version.until if old else False
        if v.until - first > TERM_MAX or (more and not new_notice):
            if old and not old.ended:                   # refused; what it does not claim any more is over all the same
                self.orders[number] = old.narrowed(v)
            return
        self.orders[number] = Held(v, first)

    # ---- snapshots and heads

    def apply_snapshot(self, s):
        """True when used."""
        if self.known and s.epoch != self.approved:
            if s.epoch != self.epoch or self.forked or s.relief_seq < self.relief_seq or s.seq < self.seq:
                return False
        return True

    def merge_snapshot(self, s):
        for number, held in self.orders.items():
            if held.ended is None and number not in s.records:
                self.orders[number] = held.end("over")
        for number, v in s.records.items():
            r = self.relief.get(number, NOTHING)
            if r.over_by(s, v):
                self.relief[number] = Relief(r.lifted, False, (s.epoch, s.relief_seq))
            elif (v.readable and v.objection and not r.objection and self.known and s.epoch == self.epoch == r.mark[0]
                    and s.relief_seq < r.mark[1] <= self.relief_seq):
                v = v.but(objection=False)     # the mark that ended it came after the snapshot was made
            self.apply_version(number, v)
        if not self.known or self.epoch != s.epoch:
            self.begin_epoch(s.epoch)
        if self.approved == s.epoch:
            self.approved = 0
        self.forked, self.seq = False, s.seq
        self.relief_seq = max(self.relief_seq, s.relief_seq)
        self.relief_iat = max(self.relief_iat, s.iat)
        self.advance()

    def apply_head(self, h, now, wall):
        """"contact", "no", or "passed": the lane is further than this head, which may or may not count."""
        if h.iat >= self.head_iat:
            self.clock = (h.iat, now, max(self.office_clock(now) or -BASE, h.iat))
        if h.iat > wall + SKEW or h.iat < self.head_iat or (self.known and h.epoch < self.epoch):
            return "no"
        later, self.head_iat = h.iat > self.head_iat, h.iat
        if self.known and h.epoch > self.epoch:
            return "no"
        if not self.known:
            self.begin_epoch(h.epoch)
            self.head_relief = h.relief_seq
            return "contact" if h.relief_seq == self.relief_seq == self.top == 0 else "passed"
        if self.forked:
            self.head_relief = h.relief_seq
            return "no"
        if (h.relief_seq < self.head_relief and later) or (h.relief_seq < self.relief_seq and h.iat > self.relief_iat):
            self.forked = True         # it counts less than it did, and is later
            return "no"
        self.head_relief = max(self.head_relief, h.relief_seq)
        if self.behind or self.head_relief > self.relief_seq:
            return "no"
        return "passed" if h.relief_seq < self.relief_seq else "contact"

    def expire(self, at):
        """True when an order ended."""
        any_ended = False
        for number, held in self.orders.items():
            if held.ended is None and held.version.until <= at:
                self.orders[number] = held.end("over")
                any_ended = True
        return any_ended

    def left(self, number):
        """The mask of what may be enforced of a number, before clocks and relief are asked."""
        held = self.orders[number]
        v = held.version
        return 0 if held.ended or v.observe or v.objection else v.measures


class Cache:
    """Redis as the gate reads it: what the daemon wrote last."""

    def __init__(self):
        self.filled = False
        self.orders, self.relief = {}, {}
        self.links = [{}]              # what it may have been written by; one = for sure
        self.stays = {}                # order or subject -> the longest
        self.objected = frozenset()    # by the operator
        self.mark, self.seq = (0, 0), 0
        self.office_at = None
        self.contact = (None, None)    # the latest that can be known for sure, the latest that is possible

    def copy(self):
        c = copy(self)
        c.orders, c.relief, c.stays = dict(self.orders), dict(self.relief), dict(self.stays)
        return c

    def take(self, journal):
        """Stays and objections as a write leaves them: what stands in the journal or here, but what the journal knows as ended;
        what stands here and the journal never had, it takes up."""
        for target in set(journal.stays) | set(self.stays):
            here, there = self.stays.get(target), journal.stays.get(target, {})
            if here is not None and here not in there:
                journal.stay(target, here)
            stands = journal.stay_of(target)
            if stands is None:
                self.stays.pop(target, None)
            else:
                self.stays[target] = stands
        for number in self.objected:
            if number not in journal.objected:
                journal.objected[number] = True
        self.objected = frozenset(n for n, stands in journal.objected.items() if stands)
