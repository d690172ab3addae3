"""From the office to the gate: time from publish to the first denial, and from lift to the first pass.

    lift.py        JD_EVENTS orders (default 1000), one after another, under load; prints p50, p99, longest

Office, daemon, Redis and nginx are the real ones. A time begins when the command is given to the serving
office and ends with the first answer of the other kind to a client that taps without a pause.
"""

import datetime
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import bench
import harness
from bench import BUILD, CLIENT_CPU, pinned, row

EVENTS = int(os.environ.get("JD_EVENTS", 1000))
BASE = int(os.environ.get("JD_BASE", 10000))        # orders on the list before the first event
RATE = 2000                                         # taps a second of other cards meanwhile
PATIENCE_SEC = 20
AUTHORITY = "Example City Court"

DAEMON = """[list]
name = credit
accept_card_subjects = on
[state]
dir = {folder}/state
[digest]
key_file = {key}
[office]
base = https://127.0.0.1:{port}/v1
iss = https://office.example
aud = jd:gateway:bench
jwks_file = {office}/jwks.json
ca_file = {office}/ca.pem
token_file = {office}/token
[redis]
address = unix:{redis}
expected = {base}
[measure bus.ride]
legal_source = fictional, for this benchmark
authority = {authority}
max_term = 365d
"""


def order(number, card):
    day = datetime.date.today()

    def at(days):
        return f"{day + datetime.timedelta(days=days)}T00:00:00+08:00"
    return {
        "order": number, "subject": {"scheme": "card", "id": card}, "measures": ["bus.ride"],
        "authority": AUTHORITY, "basis": "fictional, article 7",
        "served": str(day - datetime.timedelta(days=20)),
        "from": at(-10), "until": at(90), "effect": "enforce", "objection": False,
        "contest": {"url": "https://court.example/contest", "phone": "0100"},
    }


class Office:
    """terminal-sim office, and its control socket."""

    def __init__(self, world):
        self.dir = world.dir("office") / "d"
        subprocess.run([BUILD / "terminal-sim", "office", "init", self.dir, "--list", "credit",
                        "--iss", "https://office.example", "--aud", "jd:gateway:bench"],
                       check=True, capture_output=True)
        orders = self.dir / "base.ndjson"
        orders.write_text("".join(json.dumps(order(f"CS-{i}", f"6{i:015d}")) + "\n"
                                  for i in range(BASE)))
        subprocess.run([BUILD / "terminal-sim", "office", "publish", self.dir, orders, "--baseline"],
                       check=True, capture_output=True)
        self.port = harness.free_port()
        world.proc(pinned(CLIENT_CPU, [BUILD / "terminal-sim", "office", "serve", self.dir, "--port", self.port]),
                   "office")
        harness.wait_for(lambda: harness.port_open(self.port), why="office")

    def tell(self, request, lines=()):
        """Gives a command and does not wait for its answer; returns what reads it."""
        s = socket.socket(socket.AF_UNIX)
        s.connect(str(self.dir / "office.sock"))
        s.sendall("".join(json.dumps(x) + "\n" for x in [request, *lines]).encode())
        s.shutdown(socket.SHUT_WR)

        def answer():
            said = s.makefile().read().splitlines()
            s.close()
            if not said or not json.loads(said[-1]).get("ok"):
                raise SystemExit(f"lift: the office refused: {said[-1:]}")
        return answer


class Terminal:
    """One kept-alive connection to the gate."""

    def __init__(self, port):
        self.s = socket.create_connection(("127.0.0.1", port))
        self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def tap(self, card):
        """Status of one tap."""
        self.s.sendall(f"POST /bus/tap HTTP/1.1\r\nHost: gate\r\nX-Card-No: {card}\r\n"
                       f"Content-Length: 0\r\n\r\n".encode())
        data = b""
        while b"\r\n\r\n" not in data:
            data += self.s.recv(65536)
        head, _, body = data.partition(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        while len(body) < length:
            body += self.s.recv(65536)
        return int(head.split()[1])

    def until(self, card, status, begin):
        """Milliseconds since `begin` until a tap of the card has this status."""
        while True:
            got = self.tap(card)
            now = time.monotonic()
            if got == status:
                return (now - begin) * 1000
            if now - begin > PATIENCE_SEC:
                raise SystemExit(f"lift: {got} instead of {status} after {PATIENCE_SEC} s")


def percentiles(name, ms):
    ms = sorted(ms)
    row(f"{name}, ms: p50", f"{ms[len(ms) // 2]:.1f}")
    row(f"{name}, ms: p99", f"{ms[len(ms) * 99 // 100]:.1f}", f"longest {ms[-1]:.1f}, {len(ms)} events")


def start_all(b):
    world = b.world
    office = Office(world)
    redis = world.add(harness.Redis(world.dir("redis")))
    redis.args = pinned(CLIENT_CPU, redis.args)
    redis.start()
    folder = world.dir("daemon")
    (folder / "state").mkdir(mode=0o700)
    conf = folder / "restrict-cached.conf"
    conf.write_text(DAEMON.format(folder=folder, key=b.key, port=office.port, office=office.dir,
                                  redis=redis.sock, base=BASE, authority=AUTHORITY))
    world.proc(pinned(CLIENT_CPU, [BUILD / "restrict-cached", "-c", conf]), "daemon")
    harness.approve_list(conf, 120)
    b.start_backend()
    return office, b.nginx(redis)


def run(b):
    office, gate = start_all(b)
    me = Terminal(gate.port)
    me.until(f"6{BASE - 1:015d}", 403, time.monotonic())
    load = b.world.proc(pinned(CLIENT_CPU, [
        BUILD / "terminal-sim", "bus", "--port", gate.port, "--rate", RATE, "--connections", "8",
        "--duration", 600, "--clean", 100000]), "bus")
    denied, passed = [], []
    for i in range(EVENTS):
        number, card = f"EV-{i}", f"7{i:015d}"
        begin = time.monotonic()
        answer = office.tell({"cmd": "publish"}, [order(number, card)])
        denied.append(me.until(card, 403, begin))
        answer()
        begin = time.monotonic()
        answer = office.tell({"cmd": "lift", "order": number})
        passed.append(me.until(card, 200, begin))
        answer()
    if not load.alive():
        raise SystemExit("lift: the load ended early: " + load.log()[-500:])
    load.kill()
    percentiles("publish to first denial", denied)
    percentiles("lift to first pass", passed)
    gate.stop(signal.SIGQUIT)


def main():
    folder = Path(tempfile.mkdtemp(prefix="jd-lift."))
    b = bench.Bench(folder)
    try:
        run(b)
    finally:
        faults = b.world.close()
        shutil.rmtree(folder, ignore_errors=True)
    for fault in faults:
        print("lift: " + fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
