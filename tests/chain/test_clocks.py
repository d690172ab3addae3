"""Expiry without anyone's help: with daemon and office silent and Redis still answering, an order past its end is not enforced
from that second, and past max_stale nothing is; clocks that jump, on the gate or on the daemon, never extend a restriction,
nor begin one early. All of it over a reload and restarts, too."""

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
    """Four cards: 0 denied for long, 1 until `end`, 2 from `begin`, 3 by an order that is served tomorrow."""

    def __init__(self, world, end, begin, max_stale):
        records = of.generate(4, "--measures", "bus.ride")
        now = int(time.time())
        self.end, self.begin = now + end, now + begin
        records[1]["until"] = instant(self.end)
        records[2]["from"] = instant(self.begin)
        records[3]["served"] = instant(now + 86400)[:10]
        self.daemon_clock, self.gate_clock = Clock(world.folder), Clock(world.folder)
        self.c = Chain(world, records=records, max_stale=f"{max_stale}s", clocks=(self.daemon_clock, self.gate_clock))
        self.max_stale = max_stale

    def silence(self):
        self.c.office.proc.signal(signal.SIGSTOP)
        self.c.daemon.signal(signal.SIGSTOP)
        self.verified_at = self.c.list_status()["verified_at"]

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
            ever |= denied
            time.sleep(0.05)
        return ever


def nothing(t):
    pass


def reload(t):
    t.c.nginx.reload()


def nginx_restart(t):
    t.c.nginx.quit()
    t.c.nginx.start()
    wait_for(lambda: t.c.list_status()["ready"], 10, why="loaded")


def redis_restart(t):
    t.c.redis.kill()
    t.c.redis.start()
    wait_for(lambda: t.c.nginx.get("/bus/tap", {"X-Card-No": t.c.card(0)}).headers.get("X-Backend-JD-Status", "")
             .find("unconfirmed") < 0, 10, why="the confirm's link")


def daemon_restart(t):
    """The office stays silent."""
    t.c.daemon.kill()
    t.c.daemon = t.c.new_daemon()
    wait_for(lambda: "begins" in t.c.daemon.log(), 10)


EVENTS = [nothing, reload, nginx_restart, redis_restart, daemon_restart]


@pytest.mark.parametrize("event", EVENTS, ids=lambda f: f.__name__)
def test_expiry_in_silence(world, event):
    t = Town(world, end=14, begin=15, max_stale=25)
    assert t.denied()[1] == {0, 1}
    t.silence()
    event(t)
    assert t.watch(t.end - 1) == {0, 1}
    event(t)
    t.watch(t.begin + 1)
    assert t.watch(t.begin + 2.5) == {0, 2}
    stale = t.verified_at + t.max_stale + 1
    assert time.time() < stale - 1
    t.watch(stale)
    event(t)
    assert t.watch(stale + 1.5) == set()
    t.speak()


@pytest.mark.parametrize("jump", [-7200, -280, 280, 7200])
def test_the_gates_clock_jumps(world, jump):
    """A few minutes are borne, more enforces nothing; either way nobody is denied too early or too late."""
    t = Town(world, end=8, begin=60, max_stale=3600)
    assert t.denied()[1] == {0, 1}
    t.watch(t.end)
    borne = {0} if abs(jump) <= 300 else set()
    for silent in (False, True):
        if silent:
            t.silence()
        t.gate_clock.set(jump)
        time.sleep(0.1)
        assert t.watch(time.time() + 0.5) == borne
        reload(t)
        assert t.watch(time.time() + 0.5) == borne
        nginx_restart(t)
        assert t.watch(time.time() + 1) == borne
        t.gate_clock.set(0)
        time.sleep(0.1)
        assert t.watch(time.time() + 0.5) == {0}
    t.speak()


@pytest.mark.parametrize("jump", [-7200, -280, 280, 7200])
def test_the_daemons_clock_jumps(world, jump):
    t = Town(world, end=6, begin=60, max_stale=6)
    assert t.denied()[1] == {0, 1}
    t.daemon_clock.set(jump)
    t.watch(t.end)
    # two hours behind, each head is from the future: no contact, and the list ages
    borne = set() if jump == -7200 else {0}
    t.watch(t.end + 8)
    for event in (nothing, daemon_restart, nginx_restart):
        event(t)
        if borne:
            t.c.enforcing()
        assert t.watch(time.time() + 1) == borne
    t.daemon_clock.set(0)
    t.c.enforcing()
    assert t.watch(time.time() + 1) == {0}
