"""Large snapshots: time, and memory that does not grow with the list. JD_MILLION=1 goes up to a million orders."""
import json
import os
import time

import harness
from stateworld import BASE, Driver, record

SMALL, LARGE = (100_000, 1_000_000) if os.environ.get("JD_MILLION") == "1" else (10_000, 120_000)

CACHES_KB = 40 * 1024


def write(path, n):
    line = json.dumps(record("@", card="@"), separators=(",", ":"))
    with open(path, "w") as f:
        for i in range(n):
            f.write(line.replace("@", f"CS-2026-{i:07}") + "\n")
    return path


def load(world, n):
    """Peak memory in KB, seconds to the journal, seconds to Redis."""
    r = world.redis(conf={"appendonly": "no"})
    d = Driver(world, world.dir("state"), r, expected=n, bin=harness.PLAIN)
    try:
        path = write(d.folder.parent / f"{n}.ndjson", n)
        t = time.monotonic()
        got = d.snapshot([], seq=n, relief_seq=0, iat=BASE, path=path)
        journal = time.monotonic() - t
        assert got["applied"] == n, got
        s = d.wait(240, state="ready", dirty=0, count=n)
        whole = time.monotonic() - t
        chain = (d.folder / "audit.log").stat().st_size
        size = sum(p.stat().st_size for p in d.folder.iterdir()) - chain
        c = r.client()
        assert int(c.hget("jd:{credit}:meta", "count")) == n
        per = c.info("memory")["used_memory"] / n
        last_id = c.hget("jd:{credit}:meta", "last_id")
        t = time.monotonic()
        again = d.snapshot([], seq=n + 1, relief_seq=0, iat=BASE + 1, path=path)
        same = time.monotonic() - t
        assert again == {"applied": 0, "unchanged": n, "quarantined": 0, "dropped": 0}
        assert d.wait(30, state="ready", dirty=0, count=n) and c.hget("jd:{credit}:meta", "last_id") == last_id
        print(f"\n{n} orders: journal {journal:.1f} s, in Redis {whole:.1f} s, the same snapshot again "
              f"{same:.1f} s; peak memory {s['peak_kb']} KB; "
              f"journal {size / n:.0f}, audit chain {chain / n:.0f}, Redis {per:.0f} bytes per order")
        return s["peak_kb"]
    finally:
        d.quit()
        r.stop()


def test_memory_does_not_grow_with_the_list(world):
    small = load(world, SMALL)
    large = load(world, LARGE)
    # the caches fill up and no more: the records' text alone is as much at LARGE
    assert small < CACHES_KB and large < CACHES_KB, (small, large)
