"""The decision id of a denial: a token that tells staff what the decision rested on, and nobody else anything."""

import time
from pathlib import Path

import pytest

import jdschema
from harness import wait_for
from httpgate import CLEAN, ENFORCE, LISTED, ORDER, Gate, jd_status, reason
from jdschema import Order

SERVER = f"""
location / {{ jd_gate credit bus.ride; jd_subject card header:X-Card-No; {ENFORCE} proxy_pass http://@B@; }}
location /dry {{ jd_gate credit bus.ride; jd_subject card header:X-Card-No; proxy_pass http://@B@; }}
"""


@pytest.fixture(params=[pytest.param(False, id="fresh"), pytest.param(True, id="reloaded")])
def gate(world, request):
    g = Gate(world, SERVER)
    if request.param:
        g.reload()
    return g


def opened(gate, token, key=None):
    return jdschema.open_token(key or gate.list.key, "credit", token)


def test_what_a_denial_rested_on(gate):
    before = int(time.time())
    reply = wait_for(lambda: (r := gate.get("/", LISTED)).status == 403 and int(jd_status(r)[1]["age"]) >= 2 and r)
    token = reply.json()["decision_id"]
    assert jd_status(reply)[1]["id"] == token
    d = opened(gate, token)
    assert (d["order"], d["measure"], d["link_from"]) == (ORDER.number, "bus.ride", 0)
    assert (d["era"], d["last_id"]) == (gate.list.get("era"), gate.list.get("last_id"))
    assert d["age"] == int(jd_status(reply)[1]["age"])
    assert before - 60 <= d["at"] <= time.time() and d["at"] % 60 == 0 and d["month"] == jdschema.month_of(d["at"])
    assert gate.get("/", LISTED).json()["decision_id"] != token                 # another nonce


def test_the_holders_link_is_in_it(gate):
    holder, since = gate.list.digest("cnid:11010519491231002X"), int(time.time()) - 1000
    gate.list.put("card:5", [Order("H-1", ["bus.ride"], holder=holder, link_from=since)])
    reply = wait_for(lambda: (r := gate.get("/", "5")).status == 403 and r)
    assert opened(gate, reply.json()["decision_id"])["link_from"] == since
    gate.list.put("card:5", [Order("H-1", ["bus.ride"], holder=holder, link_from=0)])
    wait_for(lambda: opened(gate, gate.get("/", "5").json()["decision_id"])["link_from"] == 1)     # since ever, and by a link all the same


def test_a_dry_run_has_one_and_a_pass_has_none(gate):
    word, params = jd_status(gate.get("/dry", LISTED))
    assert word == "DENIED_DRY_RUN" and opened(gate, params["id"])["order"] == ORDER.number
    gate.list.lift(ORDER.number)
    for reply in (gate.get("/", LISTED), gate.get("/", LISTED, headers=[("X-Card-No", "2")]), gate.get("/")):
        word, params = jd_status(reply)
        assert word == "PASSED" and "id" not in params, params
    assert jd_status(gate.get("/", CLEAN)) == (None, {})


def test_a_new_key_seals_the_next(world):
    """Under the key that the record was made with; both parties still hold the one before."""
    old, new = jdschema.Key("k1", bytes(range(1, 17))), jdschema.Key("k2", bytes(range(50, 66)))
    gate = Gate(world, SERVER)
    first = gate.get("/", LISTED).json()["decision_id"]
    Path(gate.key_path).write_text(new.line() + old.line())
    gate.reload()
    gate.list.key = new
    gate.list.refill({f"card:{LISTED}": ORDER})
    wait_for(lambda: reason(gate.get("/", LISTED)) == "listed")
    second = wait_for(lambda: (r := gate.get("/", LISTED)).status == 403 and r.json()["decision_id"])
    assert opened(gate, first, old)["order"] == opened(gate, second, new)["order"] == ORDER.number
    with pytest.raises(ValueError):
        opened(gate, second, old)
