"""The ledger's world: the simulated office, Redis, the daemon, and gates that push as nginx does."""

import json
import secrets
import sqlite3
import time

import harness
import office as of
from harness import wait_for

PUSH = """
for i = 2, #ARGV - 1, 2 do
  local old = tonumber(redis.call('HGET', KEYS[1], ARGV[i]) or '0')
  if tonumber(ARGV[i + 1]) > old then
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
  end
end
if ARGV[1] ~= '' then
  redis.call('HSET', KEYS[1], '.closed', ARGV[1])
end
redis.call('SADD', KEYS[2], KEYS[1])
return redis.call('HGET', KEYS[3], ARGV[#ARGV])
"""
AUTHORITY = "Test Authority One (fictional)"
MEASURE = "[measure {}]\nlegal_source = Test source\nauthority = " + AUTHORITY + "\nmax_term = 365d\n"


def month(months_ago=0):
    """A month at +08:00, "2026-11"."""
    t = time.gmtime(time.time() + 8 * 3600)
    n = t.tm_year * 12 + t.tm_mon - 1 - months_ago
    return f"{n // 12:04d}-{n % 12 + 1:02d}"


def hour(hours_ago=0):
    return time.strftime("%Y-%m-%dT%H", time.gmtime(time.time() - 3600 * hours_ago))


class Period:
    """Cells of one gate's period: what it counted, pushed whole."""

    def __init__(self, gate, kind, period):
        self.gate, self.period = gate, period
        self.name, self.run = ("-", gate.run_o) if kind == "orders" else (gate.name, gate.run_h)
        self.key = f"jd:{{credit}}:ledger:{self.name}:{self.run}:{period}"
        self.cells = {}
        self.closed = self.done = False

    def count(self, field, n=1):
        assert not self.closed
        self.cells[field] = self.cells.get(field, 0) + n

    def push(self, redis):
        """One push of everything; learns whether it is done."""
        if self.done:
            return
        closed = f"{len(self.cells)} {sum(self.cells.values())}" if self.closed else ""
        flat = [x for kv in self.cells.items() for x in kv]
        said = redis.eval(PUSH, 3, self.key, "jd:{credit}:ledger", "jd:{credit}:ledger:done", closed, *flat,
                          f"{self.run}:{self.period}")
        self.done = said is not None
        assert not self.done or self.closed


class Gate:
    def __init__(self, name):
        self.name = name
        self.run_o, self.run_h = secrets.token_hex(16), secrets.token_hex(16)
        self.periods = {}

    def period(self, kind, period):
        return self.periods.setdefault((kind, period), Period(self, kind, period))

    def deny(self, order, measure, months_ago=0, hours_ago=0, n=1, authority=AUTHORITY):
        self.period("orders", month(months_ago)).count(f"{order} {measure}", n)
        self.period("hours", hour(hours_ago)).count(f"{measure} d {authority}", n)

    def dry(self, measure, hours_ago=0, n=1, authority=AUTHORITY):
        self.period("hours", hour(hours_ago)).count(f"{measure} y {authority}", n)

    def close(self, *kinds):
        for (kind, _), p in self.periods.items():
            if not kinds or kind in kinds:
                p.closed = True

    def push(self, redis):
        for p in self.periods.values():
            p.push(redis)


class World:
    """Nothing started but the office and Redis."""

    def __init__(self, world, orders=3, measures="bus.ride,bike.rent", conf="", redis_conf=None, report_sec=1):
        self.world = world
        self.office = of.Office(world, idle_ms=1000)
        self.records = of.generate(orders, "--measures", measures) if orders else []
        if self.records:
            self.office.publish(*self.records)
        self.office.start()
        self.server = world.redis(conf=redis_conf)
        self.redis = self.server.client()
        self.folder = world.dir("daemon")
        self.state = self.folder / "state"
        self.conf = self.folder / "restrict-cached.conf"
        self.key_file = world.key_file(("k1", bytes(range(16))))
        o = self.office
        self.conf.write_text(
            f"[list]\nname = credit\n"
            f"[state]\ndir = {self.state}\n[digest]\nkey_file = {self.key_file}\n"
            f"[office]\nbase = {o.base}\niss = {o.party['iss']}\naud = {o.party['aud']}\njwks_file = {o.dir}/jwks.json\n"
            f"ca_file = {o.dir}/ca.pem\ntoken_file = {o.dir}/token\n"
            f"[redis]\naddress = 127.0.0.1:{self.server.port}\nexpected = 1000\n[ledger]\nreport_sec = {report_sec}\n{conf}"
            + "".join(map(MEASURE.format, measures.split(","))))
        self.daemon = None

    def start(self, ready=True):
        new = not (self.state / "journal.db").exists()
        self.daemon = self.world.proc([harness.BIN / "restrict-cached", "-c", self.conf], "daemon")
        if new:
            harness.approve_list(self.conf)
        if ready:
            self.wait(lambda s: s["contact"]["verified_at"] > 0 and s["redis"]["state"] == "ready")
        return self

    def status(self):
        try:
            return json.loads((self.state / "status.json").read_text())
        except (OSError, ValueError):
            return None

    def wait(self, test, seconds=30):
        begun = int(time.time())

        def look():
            assert self.daemon.alive(), self.daemon.log()[-3000:]
            s = self.status()
            return s if s and s["now"] >= begun and s["pid"] == self.daemon.pid and test(s) else None
        try:
            return wait_for(look, seconds)
        except AssertionError as e:
            raise AssertionError(f"{e}\n{json.dumps(self.status(), indent=1)}\n{self.daemon.log()[-3000:]}")

    def journal(self, sql, *args):
        """Rows of the journal as they are now."""
        db = sqlite3.connect(f"file:{self.state}/journal.db?mode=ro", uri=True, timeout=10)
        try:
            return db.execute(sql, args).fetchall()
        finally:
            db.close()

    # ---- what the office has

    def totals(self):
        """({(order, measure, month): denied}, {(gateway, authority, measure, hour): (denied, dry_run)})"""
        orders, hours = {}, {}
        for t in self.office.do("ledger"):
            if "order" in t:
                orders[t["order"], t["measure"], t["month"]] = t["denied"]
            elif "hour" in t:
                hours[t["gateway"], t["authority"], t["measure"], t["hour"]] = (t["denied"], t["dry_run"])
        return orders, hours

    def expected(self, *gates):
        orders, hours = {}, {}
        for g in gates:
            for (kind, period), p in g.periods.items():
                for field, n in p.cells.items():
                    if kind == "orders":
                        key = (*field.split(" "), period)
                        orders[key] = orders.get(key, 0) + n
                    else:
                        measure, what, authority = field.split(" ", 2)
                        key = (g.name, authority, measure, period)
                        d, y = hours.get(key, (0, 0))
                        hours[key] = (d + n, y) if what == "d" else (d, y + n)
        return orders, hours

    def settle(self, *gates, seconds=40):
        """Pushes until every closed period of the gates is done."""
        def look():
            assert self.daemon.alive(), self.daemon.log()[-3000:]
            for g in gates:
                g.push(self.redis)
            return all(p.done for g in gates for p in g.periods.values() if p.closed)
        try:
            wait_for(look, seconds, every=0.2)
        except AssertionError as e:
            left = [p.key for g in gates for p in g.periods.values() if p.closed and not p.done]
            raise AssertionError(f"{e}: not done: {left}\n{json.dumps(self.status()['ledger'])}\n{self.daemon.log()[-3000:]}")
