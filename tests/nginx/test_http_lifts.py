"""Time-to-lift: what the follower measures of the stream of lifts, what it shows, and what the ledger push tells of it."""

import time

import pytest

from harness import wait_for
from httpgate import ENFORCE, Gate

SERVER = f"location / {{ jd_gate credit bus.ride; jd_subject card header:X-Card-No; {ENFORCE} proxy_pass http://@B@; }}"


def lift(gate, toe=None, iat=None, applied=None, **more):
    """An entry as the daemon's relief script adds it; seconds before now."""
    now = time.time()
    fields = {"t": 0 if toe is None else int(now - toe), "i": int(now - (iat or 0)), "a": int((now - (applied or 0)) * 1000)}
    return gate.list.redis.xadd(gate.list.name("lifts"), {**fields, **more}).decode()


def lifts(gate):
    return gate.nginx.status()["lists"][0]["lifts"]


def counts(gate):
    return tuple(lifts(gate)[k]["count"] for k in ("act", "signed", "applied"))


def bucket(h, ms):
    """Entries in the bucket that has this bound."""
    before = 0
    for bound, n in h["buckets"]:
        if bound == ms:
            return n - before
        before = n


def gates(gate):
    value = gate.list.redis.hget(gate.list.name("gates"), "gw1")
    return value.decode().split() if value else None


@pytest.mark.parametrize("reload", [False, True])
def test_measured_from_act_signature_and_apply(world, reload):
    gate = Gate(world, SERVER)
    if reload:
        gate.reload()
    assert counts(gate) == (0, 0, 0)
    lift(gate, toe=4000, iat=8, applied=0)
    wait_for(lambda: counts(gate) == (1, 1, 1), 5)
    h = lifts(gate)
    assert bucket(h["act"], 86400000) == 1 and 3999000 <= h["act"]["sum"] <= 4010000
    assert bucket(h["signed"], 10000) == 1 and 7000 <= h["signed"]["sum"] <= 10000
    assert h["applied"]["sum"] <= 5000 and h["applied"]["buckets"][-1] == [None, 1]
    lift(gate, iat=1, applied=-60)                   # toe not known; a clock that is ahead counts as 0
    wait_for(lambda: counts(gate) == (1, 2, 2), 5)
    assert lifts(gate)["applied"]["sum"] == h["applied"]["sum"]
    m = gate.nginx.get("/jd/metrics").body.decode()
    label = 'list="credit",since="act"'
    assert f'jd_lift_seconds_bucket{{{label},le="3600.000"}} 0\n' in m
    assert f'jd_lift_seconds_bucket{{{label},le="86400.000"}} 1\n' in m
    assert f'jd_lift_seconds_bucket{{{label},le="+Inf"}} 1\n' in m and f"jd_lift_seconds_count{{{label}}} 1\n" in m


def test_none_is_measured_twice_or_in_a_load(world):
    """Those there before a load are not; a reload, a reconnect and a killed follower go on where they were."""
    gate = Gate(world, SERVER, start=False)
    for _ in range(5):
        lift(gate, toe=1, iat=1)
    gate.nginx.start()
    gate.ready()
    for _ in range(7):
        lift(gate, toe=1, iat=1)
    wait_for(lambda: counts(gate) == (7, 7, 7), 5)
    for _ in range(3):
        gate.reload()
        lift(gate, iat=1)
    wait_for(lambda: counts(gate) == (7, 10, 10), 10)
    gate.redis.kill()
    gate.redis.start()
    last = lift(gate, iat=1)
    wait_for(lambda: counts(gate) == (7, 11, 11), 15)
    # a new era: a load, which is not measured
    gate.redis.hang()
    time.sleep(0.1)
    gate.redis.go_on()
    gate.list.refill({}, era=gate.list.get("era") + 1)
    wait_for(lambda: gate.nginx.status()["lists"][0]["loads"] == 2, 10)
    time.sleep(1.5)
    assert counts(gate) == (7, 11, 11)
    assert last


def test_a_burst_of_lifts_and_changes(world):
    """More than one reply holds, of both; each once."""
    gate = Gate(world, SERVER)
    pipe = gate.list.redis.pipeline(transaction=False)
    now = int(time.time())
    for _ in range(3000):
        pipe.xadd(gate.list.name("lifts"), {"t": now, "i": now, "a": now * 1000})
    pipe.execute()
    for i in range(30):
        gate.list.put(f"card:N{i}", [])
    wait_for(lambda: counts(gate) == (3000, 3000, 3000), 15)
    wait_for(lambda: gate.nginx.status()["lists"][0]["last_id"] == 30, 10)
    s = gate.nginx.status()["lists"][0]
    assert s["gaps"] == 0 and s["loads"] == 1


@pytest.mark.parametrize("fields", [{"x": 1}, {"t": "soon", "i": "-5", "a": ""}, {"t": "9" * 30, "i": 1 << 50, "a": 1 << 62},
                                    {"t": b"\x00\xff", "i": b"1\n", "a": b" 1"}])
def test_entries_not_of_their_form(world, fields):
    """They are passed over, and what comes after them is measured."""
    gate = Gate(world, SERVER)
    gate.list.redis.xadd(gate.list.name("lifts"), fields)
    lift(gate, iat=1)
    wait_for(lambda: counts(gate)[1:] == (1, 1), 10)
    assert counts(gate)[0] == 0 and gate.nginx.status()["lists"][0]["fault"] == "none"


def test_gates_tell_the_newest_lift(world):
    gate = Gate(world, SERVER)
    before = time.time() * 1000
    first = lift(gate, iat=1)
    told = wait_for(lambda: gates(gate) and gates(gate)[0] == first and gates(gate), 10)
    assert before - 1 <= int(told[1]) <= time.time() * 1000
    second = lift(gate, iat=1)
    wait_for(lambda: gates(gate)[0] == second, 10)
    # a Redis that has lost it is told again
    gate.list.redis.delete(gate.list.name("gates"))
    gate.reload()
    wait_for(lambda: gates(gate) and gates(gate)[0] == second, 10)
