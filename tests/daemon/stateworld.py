"""The daemon's state and writer behind state_driver, a real Redis, and a comparison of the two by jdschema."""
import json
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import harness  # noqa: E402
import jdschema  # noqa: E402

KEY = jdschema.Key("k1", bytes(range(16)))
EPOCH = 7
BASE = 1_700_000_000


def record(number, card=None, measures=("bus.ride",), served="2026-10-01",
           since="2026-10-15T00:00:00+08:00", until="2027-10-15T00:00:00+08:00", **more):
    """One record of the feed as a dict."""
    r = {"order": number, "subject": {"scheme": "card", "id": card or "C" + number},
         "measures": list(measures), "authority": "Credit Office", "basis": "Act 1, article 2",
         "served": served, "from": since, "until": until, "effect": "enforce", "objection": False,
         "contest": {"phone": "12345"}}
    r.update(more)
    return r


class Driver:
    """state_driver as a process."""

    def __init__(self, world, folder, redis=None, key=KEY, expected=1000, options=(), auth=None,
                 bin=harness.BIN):
        self.world = world
        self.folder = Path(folder)
        self.args = [str(bin / "state_driver"), str(folder), "credit", f"{key.id}:{key.raw.hex()}",
                     f"127.0.0.1:{redis.port}" if redis else "-", str(expected), *options]
        self.env = {**os.environ, **harness.SAN_ENV}
        if auth:
            self.env["JD_AUTH_FILE"] = str(auth)
        self.log = open(self.folder.parent / (self.folder.name + ".log"), "ab")
        self.jti = 0
        self.seq = 0
        self.relief_seq = 0
        self.start()

    def start(self):
        self.p = subprocess.Popen(self.args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                  stderr=self.log, env=self.env)
        return self

    def send(self, line):
        self.p.stdin.write(line + "\n")
        self.p.stdin.flush()

    def receive(self):
        line = self.p.stdout.readline()
        assert line, "state_driver ended: " + Path(self.log.name).read_text()[-1500:]
        return json.loads(line)

    def ask(self, line):
        self.send(line)
        return self.receive()

    def kill(self):
        self.p.kill()
        self.p.wait(10)

    def quit(self):
        """Ends it cleanly; fails on a sanitizer's exit code."""
        if self.p.poll() is None:
            try:
                self.send("quit")
            except BrokenPipeError:
                pass
            assert self.p.wait(30) == 0, Path(self.log.name).read_text()[-3000:]

    def status(self):
        return self.ask("status")

    def wait(self, seconds=20, **want):
        def ok():
            s = self.status()
            return s if all(s[k] == v for k, v in want.items()) else None
        return harness.wait_for(ok, seconds, every=0.02, why=f"{want}, last {self.status()}")

    def settled(self, seconds=30):
        return self.wait(seconds, state="ready", dirty=0, relief_pending=0)

    # ---- the feed

    def change(self, rec, seq=None, epoch=EPOCH, iat=None, jti=None):
        seq = self.seq + 1 if seq is None else seq
        text = rec if isinstance(rec, str) else json.dumps(rec)
        r = self.ask(f"change {epoch} {seq} {iat or BASE + seq} {jti or f'c{epoch}-{seq}'} {text}")
        if r["outcome"].startswith("ack"):
            self.seq = max(self.seq, seq)
        return r

    def lift(self, number, mask=0xffff, seq=None, epoch=EPOCH, jti=None):
        seq = self.relief_seq + 1 if seq is None else seq
        r = self.ask(f"lift {epoch} {seq} {BASE + seq} {jti or f'r{epoch}-{seq}'} {number} {mask:x}")
        self.relief_seq = max(self.relief_seq, seq)
        return r

    def mark(self, number, objection, seq=None, epoch=EPOCH, jti=None):
        seq = self.relief_seq + 1 if seq is None else seq
        r = self.ask(f"mark {epoch} {seq} {BASE + seq} {jti or f'r{epoch}-{seq}'} {number} {int(objection)}")
        self.relief_seq = max(self.relief_seq, seq)
        return r

    def head(self, iat=None, epoch=EPOCH, seq=None, relief_seq=None):
        now = int(time.time())
        return self.ask(f"head {now} {now if iat is None else iat} {epoch} "
                        f"{self.seq if seq is None else seq} "
                        f"{self.relief_seq if relief_seq is None else relief_seq}")

    def snapshot(self, records, seq=None, relief_seq=None, epoch=EPOCH, iat=None, observe=0, path=None):
        """Applies a snapshot; one that waits is approved, as an operator would."""
        path = self.begin_snapshot(records, seq, relief_seq, epoch, iat, observe, path)
        r = self.receive()
        if "held" in r:
            r = self.ask("approve-list")
        if "error" not in r and not observe:
            self.seq = self.seq if seq is None else seq
            self.relief_seq = self.relief_seq if relief_seq is None else relief_seq
        return r

    def begin_snapshot(self, records, seq=None, relief_seq=None, epoch=EPOCH, iat=None, observe=0, path=None):
        if path is None:
            path = self.folder.parent / f"snapshot-{time.monotonic_ns()}.ndjson"
            path.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in records))
        self.send(f"snapshot {path} {epoch} {self.seq if seq is None else seq} "
                  f"{self.relief_seq if relief_seq is None else relief_seq} {iat or BASE + 1000} {observe}")
        return path


# ---- comparison -------------------------------------------------------------------------------------

def journal(folder):
    """(digest -> {number: (measures, start, until, flags, grounds), "observed": mask if any}, number -> relief text) that Redis should hold."""
    db = sqlite3.connect(f"file:{folder}/journal.db?mode=ro", uri=True, timeout=10)
    relief = {n: (l, o, s, h) for n, l, o, s, h in
              db.execute("SELECT number, lifted, objection | held, stay, held FROM relief")}
    want = {}
    for digest, number, measures, start, until, flags, grounds in db.execute(
            "SELECT digest, number, measures, start, until, flags, grounds FROM orders WHERE ended = 0"):
        lifted, objection, _, _ = relief.get(number, (0, 0, 0, 0))
        if measures & ~lifted and (flags & 3 or objection):
            of = want.setdefault(digest, {})
            of["observed"] = of.get("observed", 0) | measures & ~lifted
        elif measures & ~lifted:
            want.setdefault(digest, {})[number] = (measures, start, until, flags, grounds)
    db.close()
    return want, {n.encode(): (jdschema.relief_text(l, o, s) + ' h' * h).encode() for n, (l, o, s, h) in relief.items()}


def query(folder, sql):
    """Rows of the journal."""
    db = sqlite3.connect(f"file:{folder}/journal.db?mode=ro", uri=True, timeout=10)
    rows = db.execute(sql).fetchall()
    db.close()
    return rows


def in_redis(client, key=KEY, check_grounds=True):
    """The same, of Redis, with meta; every record verified."""
    meta = {k.decode(): v for k, v in client.hgetall("jd:{credit}:meta").items()}
    era, bits = int(meta["era"]), int(meta["bits"])
    grounds = client.hgetall("jd:{credit}:grounds") if check_grounds else {}
    have = {}
    for name in client.scan_iter(f"jd:{{credit}}:{era}:*", count=1000):
        bucket = int(name.rsplit(b":", 1)[1])
        for digest, rec in client.hgetall(name).items():
            assert jdschema.bucket_of(digest, bits) == bucket if bits else bucket == 0
            observed, orders = jdschema.decode_record(key, digest, era, rec)
            have[digest] = {o["number"]: (o["measures"], o["from"], o["until"], o["flags"], o["grounds"])
                            for o in orders} | ({"observed": observed} if observed else {})
            for o in orders:
                assert not check_grounds or o["grounds"] in grounds
    return have, client.hgetall("jd:{credit}:relief"), meta


def assert_same(folder, client, key=KEY, check_grounds=True):
    want, want_relief = journal(folder)
    have, have_relief, meta = in_redis(client, key, check_grounds)
    assert have == want, difference(have, want)
    assert have_relief == want_relief
    assert int(meta["count"]) == len(want)
    stale = [k for k in client.scan_iter("jd:{credit}:[0-9]*", count=1000)
             if k.split(b":")[2] != meta["era"]]
    assert not stale, stale[:5]
    return meta


def difference(have, want):
    extra, missing = have.keys() - want.keys(), want.keys() - have.keys()
    other = [k for k in have.keys() & want.keys() if have[k] != want[k]]
    return f"{len(extra)} too many, {len(missing)} missing, {len(other)} other"
