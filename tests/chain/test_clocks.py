"""Expiry without anyone's help: with daemon and office silent and Redis still answering, an order past its end is not enforced
from that second, and past max_stale nothing is; clocks that jump, on the gate or on the daemon, never extend a restriction,
nor begin one early. All of it over reloads and restarts, too.

The programs are not sanitised: their clocks are shifted by a preloaded library.
"""

import signal
import time
from datetime import datetime, timedelta, timezone

import office as of
import pytest
from chain import Chain, Clock
from harness import wait_for

CHINA = timezone(timedelta(hours=8))


def instant(t):
    return datetime.fromtimestamp(t, CHINA).isoformat()


class Town:
    """Four cards: 0 denied for long, 1 until `end`, 2 from `begin`, 3 by an order whose notice is served tomorrow."""

    def __init__(self, world, max_stale):
        self.records = of.generate(4, "--measures", "bus.ride")
        self.daemon_clock, self.gate_clock = Clock(world.folder), Clock(world.folder)
        self.c = Chain(world, records=self.records[:1], max_stale=f"{max_stale}s", clocks=(self.daemon_clock, self.gate_clock))
        self.c.records = self.records
        self.max_stale = max_stale
        self.silent = False

    def publish(self, end, begin):
        now = int(time.time())
        self.end, self.begin = now + end, now + begin
        self.records[1]["until"] = instant(self.end)
        self.records[2]["from"] = instant(self.begin)
        self.records[3]["served"] = instant(now + 86400)[:10]
        self.c.office.publish(*self.records[1:])
        wait_for(lambda: self.denied()[1] == {0, 1}, 5, why="card 1 denied")
        wait_for(lambda: self.c.list_status()["count"] == 4, 5)

    def silence(self):
        self.c.office.proc.signal(signal.SIGSTOP)
        self.c.daemon.signal(signal.SIGSTOP)
        self.silent = True
        # the last that it wrote; the gate may be about to read it
        self.verified_at = int(self.c.redis.client().hget("jd:{credit}:meta", "verified_at"))

    def speak(self):
        self.c.daemon.signal(signal.SIGCONT)
        self.c.office.proc.signal(signal.SIGCONT)

    def denied(self):
        """Which of the cards, by their numbers; each asked once. With the seconds before and after."""
        before = time.time()
        out = {i for i in range(4) if self.c.tap(self.c.card(i)) == 403}
        return before, out, time.time()

    def watch(self, until):
        """Asks all the time; every answer must be right by the true clock. Who was denied, ever."""
        ever = set()
        while time.time() < until:
            before, denied, after = self.denied()
            assert 3 not in denied
            assert not (1 in denied and before >= self.end), before - self.end
            assert not (2 in denied and after < self.begin), after - self.begin
            assert not (self.silent and denied and before > self.verified_at + self.max_stale + 1), denied
            ever |= denied
            time.sleep(0.05)
        return ever

    def now(self, seconds=0.5):
        return self.watch(time.time() + seconds)


@pytest.fixture
def town(world):
    """Makes a town whose silence is over when the test is."""
    made = []

    def make(max_stale):
        made.append(Town(world, max_stale))
        return made[0]
    yield make
    for t in made:
        t.speak()


def nothing(t):
    pass


def reload(t):
    t.c.nginx.reload()


def nginx_restart(t):
    t.c.nginx.quit()
    t.c.nginx.start()
    wait_for(lambda: t.c.list_status()["follower"] == "tailing", 10, why="loaded")


def redis_restart(t):
    t.c.redis.kill()
    t.c.redis.start()
    wait_for(lambda: "unconfirmed" not in t.c.nginx.get("/bus/tap", {"X-Card-No": t.c.card(0)}).headers.get("X-Backend-JD-Status", ""),
             10, why="the confirm's link")


def daemon_restart(t):
    """The office stays silent."""
    t.c.daemon.kill()
    t.c.daemon = t.c.new_daemon()
    wait_for(lambda: "begins" in t.c.daemon.log(), 10)


EVENTS = [nothing, reload, nginx_restart, redis_restart, daemon_restart]


@pytest.mark.parametrize("event", EVENTS, ids=lambda f: f.__name__)
def test_expiry_in_silence(town, event):
    t = town(max_stale=18)
    t.publish(end=8, begin=9)
    t.silence()
    event(t)
    assert t.watch(t.end) == {0, 1}
    event(t)
    t.watch(t.begin + 1)
    assert t.now() == {0, 2}
    t.watch(t.verified_at + t.max_stale + 1.5)
    event(t)
    assert t.now() == set()


@pytest.mark.parametrize("jump", [-7200, -280, 280, 7200])
def test_the_gates_clock_jumps(town, jump):
    """A few minutes are borne, more enforces nothing; either way nobody is denied too early or too late."""
    t = town(max_stale=3600)
    t.publish(end=3, begin=60)
    t.watch(t.end)
    borne = {0} if abs(jump) <= 300 else set()
    for silent in (False, True):
        if silent:
            t.silence()
        t.gate_clock.set(jump)
        time.sleep(0.1)
        assert t.now() == borne
        reload(t)
        assert t.now() == borne
        nginx_restart(t)
        assert t.now() == borne
        t.gate_clock.set(0)
        time.sleep(0.1)
        assert t.now() == {0}


def test_a_gate_restarts_with_its_clock_behind(town):
    """Daemon and office silent: the gate itself must remember how late it is."""
    t = town(max_stale=20)
    t.publish(end=4, begin=60)
    t.silence()
    t.watch(t.end + 1)
    t.gate_clock.set(-6)
    nginx_restart(t)
    assert t.now() == {0}
    t.watch(t.verified_at + t.max_stale + 1.5)
    t.gate_clock.set(-22)
    nginx_restart(t)
    assert t.now() == set()


@pytest.mark.parametrize("jump", [-7200, -280, 280, 7200])
def test_the_daemons_clock_jumps(town, jump):
    t = town(max_stale=4)
    t.publish(end=3, begin=60)
    t.daemon_clock.set(jump)
    t.watch(t.end + t.max_stale + 2)
    # by a clock that is hours off each head is from the future, or expired: no contact, and the list ages
    borne = {0} if abs(jump) <= 300 else set()
    for event in (nothing, daemon_restart, nginx_restart):
        event(t)
        if borne:
            t.c.enforcing()
        assert t.now() == borne
    t.daemon_clock.set(0)
    t.c.enforcing()
    assert t.now() == {0}
