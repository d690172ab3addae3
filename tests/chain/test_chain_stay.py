"""What the operator frees, and lifts of single measures, at the gate: the next request passes, whatever dies meanwhile."""

import json
import os
import random
import signal
import subprocess
import threading
import time

import harness
import office as of
from chain import Chain
from harness import wait_for

ITEM = "/library/item"


def rcctl(c, *args, stdin="", code=0):
    run = harness.rcctl(c.conf, *args, stdin=stdin)
    assert run.returncode == code, (run.returncode, run.stdout, run.stderr)
    return run


def refilled(c):
    """Empties Redis; returns when record 0 is denied again, so that the list is in force."""
    c.redis.client().flushall()
    c.enforcing()


def test_a_stayed_order_passes_at_the_next_tap(world):
    c = Chain(world, listed=6)
    assert c.tap(c.card(1)) == 403
    rcctl(c, "stay", "--order", c.number(1), "--reason", "court order 2026/18")
    assert c.tap(c.card(1)) == 200
    assert c.tap(c.card(0)) == 403
    refilled(c)
    assert c.tap(c.card(1)) == 200
    c.daemon.kill()
    assert c.tap(c.card(1)) == 200
    c.daemon = c.new_daemon()
    refilled(c)
    assert c.tap(c.card(1)) == 200
    c.nginx.reload()
    c.enforcing()
    assert c.tap(c.card(1)) == 200
    rcctl(c, "unstay", "--order", c.number(1), "--reason", "withdrawn")
    assert c.tap(c.card(1)) == 403


def test_a_stayed_person_passes_whatever_the_order(world):
    c = Chain(world, listed=6)
    card = c.card(1)
    rcctl(c, "stay", "--subject", "--reason", "mistaken identity", stdin=f"card:{card}\n")
    assert c.tap(card) == 200
    more = {**c.record(c.records[1]), "order": "TEST-2-00000001"}           # one more order on the same person
    c.office.publish(more)
    wait_for(lambda: "TEST-2-00000001" in rcctl(c, "orders").stdout, 20)
    assert c.tap(card) == 200
    refilled(c)
    assert c.tap(card) == 200
    rcctl(c, "unstay", "--subject", "--reason", "not mistaken", stdin=f"card:{card}\n")
    assert c.tap(card) == 403


def test_a_stay_without_the_daemon(world):
    c = Chain(world, listed=6)
    c.daemon.kill()
    assert c.tap(c.card(1)) == 403 and c.tap(c.card(2)) == 403
    rcctl(c, "stay", "--order", c.number(1), "--reason", "court order", code=6)
    rcctl(c, "stay", "--subject", "--reason", "mistaken", stdin=f"card:{c.card(2)}\n", code=6)
    rcctl(c, "objection", "--order", c.number(3), "--reason", "statement", code=6)
    assert [c.tap(c.card(i)) for i in range(4)] == [403, 200, 200, 200]
    c.daemon = c.new_daemon()
    refilled(c)
    assert [c.tap(c.card(i)) for i in range(4)] == [403, 200, 200, 200]


def test_an_objection_passes_until_it_is_ended(world):
    c = Chain(world, listed=6)
    rcctl(c, "objection", "--order", c.number(1), "--reason", "statement of the person")
    assert c.tap(c.card(1)) == 200
    refilled(c)
    assert c.tap(c.card(1)) == 200
    rcctl(c, "objection", "--order", c.number(1), "--end", "--reason", "decided")
    wait_for(lambda: c.tap(c.card(1)) == 403, 10)


def test_a_lift_of_one_measure_frees_that_one(world):
    """From office to gate: an order with two measures, lifted one after the other."""
    c = Chain(world, records=of.generate(4, "--measures", "bus.ride,library.checkout"))
    card = c.card(1)
    wait_for(lambda: c.tap(card, ITEM) == 403, 10)
    c.office.lift(c.number(1), "bus.ride")
    wait_for(lambda: c.tap(card) == 200, 20)
    assert c.tap(card, ITEM) == 403
    refilled(c)
    assert c.tap(card) == 200
    wait_for(lambda: c.tap(card, ITEM) == 403, 10)
    c.office.lift(c.number(1), "library.checkout")
    wait_for(lambda: c.tap(card, ITEM) == 200, 20)
    assert c.tap(card) == 200 and c.tap(c.card(0), ITEM) == 403

    client = c.redis.client()
    assert client.hget("jd:{credit}:relief", c.number(1)).startswith(b"l00")
    lifts = client.xrange("jd:{credit}:lifts")          # the first was flushed away; a refill is no lift
    assert len(lifts) == 1, lifts
    entry = {k.decode(): int(v) for k, v in lifts[0][1].items()}
    assert abs(entry["a"] / 1000 - time.time()) < 30 and 0 <= entry["a"] / 1000 - entry["i"] < 30, entry
    status = json.loads(harness.rcctl(c.conf, "--json", "status").stdout)["lifts"]
    assert status["applied"] == 2 and status["unwritten"] == 0, status
    assert status["apply_to_redis"]["n"] == 2 and status["apply_to_redis"]["p99_ms"] < 2000, status


class Taps(threading.Thread):
    """Taps the cards in `cards` over and over; any denial of one that was in before the request began is wrong."""

    def __init__(self, c):
        super().__init__(daemon=True)
        self.c, self.cards, self.wrong, self.n, self.ending = c, [], [], 0, False

    def run(self):
        while not self.ending:
            for card in list(self.cards):
                status = self.c.tap(card)
                self.n += 1
                if status != 200:
                    self.wrong.append((card, status, time.time()))
            time.sleep(0.001)


def test_nobody_stayed_is_denied_whoever_is_killed(world):
    c = Chain(world, listed=40)
    rnd = random.Random(20261)
    taps = Taps(c)
    taps.start()
    for i in range(1, 31):
        what = ["--order", c.number(i)] if i % 2 else ["--subject"]
        p = subprocess.Popen([str(harness.BIN / "rcctl"), "-c", str(c.conf), "stay", *what, "--reason", "r"],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             env={**os.environ, **harness.SAN_ENV})
        p.stdin.write(f"card:{c.card(i)}\n")
        p.stdin.close()
        p.stdin = None
        time.sleep(rnd.random() * 0.2)
        if i % 4 == 0 and p.poll() is None:
            p.kill()
        elif i % 4 != 1:
            c.daemon.kill()
        out, err = p.communicate(timeout=30)
        assert p.returncode in (0, 6, -signal.SIGKILL), (p.returncode, out, err)
        if p.returncode != -signal.SIGKILL:
            taps.cards.append(c.card(i))
        if not c.daemon.alive():
            c.daemon = c.new_daemon()
        if i % 7 == 0:
            c.redis.client().flushall()
    refilled(c)
    assert len(taps.cards) >= 20
    for card in taps.cards:
        assert c.tap(card) == 200
    taps.ending = True
    taps.join(20)
    assert not taps.wrong and taps.n > 200, (taps.n, taps.wrong[:5])
