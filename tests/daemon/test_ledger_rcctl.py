"""rcctl ledger and status against a journal that a real daemon has filled."""

import json

import pytest

import harness
from harness import wait_for
from ledgerworld import AUTHORITY, Gate, World, month


@pytest.fixture
def lw(world):
    return World(world).start()


def rcctl(lw, *args, code=0, **kw):
    r = harness.rcctl(lw.conf, *args, **kw)
    assert r.returncode == code, r.stdout + r.stderr
    return r.stdout


def test_totals_by_order_and_by_hour(lw):
    a, b = Gate("gw1"), Gate("gw2")
    a.deny("CS-1", "bus.ride", months_ago=1, hours_ago=1, n=12)
    b.deny("CS-1", "bus.ride", months_ago=1, hours_ago=1, n=3)
    b.dry("bike.rent", hours_ago=1, n=4)
    a.close()
    b.close()
    lw.settle(a, b)
    wait_for(lambda: lw.totals() == lw.expected(a, b))
    assert json.loads(rcctl(lw, "ledger", "--json")) == {"orders": [
        {"month": month(1), "order": "CS-1", "measure": "bus.ride", "denied": 15, "receipted": 15}]}
    assert json.loads(rcctl(lw, "ledger", "--json", "--month", month())) == {"orders": []}
    h = next(period for kind, period in a.periods if kind == "hours")
    hours = json.loads(rcctl(lw, "ledger", "--hours", "--json"))["hours"]
    assert hours == [
        {"hour": h, "gateway": "gw1", "authority": AUTHORITY, "measure": "bus.ride", "denied": 12, "dry_run": 0, "closed": True},
        {"hour": h, "gateway": "gw2", "authority": AUTHORITY, "measure": "bus.ride", "denied": 3, "dry_run": 0, "closed": True},
        {"hour": h, "gateway": "gw2", "authority": AUTHORITY, "measure": "bike.rent", "denied": 0, "dry_run": 4, "closed": True}]
    assert rcctl(lw, "ledger").splitlines() == [
        "month    order  measure   denied  receipted", f"{month(1)}  CS-1   bus.ride      15         15",
        "in all 15 denied, of which the office has not signed for 0"]
    text = rcctl(lw, "ledger", "--hours")
    assert "in all 15 denied, 4 in dry runs" in text and "CS-1" not in text
    assert "no denial was counted" in rcctl(lw, "ledger", "--month", month(2))
    assert "write it as" in harness.rcctl(lw.conf, "ledger", "--month", "2026-13").stderr


def test_status_tells_what_keeps_denials_from_their_receipt(lw):
    g = Gate("gw1")
    g.deny("CS-1", "bus.ride", months_ago=1, hours_ago=1)
    g.close()
    lw.office.fault("no-receipt", "ledger")
    g.push(lw.redis)
    lw.redis.sadd("jd:{credit}:ledger", "somebody's")
    lw.wait(lambda s: s["ledger"]["fault"] and s["ledger"]["refused"])
    told = rcctl(lw, "status", code=5)
    assert "denials wait for the office's receipt: the office's receipt is not taken" in told
    assert "1 ledger keys or fields in Redis are not of their form" in told
    lw.office.clear()
    lw.redis.srem("jd:{credit}:ledger", "somebody's")
    lw.settle(g)
    lw.wait(lambda s: not s["ledger"]["fault"] and not s["ledger"]["refused"])
    wait_for(lambda: "0 totals without a receipt" in rcctl(lw, "status"), 15)
