"""Relief first: a lift's way from the office to the Redis that the gateways read, alone and while much else goes on.

    relief_first.py    JD_RELIEF_ORDERS orders (default 1000000); JD_RELIEF_LIFTS lifts in each state (default 200)

Office, daemon and Redis are the real ones. A time begins when the command is given to the serving office and ends
when the order's relief stands in Redis, where it acts at the next request. Each state is printed beside the lifts
of the same daemon with nothing else to do, and as a ratio to them.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import BUILD, row                   # finds the tests' harness, too
import harness
import lift
from lift import AUTHORITY, DAEMON, order

ORDERS = int(os.environ.get("JD_RELIEF_ORDERS", 1000000))
LIFTS = int(os.environ.get("JD_RELIEF_LIFTS", 200))
PATIENCE_SEC = 60
LOOK_SEC = 0.0002                           # between two looks at Redis: they leave the cores to what is measured
RELIEF = "jd:{credit}:relief"
ALONE = "with nothing else to do"


class Office(lift.Office):
    """An office that can be stopped, and be told much while it is."""

    def __init__(self, world):
        self.world = world
        self.dir = world.dir("office") / "d"
        subprocess.run([BUILD / "terminal-sim", "office", "init", self.dir, "--list", "credit", "--iss", "https://office.example",
                        "--aud", "jd:gateway:bench"], check=True, capture_output=True)
        self.port = harness.free_port()
        self.proc = None

    def serve(self):
        self.proc = self.world.proc([BUILD / "terminal-sim", "office", "serve", self.dir, "--port", self.port, "--idle", 1000],
                                    "office")
        harness.wait_for(lambda: harness.port_open(self.port), 120, why="office")

    def stop(self):
        assert self.proc.stop(seconds=60) == 0, self.proc.log()

    def silently(self, command, records, *options):
        path = self.dir.parent / "records"
        with path.open("w") as f:
            for r in records:
                f.write(json.dumps(r) + "\n")
        subprocess.run([BUILD / "terminal-sim", "office", command, self.dir, path, *options], check=True, capture_output=True)
        path.unlink()


class Run:
    def __init__(self, folder):
        self.world = harness.World(folder)
        self.office = Office(self.world)
        self.redis_server = self.world.redis()
        self.redis = self.redis_server.client()
        self.folder = self.world.dir("daemon")
        (self.folder / "state").mkdir(mode=0o700)
        key = self.folder / "digest.key"
        key.write_text("k1 000102030405060708090a0b0c0d0e0f\n")
        key.chmod(0o600)
        self.conf = self.folder / "restrict-cached.conf"
        self.conf.write_text(DAEMON.format(folder=self.folder, key=key, port=self.office.port, office=self.office.dir,
                                           redis=self.redis_server.sock, base=ORDERS, authority=AUTHORITY))
        self.next = 0                            # order to be lifted next
        self.rows = []                           # (name, p50, p99, longest, lifts)

    def status(self):
        try:
            return json.loads((self.folder / "state" / "status.json").read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return {}

    def start(self):
        self.daemon = self.world.proc([BUILD / "restrict-cached", "-c", self.conf], "daemon")

    def approve(self, *more):
        hash = harness.wait_for(lambda: (self.status().get("growth", {}).get("held") or {}).get("hash"), 600, every=0.1,
                                why="something waits for approval")
        run = harness.rcctl(self.conf, "approve", hash, *more)
        assert run.returncode == 0, run.stderr

    def one(self):
        number = f"CS-{self.next}"
        self.next += 1
        begin = time.monotonic()
        answer = self.office.tell({"cmd": "lift", "order": number})
        while not (self.redis.hget(RELIEF, number) or b"").startswith(b"lffff"):
            if time.monotonic() - begin > PATIENCE_SEC:
                raise SystemExit(f"relief_first: a lift did not arrive within {PATIENCE_SEC} s")
            time.sleep(LOOK_SEC)
        ms = (time.monotonic() - begin) * 1000
        answer()
        time.sleep(0.01)                         # between lifts: the state that is measured goes on
        return ms

    def measure(self, name, goes_on):
        """Lifts while `goes_on` is true, LIFTS at the most; how long each took."""
        ms = []
        while len(ms) < LIFTS and goes_on():
            ms.append(self.one())
        if not ms:
            raise SystemExit(f"relief_first: {name}: over before the first lift")
        ms.sort()
        self.rows.append((name, ms[len(ms) // 2], ms[len(ms) * 99 // 100], ms[-1], len(ms)))

    def print(self):
        _, p50, p99, _, _ = next(r for r in self.rows if r[0] == ALONE)
        for name, a, b, longest, n in self.rows:
            row(f"lift to Redis, {name}, ms: p50", f"{a:.1f}", f"{a / p50:.2f} times alone")
            row(f"lift to Redis, {name}, ms: p99", f"{b:.1f}", f"{b / p99:.2f} times alone; longest {longest:.1f}, {n} lifts")

    # ---- what goes on

    def quiet(self):
        s = self.status()
        return (s and s["redis"]["state"] == "ready" and s["redis"]["dirty"] == 0 and s["growth"]["held"] is None
                and s["snapshot"]["state"] == "idle")

    def first_list(self):
        """Fetched, staged and weighed; waiting; approved and applied, then written to Redis."""
        self.measure(f"while a snapshot of {ORDERS} is read", lambda: not (self.status().get("growth") or {}).get("held"))
        self.measure("while it waits for approval", lambda: True)
        self.approve("--first")
        self.measure(f"while {ORDERS} orders are applied", lambda: not self.quiet())
        harness.wait_for(self.quiet, 900, every=0.2, why="the list is in Redis")

    def burst(self, name, change):
        """Every order that is left is amended at once, when nothing is left of the burst before."""
        harness.wait_for(lambda: self.status()["marks"]["seq"] == self.status()["head"]["seq"], 1800, every=0.5, why="the burst is over")
        self.office.stop()
        self.office.silently("amend", (change(order(f"CS-{i}", card(i))) for i in range(self.next + 2 * LIFTS, ORDERS)))
        seq = self.status()["marks"]["seq"]
        self.office.serve()
        harness.wait_for(lambda: self.status()["marks"]["seq"] > seq, 300, every=0.05, why="the burst begins")
        self.measure(name, lambda: True)
        left = self.status()["head"]["seq"] - self.status()["marks"]["seq"]
        row(f"{name}: changes still to come after those lifts", f"{left}")


def card(i):
    return f"6{i:015d}"


def amended(o):
    return {**o, "relevance": "fares left unpaid after a formal demand"}


def without_contest(o):
    return {**o, "contest": {}}


def main():
    folder = Path(tempfile.mkdtemp(prefix="jd-relief."))
    r = Run(folder)
    try:
        r.office.silently("publish", (order(f"CS-{i}", card(i)) for i in range(ORDERS)), "--baseline")
        r.office.serve()
        r.start()
        harness.wait_for(lambda: r.status().get("redis", {}).get("state"), 60, why="the daemon runs")
        r.first_list()
        r.measure(ALONE, lambda: True)
        r.burst(f"while {ORDERS} amendments come", amended)
        r.burst(f"while {ORDERS} orders go to quarantine", without_contest)
        r.print()
    finally:
        faults = r.world.close()
        shutil.rmtree(folder, ignore_errors=True)
    for fault in faults:
        print("relief_first: " + fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
