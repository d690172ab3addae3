"""The counter: an ungated location whose backend is told of every order of the person, and that refuses nobody."""

import base64
import datetime
import re
import socket
import time

import pytest

from harness import wait_for
from httpgate import CLEAN, ENFORCE, LISTED, ORDER, PATRON, PATRON_ORDER, Gate
from jdschema import Order, china_time

SERVER = f"""
location /counter {{ jd_counter credit; jd_subject card header:X-Card-No; jd_subject patron arg:patron; proxy_pass http://@B@; }}
location /body {{ jd_counter credit; jd_subject card json:/card; jd_subject card form:card; proxy_pass http://@B@; }}
location /gate {{ jd_gate credit bus.ride; jd_subject card header:X-Card-No; {ENFORCE} proxy_pass http://@B@; }}
location /around/ {{ jd_counter credit; jd_subject card header:X-Card-No; proxy_pass http://@B@;
    location /around/gate {{ jd_gate credit bus.ride; {ENFORCE} proxy_pass http://@B@; }} }}
"""
NOW = int(time.time())
ZH = Order("限-2026-0001", ["metro.ride", "bus.ride"], authority="海城市交通运输局", basis='《海城市"公共交通"条例》第十二条\\甲', relevance="三次逃票",
           from_=1790000000, until=1890000000, deadline=datetime.date(2026, 12, 31), contest_url="https://credit.example/异议", contest_phone="12345",
           repair_url="", repair_phone="12345-6")


@pytest.fixture(params=[pytest.param(False, id="fresh"), pytest.param(True, id="reloaded")])
def gate(world, request):
    g = Gate(world, SERVER)
    if request.param:
        g.reload()
    return g


# ---- RFC 8941 as far as a counter's backend needs it ----------------------------------------------

def bare(text):
    """(value, rest) of a bare item: token, string, integer, byte sequence, boolean."""
    for pattern, of in ((r'"((?:[ !#-\[\]-~]|\\["\\])*)"', lambda m: m.group(1)), (r":([A-Za-z0-9+/=]*):", lambda m: base64.b64decode(m.group(1), validate=True).decode()),
                        (r"-?\d{1,15}(?![\d.])", lambda m: int(m.group())), (r"\?([01])", lambda m: m.group(1) == "1"), (r"[A-Za-z*][\w!#$%&'*+.^`|~:/-]*", lambda m: m.group())):
        m = re.match(pattern, text)
        if m:
            return of(m), text[m.end():]
    raise ValueError(f"no item at {text[:40]!r}")


def structured(text):
    """A list of (value, parameters); ValueError when it is not one to the last byte."""
    members = []
    while True:
        value, text = bare(text)
        params = {}
        while text[:1] == ";":
            m = re.match(r";([a-z*][a-z0-9_.*-]*)", text)
            if not m or m.group(1) in params:
                raise ValueError(text[:40])
            text = text[m.end():]
            params[m.group(1)], text = bare(text[1:]) if text[:1] == "=" else (True, text)
        members.append((value, params))
        if not text:
            return members
        m = re.match(r"[ \t]*,[ \t]*(?=.)", text)
        if not m:
            raise ValueError(text[:40])
        text = text[m.end():]


def told(reply):
    """(parameters of COUNTER, {number: parameters}) of what the backend received, exactly once."""
    assert reply.status == 200, reply
    values = [v for k, v in reply.json()["headers"] if k.lower().replace("_", "-") == "jd-status"]
    assert len(values) == 1 and len(values[0]) <= 7168
    (word, params), *orders = structured(values[0])
    assert word == "COUNTER" and params["list"] == "credit"
    assert len(orders) == len(dict(orders)) == params.get("orders", 0) - params.get("more", 0)
    return params, dict(orders)


def ask(gate, card=LISTED, path="/counter", **kw):
    return told(gate.get(path, card, **kw))


def put(gate, subject, *orders):
    gate.list.put(subject, list(orders))


# ---- what is told ---------------------------------------------------------------------------------

def test_nobody_is_told_of(gate):
    params, orders = ask(gate, CLEAN)
    assert (params["reason"], params["orders"], orders) == ("not_listed", 0, {}) and params["age"] >= 0
    assert told(gate.get("/counter"))[0] == {"reason": "no_subject", "list": "credit"}
    assert told(gate.get("/counter", headers=[("X-Card-No", "1"), ("X-Card-No", "2")]))[0]["reason"] == "malformed"


def test_every_text_of_an_order(gate):
    put(gate, "card:5", ZH)
    params, orders = ask(gate, "5")
    assert (params["reason"], params["orders"]) == ("listed", 1) and "observed" not in params
    assert orders == {ZH.number: {
        "measures": "bus.ride metro.ride", "state": "in_force", "from": china_time(ZH.from_), "until": china_time(ZH.until),
        "authority": ZH.authority, "basis": ZH.basis, "relevance": ZH.relevance, "contest": f"{ZH.contest_url} {ZH.contest_phone}",
        "contest_by": "2026-12-31T00:00:00+08:00", "repair": ZH.repair_phone}}


def test_states(gate):
    """Each order with where it stands; what is over is no concern of the person any more."""
    holder = gate.list.digest("cnid:11010519491231002X")
    put(gate, "card:5", Order("A-force"), Order("B-come", from_=NOW + 1000), Order("C-lifted"), Order("D-part", ["bus.ride", "bike.rent"]), Order("E-stay"),
        Order("F-objection"), Order("G-over", until=NOW - 5), Order("H-seen", ["tour.annual_pass"], observe=True),
        Order("I-link", holder=holder, link_from=NOW - 99, link_until=NOW + 9999), Order("J-link-over", holder=holder, link_until=NOW - 1),
        Order("K-link-to-come", holder=holder, link_from=NOW + 1000))
    gate.list.lift("C-lifted")
    gate.list.lift("D-part", ["bus.ride"])
    gate.list.stay("E-stay", NOW + 5000)
    gate.list.mark("F-objection")
    params, orders = ask(gate, "5")
    assert params["observed"] == "tour.annual_pass" and params["orders"] == 8
    assert {n: p["state"] for n, p in orders.items()} == {
        "A-force": "in_force", "B-come": "to_come", "C-lifted": "lifted", "D-part": "in_force", "E-stay": "stayed", "F-objection": "observe",
        "I-link": "in_force", "K-link-to-come": "to_come"}
    assert orders["D-part"]["lifted"] == "bus.ride" and orders["E-stay"]["stayed"] == china_time(NOW + 5000)
    assert (orders["I-link"]["link_from"], orders["I-link"]["link_until"]) == (china_time(NOW - 99), china_time(NOW + 9999))
    assert "link_until" not in orders["K-link-to-come"] and "link_from" not in orders["A-force"]
    gate.list.stay_subject("card:5")
    params, orders = ask(gate, "5")
    assert orders["A-force"]["stayed"] is True and orders["A-force"]["state"] == "stayed"


def test_several_names_of_one_person(gate):
    """Asked for one after the other; an order that both lead to is told once."""
    put(gate, "card:5", Order("both"), Order("card"))
    put(gate, f"patron:{PATRON}", Order("both"), PATRON_ORDER)
    params, orders = ask(gate, "5", f"/counter?patron={PATRON}")
    assert set(orders) == {"both", "card", PATRON_ORDER.number} and params["orders"] == 3
    assert ask(gate, CLEAN, f"/counter?patron={PATRON}")[0]["reason"] == "listed"


def test_subject_in_the_body(gate):
    """Read before the person is looked for, and passed on whole."""
    body = b'{"card":"' + LISTED.encode() + b'"}'
    reply = gate.get("/body", method="POST", body=body, headers=[("Content-Type", "application/json")])
    assert list(told(reply)[1]) == [ORDER.number] and bytes.fromhex(reply.json()["body"]) == body


def test_what_a_client_sends_is_removed(gate):
    for name in ("JD-Status", "jd-status", "JD_Status"):
        params, orders = ask(gate, CLEAN, headers=[(name, 'COUNTER;reason=listed;list="credit";orders=9')])
        assert params["orders"] == 0 and orders == {}


def test_too_many_texts_for_a_header(gate):
    """What bites comes first and whole; then what fits, in short; the rest is counted."""
    long = {"basis": "依" * 300, "authority": "机" * 300}
    put(gate, "card:5", *[Order(f"{i:02}", from_=NOW + 1000 * (i < 31), until=NOW + 5000, **long) for i in range(32)])
    params, orders = ask(gate, "5")
    assert params["orders"] == 32 and list(orders)[0] == "31" and orders["31"]["basis"] == long["basis"]
    assert params.get("more", 0) == 32 - len(orders) and len(orders) > 20
    assert all(set(p) == {"measures", "state", "until"} for p in list(orders.values())[-5:])
    put(gate, "card:5", *[Order(f"{i:02}" + "限" * 20, ["bus.ride", "metro.ride", "ferry.ride", "bike.rent", "library.checkout", "tour.annual_pass"], **long)
                          for i in range(32)])
    params, orders = ask(gate, "5")
    assert params["orders"] == 32 and 0 < params["more"] == 32 - len(orders)


def test_texts_that_do_not_verify_are_left_out(gate):
    gate.list.redis.delete(gate.list.name("grounds"))
    assert ask(gate)[1] == {ORDER.number: {"measures": "bus.ride", "state": "in_force", "from": china_time(ORDER.from_), "until": china_time(ORDER.until),
                                           "contest_by": china_time(ORDER.deadline_day() * 86400 - 8 * 3600)}}


# ---- never a denial, never a decision -----------------------------------------------------------------

def test_no_decision_is_made_or_counted(gate):
    for _ in range(3):
        ask(gate)
        ask(gate, CLEAN)
    assert gate.counts() == {} and gate.undecided() == 0
    assert gate.get("/gate", LISTED).status == 403
    assert list(gate.counts().values()) == [1]


def test_a_gate_inside_replaces_it(gate):
    assert gate.get("/around/gate", LISTED).status == 403
    assert "JD-Status" not in dict(gate.get("/around/gate", CLEAN).json()["headers"])
    assert list(ask(gate, LISTED, "/around/x")[1]) == [ORDER.number]


# ---- faults ------------------------------------------------------------------------------------------

def test_reasons_of_faults(world):
    gate = Gate(world, SERVER, max_stale="1h")
    d = gate.list.digest(f"card:{LISTED}")
    good = gate.list.redis.hget(gate.list.bucket(d), d)
    gate.list.put_raw(d, good[:-1] + bytes([good[-1] ^ 1]))
    assert ask(gate)[0] == {"reason": "unconfirmed", "list": "credit"}
    gate.list.put_raw(d, good)
    assert ask(gate)[0]["reason"] == "listed"
    gate.redis.stop()
    wait_for(lambda: ask(gate)[0]["reason"] == "unconfirmed")
    assert ask(gate)[1] == {}


def test_a_list_that_is_not_there_yet(world):
    """unready: without its normalisers nobody can be looked for."""
    gate = Gate(world, SERVER, start=False)
    gate.list.drop()
    gate.nginx.start()
    assert ask(gate)[0] == {"reason": "unready", "list": "credit"}


def test_stale_data_is_told_as_such(world):
    """The orders are told all the same: nothing of them is enforced."""
    gate = Gate(world, SERVER, start=False)
    gate.list.touch(verified_at=NOW - 7200)
    gate.nginx.start()
    wait_for(lambda: ask(gate)[0]["reason"] == "stale")
    params, orders = ask(gate)
    assert params["age"] >= 7200 and list(orders) == [ORDER.number]


def test_waiting(world):
    """A hanging Redis holds the inquiry for the timeout; who goes away is forgotten; a reload waits."""
    gate = Gate(world, SERVER)
    gate.redis.hang()
    try:
        with socket.create_connection(("127.0.0.1", gate.nginx.port), timeout=10) as s:
            s.sendall(b"GET /counter HTTP/1.1\r\nHost: a\r\nX-Card-No: " + LISTED.encode() + b"\r\n\r\n")
            wait_for(lambda: gate.get("/none").status == 404)
        wait_for(lambda: " 499 " in (gate.nginx.folder / "logs/access.log").read_text(), why="the closed client")
        with socket.create_connection(("127.0.0.1", gate.nginx.port), timeout=20) as s:
            s.sendall(b"GET /counter HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Card-No: " + LISTED.encode() + b"\r\n\r\n")
            gate.nginx.reload()
            got = b"".join(iter(lambda: s.recv(65536), b""))
            assert got.startswith(b"HTTP/1.1 200") and b"COUNTER;reason=unconfirmed" in got
    finally:
        gate.redis.go_on()
    wait_for(lambda: ask(gate)[0]["reason"] == "listed", 20)
