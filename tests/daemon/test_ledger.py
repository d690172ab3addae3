"""The ledger from the gates' pushes to the office's receipts, with the real daemon, Redis and office."""

import hashlib
import json
import re
import secrets
import time

import pytest

import harness
import ledgerworld
from harness import wait_for
from ledgerworld import AUTHORITY, Gate, World, hour, month


@pytest.fixture
def lw(world):
    return World(world).start()


def test_closed_periods_reach_the_office_once_and_are_told_as_done(lw):
    a, b = Gate("gw1"), Gate("gw2")
    a.deny("CS-1", "bus.ride", months_ago=1, hours_ago=2, n=3)
    a.deny("CS-2", "bike.rent", months_ago=1, hours_ago=2)
    a.dry("bus.ride", hours_ago=2, n=7)
    b.deny("CS-1", "bus.ride", months_ago=1, hours_ago=2, n=4)
    b.deny("CS-1", "bus.ride", months_ago=1, hours_ago=3, n=1)
    for g in (a, b):
        g.close()
    lw.settle(a, b)
    assert lw.totals() == lw.expected(a, b)
    assert lw.totals()[0]["CS-1", "bus.ride", month(1)] == 8
    wait_for(lambda: lw.redis.smembers("jd:{credit}:ledger") == set(), why="no key is left")
    assert lw.redis.keys("jd:{credit}:ledger:*:*") == []
    done = {k.decode() for k in lw.redis.hkeys("jd:{credit}:ledger:done")}
    assert done == {f"{p.run}:{p.period}" for g in (a, b) for p in g.periods.values()}
    for g in (a, b):                            # late and doubled pushes change nothing
        for p in g.periods.values():
            p.done = False
            p.push(lw.redis)
    lw.settle(a, b)
    assert lw.totals() == lw.expected(a, b)
    wait_for(lambda: lw.redis.smembers("jd:{credit}:ledger") == set(), why="no key is left")


def test_hours_of_open_periods_go_out_and_order_counts_wait_for_midnight(lw):
    g = Gate("gw1")
    g.deny("CS-1", "bus.ride", n=2)
    g.push(lw.redis)
    wait_for(lambda: lw.totals()[1] == lw.expected(g)[1], 20, why="hours of the open period")
    g.deny("CS-1", "bus.ride", n=3)
    g.push(lw.redis)
    wait_for(lambda: lw.totals()[1] == lw.expected(g)[1], 20, why="hours as they are now")
    assert lw.totals()[0] == {}                 # two reports of an order within a day would tell the hour
    assert lw.journal("SELECT total, sent FROM ledger_count") == [(5, 0)]
    due, = lw.journal("SELECT orders_due FROM ledger_state")[0],
    local = due[0] + 8 * 3600
    assert local % 86400 == 0 and 20 * 3600 <= due[0] - time.time() <= 44 * 3600


def test_order_counts_of_the_open_month_go_out_when_the_day_is_over(lw):
    g = Gate("gw1")
    for i in range(50):
        g.deny(f"CS-{i}", "bus.ride", n=i + 1)
    g.push(lw.redis)
    wait_for(lambda: len(lw.journal("SELECT 1 FROM ledger_count")) == 50)
    due(lw)
    wait_for(lambda: lw.totals()[0] == lw.expected(g)[0], 20, why="order counts")
    g.deny("CS-7", "bus.ride", n=5)             # and not again before the next day is over
    g.push(lw.redis)
    wait_for(lambda: lw.totals()[1] == lw.expected(g)[1], 20, why="hours")
    assert lw.totals()[0]["CS-7", "bus.ride", month()] == 8
    due(lw)
    wait_for(lambda: lw.totals()[0] == lw.expected(g)[0], 20, why="order counts of the next day")


def due(lw):
    """The day is over: what the daemon keeps of it is set back, while it does not run."""
    import sqlite3
    assert lw.daemon.stop() == 0
    db = sqlite3.connect(lw.state / "journal.db")
    db.execute("UPDATE ledger_state SET orders_due = 1")
    db.commit()
    db.close()
    lw.start()


def batches(lw):
    """Batches as the office keeps them, oldest first."""
    path = lw.office.dir / "ledger"
    return [line for line in path.read_bytes().split(b"\n") if line]


def test_batches_are_a_chain_and_join_no_order_with_a_gateway(lw):
    gates = [Gate(f"gw{i}") for i in range(3)]
    for i, g in enumerate(gates):
        g.deny(f"CS-{i}", "bus.ride", months_ago=1, hours_ago=1 + i, n=i + 1)
        g.close()
    lw.settle(*gates)
    prev, chain, n = "0" * 64, None, 0
    for body in batches(lw):
        b = json.loads(body)
        n += 1
        name, number = b["batch"].rsplit("-", 1)
        chain = chain or name
        assert name == chain and int(number) == n and b["prev"] == prev
        prev = b["hash"]
        cut = body[:-len(',"hash":"') - 64 - 2]
        assert body == cut + f',"hash":"{prev}"}}'.encode() and hashlib.sha256(cut + b"}").hexdigest() == prev
        assert not (b["gateway"] and b["counts"]) and not (b["hours"] and not b["gateway"])
        text = body.decode()
        assert not ("CS-" in text and re.search(r"gw\d|\dT\d", text)), text
        assert all(g.run_o not in text for g in gates)         # orders of one gate are not even told to be of one gate
    assert n == len(lw.journal("SELECT 1 FROM ledger_batch WHERE waiting = 0 AND receipt <> ''"))
    # nor does the journal: no column beside an order number is a gateway, an hour or a time
    columns = [r[1] for r in lw.journal("PRAGMA table_info(ledger_order)")]
    assert columns == ["run", "month", "number", "measure", "total"]
    runs = {r[0] for r in lw.journal("SELECT run FROM ledger_order")}
    assert runs == {g.run_o for g in gates} and not runs & {r[0] for r in lw.journal("SELECT run FROM ledger_hour")}


RUN = "0123456789abcdef" * 2


@pytest.mark.parametrize("key", [
    f"jd:{{credit}}:ledger:-:{RUN}:2026-13", f"jd:{{credit}}:ledger:-:{RUN}", f"jd:{{credit}}:ledger:gw 1:{RUN}:2026-11-25T10",
    f"jd:{{credit}}:ledger:gw1:{RUN.upper()}:2026-11-25T10", f"jd:{{credit}}:ledger:gw1:{RUN}:2026-11-25T24",
    f"jd:{{other}}:ledger:gw1:{RUN}:2026-11-25T10", "jd:{credit}:relief", "x" * 4000, f"jd:{{credit}}:ledger:-:{RUN}:2020-01",
    f"jd:{{credit}}:ledger:-:{RUN}:2099-01", f"jd:{{credit}}:ledger:{'g' * 65}:{RUN}:2026-11-25T10"])
def test_forged_keys_are_refused_counted_and_left_alone(lw, key):
    lw.redis.sadd("jd:{credit}:ledger", key)
    if key != "jd:{credit}:relief":
        lw.redis.hset(key, "CS-1 bus.ride", "5")
    s = lw.wait(lambda s: s["ledger"]["refused"] == 1)
    assert s["ledger"]["refused_why"]
    g = Gate("gw1")
    g.deny("CS-1", "bus.ride", months_ago=1, hours_ago=1)
    g.close()
    lw.settle(g)
    assert lw.totals() == lw.expected(g)
    assert lw.redis.exists(key) == (key != "jd:{credit}:relief")


@pytest.mark.parametrize("kind, field, value", [
    ("orders", "CS-1 bus.rid", "1"), ("orders", "CS-1", "1"), ("orders", "CS 1 bus.ride", "1"), ("orders", "CS-1 bus.ride", "-1"),
    ("orders", "CS-1 bus.ride", "1e3"), ("orders", "CS-1 bus.ride", "281474976710656"), ("orders", "CS-1 bus.ride", ""),
    ("orders", "CS-1 bus.ride", "01"), ("orders", b"CS-\xff bus.ride", "1"), ("orders", "C" * 65 + " bus.ride", "1"),
    ("hours", "bus.ride x " + AUTHORITY, "1"), ("hours", "bus.ride d ", "1"), ("hours", "bus.ride d a\nb", "1"),
    ("hours", "bus.ride d " + "a" * 1025, "1"), ("hours", b"bus.ride d \xc0\x80", "1"), ("hours", "walk d " + AUTHORITY, "1"),
    ("hours", ".closed", "1"), ("hours", ".closed", "1 2 3"), ("hours", ".closed", "x 1"), ("hours", ".other", "1")])
def test_damaged_fields_are_refused_and_the_rest_counts(lw, kind, field, value):
    g = Gate("gw1")
    g.deny("CS-9", "bus.ride", months_ago=1, hours_ago=1, n=2)
    p = g.period(kind, month(1) if kind == "orders" else hour(1))
    lw.redis.hset(p.key, field, value)
    g.push(lw.redis)
    lw.wait(lambda s: s["ledger"]["refused"] == 1)
    wait_for(lambda: lw.totals()[1] == lw.expected(g)[1], 20, why="the rest")
    lw.redis.hdel(p.key, field)
    g.close()
    lw.settle(g)
    assert lw.totals() == lw.expected(g)
    lw.wait(lambda s: s["ledger"]["refused"] == 0 and s["ledger"]["refused_why"] == "")


def test_keys_of_another_type_harm_nothing(lw):
    g = Gate("gw1")
    g.deny("CS-1", "bus.ride", months_ago=1, hours_ago=1)
    other = f"jd:{{credit}}:ledger:gw2:{RUN}:{hour(1)}"
    lw.redis.set(other, "x")
    lw.redis.sadd("jd:{credit}:ledger", other)
    lw.wait(lambda s: s["ledger"]["refused"] == 1)
    g.close()
    lw.settle(g)
    assert lw.totals() == lw.expected(g) and lw.redis.get(other) == b"x"


def test_a_period_closes_only_when_the_gates_sum_agrees(lw):
    g = Gate("gw1")
    g.deny("CS-1", "bus.ride", months_ago=1, n=5)
    p = g.period("orders", month(1))
    p.push(lw.redis)
    lw.redis.hset(p.key, ".closed", "2 5")      # a cell is missing
    lw.wait(lambda s: s["ledger"]["disagree"] == 1)
    lw.redis.hset(p.key, ".closed", "1 6")      # one denial is
    lw.wait(lambda s: s["ledger"]["rounds"] > 3 and s["ledger"]["disagree"] == 1)
    assert lw.totals()[0] == {} and lw.redis.exists(p.key)
    p.count("CS-2 bus.ride", 2)
    p.closed = True
    lw.settle(g)
    assert lw.totals()[0] == lw.expected(g)[0]


def test_totals_that_grow_after_the_close_open_the_period_again(lw):
    g = Gate("gw1")
    g.deny("CS-1", "bus.ride", months_ago=1, n=5)
    g.close("orders")
    lw.settle(g)
    p = g.period("orders", month(1))
    p.closed = p.done = False
    lw.redis.hdel("jd:{credit}:ledger:done", f"{p.run}:{p.period}")
    p.count("CS-1 bus.ride", 2)
    p.push(lw.redis)
    lw.wait(lambda s: s["ledger"]["open"] == 1 + 1)             # this month's hour, and last month
    p.closed = True
    lw.settle(g)
    assert lw.totals()[0] == lw.expected(g)[0] == {("CS-1", "bus.ride", month(1)): 7}


@pytest.mark.parametrize("fault, told", [
    ("bad-signature", "bad signature"), ("unknown-kid", "unknown kid"), ("relief-key", "relief only"), ("wrong-hash", "hash"),
    ("wrong-batch", "another batch"), ("no-receipt", "receipt is not taken"), ("status=500", "answered 500"),
    ("status=400", "answered 400"), ("truncate", "transfer closed|bytes missing"), ("endless", "longer than allowed")])
def test_no_receipt_no_end_of_the_period(lw, fault, told):
    """While the office gives no good receipt the gate keeps its cells; relief goes on; then the same bytes count once."""
    g = Gate("gw1")
    g.deny("CS-1", "bus.ride", months_ago=1, hours_ago=1, n=5)
    g.close()
    lw.office.fault(fault, "ledger")
    g.push(lw.redis)
    lw.wait(lambda s: re.search(told, s["ledger"]["fault"]))
    first = lw.journal("SELECT n, body FROM ledger_batch")
    assert len(first) == 1
    lw.office.lift(lw.records[0]["order"])
    wait_for(lambda: (lw.redis.hget("jd:{credit}:relief", lw.records[0]["order"]) or b"").startswith(b"lffff"), 5, every=0.01)
    assert lw.redis.hlen("jd:{credit}:ledger:done") == 0
    assert lw.journal("SELECT receipt FROM ledger_batch WHERE receipt <> ''") == []
    lw.office.clear()
    lw.settle(g)
    assert lw.totals() == lw.expected(g)
    assert lw.journal("SELECT n, body FROM ledger_batch WHERE n = 1") == first
    lw.wait(lambda s: s["ledger"]["fault"] == "")


@pytest.mark.parametrize("fault", ["slow=1500", "hang"])
def test_a_slow_ledger_holds_nothing_else(lw, fault):
    g = Gate("gw1")
    g.deny("CS-1", "bus.ride", months_ago=1, hours_ago=1, n=5)
    g.close()
    lw.office.fault(fault, "ledger")
    g.push(lw.redis)
    lw.wait(lambda s: s["ledger"]["waiting"] == 1)
    for r in lw.records:
        lw.office.lift(r["order"])
        wait_for(lambda: (lw.redis.hget("jd:{credit}:relief", r["order"]) or b"").startswith(b"lffff"), 2, every=0.005)
    lw.office.clear()
    lw.settle(g, seconds=60)
    assert lw.totals() == lw.expected(g)


def test_office_restored_from_a_backup_gets_what_it_forgot(lw, world):
    a, b = Gate("gw1"), Gate("gw2")
    a.deny("CS-1", "bus.ride", months_ago=1, hours_ago=1, n=5)
    a.close()
    lw.settle(a)
    backup = world.dir("backup") / "d"
    ledgerworld.of.sim("office", "backup", lw.office.dir, backup)
    b.deny("CS-2", "bus.ride", months_ago=1, hours_ago=1, n=6)
    b.close()
    lw.settle(b)
    assert lw.totals() == lw.expected(a, b)
    lw.office.do("restore", backup)
    assert lw.totals() == lw.expected(a)
    c = Gate("gw3")
    c.deny("CS-3", "bus.ride", months_ago=1, hours_ago=1, n=7)
    c.close()
    lw.settle(c)
    wait_for(lambda: lw.totals() == lw.expected(a, b, c), 20, why="everything")
    assert len({json.loads(x)["batch"].split("-")[0] for x in batches(lw)}) == 1


def test_journal_restored_from_a_backup_begins_a_new_chain_and_counts_nothing_twice(lw):
    g = Gate("gw1")
    g.deny("CS-1", "bus.ride", months_ago=1, hours_ago=1, n=5)
    g.push(lw.redis)
    wait_for(lambda: lw.totals()[1] == lw.expected(g)[1], 20)
    assert lw.daemon.stop() == 0
    kept = {f: (lw.state / f).read_bytes() for f in ("journal.db",)}
    lw.start()
    g.deny("CS-1", "bus.ride", months_ago=1, hours_ago=1, n=2)
    g.push(lw.redis)
    wait_for(lambda: lw.totals()[1] == lw.expected(g)[1], 20)
    assert lw.daemon.stop() == 0
    for f in lw.state.glob("journal.db*"):
        f.unlink()
    (lw.state / "journal.db").write_bytes(kept["journal.db"])
    lw.start(ready=False)
    g.deny("CS-1", "bus.ride", months_ago=1, hours_ago=1, n=1)
    g.close()
    lw.settle(g)
    assert lw.totals() == lw.expected(g)
    assert len({json.loads(x)["batch"].split("-")[0] for x in batches(lw)}) == 2


def test_a_journal_lost_counts_nothing_twice(lw):
    """Another journal, as of a second daemon that takes over: totals are those of the gates, whoever reports them."""
    g, h = Gate("gw1"), Gate("gw2")
    g.deny("CS-1", "bus.ride", months_ago=1, hours_ago=1, n=5)
    h.deny("CS-1", "bus.ride", months_ago=1, hours_ago=1, n=3)
    for x in (g, h):
        x.push(lw.redis)
    wait_for(lambda: lw.totals()[1] == lw.expected(g, h)[1], 20)
    due(lw)
    wait_for(lambda: lw.totals() == lw.expected(g, h), 20)
    assert lw.daemon.stop() == 0
    for f in lw.state.glob("journal.db*"):
        f.unlink()
    lw.start()
    g.deny("CS-1", "bus.ride", months_ago=1, hours_ago=1, n=4)
    for x in (g, h):
        x.close()
    lw.settle(g, h)
    assert lw.totals() == lw.expected(g, h)


def test_an_office_that_never_knows_the_batch_loses_nothing_and_doubles_nothing(lw):
    """409 without end: chain after chain begins, with pauses, and relief goes on; then everything counts once."""
    g = Gate("gw1")
    g.deny("CS-1", "bus.ride", months_ago=1, hours_ago=1, n=5)
    g.close()
    lw.office.fault("status=409", "ledger")
    g.push(lw.redis)
    wait_for(lambda: len(lw.journal("SELECT DISTINCT chain FROM ledger_batch")) >= 3, 40, why="chains")
    assert lw.journal("SELECT count(*) FROM ledger_batch WHERE waiting = 1")[0][0] <= 1
    lw.office.lift(lw.records[0]["order"])
    wait_for(lambda: (lw.redis.hget("jd:{credit}:relief", lw.records[0]["order"]) or b"").startswith(b"lffff"), 5, every=0.01)
    lw.office.clear()
    lw.settle(g, seconds=90)
    assert lw.totals() == lw.expected(g)


def test_redis_emptied_loses_nothing(lw):
    g = Gate("gw1")
    g.deny("CS-1", "bus.ride", months_ago=1, hours_ago=1, n=5)
    g.push(lw.redis)
    wait_for(lambda: lw.totals()[1] == lw.expected(g)[1], 20)
    lw.redis.flushall()
    g.deny("CS-2", "bus.ride", months_ago=1, hours_ago=1, n=1)
    g.close()
    lw.settle(g)
    assert lw.totals() == lw.expected(g)


def test_gate_gone_for_good_is_let_go_and_may_come_back(lw):
    """A key never closed by its gate ends when all of it is reported and its period is over for 45 days; nothing is said to be done."""
    g = Gate("gw1")
    g.deny("CS-1", "bus.ride", months_ago=3, hours_ago=24 * 50, n=5)
    g.push(lw.redis)
    wait_for(lambda: lw.totals()[1] == lw.expected(g)[1], 20)
    due(lw)
    wait_for(lambda: lw.redis.smembers("jd:{credit}:ledger") == set(), 20, why="keys are gone")
    assert lw.totals() == lw.expected(g) and lw.redis.hlen("jd:{credit}:ledger:done") == 0
    g.close()
    lw.settle(g)
    assert lw.totals() == lw.expected(g)


def test_done_fields_are_trimmed_after_45_days(lw):
    now = int(time.time())
    assert lw.daemon.stop() == 0
    lw.redis.hset("jd:{credit}:ledger:done", mapping={f"{RUN}:2026-01": now - 46 * 86400, f"{RUN}:2026-02": now - 44 * 86400,
                                                     f"{RUN}:2026-03": "x"})
    lw.start()
    wait_for(lambda: lw.redis.hkeys("jd:{credit}:ledger:done") == [f"{RUN}:2026-02".encode()], 20)


def test_retention_removes_what_is_old_and_reported(world):
    lw = World(world, conf="retention_days = 62\n").start()
    old, young = Gate("gw1"), Gate("gw2")
    old.deny("CS-1", "bus.ride", months_ago=2, hours_ago=24 * 61)
    young.deny("CS-2", "bus.ride", months_ago=1, hours_ago=1)
    for g in (old, young):
        g.close()
    lw.settle(old, young)
    assert lw.daemon.stop() == 0
    import sqlite3
    db = sqlite3.connect(lw.state / "journal.db")
    db.execute("UPDATE ledger_hour SET instant = instant - 86400 * 2 WHERE gateway = 'gw1'")
    db.execute("UPDATE ledger_period SET instant = instant - 86400 * 33 WHERE run IN (?, ?)", (old.run_o, old.run_h))
    for table in ("ledger_order", "ledger_count"):
        db.execute(f"UPDATE {table} SET month = '2026-01' WHERE month = ?", (month(2),))
    db.execute("UPDATE ledger_period SET period = '2026-01' WHERE run = ?", (old.run_o,))
    db.execute("UPDATE ledger_batch SET at = at - 86400 * 63 WHERE n = 1")
    db.commit()
    db.close()
    lw.start()
    wait_for(lambda: lw.journal("SELECT count(*) FROM ledger_period")[0][0] == 2, 20, why="old rows are gone")
    assert lw.journal("SELECT run FROM ledger_order") == [(young.run_o,)]
    assert lw.journal("SELECT number FROM ledger_count") == [("CS-2",)]
    assert lw.journal("SELECT gateway FROM ledger_hour") == [("gw2",)]
    assert lw.journal("SELECT min(n) FROM ledger_batch")[0][0] > 1
