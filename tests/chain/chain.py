"""The whole product for one test: credit office, restrict-cached, Redis, nginx with the gate, backends, terminals."""

import json
import os
import shutil
import subprocess
import time

import harness
import office as of
from harness import wait_for

MEASURES = ("bus.ride", "bike.rent", "library.checkout")
RULE = """
[measure {}]
legal_source = Rules of the test city, article 7 (fictional)
authority = Test Authority One (fictional)
max_term = 365d
"""
SERVER = """
    keepalive_requests 1000000;
    jd_contest https://desk.example/help phone=12345;
    upstream bus {{ server 127.0.0.1:{bus}; keepalive 16; }}
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    server {{
        listen 127.0.0.1:@PORT@;
        location /bus/tap {{
            jd_gate credit bus.ride;
            jd_subject card header:X-Card-No;
            jd_dry_run off;
            proxy_pass http://bus;
        }}
        location /library/item {{
            jd_gate credit library.checkout;
            jd_subject card header:X-Card-No;
            jd_dry_run off;
            proxy_pass http://bus/bus/tap;
        }}
        location = /jd/status {{ jd_status; }}
    }}
"""


FAKETIME = "/usr/lib/{}-linux-gnu/faketime/libfaketime.so.1".format(os.uname().machine)


class Clock:
    """The wall clock of one process, which may be wrong; what counts the time since boot is not touched."""

    def __init__(self, folder):
        self.file = folder / f"clock{time.monotonic_ns()}"
        self.set(0)
        self.env = {"LD_PRELOAD": FAKETIME, "FAKETIME_TIMESTAMP_FILE": str(self.file), "FAKETIME_NO_CACHE": "1",
                    "FAKETIME_DONT_FAKE_MONOTONIC": "1"}

    def set(self, seconds):
        new = self.file.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n")
        new.replace(self.file)


class Chain:
    """`clocks`: (daemon's, gate's), for programs that are not sanitised, which no preloaded library suits."""

    def __init__(self, world, listed=40, workers=1, max_stale="1h", records=None, clocks=None):
        self.world = world
        self.workers = workers
        self.clocks = clocks
        self.bin = harness.PLAIN if clocks else harness.BIN
        self.office = of.Office(world, idle_ms=500)
        self.records = records or of.generate(listed, "--measures", "bus.ride")
        self.office.publish(*self.records)
        self.office.start()
        self.redis = world.redis()
        self.folder = world.dir("chain")
        key_file = world.key_file(("k1", bytes(range(16))))
        self.conf = self.folder / "restrict-cached.conf"
        o = self.office
        self.conf.write_text(
            f"[list]\nname = credit\naccept_card_subjects = on\n[state]\ndir = {self.folder}/state\n[digest]\nkey_file = {key_file}\n"
            f"[office]\nbase = {o.base}\niss = {o.party['iss']}\naud = {o.party['aud']}\njwks_file = {o.dir}/jwks.json\n"
            f"ca_file = {o.dir}/ca.pem\ntoken_file = {o.dir}/token\n"
            f"[redis]\naddress = 127.0.0.1:{self.redis.port}\nexpected = 1000\n" + "".join(map(RULE.format, MEASURES)))
        self.daemon = self.new_daemon()
        harness.approve_list(self.conf)
        ports = self.folder / "ports"
        world.proc([harness.BIN / "terminal-sim", "backends", "--ports-file", ports, "--bus-validator", 0,
                    "--library-checkout", 0, "--citizen-card", 0], "backends")
        wait_for(ports.exists, why="backends")
        bus = dict(line.split() for line in ports.read_text().splitlines())["bus-validator"]
        self.nginx = world.nginx(
            f"key_file {key_file};\nlist credit {{ redis 127.0.0.1:{self.redis.port}; zone 1m; timeout 200ms; max_stale {max_stale}; }}\n"
            "ledger @DIR@/ledger 1m gateway=gw1;",
            SERVER.format(bus=bus), workers=workers, start=False,
            **({"binary": shutil.which("nginx", path="/usr/sbin:/usr/bin"), "module": str(self.bin / "ngx_jd_module.so"),
                "main": "".join(f"env {name};\n" for name in clocks[1].env)} if clocks else {}))
        if clocks:
            self.nginx.env.update(clocks[1].env)
        self.nginx.start()
        # the oracle's file: appended to first, published after
        self.oracle = self.folder / "oracle.ndjson"
        self.oracle.write_text("".join(r if r.endswith("\n") else r + "\n" for r in map(self.text, self.records)))
        self.enforcing()

    @staticmethod
    def text(record):
        return record if isinstance(record, str) else json.dumps(record, ensure_ascii=False)

    @staticmethod
    def record(record):
        return json.loads(record) if isinstance(record, str) else record

    def card(self, i):
        return self.record(self.records[i])["subject"]["id"]

    def number(self, i):
        return self.record(self.records[i])["order"]

    def new_daemon(self):
        return self.world.proc([self.bin / "restrict-cached", "-c", self.conf], "daemon",
                               env=self.clocks[0].env if self.clocks else None)

    def tap(self, card, path="/bus/tap"):
        return self.nginx.get(path, {"X-Card-No": card}).status

    def list_status(self):
        return self.nginx.status()["lists"][0]

    def enforcing(self, i=0, seconds=40):
        """Until the card of record i is denied: the whole chain is well."""
        try:
            wait_for(lambda: self.tap(self.card(i)) == 403, seconds, why="a denial")
        except AssertionError as e:
            raise AssertionError(f"{e}\n{self.list_status()}\n{self.daemon.log()[-3000:]}\n{self.nginx.errors()[-2000:]}")

    def lift(self, i, seconds=40):
        """The office lifts record i; returns seconds until its card passes."""
        with self.oracle.open("a") as f:
            f.write(json.dumps({"lift": self.number(i)}) + "\n")
        begun = time.monotonic()
        self.office.lift(self.number(i))
        wait_for(lambda: self.tap(self.card(i)) == 200, seconds, why="relief")
        return time.monotonic() - begun

    def terminals(self, seconds, rate=200, window_ms=3000):
        """Bus validators in the background; .report() waits for them."""
        out = self.folder / f"terminals{time.monotonic_ns()}.json"
        args = [harness.BIN / "terminal-sim", "bus", "--port", self.nginx.port, "--rate", rate, "--connections", 8,
                "--duration", seconds, "--clean", 5000, "--share-listed", 20, "--oracle", self.oracle, "--window", window_ms,
                "--json"]
        return Terminals(subprocess.Popen([str(a) for a in args], stdout=out.open("w"), stderr=subprocess.DEVNULL,
                                          env={**os.environ, **harness.SAN_ENV}), out)


class Terminals:
    def __init__(self, process, out):
        self.process, self.out = process, out

    def running(self):
        return self.process.poll() is None

    def report(self, seconds=60):
        self.process.wait(seconds)
        return json.loads(self.out.read_text())
