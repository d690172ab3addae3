"""The property of the ledger: answered <= ledger <= answered + cut, whoever is killed and when; equality where nobody cut a request.

`answered` are whole denials that a client got, `cut` requests that were sent and not answered whole. `ledger` is what a daemon has journalled by
max when it is quiet again: of orders, and of hours. Confirms and ledger are on two Redis servers, so that denials go on while that of the
ledger is killed or emptied. The daemon here is a small one in Python that collects, and acknowledges what is closed.
"""

import datetime
import http.client
import os
import random
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from harness import gone, port_open, wait_for
from httpgate import ENFORCE, Gate
from jdschema import Order
from ledgerfile import LedgerFile, LedgerKeys, age

CARDS = 40
SERVER = f"location / {{ jd_gate credit bus.ride; jd_subject card header:X-Card-No; {ENFORCE} empty_gif; }}"
KILLS = 200
SECONDS = 75                                 # of killing, at most


class Load:
    """Clients on fresh connections; each answer is counted as what it was."""

    def __init__(self, port, threads=3):
        self.port, self.answered, self.cut, self.passed = port, 0, 0, 0
        self.lock, self.going = threading.Lock(), True
        self.threads = [threading.Thread(target=self.run, args=(i,), daemon=True) for i in range(threads)]

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.going = False
        for t in self.threads:
            t.join(20)
            assert not t.is_alive()

    def run(self, seed):
        rnd = random.Random(seed)
        while self.going:
            c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=15)
            try:
                c.connect()
            except OSError:
                time.sleep(0.01)             # nobody listens: not sent
                continue
            try:
                c.request("GET", "/", headers={"X-Card-No": f"C{rnd.randrange(CARDS)}"})
                r = c.getresponse()
                r.read()
                what = r.status
            except (OSError, http.client.HTTPException):
                what = None
            finally:
                c.close()
            with self.lock:
                self.answered += what == 403
                self.passed += what == 200
                self.cut += what is None
            assert what in (403, 200, None), what


class Daemon:
    """Collects and acknowledges, in a thread."""

    def __init__(self, redis):
        self.redis, self.keys, self.acknowledged = redis, LedgerKeys(redis.client(socket_timeout=2)), 0
        self.lock, self.going = threading.Lock(), True
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while self.going:
            with self.lock:
                try:
                    for key in self.keys.collect():
                        self.keys.done(key)
                        self.acknowledged += 1
                except OSError:
                    pass
                except Exception as e:  # noqa: BLE001 - redis.exceptions: the server is away or loading
                    if not type(e).__module__.startswith("redis"):
                        raise
            time.sleep(0.05)

    def stop(self):
        self.going = False
        self.thread.join(10)

    def sum(self, kind):
        """Of orders ("o") or hours ("h")."""
        return sum(n for (key, field), n in self.keys.journal.items() if (":ledger:-:" in key) == (kind == "o"))

    def shift(self, hours, months):
        """Everything pushed and journalled so far was of an earlier period, as age() does it in the file."""
        def new(key):
            head, run, period = key.rsplit(":", 2)
            if "T" in period:
                t = datetime.datetime.strptime(period, "%Y-%m-%dT%H") - datetime.timedelta(hours=hours)
                return f"{head}:{run}:{t:%Y-%m-%dT%H}"
            n = int(period[:4]) * 12 + int(period[5:]) - 1 - months
            return f"{head}:{run}:{n // 12}-{n % 12 + 1:02d}"

        for key in self.keys.keys():
            self.keys.redis.srem(self.keys.prefix + "ledger", key)
            if self.keys.redis.exists(key):
                self.keys.redis.rename(key, new(key))
                self.keys.redis.sadd(self.keys.prefix + "ledger", new(key))
        self.keys.redis.delete(self.keys.prefix + "ledger:done")
        self.keys.journal = {(new(key), f): n for (key, f), n in self.keys.journal.items()}


class City:
    def __init__(self, world, workers=2, daemon=False):
        # the second: a worker was killed while it wrote in the zone, and the master let go of the lock
        world.allow += [r"exited on signal 9", r"shared memory zone .* was locked by"]
        self.world = world
        self.ledger_redis = world.redis()
        orders = {f"card:C{i}": [Order(f"CS-{i}", ["bus.ride"], authority=f"Bureau {i % 3}")] for i in range(CARDS)}
        self.gate = Gate(world, SERVER, orders=orders, start=False, workers=workers)
        jd = self.gate.jd.replace("zone 1m;", f"zone 1m; redis_ledger 127.0.0.1:{self.ledger_redis.port};")
        self.gate.jd = jd.replace("128k", "256k")
        self.nginx = self.gate.nginx
        self.nginx.configure(self.gate.jd, self.gate.http(SERVER))
        if daemon:                           # in the foreground nginx takes no USR2
            subprocess.run(self.nginx.args[:-2], env=self.nginx.env, check=True, timeout=30)
            wait_for(lambda: port_open(self.nginx.port))
            self.gate.ready()
        else:
            self.start()
        self.daemon = Daemon(self.ledger_redis)
        self.file = self.nginx.folder / "ledger"
        self.kills = 0

    def start(self):
        self.nginx.start()
        self.gate.ready()

    # ---- what may happen -----------------------------------------------------------------------

    def kill_worker(self, rnd):
        pids = self.nginx.worker_pids()
        if pids:
            os.kill(rnd.choice(pids), signal.SIGKILL)
            self.kills += 1

    def kill_all(self, rnd, aged=False):
        # stopped first: it must not start a worker that nobody kills; one just forked has no title yet
        os.kill(self.nginx.pid, signal.SIGSTOP)
        wait_for(lambda: Path(f"/proc/{self.nginx.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T", 10)
        children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.nginx.pid)], capture_output=True, text=True)
        pids = [int(pid) for pid in children.stdout.split()]
        everybody = [self.nginx.pid, *pids]
        rnd.shuffle(everybody)
        for pid in everybody:
            os.kill(pid, signal.SIGKILL)
            self.kills += 1
        self.nginx.p.wait(10)
        wait_for(lambda: all(map(gone, pids)) and not port_open(self.nginx.port), 10, why="all of nginx gone")
        if aged:
            with self.daemon.lock:
                age(self.file, hours=30, months=2)
                self.daemon.shift(hours=30, months=2)
        self.start()

    def kill_redis(self, rnd):
        self.ledger_redis.kill()
        self.kills += 1
        time.sleep(rnd.random() * 0.1)
        self.ledger_redis.start()

    def empty_redis(self, rnd):
        self.ledger_redis.client().flushall()

    def reload(self, rnd):
        self.nginx.reload(wait=False)

    def quit(self, rnd):
        self.nginx.quit()
        self.start()

    # ---- when it is quiet ----------------------------------------------------------------------

    def settle(self):
        """Until the daemon has all that the file has; returns the ledger's (orders, hours)."""
        def pushed():
            mine = {}
            for (key, field), n in self.daemon.keys.journal.items():
                k = (key.rsplit(":", 1)[1], field)
                mine[k] = mine.get(k, 0) + n
            return all(mine.get(k, 0) == n for k, n in LedgerFile(self.file).totals().items())
        wait_for(pushed, 30, every=0.1, why=f"{LedgerFile(self.file).totals()}\n{self.daemon.keys.journal}")
        return self.daemon.sum("o"), self.daemon.sum("h")

    def check(self, load):
        orders, hours = self.settle()
        for n in (orders, hours):
            assert load.answered <= n <= load.answered + load.cut, (load.answered, load.cut, orders, hours)
        return orders, hours


def test_no_kill_loses_or_doubles_a_denial(world):
    seed = int(os.environ.get("JD_SEED", time.time_ns() % 1000000))
    rnd = random.Random(seed)
    city = City(world)
    begun = time.monotonic()
    what = [(city.kill_worker, 80), (city.kill_all, 4), (lambda r: city.kill_all(r, aged=True), 2), (city.kill_redis, 4),
            (city.empty_redis, 4), (city.reload, 3), (city.quit, 1)]
    done = {"aged": 0}
    with Load(city.nginx.port) as load:
        n = 0
        while city.kills < KILLS or n % 3:
            time.sleep(rnd.random() * 0.15)
            assert time.monotonic() - begun < SECONDS, f"{city.kills} kills in {SECONDS} s: this machine is too slow"
            act = rnd.choices([w for w, _ in what], [p for _, p in what])[0]
            if city.kills >= KILLS * (done["aged"] + 1) // 4 and done["aged"] < 3:
                act = what[2][0]             # whatever the dice say, three times
                done["aged"] += 1
            act(rnd)
            n += 1
        time.sleep(1)
    orders, hours = city.check(load)
    wait_for(lambda: city.daemon.acknowledged >= 4, 40, why=f"seed {seed}: periods that are over are acknowledged")
    city.daemon.stop()
    print(f"\nseed {seed}: {city.kills} kills in {time.monotonic() - begun:.0f} s, {load.answered} answered, {load.cut} cut, "
          f"ledger {orders} by order and {hours} by hour, {city.daemon.acknowledged} periods acknowledged")
    assert load.answered > 500 and load.cut > 0 and city.daemon.acknowledged >= 4, f"seed {seed}"
    wait_for(lambda: not LedgerFile(city.file).busy(), 10, why="cells of killed claims are free again")


@pytest.mark.parametrize("what", ["nothing", "reload", "quit", "redis"])
def test_equality_where_nobody_is_cut(world, what):
    rnd = random.Random(7)
    city = City(world)
    with Load(city.nginx.port) as load:
        for _ in range(3):
            time.sleep(0.5)
            if what == "reload":
                city.nginx.reload()
            elif what == "quit":
                city.quit(rnd)
            elif what == "redis":
                rnd.choice([city.kill_redis, city.empty_redis])(rnd)
    orders, hours = city.check(load)
    city.daemon.stop()
    # at quit nginx closes idle connections: a request that crosses the close is answered by nobody, and counted by nobody
    assert (load.cut == 0 or what == "quit") and orders == hours == load.answered > 50


def test_binary_upgrade(world):
    """Old and new master count in one ledger; the new one has the lock when the old one has gone; nothing is lost or doubled."""
    city = City(world, daemon=True)
    pid_file = city.nginx.folder / "nginx.pid"
    old = int(pid_file.read_text())
    new = None

    def other():
        """The new master's pid; its file is renamed and written in two steps."""
        try:
            pid = pid_file.read_text().strip()
        except FileNotFoundError:
            return None
        return int(pid) if pid not in ("", str(old)) else None

    try:
        with Load(city.nginx.port) as load:
            time.sleep(0.5)
            os.kill(old, signal.SIGUSR2)
            new = wait_for(other, 20, why=city.nginx.errors()[-2000:])
            wait_for(lambda: city.nginx.errors().count("digests loaded") >= 2, 20)
            time.sleep(0.5)
            os.kill(old, signal.SIGQUIT)
            wait_for(lambda: gone(old), 20)
            time.sleep(0.5)
            # the new one reloads, and is the only one: another is refused
            os.kill(new, signal.SIGHUP)
            time.sleep(0.5)
        orders, hours = city.check(load)
        assert orders == hours == load.answered > 50           # a request that crosses the close at quit is counted by nobody
        second = world.nginx(city.gate.jd.replace("@DIR@", str(city.nginx.folder)), city.gate.http(SERVER), start=False)
        world.allow.append(r"\[emerg\].*is in use")
        r = subprocess.run(second.args, env=second.env, capture_output=True, text=True, timeout=30)
        assert r.returncode != 0 and "is in use" in second.errors() + r.stderr
    finally:
        city.daemon.stop()
        for pid in (old, new):
            if pid and not gone(pid):
                os.kill(pid, signal.SIGQUIT)
                wait_for(lambda p=pid: gone(p), 20)
