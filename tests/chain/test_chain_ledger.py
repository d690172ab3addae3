"""Denials from the gate's answer to the office's ledger, through the whole product, whole and under faults."""

import json
import signal

import pytest

import harness
from chain import Chain
from harness import wait_for


class Counted(Chain):
    """Counts what the gate answers; the daemon tells the office of open hours each second."""

    def __init__(self, world, **kw):
        self.denied = {}
        super().__init__(world, **kw)
        self.conf.write_text(self.conf.read_text() + "[ledger]\nreport_sec = 1\n")
        self.daemon.signal(signal.SIGHUP)

    def tap(self, card, path="/bus/tap"):
        status = super().tap(card, path)
        if status == 403:
            self.denied[card] = self.denied.get(card, 0) + 1
        return status

    def taps(self, n):
        for i in range(n):
            self.tap(self.card(i % len(self.records)))

    def by_order(self):
        """{order: denials} as the gate answered."""
        of_card = {self.card(i): self.number(i) for i in range(len(self.records))}
        return {of_card[card]: n for card, n in self.denied.items()}

    def office_hours(self):
        return sum(t["denied"] for t in self.office.do("ledger") if "hour" in t)

    def journal(self, *args):
        r = harness.rcctl(self.conf, "ledger", "--json", *args)
        assert r.returncode == 0, r.stderr
        return json.loads(r.stdout)

    def accounted(self, seconds=60):
        """Office and journal have every denial that was answered, and not one more."""
        def look():
            orders = {}
            for o in self.journal()["orders"]:
                orders[o["order"]] = orders.get(o["order"], 0) + o["denied"]
            return orders == self.by_order() and self.office_hours() == sum(self.denied.values())
        try:
            wait_for(look, seconds, every=0.5)
        except AssertionError as e:
            raise AssertionError(f"{e}\n{self.by_order()}\n{self.journal()}\n{self.journal('--hours')}\n{self.office.do('ledger')}")


def test_every_denial_reaches_the_office(world):
    c = Counted(world, listed=5, workers=2)
    c.taps(60)
    c.accounted()
    hours = c.journal("--hours")["hours"]
    assert {(h["gateway"], h["measure"], h["authority"]) for h in hours} == {("gw1", "bus.ride", "Test Authority One (fictional)")}
    told = (c.office.dir / "ledger").read_text()
    assert not any(c.number(i) in line and "gw1" in line for i in range(5) for line in told.splitlines())


def redis_emptied(c):
    c.redis.client().flushall()


def redis_killed(c):
    c.redis.kill()
    c.redis.start()


def daemon_killed(c):
    c.daemon.kill()
    c.daemon = c.new_daemon()


def reload(c):
    c.nginx.reload()


def nginx_killed(c):
    for pid in c.nginx.worker_pids():
        harness.os.kill(pid, signal.SIGKILL)
    c.nginx.kill()
    wait_for(lambda: not harness.port_open(c.nginx.port), 10)
    c.nginx.start()


def office_away(c):
    c.office.stop()
    c.taps(5)
    c.office.start()


@pytest.mark.parametrize("fault", [redis_emptied, redis_killed, daemon_killed, reload, nginx_killed, office_away])
def test_none_is_lost_or_doubled(world, fault):
    c = Counted(world, listed=5)
    c.taps(20)
    fault(c)
    c.enforcing()
    c.taps(20)
    c.accounted()
    assert sum(c.denied.values()) > 30


def test_a_lift_that_has_taken_effect_is_told(world):
    c = Counted(world, listed=5)
    c.lift(1)
    wait_for(lambda: [(t["lifted"], t["gates"]) for t in c.office.do("ledger") if "lifted" in t] == [(c.number(1), 1)], 60,
             every=0.2, why="the lift's effect at one gateway")
