"""What terminal-sim's oracle knows of the operator's side: stays, objections, holder links, the brake."""

import time

import pytest
from stub_gate import StubGate, denied, passed
from test_terminals import append, finish, order, run, scenario, start
from harness import wait_for

PERSON = "cnid:990101198001010014"
OTHER = "cnid:990101198001010030"
BODY = "uscc:919900000000000005"
CARD, NEW = "9900000000000001", "9900000000000002"


def instant(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%S+08:00", time.gmtime(time.time() + seconds + 8 * 3600))


def by(subject, number="CS-1", **more):
    scheme, _, ident = subject.partition(":")
    return order(number, ident, scheme, **more)


def link(card=CARD, holder=PERSON, use="own", **more):
    return {"link": {"card": card, "holder": holder, "use": use, **more}}


def braked():
    return passed(b"X-Backend-JD-Status: PASSED;reason=braked\r\n")


# what must happen at the bus with CARD: the number of the order that denies, or None
CASES = {
    "own card": ([by(PERSON), link()], "CS-1"),
    "card of the holder's body": ([by(BODY), link(holder=BODY)], "CS-1"),
    "other use": ([by(PERSON), link(use="other")], None),
    "link before order": ([link(), by(PERSON)], "CS-1"),
    "another holder's order": ([by(OTHER), link()], None),
    "returned": ([by(PERSON), link(), {"unlink": {"card": CARD}}], None),
    "another holder's link removed": ([by(PERSON), link(), {"unlink": {"card": CARD, "holder": OTHER}}], "CS-1"),
    "passed on": ([by(PERSON), link(), {"unlink": {"card": CARD}}, link(holder=OTHER)], None),
    "taken over with an order": ([by(OTHER, "CS-2"), link(until=instant(-9)), link(holder=OTHER, **{"from": instant(-9)})], "CS-2"),
    "two holders": ([by(PERSON), link(), link(holder=OTHER)], None),
    "two holders, one to come": ([by(PERSON), link(), link(holder=OTHER, **{"from": instant(3600)})], None),
    "two holders before": ([by(PERSON), link(), link(holder=OTHER, until=instant(-60))], "CS-1"),
    "other use is no second holder": ([by(PERSON), link(), link(holder=OTHER, use="other")], "CS-1"),
    "link over": ([by(PERSON), link(until=instant(-60))], None),
    "link to come": ([by(PERSON), link(**{"from": instant(3600)})], None),
    "link with its time": ([by(PERSON), link(**{"from": instant(-3600), "until": instant(3600)})], "CS-1"),
    "on the card and by its holder": ([order("CS-9", CARD, end="2027-01-01T00:00:00+08:00"), by(PERSON), link()], "CS-1"),
    "order stayed": ([by(PERSON), link(), {"stay": {"order": "CS-1"}}], None),
    "stay before order": ([{"stay": {"order": "CS-1"}}, by(PERSON), link()], None),
    "stay over": ([by(PERSON), link(), {"stay": {"order": "CS-1"}, "until": instant(-60)}], "CS-1"),
    "stay with its time": ([by(PERSON), link(), {"stay": {"order": "CS-1"}, "until": instant(3600)}], None),
    "unstayed": ([by(PERSON), link(), {"stay": {"order": "CS-1"}}, {"unstay": {"order": "CS-1"}}], "CS-1"),
    "person stayed": ([by(PERSON), link(), {"stay": {"subject": PERSON}}], None),
    "person unstayed": ([by(PERSON), link(), {"stay": {"subject": PERSON}}, {"unstay": {"subject": PERSON}}], "CS-1"),
    "another person stayed": ([by(PERSON), link(), {"stay": {"subject": OTHER}}], "CS-1"),
    "card stayed": ([by(PERSON), link(), {"stay": {"subject": "card:" + CARD}}], None),
    "other order stayed": ([by(PERSON), by(PERSON, "CS-2"), link(), {"stay": {"order": "CS-1"}}], "CS-2"),
    "operator's objection": ([by(PERSON), link(), {"objection": "CS-1", "stands": True}], None),
    "operator's objection ended": ([by(PERSON), link(), {"objection": "CS-1", "stands": True},
                                    {"objection": "CS-1", "stands": False}], "CS-1"),
    "both objections, one ended": ([by(PERSON), link(), {"objection": "CS-1", "stands": True}, {"mark": "CS-1", "objection": True},
                                    {"mark": "CS-1", "objection": False}], None),
    "brake of another measure": ([by(PERSON), link(), {"brake": "metro.ride", "state": "on"}], "CS-1"),
    "brake on": ([by(PERSON), link(), {"brake": "bus.ride", "state": "on"}], None),
    "brake off": ([by(PERSON), link(), {"brake": "bus.ride", "state": "on"}, {"brake": "bus.ride", "state": "off"}], "CS-1"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_it_knows(tmp_path, case):
    """Right and wrong answers are told apart, for the one card that is drawn."""
    lines, number = CASES[case]
    options = ("--rate", 1000, "--count", 5, "--share-listed", 100, "--listed", scenario(tmp_path, *lines), "--window", 0)
    with StubGate(lambda r: denied(number or "CS-1")) as gate:
        r = run("bus", gate.port, *options)
        assert {q.card() for q in gate.requests} == {CARD}
        assert r.report["wrong_denied"] == (0 if number else 5), r
    with StubGate(lambda r: passed()) as gate:
        r = run("bus", gate.port, *options)
        assert r.report["wrong_passed"] == (5 if number and "brake on" != case else 0), r


def test_an_armed_brake(tmp_path):
    """Denials and passes that say so are right; other passes are not, and clean cards are never denied."""
    orders = scenario(tmp_path, by(PERSON), link(), {"brake": "bus.ride", "state": "armed"})
    options = ("--rate", 1000, "--count", 8, "--share-listed", 100, "--listed", orders, "--window", 0)
    for answer, key, wrong in ((denied, "wrong_denied", 0), (braked, "wrong_passed", 0), (passed, "wrong_passed", 8)):
        with StubGate(lambda r: answer()) as gate:
            assert run("bus", gate.port, *options).report[key] == wrong, answer
    with StubGate(lambda r: denied()) as gate:
        assert run("bus", gate.port, *options[:4], "--share-listed", 0, "--listed", orders).report["wrong_denied"] == 8


@pytest.mark.parametrize("line, after", [
    ({"stay": {"order": "CS-1"}}, passed), ({"stay": {"subject": PERSON}}, passed), ({"objection": "CS-1", "stands": True}, passed),
    ({"unlink": {"card": CARD}}, passed), (link(holder=OTHER), passed), ({"brake": "bus.ride", "state": "on"}, passed),
    (by(PERSON, "CS-2", end="2029-01-01T00:00:00+08:00"), lambda: denied("CS-2"))])
@pytest.mark.parametrize("follows", [True, False])
def test_events_while_running(tmp_path, line, after, follows):
    """Both answers are right within the window; then only what the event means."""
    orders = scenario(tmp_path, by(PERSON), link())
    answer = [denied]
    with StubGate(lambda r: answer[0]()) as gate:
        p = start("bus", "--port", gate.port, "--json", "--rate", 200, "--duration", 1.5, "--oracle", orders, "--share-listed", 100,
                  "--window", 200)
        wait_for(lambda: len(gate.requests) > 30)
        append(orders, line)
        answer[0] = after if follows else denied
        r = finish(p)
    assert r.report["settling"] > 0
    assert r.report["wrong"] == 0 if follows else r.report["wrong_denied"] > 50, r


def test_a_stay_that_ends_while_running(tmp_path):
    end = int(time.time()) + 2
    orders = scenario(tmp_path, by(PERSON), link(), {"stay": {"order": "CS-1"}, "until": instant(end - time.time())})
    with StubGate(lambda r: passed() if time.time() < end else denied()) as gate:
        r = run("bus", gate.port, "--rate", 100, "--duration", 4, "--listed", orders, "--share-listed", 100, "--window", 0)
        assert r.code == 0 and r.report["denied"] > 0 and r.report["passed"] > 0, r


@pytest.mark.parametrize("line, why", [
    ({"stay": {"subject": "990101"}}, "scheme:identifier"), ({"stay": {"order": "CS 1"}}, "order number"),
    ({"stay": {"order": "CS-1"}, "until": "soon"}, "instant"), ({"objection": "CS-1", "stands": 1}, "stands"),
    (link(use="mine"), "own or other"), (link(holder="cnid:1"), "not of its scheme"), ({"link": {"card": CARD, "use": "own"}}, "scheme:"),
    ({"brake": "bus", "state": "on"}, "unknown measure"), ({"brake": "bus.ride", "state": "held"}, "off, armed or on")])
def test_lines_that_cannot_be_used(tmp_path, line, why):
    r = finish(start("bus", "--port", 1, "--count", 1, "--listed", scenario(tmp_path, by(PERSON), line)))
    assert r.code == 2 and "orders.ndjson:4:" in r.err and why in r.err, r
