"""What the office learns of relief by the ledger: lifts that have taken effect, at how many gateways; stays and their ends."""

import json
import time

import pytest

import harness
from harness import wait_for
from ledgerworld import Gate, World


@pytest.fixture
def lw(world):
    return World(world).start()


def told(lw, kind):
    return [t for t in lw.office.do("ledger") if kind in t]


def seen(lw, *gateways):
    """The gateways say that they have seen every lift so far, as the follower does."""
    newest = lw.redis.xrevrange("jd:{credit}:lifts", count=1)[0][0].decode()
    for g in gateways:
        lw.redis.hset("jd:{credit}:gates", g, f"{newest} {int(time.time() * 1000)}")


def lift(lw, number):
    lw.office.lift(number)
    wait_for(lambda: (lw.redis.hget("jd:{credit}:relief", number) or b"").startswith(b"lffff"), 10)


def rcctl(lw, *args, code=0):
    r = harness.rcctl(lw.conf, *args)
    assert r.returncode == code, r.stdout + r.stderr
    return r.stdout


def test_a_lift_is_told_when_it_has_taken_effect_and_at_how_many_gateways(lw):
    number = lw.records[0]["order"]
    begun = int(time.time())
    lift(lw, number)
    lw.wait(lambda s: s["ledger"]["rounds"] >= 2)
    assert told(lw, "lifted") == []              # in Redis, and at no gateway yet
    seen(lw, "gw1")
    wait_for(lambda: [(t["lifted"], t["gates"]) for t in told(lw, "lifted")] == [(number, 1)], 30)
    assert begun <= told(lw, "lifted")[0]["applied"] <= time.time()
    seen(lw, "gw1", "gw2", "gw3")
    wait_for(lambda: [(t["lifted"], t["gates"]) for t in told(lw, "lifted")] == [(number, 3)], 40)
    seen(lw, "gw1", "gw2", "gw3")                # again: nothing new to tell
    n = lw.office.do("ledger")[-1]["batches"]
    lw.wait(lambda s: s["ledger"]["rounds"] >= 2)
    assert lw.office.do("ledger")[-1]["batches"] == n
    for body in (lw.office.dir / "ledger").read_bytes().splitlines():
        b = json.loads(body)
        assert not b["lifted"] or (b["gateway"] == "" and b["hours"] == [] and "gw" not in body.decode())


def test_stays_and_their_ends_are_told(lw):
    number = lw.records[1]["order"]
    rcctl(lw, "stay", "--order", number, "--reason", "court order 7")
    wait_for(lambda: [(t["stayed"], t["ended"]) for t in told(lw, "stayed")] == [(number, 0)], 30)
    assert told(lw, "stayed")[0]["until"] == 2 ** 40 - 1
    rcctl(lw, "unstay", "--order", number, "--reason", "decided")
    wait_for(lambda: [t["ended"] > 0 for t in told(lw, "stayed")] == [True], 40)
    text = (lw.office.dir / "ledger").read_text()
    assert "court order" not in text and "decided" not in text      # reasons stay with the operator


def test_what_the_office_does_not_sign_for_is_told_again(lw):
    number = lw.records[0]["order"]
    lw.office.fault("bad-signature", "ledger")
    lift(lw, number)
    seen(lw, "gw1")
    lw.wait(lambda s: "bad signature" in s["ledger"]["fault"])
    assert lw.journal("SELECT reported FROM lifts") == [(0,)]
    lw.daemon.kill()
    lw.office.clear()
    lw.start()
    wait_for(lambda: lw.journal("SELECT reported FROM lifts") == [(1,)], 30)
    assert len(told(lw, "lifted")) == 1


def test_relief_goes_out_before_counts(lw):
    """With much to report a lift's effect is in the next batch."""
    lw.office.fault("status=500", "ledger")
    gates = [Gate(f"gw{i}") for i in range(8)]
    for i, g in enumerate(gates):
        g.deny("CS-1", "bus.ride", months_ago=1, hours_ago=1)
        g.close()
        g.push(lw.redis)
    lw.wait(lambda s: s["ledger"]["waiting"] == 1)               # the first of them is frozen already
    lift(lw, lw.records[0]["order"])
    seen(lw, "gw0")
    wait_for(lambda: lw.journal("SELECT gates FROM lifts") == [(1,)], 20)
    lw.office.clear()
    lw.settle(*gates)
    bodies = [json.loads(x) for x in (lw.office.dir / "ledger").read_bytes().splitlines()]
    assert bodies[1]["lifted"] and not bodies[0]["lifted"]
