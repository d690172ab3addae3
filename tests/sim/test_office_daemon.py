"""The credit office and restrict-cached together, with a real Redis: what the office does arrives, and each of its faults heals."""

import json
import re
import time

import pytest

import harness
import jdschema
import office as of
from harness import wait_for

KEY = jdschema.Key("k1", bytes(range(16)))
MEASURES = "bus.ride,bike.rent"


class Pair:
    """An office with ten orders, the daemon, Redis; nothing started but Redis."""

    def __init__(self, world):
        self.world = world
        self.office = of.Office(world, idle_ms=1000)
        self.records = of.generate(10, "--measures", MEASURES)
        self.office.publish(*self.records)
        self.office.start()
        self.server = world.redis()
        self.redis = self.server.client()
        self.folder = world.dir("daemon")
        self.conf = self.folder / "restrict-cached.conf"
        key_file = world.key_file(("k1", bytes(range(16))))
        o = self.office
        measures = "".join(f"[measure {m}]\nlegal_source = Test source\nauthority = Test Authority One (fictional)\nmax_term = 365d\n"
                           for m in MEASURES.split(","))
        self.conf.write_text(
            f"[list]\nname = credit\naccept_card_subjects = on\n[state]\ndir = {self.folder}/state\n[digest]\nkey_file = {key_file}\n"
            f"[office]\nbase = {o.base}\niss = {o.party['iss']}\naud = {o.party['aud']}\njwks_file = {o.dir}/jwks.json\n"
            f"ca_file = {o.dir}/ca.pem\ntoken_file = {o.dir}/token\n"
            f"[redis]\naddress = 127.0.0.1:{self.server.port}\nexpected = 1000\n{measures}")
        self.daemon = None

    def start(self):
        new = not (self.folder / "state" / "journal.db").exists()
        self.daemon = self.world.proc([harness.BIN / "restrict-cached", "-c", self.conf], "daemon")
        if new:
            harness.approve_list(self.conf)
        self.wait(lambda s: s["contact"]["verified_at"] > 0 and s["redis"]["state"] == "ready" and self.count() == 10)
        return self

    def status(self):
        try:
            return json.loads((self.folder / "state" / "status.json").read_text())
        except (OSError, ValueError):
            return None

    def wait(self, test, seconds=30):
        def look():
            assert self.daemon.alive(), self.daemon.log()[-3000:]
            s = self.status()
            return s if s and test(s) else None
        try:
            return wait_for(look, seconds)
        except AssertionError as e:
            raise AssertionError(f"{e}\n{json.dumps(self.status(), indent=1)}\n{self.daemon.log()[-3000:]}")

    def healed(self, seconds=40):
        """Contact made from now on, and nothing owed to anybody."""
        since = int(time.time())
        head = self.office.do("head")[0]
        self.wait(lambda s: s["contact"]["verified_at"] >= since and s["marks"]["relief_seq"] == head["relief_seq"]
                  and s["marks"]["seq"] == head["seq"] and not s["marks"]["changes_gap"], seconds)
        return wait_for(lambda: self.office.do("head")[0]["changes_waiting"] == 0, seconds, why="changes acknowledged")

    def name(self, last):
        return f"jd:{{credit}}:{last}"

    def count(self):
        return int(self.redis.hget(self.name("meta"), "count") or 0)

    def orders(self, record):
        """Numbers of the orders that Redis holds for the subject of a record; every MAC is checked."""
        meta = {k.decode(): v.decode() for k, v in self.redis.hgetall(self.name("meta")).items()}
        d = jdschema.digest(KEY, record["subject"]["scheme"], record["subject"]["id"])
        era = int(meta["era"])
        value = self.redis.hget(self.name(f"{era}:{jdschema.bucket_of(d, int(meta['bits']))}"), d)
        return {o["number"] for o in jdschema.decode_record(KEY, d, era, value)[1]} if value else set()

    def relief(self, number):
        value = self.redis.hget(self.name("relief"), number)
        return value and value.decode()

    def wait_relief(self, number, value="lffff o0", seconds=20):
        wait_for(lambda: self.relief(number) == value, seconds, every=0.001, why=f"{number}: {self.relief(number)}")


@pytest.fixture
def pair(world):
    return Pair(world).start()


def test_orders_amendments_lifts_and_marks_arrive(pair):
    o, records = pair.office, pair.records
    assert all(pair.orders(r) == {r["order"]} for r in records)
    more, = of.generate(1, "--first", "10", "--measures", MEASURES)
    o.publish(more)
    wait_for(lambda: pair.orders(more) == {more["order"]})
    o.amend({**more, "measures": ["bus.ride"]})
    o.lift(records[0]["order"])
    o.lift(records[1]["order"], "bus.ride")
    o.mark(records[2]["order"], True)
    pair.wait_relief(records[0]["order"])
    pair.wait_relief(records[1]["order"], "l0001 o0")
    pair.wait_relief(records[2]["order"], "l0000 o1")
    o.mark(records[2]["order"], False)
    pair.wait_relief(records[2]["order"], "l0000 o0")
    pair.healed()
    wait_for(lambda: {e["state"] for e in o.log() if "state" in e} == {"acked"}, why="all acknowledged")


def test_a_lift_arrives_in_milliseconds(pair):
    waits = []
    for r in pair.records:
        pair.office.lift(r["order"])
        began = time.monotonic()
        pair.wait_relief(r["order"])
        waits.append(time.monotonic() - began)
    assert sorted(waits)[len(waits) // 2] < 0.1, waits


def test_poisoned_records_come_back_as_reports(pair):
    good, = of.generate(1, "--first", "20", "--measures", MEASURES)
    bad = [{**good, "order": "P-1", "basis": ""}, {**good, "order": "P-2", "measures": ["tour.annual_pass"]},
           {**good, "order": "P-3", "authority": "Nobody"}, {**good, "order": "P-4", "contest": {}}]
    pair.office.publish(*bad[:2], good, *bad[2:])
    wait_for(lambda: len(pair.office.log("quarantine")) == 4, 30, why="quarantine reports")
    assert {(q["order"], q["report"]["code"]) for q in pair.office.log("quarantine")} == \
        {("P-1", "jd_no_basis"), ("P-2", "jd_measure_not_enabled"), ("P-3", "jd_authority"), ("P-4", "jd_no_contest")}
    wait_for(lambda: pair.orders(good) == {good["order"]})
    pair.healed()


@pytest.mark.parametrize("fault, told", [
    ("bad-signature", "bad signature"), ("unknown-kid", "unknown kid"), ("status=500", "answered 500"),
    ("truncate", "transfer closed|bytes missing"), ("endless", "longer than allowed"), ("stale-head", "made before relief"),
    ("expired", "expired"), ("future-iat", "ahead of our clock"), ("no-head", ""), ("empty", "")])
def test_fault_then_cleared(pair, fault, told):
    """While the fault lasts the list ages and status says why; then everything is as it should be, without a hand."""
    o, records = pair.office, pair.records
    o.fault(fault)
    o.lift(records[0]["order"])
    o.publish(*of.generate(1, "--first", "30", "--measures", MEASURES))
    pair.wait(lambda s: s["contact"]["age_sec"] >= 3 and re.search(told, json.dumps([s["contact"], s["lanes"]])))   # a good office: a head a second
    assert pair.orders(records[1]) == {records[1]["order"]}     # nothing was lost meanwhile
    o.clear()
    pair.wait_relief(records[0]["order"])
    pair.healed()


def test_slow_office(pair):
    """Late by its slowness and no more."""
    pair.office.fault("slow=800")
    pair.healed()                                               # polls that were open are answered, slow ones follow
    pair.office.lift(pair.records[0]["order"])
    pair.wait_relief(pair.records[0]["order"], seconds=5)
    pair.healed()


def test_hanging_office(pair):
    o, records = pair.office, pair.records
    o.fault("hang", "changes")
    o.lift(records[0]["order"])
    pair.wait_relief(records[0]["order"])                       # one lane does not hold the other
    o.clear()
    pair.healed()


@pytest.mark.parametrize("fault", ["gap", "shuffle", "old-seq=3", "malformed"])
def test_lanes_in_disorder(pair, fault):
    o, records = pair.office, pair.records
    o.lift(records[9]["order"])
    pair.wait_relief(records[9]["order"])
    pair.healed()
    for lane in ("relief", "changes"):
        o.fault(fault, lane, times=1)
    for r in records[:3]:
        o.lift(r["order"])
    new = of.generate(3, "--first", "40", "--measures", MEASURES)
    o.publish(*new)
    wait_for(lambda: o.do("fault") == [], why="the fault was met")
    if fault != "malformed":                                    # a token that does not parse is reported, and known by a snapshot only
        for r in records[:3]:
            pair.wait_relief(r["order"])
        wait_for(lambda: all(pair.orders(r) == {r["order"]} for r in new), 30, why="new orders")
    pair.healed(60)


@pytest.mark.parametrize("fault", ["wrong-hash", "wrong-count", "truncate", "endless", "bad-signature", "relief-key", "expired",
                                   "status=503"])
def test_bad_snapshot_is_not_used_and_the_next_is(world, fault):
    pair = Pair(world)
    pair.office.fault(fault, "records" if fault in ("truncate", "endless") else "snapshot", times=1)
    pair.start()
    pair.wait(lambda s: s["snapshot"]["fault"] == "" and s["snapshot"]["state"] == "idle")
    assert all(pair.orders(r) == {r["order"]} for r in pair.records)


def test_fork_of_relief_still_frees_and_waits_for_a_new_epoch(pair):
    o, records = pair.office, pair.records
    o.lift(records[0]["order"])
    pair.healed()
    wait_for(lambda: o.log("ack"), why="the lift acknowledged")
    o.fault(f"fork={records[1]['order']}", "relief")
    pair.wait_relief(records[1]["order"])
    pair.wait(lambda s: s["marks"]["forked"])
    o.do("epoch", 1)
    assert harness.rcctl(pair.conf, "approve", "--epoch", "1").returncode == 0
    pair.wait(lambda s: s["marks"]["epoch"] == 1 and not s["marks"]["forked"])
    pair.healed()


def test_restored_office_never_brings_a_lifted_order_back(pair, world):
    o, records = pair.office, pair.records
    backup = world.dir("backup") / "d"
    of.sim("office", "backup", o.dir, backup)
    o.lift(records[0]["order"])
    pair.wait_relief(records[0]["order"])
    o.do("restore", backup)                                     # of before the lift
    o.do("epoch", 1)
    assert harness.rcctl(pair.conf, "approve", "--epoch", "1").returncode == 0
    pair.wait(lambda s: s["marks"]["epoch"] == 1)
    assert pair.relief(records[0]["order"]) == "lffff o0"
    pair.healed()


def test_office_away_and_back(pair):
    o, records = pair.office, pair.records
    o.stop()
    o.lift(records[0]["order"])
    assert pair.daemon.alive()
    o.start()
    pair.wait_relief(records[0]["order"])
    o.proc.kill()
    o.start()
    pair.healed()


def test_daemon_killed_and_back(pair):
    pair.daemon.kill()
    pair.office.lift(pair.records[0]["order"])
    pair.start()
    pair.wait_relief(pair.records[0]["order"])
    pair.healed()


def test_signed_file_is_imported_as_a_snapshot(pair, world):
    new = of.generate(2, "--first", "60", "--measures", MEASURES)
    folder = world.dir("import")
    (folder / "in.ndjson").write_bytes(of.ndjson(pair.records + new))
    (folder / "signed").write_bytes(of.sim("office", "sign", pair.office.dir, folder / "in.ndjson"))
    r = harness.rcctl(pair.conf, "import", folder / "signed")
    assert r.returncode == 0, r.stdout + r.stderr
    wait_for(lambda: all(pair.orders(x) == {x["order"]} for x in new), why="imported orders")
