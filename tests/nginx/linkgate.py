"""A gate behind a Redis that can misbehave, for the tests of link, follower and confirm."""

import threading
import time

import harness
from fakeredis import FakeRedis
from jdschema import Order, RedisList

KEY = bytes(range(1, 17))
LISTED = "330100000001"
CLEAN = "330100000002"
ORDER = Order("CS-2026-000123", ["bus.ride"], authority="Haicheng Transport Bureau",
              from_=1790000000, until=1890000000, deadline=20500)
SERVER = """
    server {
        listen 127.0.0.1:@PORT@;
        location /tap {
            jd_gate credit bus.ride;
            jd_subject card header:X-Card-No;
            jd_dry_run off;
            jd_contest https://desk.example/help phone=12345;
            empty_gif;
        }
        location = /jd/status { jd_status; }
    }
"""


class LinkGate:
    """Real Redis, a fake in front of it, and nginx asking the fake. `jd` goes into the list block."""

    def __init__(self, world, start=True, redis_started=True, lines="timeout 50ms;", servers=None, orders=None,
                 filled=True, **kw):
        self.world = world
        self.redis = world.redis(start=redis_started)
        self.list = RedisList(self.redis.client(), key=KEY)
        if redis_started and filled:
            self.list.refill({f"card:{LISTED}": [ORDER]} if orders is None else orders)
        self.fake = FakeRedis(self.redis.port).start()
        world.procs.append(self.fake)
        self.key = world.key_file(("k1", KEY))
        self.servers = servers or f"redis 127.0.0.1:{self.fake.port};"
        self.nginx = world.nginx(self.jd(lines), SERVER, start=False, **kw)
        if start:
            self.nginx.start()
            self.ready()

    def jd(self, lines="timeout 50ms;", zone="1m", servers=None):
        return f"key_file {self.key};\nledger @DIR@/ledger 128k gateway=gw1;\nlist credit {{ {servers or self.servers} zone {zone}; {lines} }}"

    def status(self):
        return self.nginx.status()["lists"][0]

    def wait(self, seconds=10, **want):
        """Until status shows these members."""
        last = {}

        def same():
            last.update(self.status())
            return all(last[k] == v for k, v in want.items())
        try:
            harness.wait_for(same, seconds)
        except AssertionError:
            got = {k: last.get(k) for k in want}
            raise AssertionError(f"not within {seconds} s: {want}, but {got}\n{self.nginx.errors()[-2000:]}") from None
        return last

    def ready(self):
        return self.wait(ready=True, follower="tailing")

    def tap(self, card=LISTED):
        """(status, reason, seconds)"""
        before = time.monotonic()
        r = self.nginx.get("/tap", {"X-Card-No": card})
        return r.status, time.monotonic() - before

    def denied(self):
        """The listed card is denied, and the clean one passes."""
        assert self.tap(CLEAN)[0] == 200
        return self.tap()[0] == 403

    def wait_denied(self, seconds=10):
        harness.wait_for(self.denied, seconds, every=0.02, why=f"denied again: {self.status()}")

    def reasons(self):
        return {(d["reason"], d["outcome"]): d["count"] for d in self.status()["decisions"]}


class Load:
    """Taps in the background, a listed and a clean card by turns, on fresh connections; notes every answer."""

    def __init__(self, gate, threads=2):
        self.gate = gate
        self.answers = {}                # (card, status or exception): count
        self.lock = threading.Lock()
        self.going = True
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def _run(self):
        while self.going:
            for card in (LISTED, CLEAN):
                try:
                    what = self.gate.tap(card)[0]
                except OSError as e:
                    what = type(e).__name__
                with self.lock:
                    key = ("listed" if card == LISTED else "clean", what)
                    self.answers[key] = self.answers.get(key, 0) + 1
            time.sleep(0.002)

    def __exit__(self, *_):
        self.going = False
        for t in self.threads:
            t.join(15)

    def served(self):
        return sum(n for (_, what), n in self.answers.items() if isinstance(what, int))

    def wrong(self):
        """Answers that nobody should get: a clean card denied, or a 5xx."""
        return {k: n for k, n in self.answers.items()
                if isinstance(k[1], int) and (k[1] >= 500 or k == ("clean", 403))}
