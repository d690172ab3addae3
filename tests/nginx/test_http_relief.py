"""What frees at the moment of denial, and what never denies: stays, links that have not begun or are over, what is observed."""

import time

import pytest

import jdschema
from harness import wait_for
from httpgate import ENFORCE, LISTED, ORDER, Gate, reason
from jdschema import Order

SERVER = f"location / {{ jd_gate credit bus.ride; jd_subject card header:X-Card-No; {ENFORCE} proxy_pass http://@B@; }}"
HOLDER = "cnid:11010519491231002X"


@pytest.fixture(params=[pytest.param(False, id="fresh"), pytest.param(True, id="reloaded")])
def gate(world, request):
    g = Gate(world, SERVER)
    if request.param:
        g.reload()
    return g


def put(gate, card, *orders):
    """The record of a card, once the zone has it."""
    gate.list.put(f"card:{card}", list(orders))
    wait_for(lambda: reason(gate.get("/", card)) not in ("clear", None))


def test_stay_of_an_order(gate):
    """At the next request; the other order of the same person still stands."""
    assert gate.get("/", LISTED).status == 403
    gate.list.stay(ORDER.number)
    assert (gate.get("/", LISTED).status, reason(gate.get("/", LISTED))) == (200, "stayed")
    gate.list.stay(ORDER.number, int(time.time()) - 1)
    assert gate.get("/", LISTED).status == 403
    until = int(time.time()) + 2
    gate.list.stay(ORDER.number, until)
    assert reason(gate.get("/", LISTED)) == "stayed"
    wait_for(lambda: gate.get("/", LISTED).status == 403, 5)
    assert time.time() >= until
    put(gate, "3", Order("A"), Order("B"))
    gate.list.stay("A")
    got = gate.get("/", "3")
    assert (got.status, got.json()["order"]) == (403, "B")


def test_stay_of_a_person(gate):
    """One field for the person: orders on the card, and orders that reach it by a link."""
    gate.list.stay_subject(f"card:{LISTED}")
    assert reason(gate.get("/", LISTED)) == "stayed"
    gate.list.stay_subject(f"card:{LISTED}", 0)
    assert gate.get("/", LISTED).status == 403
    holder = gate.list.digest(HOLDER)
    put(gate, "4", Order("H-1", holder=holder))
    assert gate.get("/", "4").json()["order"] == "H-1"
    gate.list.stay_subject(HOLDER)
    assert reason(gate.get("/", "4")) == "stayed"
    put(gate, "4", Order("H-1", holder=holder), Order("own"))
    assert gate.get("/", "4").json()["order"] == "own"


@pytest.mark.parametrize("field, value", [("relief", b"l0000 o0 s"), ("relief", b"l0000 o0 s1 s2"), ("relief", b"l0000 o0 sx"),
                                          ("stays", b""), ("stays", b"s0"), ("stays", b"1900000000"), ("stays", b"s1900000000x")])
def test_damaged_stay_passes(gate, field, value):
    assert gate.get("/", LISTED).status == 403
    name = ORDER.number if field == "relief" else gate.list.digest(f"card:{LISTED}")[:8]
    gate.list.redis.hset(gate.list.name(field), name, value)
    assert (gate.get("/", LISTED).status, reason(gate.get("/", LISTED))) == (200, "unconfirmed")
    gate.list.redis.hdel(gate.list.name(field), name)
    assert gate.get("/", LISTED).status == 403


def test_links_have_a_term(gate):
    """A card to come and a returned card match nobody, without a write at the moment itself."""
    now, holder = int(time.time()), gate.list.digest(HOLDER)
    put(gate, "5", Order("L", holder=holder, link_from=now + 3, link_until=now + 6))
    assert reason(gate.get("/", "5")) == "not_listed"
    wait_for(lambda: gate.get("/", "5").status == 403, 6)
    assert now + 3 <= time.time()
    wait_for(lambda: reason(gate.get("/", "5")) == "not_listed", 6)
    assert now + 5 <= time.time()       # the office clock may be a second ahead


def test_observed_is_never_enforced(gate):
    """No number, no grounds, nothing to enforce; an order beside it stands."""
    put(gate, "6", Order("A", observe=True), Order("B", ["metro.ride"], objection=True))
    got = gate.get("/", "6")
    assert (got.status, reason(got)) == (200, "observe")
    put(gate, "8", Order("A", observe=True), Order("C"))
    assert gate.get("/", "8").json()["order"] == "C"


def test_observed_with_a_forged_kind_passes(gate):
    """Whatever bytes stand for "may be enforced": without orders there is nothing to deny by."""
    d, era = gate.list.digest("card:9"), gate.list.get("era")
    for kind, n in ((1, 0), (1, 1), (2, 1)):
        record = jdschema.encode_record(gate.list.key, d, era, [Order("A", observe=True)])
        record = bytes([kind, n]) + record[2:]
        gate.list.put_raw(d, record[:2] + jdschema.record_mac(gate.list.key, d, era, record) + record[10:])
        assert gate.get("/", "9").status == 200
    gate.list.put("card:9", [Order("B")])
    wait_for(lambda: gate.get("/", "9").status == 403)


