"""Histories of one or two persons and their orders, run by history_driver and judged by history_model.

A history is a program: one event a line. What the office does and what reaches the daemon are two things:

    publish A p1 3 -3 -86400 8640000 [o][b][x]    the office makes order A, or a version of it: subject, measures (hex), day
                                                  served, from, until; observe, under objection, unreadable
    lift A 1    mark A 1|0                        ... lifts measures, marks or ends an objection. Tokens c1 c2.. and r1 r2.. arise
    headmake    snapmake [without A]              ... signs a head h1.., a snapshot s1.. as things stand
    obackup     orestore same|new                 ... is restored from a backup, in the same or in a new epoch
    onew                                          ... begins a new epoch
    deliver c1|r1|h1|s1 [r1 ...]                  reaches the daemon, any number of times; of a snapshot: what comes meanwhile
    approve                                       the operator approves the office's epoch
    start  stop  write  step N                    the daemon; its writer to Redis until nothing is left, or N steps
    at +SEC     wall D G                          time; errors of the wall clocks of daemon and gate
    holders full|delta CARD,HOLDER,own|other,FROM,UNTIL|- ...     an import; "-" in a delta: CARD,HOLDER,- is removed
    stay A|p1|c1 UNTIL|-   unstay A|p1|c1   object A   unobject A     by the operator
    direct A|p1|c1 UNTIL|-|o                      a stay, or an objection, written to Redis past the daemon
    jbackup  jrestore  rbackup  rrestore  flush   state directory and Redis
    gate                                          nginx is restarted
    ask                                           every subject, every measure
"""

import datetime
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import jdschema  # noqa: E402
from history_model import (BASE, DAY, MAX_STALE, NOTHING, SKEW, Cache, Head, Journal, Link, Office, Relief, Token,  # noqa: E402
                           Version, reached)

MEASURES = 3


def cnid(n):
    first = f"990101{19800101 + n:08d}{n:03d}"
    return first + jdschema.cnid_check(first)


def uscc(n):
    first = f"91990000{n:09d}"
    return first + jdschema.uscc_check(first)


# p1 is a person, p2 a body
SUBJECTS = {"p1": "cnid:" + cnid(1), "p2": "uscc:" + uscc(2), **{f"c{n}": f"card:9900{n:012d}" for n in (1, 2, 3)}}
CARDS = ("c1", "c2", "c3")
OPEN = 1 << 41


def instant(t):
    days, sec = divmod(t + BASE + 8 * 3600, DAY)
    return f"{date(days)}T{sec // 3600:02d}:{sec // 60 % 60:02d}:{sec % 60:02d}+08:00"


_dates = {}


def date(days):
    if days not in _dates:
        _dates[days] = str(datetime.date(1970, 1, 1) + datetime.timedelta(days=days))
    return _dates[days]


def record(v):
    """A version as a line of the feed."""
    scheme, _, ident = SUBJECTS[v.subject].partition(":")
    names = ",".join(f'"{jdschema.MEASURES[b]}"' for b in range(MEASURES) if v.measures >> b & 1)
    effect = "sometimes" if not v.readable else "observe" if v.observe else "enforce"
    return (f'{{"order":"{v.number}","subject":{{"scheme":"{scheme}","id":"{ident}"}},"measures":[{names}],"authority":"Office",'
            f'"basis":"b","served":"{date(v.served + (BASE + 8 * 3600) // DAY)}","from":"{instant(v.since)}",'
            f'"until":"{instant(v.until)}","effect":"{effect}","objection":{"true" if v.objection else "false"},'
            f'"contest":{{"phone":"1"}}}}')


class History:
    """Applies events: to the model at once, to the driver as lines. `expected` has one entry per line of answer."""

    def __init__(self):
        self.lines, self.expected, self.events = ["new"], [], []
        self.now = 0
        self.wall_daemon = self.wall_gate = 0
        self.office, self.office_backup = Office(), None
        self.journal, self.journal_backup = Journal(), None
        self.cache, self.cache_backup = Cache(), None
        self.up = False
        self.made = {}                          # name -> Token, Head, Snapshot
        self.count = {"c": 0, "r": 0, "h": 0, "s": 0}
        self.acked = set()
        self.run_contact = (None, None)         # contact of this run of the daemon: for sure, possible
        self.freed = {}                         # number -> Relief: all that ever reached the daemon and is still known somewhere
        self.freed_written = {}                 # ... and is in Redis
        self.views = []                         # (orders, relief) that Redis may hold, oldest first; [] = self.cache exactly
        self.exact = False                      # Redis holds what the journal says
        self.old_copy = False                   # Redis was restored, the daemon has not written since
        self.refill = True                      # Redis may be filled anew at the next write
        self.unsure = False                     # the journal was restored: Redis may hold links that it has not
        self.was_ahead = False
        self.wrote_at = 0                       # the daemon's wall clock at the last write
        self.forget_gate()
        self.emit(f"at {BASE}")

    # ---- helpers

    def emit(self, line, expected=None):
        self.lines.append(line)
        if expected is not None:
            self.expected.append((len(self.events), expected))

    def forget_gate(self):
        self.gate_mark = [(0, 0), (0, 0)]       # at least, at most
        self.gate_office = [None, None]         # office clock less now

    def apply(self, text):
        self.events.append(text)
        name, *args = text.split()
        getattr(self, "do_" + name)(*args)

    # ---- the office

    def token(self, lane, kind, number, value):
        letter = "c" if lane == "changes" else "r"
        self.count[letter] += 1
        name = f"{letter}{self.count[letter]}"
        o = self.office
        if lane == "changes":
            o.seq += 1
        else:
            o.relief_seq += 1
        t = Token(name, lane, o.epoch, o.seq if lane == "changes" else o.relief_seq, self.now, kind, number, value)
        self.made[name] = t

    def do_publish(self, number, subject, measures, served, since, until, *flags):
        marked = self.office.relief.get(number, NOTHING).objection      # a record tells of it, too
        v = Version(number, subject, int(measures, 16), int(served), int(since), int(until), "o" in flags, "b" in flags or marked,
                    "x" not in flags)
        self.office.orders[number] = v
        if v.measures & self.office.relief.get(number, NOTHING).lifted:
            self.office.contradicted |= {number}
            self.forget(number)
        self.token("changes", "order", number, v)

    def do_lift(self, number, mask):
        mask = int(mask, 16)
        self.office.relief[number] = self.office.relief.get(number, NOTHING).lift(mask)
        self.token("relief", "lift", number, mask)

    def do_mark(self, number, on):
        self.token("relief", "mark", number, on == "1")
        o = self.office
        o.relief[number] = o.relief.get(number, NOTHING).marked(on == "1", (o.epoch, o.relief_seq))
        v = o.orders.get(number)
        if on == "0" and v and v.objection:
            o.orders[number] = v.but(objection=False)

    def sign(self, letter, thing):
        self.count[letter] += 1
        self.made[f"{letter}{self.count[letter]}"] = thing

    def do_headmake(self):
        self.sign("h", Head(self.now, self.office))

    def do_snapmake(self, without=None, number=None):
        records = self.office.records()
        records.pop(number, None)
        self.sign("s", Head(self.now, self.office, records))

    def do_obackup(self):
        self.office_backup = self.office.copy()

    def do_orestore(self, epoch):
        if self.office_backup is None:
            return
        was = self.office.epoch
        self.office = self.office_backup.copy()
        self.office.epoch = max(was, self.office.epoch)
        if epoch == "new":
            self.do_onew()
        self.forget()

    def do_onew(self):
        self.office.epoch += 1
        self.office.seq = self.office.relief_seq = 0

    def forget(self, only=None):
        """What neither journal nor Redis knows any more must come from the office again, before the next contact."""
        for kept in (self.freed, self.freed_written):
            for number, r in [(n, r) for n, r in kept.items() if only in (None, n)]:
                a, b = self.journal.relief.get(number, NOTHING), self.cache.relief.get(number, NOTHING)
                kept[number] = Relief(r.lifted & (a.lifted | b.lifted), r.objection and (a.objection or b.objection), r.mark)

    # ---- what reaches the daemon

    def do_deliver(self, name, *meanwhile):
        thing = self.made.get(name)
        if thing is None or not self.up:
            return
        self.exact = False
        if isinstance(thing, Token):
            self.deliver_token(thing)
        elif thing.records is not None:
            self.deliver_snapshot(thing, meanwhile)
        else:
            self.deliver_head(thing)

    def token_line(self, t):
        head = f"{t.epoch} {t.seq} {t.iat + BASE} {t.name} {t.number}"
        if t.kind == "order":
            return f"order {head} {record(t.value)}"
        return f"lift {head} {t.value:x}" if t.kind == "lift" else f"mark {head} {int(t.value)}"

    def deliver_token(self, t):
        if t.lane == "relief":
            acked = self.journal.apply_relief(t)
            old = self.freed.get(t.number, NOTHING)
            self.freed[t.number] = (old.lift(t.value) if t.kind == "lift" else old.marked(t.value, (t.epoch, t.seq)))
        else:
            acked = self.journal.apply_change(t)
        if acked:
            self.acked.add(t.name)
        self.emit(self.token_line(t), "any" if acked is None else "acked" if acked else "held")

    def deliver_snapshot(self, s, meanwhile):
        tokens = [self.made[n] for n in meanwhile if isinstance(self.made.get(n), Token) and n[0] == "r"]
        self.emit(f"snapshot {s.epoch} {s.seq} {s.relief_seq} {s.iat + BASE} {len(s.records)} {len(tokens)}")
        self.lines.extend(record(v) for v in s.records.values())
        usable = self.journal.apply_snapshot(s)
        for t in tokens:
            self.deliver_token(t)
        if usable:
            self.journal.merge_snapshot(s)
            for number, v in s.records.items():
                r = self.freed.get(number, NOTHING)
                if r.over_by(s, v):
                    self.freed[number] = Relief(r.lifted, False, (s.epoch, s.relief_seq))
        self.expected.append((len(self.events), "applied" if usable else "unfit"))

    def deliver_head(self, h):
        verdict = self.journal.apply_head(h, self.now, self.now + self.wall_daemon)
        if verdict == "contact":
            self.run_contact = (h.iat, h.iat)
            for number, r in h.relief.items():      # what contact means: all that freed by then is here
                old = self.freed.get(number, NOTHING)
                self.freed[number] = Relief(old.lifted | r.lifted, old.objection if old.mark > r.mark else r.objection, old.mark)
        elif verdict == "passed":
            self.run_contact = (self.run_contact[0], h.iat)
        self.emit(f"head {h.iat + BASE} {h.epoch} {h.seq} {h.relief_seq}", None)
        self.expected.append((len(self.events), "any" if verdict == "passed" else verdict))

    def do_approve(self):
        if not self.up:
            return
        j, epoch = self.journal, self.office.epoch
        good = not j.known or epoch > j.epoch
        if good:
            j.approved = epoch
        self.emit(f"approve {epoch}", "approved" if good else "no")

    # ---- holders

    def do_holders(self, how, *items):
        if not self.up or not items:
            return
        links = {} if how == "full" else dict(self.journal.links)
        lines = []
        for item in items:
            card, holder, use, *term = item.split(",")
            line = {"card": SUBJECTS[card].partition(":")[2], "holder": SUBJECTS[holder]}
            if how == "delta":
                links[card] = tuple(k for k in links.get(card, ()) if k.holder != holder)
            if use == "-":
                line["op"] = "remove"
            else:
                since, until = int(term[0]), OPEN if term[1] == "-" else int(term[1])
                links[card] = links.get(card, ()) + (Link(holder, since, until, use == "own"),)
                line.update({"use": use, "from": instant(since)}, **({} if until == OPEN else {"until": instant(until)}))
            lines.append(json.dumps(line))
        self.journal.links = links
        self.exact = False
        self.emit(f"holders {how} {len(lines)}", "imported")
        self.lines.extend(lines)

    # ---- the daemon

    def do_start(self):
        if self.up:
            return
        self.up = True
        self.run_contact = (None, None)
        self.emit("start")
        self.tick()

    def do_stop(self):
        if self.up:
            self.up = False
            self.emit("stop")

    def tick(self):
        office = self.journal.office_clock(self.now) if self.up else None
        if office is not None:
            self.journal.lapse(min(self.now + self.wall_daemon, office))
        if office is not None and self.journal.expire(min(self.now + self.wall_daemon, office)):
            self.exact = False
        if any(self.wrote_at < k.until <= self.now + self.wall_daemon for links in self.journal.links.values() for k in links):
            self.exact = False                  # a record may change by itself

    def ahead(self):
        j, c = self.journal, self.cache
        return c.filled and (c.mark > (j.epoch, j.relief_seq) or (c.mark[0] == j.epoch and c.seq > j.seq))

    def merged_relief(self):
        out = dict(self.cache.relief)
        for number, r in self.journal.relief.items():
            old = out.get(number, NOTHING)
            newer = r.mark >= old.mark
            out[number] = Relief(r.lifted | old.lifted, r.objection if newer else old.objection or r.objection,
                                 r.mark if newer else old.mark)
        return out

    def view_of_cache(self):
        c = self.cache
        return c.orders, c.relief, c.links, c.stays, c.objected

    def merged_stays(self):
        """What a write would leave, without writing it."""
        c = self.cache.copy()
        c.take(self.journal.copy())
        return c.stays, c.objected

    def operate(self, line, expected):
        """A command of the operator may reach Redis at once, beside the records."""
        if not self.views:
            self.views = [self.view_of_cache()]
        orders, _, links, _, _ = self.views[-1]
        self.views.append((orders, self.merged_relief(), links, *self.merged_stays()))
        self.exact = False
        self.emit(line, expected)

    def target(self, name):
        return SUBJECTS.get(name, name)

    def do_stay(self, name, until):
        if self.up:
            self.journal.stay(name, OPEN if until == "-" else int(until))
            self.count["ref"] = self.count.get("ref", 0) + 1
            self.operate(f"stay {self.count['ref']:x} {self.target(name)} {until if until == '-' else int(until) + BASE}", "done")

    def do_unstay(self, name):
        if self.up:
            self.operate(f"unstay {self.target(name)}", "done" if self.journal.unstay(name) else "refused")

    def do_object(self, number):
        if self.up:
            self.journal.objected[number] = True
            self.count["ref"] = self.count.get("ref", 0) + 1
            self.operate(f"object {self.count['ref']:x} {number}", "done")

    def do_unobject(self, number):
        if self.up:
            stood = self.journal.objected.get(number, False)
            if stood:
                self.journal.objected[number] = False
            self.operate(f"unobject {number}", "done" if stood else "refused")

    def do_direct(self, name, until):
        c = self.cache
        self.emit(f"direct {self.target(name)} {until if until in '-o' else int(until) + BASE}")
        if until == "o":
            c.objected |= {name}
        else:
            until = OPEN if until == "-" else int(until)
            c.stays = {**c.stays, name: max(until, c.stays.get(name, until))}
        self.exact = False
        if self.views:
            self.views.append((*self.views[-1][:3], *self.merged_stays()))

    def do_step(self, n):
        if not self.up:
            return
        if not self.views:
            self.views = [self.view_of_cache()]
        self.views.append((dict(self.journal.orders), self.merged_relief(), [self.journal.links], *self.merged_stays()))
        self.exact = False
        self.loose()
        self.emit(f"step {n}", "any")

    def loose(self):
        """Redis may or may not have been told."""
        c, j = self.cache, self.journal
        c.contact = (None, max_of(c.contact[1], self.run_contact[1]))
        self.meta_open = True

    def do_write(self):
        if not self.up:
            return
        j, c = self.journal, self.cache
        office = j.office_clock(self.now)
        c.relief = self.merged_relief()
        waits = not j.known and not any(h.ended is None for h in j.orders.values())     # for a first list
        c.take(j.copy() if waits or (self.ahead() and self.refill) else j)               # nothing is taken up meanwhile
        if self.ahead() and self.refill:
            c.office_at = office
            self.was_ahead = True
            self.emit("write", "any")
        elif waits:
            self.emit("write", "any")
        else:
            lo, hi = c.contact
            if self.refill:
                lo = None
                hi = hi if c.filled else None
            c.contact = (lo if self.run_contact[0] is None else self.run_contact[0], max_of(self.run_contact[1], hi))
            if not c.filled or self.was_ahead:
                self.unsure = False
            c.links = c.links + [j.links] if self.unsure else [j.links]
            self.was_ahead, self.wrote_at = False, self.now + self.wall_daemon
            c.filled, c.orders, c.mark, c.seq, c.office_at = True, dict(j.orders), (j.epoch, j.relief_seq), j.seq, office
            self.exact = True
            self.refill = False
            self.emit("write", "ready 0 0")
        self.views = []
        self.meta_open = self.old_copy = False
        self.freed_written = dict(self.freed)

    # ---- time and disasters

    def do_at(self, seconds):
        self.now += int(seconds)
        self.emit(f"at {self.now + BASE}")
        self.tick()

    def do_wall(self, daemon, gate):
        self.wall_daemon, self.wall_gate = int(daemon), int(gate)
        self.emit(f"wall {daemon} {gate}")
        self.tick()

    def do_jbackup(self):
        self.journal_backup = self.journal.copy()
        self.emit("jbackup")

    def do_jrestore(self):
        if self.journal_backup is None:
            return
        self.journal, self.up, self.exact, self.refill = self.journal_backup.copy(), False, False, True
        self.unsure = True
        self.emit("jrestore")
        self.forget()

    def do_rbackup(self):
        if self.views:
            return
        self.cache_backup = (self.cache.copy(), dict(self.freed_written))
        self.emit("rbackup")

    def do_rrestore(self):
        if self.cache_backup is None:
            return
        self.cache = self.cache_backup[0].copy()
        self.exact, self.refill, self.old_copy, self.views = False, True, True, []
        self.emit("rrestore")
        self.forget()

    def do_flush(self):
        self.cache = Cache()
        self.exact, self.refill, self.views = False, True, []
        self.emit("flush")
        self.forget()

    def do_gate(self):
        self.forget_gate()
        self.emit("gate")

    # ---- decisions

    meta_open = False

    def do_ask(self):
        c, g = self.cache, self
        views = self.views or [self.view_of_cache()]
        wall = self.now + self.wall_gate
        marks = [c.mark]
        if self.meta_open:
            marks.append((self.journal.epoch, self.journal.relief_seq))
        readable = c.filled or self.meta_open
        behind = not readable or max(marks) < self.gate_mark[0]
        surely = readable and min(marks) >= self.gate_mark[1]
        if readable and not behind:
            self.gate_mark = [max(self.gate_mark[0], min(marks)), max(self.gate_mark[1], max(marks))]
            at = [] if c.office_at is None else [c.office_at]
            if self.meta_open and self.up:
                at.append(self.journal.office_clock(self.now))
            at = [x for x in at if x is not None]
            if at:
                self.gate_office = [max_of(self.gate_office[0], min(at) - self.now), max_of(self.gate_office[1], max(at) - self.now)]
        offices = {self.now + x for x in self.gate_office if x is not None}
        may, must = {}, {}
        if not behind and offices:
            for office in offices:
                self.weigh(may, views, wall, office, c.contact[1], self.freed_written if not self.old_copy else {})
        if self.exact and surely and len(offices) == 1:
            self.weigh(must, views, wall, *offices, c.contact[0], {})
            if self.unsure or self.wall_daemon or self.wrote_at > self.now:
                must = {at: due for at, due in must.items() if at[0] not in CARDS}
        expected = {}
        for (subject, number), (mask, until) in may.items():
            due = must.get((subject, number), (0, 0))[0]
            expected.setdefault(subject, []).append((number, mask, until, due))
        self.lines.append("ask " + " ".join(SUBJECTS.values()))
        for name in SUBJECTS:
            self.expected.append((len(self.events), expected.get(name, ())))

    def weigh(self, out, views, wall, office, contact, freed):
        """Into `out`: (subject or card, number) -> (mask of measures for which a denial is lawful, until)."""
        if contact is None or max(wall, office) - contact > MAX_STALE or abs(wall - office) > SKEW:
            return
        for i, (orders, _, links, _, _) in enumerate(views):
            for number, held in orders.items():
                v = held.version
                if held.ended or v.observe or v.objection or not (v.start <= wall < v.until and v.start <= office < v.until):
                    continue
                never = freed.get(number, NOTHING)
                if never.objection and self.freed[number].objection:
                    continue
                at = [v.subject] + [c for c in CARDS if any(reached(m.get(c, ()), v.subject, wall, office) for m in links)]
                for _, relief, _, stays, objected in views[i:]:
                    r = relief.get(number, NOTHING)
                    mask = 0 if r.objection or number in objected else v.measures & ~r.lifted & ~never.lifted
                    for subject in at if mask else ():
                        # a stay counts while either clock is before its end
                        if not any(t in stays and min(wall, office) < stays[t] for t in (number, subject, v.subject)):
                            out[subject, number] = (mask | out.get((subject, number), (0, 0))[0], v.until)


def max_of(a, b):
    return b if a is None else a if b is None else max(a, b)
