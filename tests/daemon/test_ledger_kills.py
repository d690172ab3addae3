"""kill -9 of daemon, Redis and office at any moment, under gates that count and push all the time: in the end the office's
totals are what was counted, not one more or less."""

import json
import random
import shutil
import threading
import time

import pytest

import harness
from harness import wait_for
from ledgerworld import Gate, World

KILLS = 30                                      # of each of four histories


class Pushers(threading.Thread):
    """Three gates that deny, close periods and push, until told to end. A push that fails is made again."""

    def __init__(self, lw, seed):
        super().__init__(daemon=True)
        self.lw, self.random = lw, random.Random(seed)
        self.gates = [Gate(f"gw{i}") for i in range(3)]
        self.ending = False
        self.fault = None

    def count(self, g):
        r = self.random
        hours, months = r.randint(1, 6), r.randint(1, 2)
        order, measure = f"CS-{r.randint(1, 9)}", r.choice(["bus.ride", "bike.rent"])
        for kind, period, field in (("orders", months, f"{order} {measure}"), ("hours", hours, f"{measure} {r.choice('dy')} A & B")):
            p = g.period(kind, self.lw_period(kind, period))
            if not p.closed:
                p.count(field, r.randint(1, 3))

    @staticmethod
    def lw_period(kind, back):
        import ledgerworld
        return ledgerworld.month(back) if kind == "orders" else ledgerworld.hour(back)

    def run(self):
        try:
            while not self.ending:
                g = self.random.choice(self.gates)
                self.count(g)
                if self.random.random() < 0.02:
                    self.random.choice(list(g.periods.values())).closed = True
                try:
                    g.push(self.lw.redis)
                except Exception as e:          # Redis is away, or loading
                    if type(e).__module__.split(".")[0] not in ("redis", "builtins") or isinstance(e, AssertionError):
                        raise
                time.sleep(0.01)
        except Exception as e:
            self.fault = e


def kill_redis(lw, emptied):
    lw.server.kill()
    if emptied:
        shutil.rmtree(lw.server.folder / "appendonlydir", ignore_errors=True)
    lw.server.start()


@pytest.mark.parametrize("seed", range(4))
def test_nothing_lost_nothing_doubled(world, seed):
    lw = World(world).start()
    r = random.Random(seed)
    pushers = Pushers(lw, seed)
    pushers.start()
    for _ in range(KILLS):
        time.sleep(r.random() ** 2 * 1.5)
        what = r.random()
        if what < 0.55:
            lw.daemon.kill()
            lw.daemon.start()
        elif what < 0.75:
            kill_redis(lw, False)
        elif what < 0.9:
            kill_redis(lw, True)
        else:
            lw.office.proc.kill()
            lw.office.start()
        assert pushers.fault is None and pushers.is_alive(), pushers.fault
    pushers.ending = True
    pushers.join()
    assert pushers.fault is None
    for g in pushers.gates:
        g.close()
    lw.settle(*pushers.gates, seconds=90)
    assert lw.totals() == lw.expected(*pushers.gates)
    assert sum(lw.totals()[0].values()) > 100
    told = lw.office.do("ledger")[-1]
    assert told["chains"] == 1                  # every batch went out with the bytes it was frozen with
    names = [json.loads(line)["batch"] for line in (lw.office.dir / "ledger").read_bytes().splitlines()]
    assert [int(n.split("-")[1]) for n in names] == list(range(1, len(names) + 1))
    wait_for(lambda: lw.journal("SELECT count(*) FROM ledger_batch WHERE receipt = ''") == [(0,)], 20)
