"""terminal-sim bus, kiosk, counter and backends: what they send, measure, read and call wrong."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
from harness import BIN, SAN_ENV, bad_lines, free_port, request, wait_for  # noqa: E402
from stub_gate import StubGate, denied, passed  # noqa: E402

SIM = str(BIN / "terminal-sim")
CARD = "9900123456789012"


class Run:
    def __init__(self, code, out, err):
        self.code = code
        self.out = out
        self.err = err
        self.report = json.loads(out) if out.startswith("{") else None

    def __repr__(self):
        return f"<exit {self.code}\n{self.out}\n{self.err}>"


def start(kind, *args):
    return subprocess.Popen([SIM, kind, *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            env={**os.environ, **SAN_ENV})


def finish(p, seconds=30):
    out, err = p.communicate(timeout=seconds)
    assert not bad_lines(err), err
    return Run(p.returncode, out, err)


def run(kind, port, *args, **kw):
    return finish(start(kind, "--port", port, "--json", *args), **kw)


def order(number="CS-1", card=CARD, scheme="card", measures=("bus.ride",), served="2026-01-01",
          begin="2026-01-01T00:00:00+08:00", end="2028-01-01T00:00:00+08:00", **more):
    return {"order": number, "subject": {"scheme": scheme, "id": card}, "measures": list(measures),
            "authority": "Test authority", "basis": "Test basis", "served": served, "from": begin, "until": end,
            "effect": "enforce", "contest": {"phone": "12345"}, **more}


def scenario(folder, *lines, name="orders.ndjson"):
    path = folder / name
    path.write_text("# test orders\n\n" + "".join(json.dumps(x) + "\n" for x in lines))
    return path


# ---- what is sent -------------------------------------------------------------------------------------

def test_bus_sends_exactly_count_taps():
    with StubGate(lambda r: passed()) as gate:
        r = run("bus", gate.port, "--rate", 2000, "--count", 300, "--connections", 3)
        assert r.code == 0 and r.report["answers"] == 300 and r.report["wrong"] == 0, r
        assert len(gate.requests) == 300 and len(gate.connections) <= 3
        assert {(q.method, q.path) for q in gate.requests} == {("POST", "/bus/tap")}
        assert all(re.fullmatch(r"9900\d{12}", q.card()) for q in gate.requests)


def test_kiosk_and_counter_bodies():
    with StubGate(lambda r: passed()) as gate:
        assert run("kiosk", gate.port, "--rate", 1000, "--count", 20).code == 0
        assert run("counter", gate.port, "--rate", 1000, "--count", 20).code == 0
        kiosk, counter = gate.requests[:20], gate.requests[20:]
        assert all(set(json.loads(q.body)) == {"patron_barcode", "item_barcode"} for q in kiosk)
        assert {q.headers["content-type"] for q in kiosk} == {"application/json"}
        assert sorted(q.path for q in counter) == ["/card/bike"] * 10 + ["/card/tour"] * 10
        assert {q.headers["content-type"] for q in counter} == {"application/x-www-form-urlencoded"}
        assert all(q.card().startswith("9900") for q in counter)


def test_generated_cards_are_few_as_asked_and_a_seed_repeats_them():
    def cards(seed, scheme="card"):
        with StubGate(lambda r: passed()) as gate:
            assert run("bus", gate.port, "--rate", 4000, "--count", 400, "--connections", 1, "--clean", 20,
                       "--seed", seed, "--scheme", scheme).code == 0
            return [q.card() for q in gate.requests]

    one, again, other = cards(7), cards(7), cards(8)
    assert one == again and len(set(one)) == 20
    assert not set(one) & set(other)
    for number in set(cards(7, "cnid")):
        weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
        assert re.fullmatch(r"990\d{3}19\d{9}[\dX]", number)
        assert number[17] == "10X98765432"[sum(w * int(d) for w, d in zip(weights, number)) % 11]
        time.strptime(number[6:14], "%Y%m%d")


def test_population_file_and_share_of_listed_cards(tmp_path):
    mine = tmp_path / "cards"
    mine.write_text("T-1\nT-2\n# no card\nT-3\n")
    orders = scenario(tmp_path, order())
    with StubGate(lambda r: denied() if r.card() == CARD else passed()) as gate:
        r = run("bus", gate.port, "--rate", 4000, "--count", 1000, "--population", mine, "--listed", orders,
                "--share-listed", 30)
        assert r.code == 0, r
        assert {q.card() for q in gate.requests} == {"T-1", "T-2", "T-3", CARD}
        assert 200 < r.report["denied"] < 400


# ---- what is measured ---------------------------------------------------------------------------------

def test_a_stall_shows_in_every_request_that_fell_due_meanwhile():
    """400 requests at 200/s on 4 connections, one stall of 0.6 s: 120 fell due in it, 30 % of all. An engine that
    measures from the moment it could send would show 4 slow ones, 1 %."""
    with StubGate(lambda r: passed(), stall_at=100, stall_sec=0.6) as gate:
        r = run("bus", gate.port, "--rate", 200, "--count", 400, "--connections", 4)
        assert r.code == 0 and r.report["answers"] == 400, r
        ms = r.report["latency_ms"]["all"]
        assert ms["p50"] < 100 and ms["p90"] > 300 and 550 < ms["max"] < 1500, ms


def test_percentiles_agree_with_what_the_server_did():
    """Every tenth answer takes 50 ms; one connection each, so that none waits for another."""
    def answer(r):
        if r.n % 10 == 0:
            time.sleep(0.05)
        return passed()

    with StubGate(answer) as gate:
        ms = run("bus", gate.port, "--rate", 200, "--count", 200, "--connections", 50).report["latency_ms"]["all"]
        assert ms["p50"] < 25 and 49 < ms["p99"] < 120 and ms["p99"] <= ms["p99.9"] <= ms["max"]


def test_rate_is_kept():
    with StubGate(lambda r: passed()) as gate:
        r = run("bus", gate.port, "--rate", 500, "--duration", 1)
        assert r.report["answers"] == 500 and 0.95 < r.report["seconds"] < 1.5


# ---- what is called wrong -----------------------------------------------------------------------------

def test_a_clean_card_denied_is_wrong_and_its_number_is_masked():
    with StubGate(lambda r: denied("CS-9") if r.n == 5 else passed()) as gate:
        r = run("bus", gate.port, "--rate", 1000, "--count", 20)
        assert r.code == 1 and (r.report["wrong"], r.report["wrong_denied"]) == (1, 1), r
        card = gate.requests[4].card()
        assert "CS-9" in r.err and "denied, must pass" in r.err and "*" * 14 + card[-2:] in r.err
        assert card not in r.err + r.out


def test_a_listed_card_passed_is_wrong(tmp_path):
    with StubGate(lambda r: passed()) as gate:
        r = run("bus", gate.port, "--rate", 1000, "--count", 20, "--share-listed", 100,
                "--listed", scenario(tmp_path, order()))
        assert r.code == 1 and (r.report["wrong"], r.report["wrong_passed"]) == (20, 20), r
        assert "passed, must be denied" in r.err and "CS-1" in r.err and CARD not in r.err + r.out


def test_denied_at_the_bus_and_passed_at_the_library(tmp_path):
    orders = scenario(tmp_path, order())
    options = ("--rate", 1000, "--count", 20, "--listed", orders, "--share-listed", 100, "--scheme", "card")
    with StubGate(lambda r: denied() if r.path == "/bus/tap" else passed()) as gate:
        assert run("bus", gate.port, *options).report["denied"] == 20
        assert run("kiosk", gate.port, *options).code == 0
        assert run("counter", gate.port, *options).code == 0
    with StubGate(lambda r: denied()) as gate:
        assert run("bus", gate.port, *options).code == 0
        assert run("kiosk", gate.port, *options).report["wrong"] == 20
        assert run("counter", gate.port, *options).report["wrong"] == 20


def test_counter_is_judged_by_each_service_own_measure(tmp_path):
    orders = scenario(tmp_path, order(measures=["bike.rent"]))
    with StubGate(lambda r: denied() if r.path == "/card/bike" else passed()) as gate:
        r = run("counter", gate.port, "--rate", 1000, "--count", 20, "--listed", orders, "--share-listed", 100)
        assert r.code == 0 and r.report["denied"] == 10, r


PASS = {
    "observe": [order(effect="observe")],
    "objection": [order(objection=True)],
    "mark": [order(), {"mark": "CS-1", "objection": True}],
    "lifted": [order(), {"lift": "CS-1"}],
    "lifted measure": [order(measures=["bus.ride", "bike.rent"]), {"lift": "CS-1", "measures": ["bus.ride"]}],
    "lift before its order": [{"lift": "CS-1"}, order()],
    "over": [order(end="2026-02-01T00:00:00+08:00")],
    "not yet": [order(begin="2027-06-01T00:00:00+08:00")],
    "not served yet": [order(served="2027-06-01")],
}
DENY = {
    "in force": [order()],
    "one of two lifted": [order(), order("CS-2"), {"lift": "CS-2"}],
    "other measure lifted": [order(measures=["bus.ride", "bike.rent"]), {"lift": "CS-1", "measures": ["bike.rent"]}],
    "objection over": [order(), {"mark": "CS-1", "objection": True}, {"mark": "CS-1", "objection": False}],
    "amended, still": [order(), order(end="2027-01-01T00:00:00+08:00")],
    "full-width": [order(card="９９００１２３４５６７８９０１２")],
}


@pytest.mark.parametrize("case", [*PASS, *DENY])
def test_oracle(tmp_path, case):
    orders = scenario(tmp_path, *(PASS.get(case) or DENY[case]))
    options = ("--rate", 1000, "--count", 10, "--listed", orders, "--share-listed", 100)
    with StubGate(lambda r: passed()) as open_gate, StubGate(lambda r: denied()) as shut_gate:
        assert run("bus", open_gate.port, *options).report["wrong"] == (0 if case in PASS else 10)
        assert run("bus", shut_gate.port, *options).report["wrong"] == (10 if case in PASS else 0)


def test_denied_by_another_order_is_wrong(tmp_path):
    with StubGate(lambda r: denied("CS-2")) as gate:
        r = run("bus", gate.port, "--rate", 1000, "--count", 10, "--share-listed", 100,
                "--listed", scenario(tmp_path, order()))
        assert r.code == 1 and "another order" in r.err, r


@pytest.mark.parametrize("status", [500, 502, 400, 302])
def test_neither_pass_nor_denial_is_wrong(status):
    with StubGate(lambda r: b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status) as gate:
        r = run("bus", gate.port, "--rate", 1000, "--count", 10)
        assert r.code == 1 and (r.report["wrong"], r.report["wrong_other"]) == (10, 10), r


@pytest.mark.parametrize("option", ["--dry-run-expected", "--expect-open"])
def test_open_and_dry_run_know_no_denial(tmp_path, option):
    options = ("--rate", 1000, "--count", 10, "--listed", scenario(tmp_path, order()), "--share-listed", 100, option)
    with StubGate(lambda r: passed()) as gate:
        assert run("bus", gate.port, *options).code == 0
    with StubGate(lambda r: denied()) as gate:
        assert run("bus", gate.port, *options).report["wrong"] == 10


def test_dry_run_of_one_measure(tmp_path):
    """As in conf/nginx.conf: bike rental is enforced, the tour pass only observed."""
    orders = scenario(tmp_path, order(measures=["bike.rent", "tour.annual_pass"]))
    options = ("--rate", 1000, "--count", 20, "--listed", orders, "--share-listed", 100)
    with StubGate(lambda r: denied() if r.path == "/card/bike" else passed()) as gate:
        assert run("counter", gate.port, *options, "--dry-run-expected=tour.annual_pass").code == 0
        assert run("counter", gate.port, *options).report["wrong_passed"] == 10
        assert run("counter", gate.port, *options, "--dry-run-expected").report["wrong_denied"] == 10


def test_denials_of_another_status_are_known_by_jd_status(tmp_path):
    options = ("--rate", 1000, "--count", 10, "--share-listed", 100,
                "--listed", scenario(tmp_path, order()))
    with StubGate(lambda r: denied(status=200)) as gate:
        r = run("bus", gate.port, *options)
        assert r.code == 0 and r.report["denied"] == 10, r
        assert r.report["verdicts"] == [{"verdict": "denied", "status": 200, "jd_status": "DENIED listed",
                                         "answers": 10}]


# ---- changes while running ----------------------------------------------------------------------------

def append(path, line):
    with open(path, "a") as f:
        f.write(json.dumps(line) + "\n")


@pytest.mark.parametrize("line, deny", [({"lift": "CS-1"}, True), (order("CS-2"), False)])
@pytest.mark.parametrize("follows", [True, False])
def test_an_appended_event_changes_what_is_right(tmp_path, line, deny, follows):
    orders = scenario(tmp_path, order(), *([] if deny else [{"lift": "CS-1"}]))
    denies = [deny]
    with StubGate(lambda r: denied("CS-1" if deny else "CS-2") if denies[0] else passed()) as gate:
        p = start("bus", "--port", gate.port, "--json", "--rate", 200, "--duration", 2, "--oracle", orders,
                  "--share-listed", 100, "--window", 300)
        wait_for(lambda: len(gate.requests) > 50)
        append(orders, line)
        if follows:
            denies[0] = not deny
        r = finish(p)
    if follows:
        assert r.code == 0 and r.report["wrong"] == 0 and r.report["settling"] > 0, r
    else:
        assert r.code == 1 and r.report["wrong"] > 100, r
    assert r.report["passed"] > 20 or not follows


def test_append_first_act_at_once_is_never_misjudged(tmp_path):
    """The gate acts in the same millisecond as the append; the file is followed only every 50 ms. No window."""
    orders = scenario(tmp_path, order("CS-0", card="9900000000000000"))
    listed, turn = set(), threading.Lock()

    def answer(r):
        with turn:
            if r.n % 40 == 0:
                append(orders, order(f"CS-{r.n}", card=r.card()))
                listed.add(r.card())
                return denied(f"CS-{r.n}")
        return passed()

    with StubGate(answer) as gate:
        r = run("bus", gate.port, "--rate", 400, "--count", 400, "--oracle", orders, "--share-listed", 0,
                "--clean", 100000000, "--window", 0)
        assert r.code == 0 and r.report["denied"] == 10 and len(listed) == 10, r


def test_an_order_that_ends_while_running(tmp_path):
    end = time.time() + 2
    text = time.strftime("%Y-%m-%dT%H:%M:%S+08:00", time.gmtime(int(end) + 8 * 3600))
    orders = scenario(tmp_path, order(end=text))
    with StubGate(lambda r: denied() if time.time() < int(end) else passed()) as gate:
        r = run("bus", gate.port, "--rate", 100, "--duration", 4, "--listed", orders, "--share-listed", 100,
                "--window", 0)
        assert r.code == 0 and r.report["denied"] > 0 and r.report["passed"] > 0, r


# ---- HTTP as it comes ---------------------------------------------------------------------------------

BODY = b'{"result":"ride"}'
CLOSE = StubGate.CLOSE
GOOD = {
    "length": passed(),
    "no body": b"HTTP/1.1 204 No Content\r\n\r\n",
    "empty": b"HTTP/1.1 200 OK\r\ncontent-LENGTH:0\r\n\r\n",
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
               b"5\r\n{\"res\r\nC;x=\"y\"\r\nult\":\"ride\"}\r\n0\r\nT: r\r\n\r\n",
    "interim": b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + passed(),
    "close": b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}" + CLOSE,
    "to close": b"HTTP/1.1 200 OK\r\n\r\n" + BODY + CLOSE,
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}" + CLOSE,
    "long body": passed(body=b"x" * 100000),
}


@pytest.mark.parametrize("case, trickle", [(c, t) for c in GOOD for t in (False, True) if c != "long body" or not t])
def test_reads(case, trickle):
    with StubGate(lambda r: GOOD[case], trickle=trickle) as gate:
        r = run("bus", gate.port, "--rate", 200, "--count", 40, "--connections", 2)
        assert r.code == 0 and r.report["passed"] == 40 and r.report["transport_errors"] == 0, r
        assert (len(gate.connections) == 40) == GOOD[case].endswith(CLOSE)


BAD = {
    "length and chunked": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "length of no digits": b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\n{}",
    "other coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunk size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n",
    "chunk too long": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}}\r\n0\r\n\r\n",
    "huge chunk size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n{}",
    "bytes after": passed() + b"HTTP/1.1 200 OK\r\n",
    "cut off": b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{}" + CLOSE,
    "cut off in a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{}" + CLOSE,
    "cut off in the head": b"HTTP/1.1 200 OK\r\nContent-Le" + CLOSE,
    "no answer": CLOSE,
    "bare newline": b"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}",
    "folded": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\n{}",
    "space before colon": b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\n{}",
    "not HTTP": b"-ERR unknown command\r\n",
    "JD-Status twice": passed(b"JD-Status: DENIED;reason=listed\r\nJD-Status: PASSED;reason=clear\r\n"),
    "endless head": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10000,
}


@pytest.mark.parametrize("case", BAD)
def test_refuses(case):
    with StubGate(lambda r: BAD[case]) as gate:
        r = run("bus", gate.port, "--rate", 1000, "--count", 10, "--connections", 1, "--timeout", 3000)
        assert r.code == 1 and r.report["transport_errors"] == 10 and r.report["answers"] == 0, r


def test_a_connection_closed_while_idle_is_opened_again():
    """nginx does this at a reload: the close and our next request cross. Nothing is lost, and it is told."""
    def answer(r):
        return CLOSE if r.on_connection == 2 else passed()

    with StubGate(answer) as gate:
        r = run("bus", gate.port, "--rate", 200, "--count", 20, "--connections", 1)
        assert r.code == 0 and r.report["passed"] == 20 and r.report["reopened"] == 19, r


def test_a_request_is_sent_again_once_only():
    with StubGate(lambda r: passed() if r.n == 1 else CLOSE) as gate:
        r = run("bus", gate.port, "--rate", 200, "--count", 2, "--connections", 1)
        assert r.code == 1 and r.report["transport_errors"] == 1 and len(gate.requests) == 3, r


def test_nobody_listens():
    r = run("bus", free_port(), "--rate", 1000, "--count", 50)
    assert r.code == 1 and r.report["answers"] == 0
    assert r.report["errors"] == [{"error": "Connection refused", "requests": 50}]


def test_a_server_that_never_answers_ends_in_time_with_every_request_counted():
    with StubGate(lambda r: time.sleep(20) or b"") as gate:
        begin = time.monotonic()
        r = run("bus", gate.port, "--rate", 100, "--count", 100, "--connections", 5, "--timeout", 500)
        assert time.monotonic() - begin < 5
        assert r.code == 1 and r.report["answers"] == 0 and r.report["transport_errors"] == 100, r
        assert any("never sent" in e["error"] for e in r.report["errors"])


def test_sigterm_ends_a_run_with_its_report():
    with StubGate(lambda r: passed()) as gate:
        p = start("bus", "--port", gate.port, "--json", "--rate", 200, "--duration", 60)
        wait_for(lambda: len(gate.requests) > 20)
        p.send_signal(signal.SIGTERM)
        r = finish(p, seconds=5)
        assert r.code == 0 and r.report["answers"] == len(gate.requests)


# ---- wrong use ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("args, says", [
    ([], "--url"),
    (["--url", "https://127.0.0.1:1"], "http://"),
    (["--url", "http://127.0.0.1:1/bus"], "path"),
    (["--port", "70000"], "--port 70000"),
    (["--port", "1", "--rate", "fast"], "--rate fast"),
    (["--port", "1", "--rate", "0"], "--rate 0"),
    (["--port", "1", "--connections", "1.5"], "whole"),
    (["--port", "1", "--scheme", "name"], "--scheme"),
    (["--port", "1", "--dry-run-expected=bus"], "--dry-run-expected=bus"),
    (["--port", "1", "--nonsense"], "nonsense"),
    (["--port", "1", "stray"], "stray"),
    (["--port", "1", "--oracle", "/nonexistent/orders"], "/nonexistent/orders"),
])
def test_wrong_use(args, says):
    r = finish(start("bus", *args))
    assert r.code == 2 and says in r.err and not r.out, r


@pytest.mark.parametrize("lines, says", [
    ([{"order": "CS-1"}], ":3: subject"),
    ([order(measures=["bus.rides"])], ":3: measures"),
    ([order(measures=[])], ":3: measures"),
    ([order(end="2028-01-01")], ":3: until"),
    ([order(scheme="name")], ":3: subject"),
    ([order(number="has space")], ":3: order number"),
    ([order(), {"lift": "CS-1", "measures": ["walk"]}], ":4: lift"),
    ([order(), {"mark": "CS-1"}], ":4: mark"),
    ([order(), order(card="9900000000000001")], ":4: amendment names another subject"),
    ([order(), order(measures=["bus.ride", "bike.rent"])], ":4: amendment adds"),
    (["text"], ":3: not a JSON object"),
])
def test_wrong_scenario_names_file_and_line(tmp_path, lines, says):
    path = scenario(tmp_path, *lines)
    r = finish(start("bus", "--port", 1, "--listed", path))
    assert r.code == 2 and str(path) + says in r.err and CARD not in r.err, r


def test_help():
    for kind in ("bus", "kiosk", "counter", "backends"):
        r = finish(start(kind, "--help"))
        assert r.code == 0 and f"terminal-sim {kind}" in r.out and "Example" in r.out


# ---- backends -----------------------------------------------------------------------------------------

def test_backends(world):
    ports = world.folder / "ports"
    p = world.proc([SIM, "backends", "--ports-file", ports], "backends")
    wait_for(ports.exists)
    port = {name: int(n) for name, n in (line.split() for line in ports.read_text().splitlines())}
    assert set(port) == {"citizen-card", "bus-validator", "library-checkout"}

    tap = request(port["bus-validator"], "/bus/tap", "POST",
                  {"X-Card-No": CARD, "JD-Status": "PASSED;reason=lifted"}, b"")
    assert tap.status == 200 and tap.json()["result"] == "ride" and tap.json()["jd_status"] == "PASSED;reason=lifted"
    assert tap.headers["X-Backend-JD-Status"] == "PASSED;reason=lifted" and "JD-Status" not in tap.headers
    assert request(port["bus-validator"], "/bus/tap", "GET", {"X-Card-No": CARD}).status == 200
    assert request(port["bus-validator"], "/bus/tap", "POST", body=b"").status == 400
    assert request(port["bus-validator"], "/card/bike", "POST", body=b"").status == 404

    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert "rental" in request(port["citizen-card"], "/card/bike", "POST", form, b"card=" + CARD.encode()).json()
    assert "pass" in request(port["citizen-card"], "/card/tour", "POST", form, b"card=" + CARD.encode()).json()
    assert request(port["citizen-card"], "/card/tour", "POST", form, b"number=1").status == 400
    long = "COUNTER;" + "x" * 4000              # more than nginx would take back as a header
    orders = request(port["citizen-card"], "/card/orders", headers={"X-Card-No": CARD, "JD-Status": long})
    assert orders.status == 200 and orders.json()["jd_status"] == long and "X-Backend-JD-Status" not in orders.headers
    assert request(port["citizen-card"], "/card/orders").status == 400

    loan = json.dumps({"patron_barcode": CARD, "item_barcode": "TEST1"}).encode()
    assert request(port["library-checkout"], "/library/checkout", "POST", body=loan).status == 200
    assert request(port["library-checkout"], "/library/checkout", "POST", body=b"{").status == 400
    assert request(port["library-checkout"], "/library/checkout", "POST", body=b"x" * 70000).status == 413
    stats = request(port["bus-validator"], "/stats").json()
    assert (stats["requests"], stats["refused"], stats["with_jd_status"]) == (4, 2, 1)
    assert p.stop() == 0 and "bus-validator: 4 requests, 2 refused, 1 with JD-Status" in p.log()
    assert CARD not in p.log()


def test_backends_serve_the_terminals(world):
    ports = world.folder / "ports"
    world.proc([SIM, "backends", "--ports-file", ports], "backends")
    wait_for(ports.exists)
    port = [int(line.split()[1]) for line in ports.read_text().splitlines()]
    for kind, n in (("counter", 0), ("bus", 1), ("kiosk", 2)):
        r = run(kind, port[n], "--rate", 500, "--count", 200)
        assert r.code == 0 and r.report["passed"] == 200, r


def test_backends_name_a_port_in_use(world):
    with StubGate(lambda r: passed()) as taken:
        r = finish(start("backends", "--bus-validator", taken.port))
        assert r.code == 2 and f"bus-validator: cannot listen on 127.0.0.1:{taken.port}" in r.err
