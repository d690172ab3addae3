"""Figures of the gate, printed as rows (tests/bench/README.md tells how to read them).

    bench.py [table] [pairs] [instructions] [load]      all of them unless named

Environment: JD_BENCH (folder of the built programs), JD_ENTRIES (default 1000000), JD_PAIRS (default 7),
JD_SECONDS (of one run, default 2).
"""

import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import harness  # noqa: E402

BUILD = Path(os.environ["JD_BENCH"])
NGINX = os.environ.get("JD_NGINX", "/usr/sbin/nginx")
ENTRIES = int(os.environ.get("JD_ENTRIES", 1000000))
PAIRS = int(os.environ.get("JD_PAIRS", 7))
SECONDS = int(os.environ.get("JD_SECONDS", 2))
SERVER_CPU, CLIENT_CPU = "0", "1"

MODULE = f"load_module {BUILD}/ngx_jd_module.so;\n"
LIST = """jd {{
    key_file {key};
    list credit {{ redis unix:{redis}; zone 20m; timeout 50ms; max_stale 72h; }}
    ledger {folder}/ledger 16m gateway=gw1;
}}
"""
GATE = """
        jd_gate     credit bus.ride;
        jd_subject  card header:X-Card-No;
        jd_dry_run  off;
        jd_contest  https://card.example/help phone=12345;
        location = /reason { empty_gif; add_header X-Reason $jd_reason always; }
"""
CONF = """{module}user root;
daemon off;
{processes}
pid {folder}/nginx.pid;
error_log {folder}/error.log notice;
events {{ worker_connections 512; }}
{list}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    upstream backend {{ server unix:{backend}; keepalive 64; }}
    server {{
        listen 127.0.0.1:{port};{gate}
        location = /gif   {{ empty_gif; }}
        location = /bus/tap {{
            proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection "";
        }}
    }}
}}
"""


def row(name, value, note=""):
    print(f"{name:<52} {value:>16}  {note}".rstrip(), flush=True)


def median(values):
    return statistics.median(values)


def pinned(cpu, args, nice=-10):
    """On one CPU and, where we may, before whatever else the machine does; a refused nice changes nothing."""
    return ["nice", "-n", str(nice), "taskset", "-c", cpu, *map(str, args)]


def cpu_ns(pid):
    """Time on a CPU of a process, from its scheduler."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])


class Bench:
    def __init__(self, folder):
        self.world = harness.World(folder)
        self.key = self.world.key_file(("k1", bytes(range(16))))
        self.backend = None

    # ---- what runs -------------------------------------------------------------------------

    def redis(self, entries):
        r = self.world.add(harness.Redis(self.world.dir("redis"), {"appendonly": "no"}))
        r.args = pinned(CLIENT_CPU, r.args)
        r.start()
        empty = r.client().info("memory")["used_memory"]
        fill = subprocess.Popen([BUILD / "bench_fill", str(entries), self.key, "credit"],
                                stdout=subprocess.PIPE)
        subprocess.run(["redis-cli", "-s", r.sock, "--pipe"], stdin=fill.stdout, check=True,
                       capture_output=True)
        if fill.wait() != 0:
            raise SystemExit("bench: fill failed")
        r.bytes = r.client().info("memory")["used_memory"] - empty
        return r

    def nginx(self, redis=None, processes="worker_processes 1;", wrap=(), wait=True):
        """nginx with the gate over this Redis, or bare; waits until the list is ready."""
        folder = self.world.dir("nginx")
        port = harness.free_port()
        conf = folder / "nginx.conf"
        conf.write_text(CONF.format(
            folder=folder, processes=processes, port=port, backend=self.backend or f"{folder}/none.sock",
            gate=GATE if redis else "", module=MODULE if redis else "",
            list=LIST.format(key=self.key, redis=redis.sock, folder=folder) if redis else ""))
        args = pinned(SERVER_CPU, [*wrap, NGINX, "-p", folder, "-c", conf, "-e", folder / "error.log"])
        p = self.world.add(harness.Proc(args, folder / "stderr.log"))
        p.port, p.folder = port, folder
        p.start()
        if wait:
            harness.wait_for(lambda: harness.port_open(port) or not p.alive(), 60, why="nginx")
            if not p.alive():
                raise SystemExit("bench: nginx did not start: " + p.log())
        if wait and redis:
            harness.wait_for(lambda: self.reason(port, "9000000000000000") == "clear", 60, 0.05,
                             why="list not ready: " + (folder / "error.log").read_text()[-1000:])
        return p

    def reason(self, port, card):
        return harness.request(port, "/reason", headers={"X-Card-No": card}).headers.get("X-Reason")

    def start_backend(self):
        folder = self.world.dir("backend")
        self.backend = folder / "backend.sock"
        conf = folder / "nginx.conf"
        conf.write_text(
            f"user root; daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;\n"
            f"events {{ worker_connections 512; }}\n"
            f"http {{ access_log off; keepalive_requests 1000000000; server {{ listen unix:{self.backend};\n"
            f"location / {{ return 200 ok; }} }} }}\n")
        args = pinned(CLIENT_CPU, [NGINX, "-p", folder, "-c", conf, "-e", folder / "error.log"])
        self.world.add(harness.Proc(args, folder / "stderr.log")).start()
        harness.wait_for(self.backend.exists, why="backend")

    # ---- rows ------------------------------------------------------------------------------

    def table(self):
        ratio, find, miss, size = subprocess.run(
            pinned(SERVER_CPU, [BUILD / "bench_lookup"]), check=True, capture_output=True,
            text=True).stdout.split()
        row("table: miss / one dependent cache miss, 10 M", ratio, f"{find} ns / {miss} ns")
        row("table: bytes per entry at 80 % load", size)

    def seal(self):
        seal, sip, size = subprocess.run(pinned(SERVER_CPU, [BUILD / "bench_seal"]), check=True, capture_output=True, text=True).stdout.split()
        row("seal: the id of a denial, us", f"{int(seal) / 1000:.2f}", f"{size} characters; one SipHash of as many {sip} ns")

    def one_run(self, server, path):
        """Requests a second, and CPU of the worker a request in microseconds."""
        (worker,) = [int(p) for p in subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(server.pid)], capture_output=True, text=True).stdout.split()]
        before = cpu_ns(worker)
        out = subprocess.run(
            pinned(CLIENT_CPU, ["wrk", "-t1", "-c32", f"-d{SECONDS}s", "-s", HERE / "requests.lua",
                                f"http://127.0.0.1:{server.port}{path}"]),
            check=True, capture_output=True, text=True).stdout
        used = cpu_ns(worker) - before
        requests, duration, failed = [int(n) for n in out.split("RESULT")[1].split()]
        if failed:
            raise SystemExit(f"bench: {failed} of {requests} requests to {path} failed")
        return requests / duration * 1e6, used / requests / 1e3

    def pairs(self):
        redis = self.redis(ENTRIES)
        self.start_backend()
        gate, bare = self.nginx(redis), self.nginx()
        row(f"redis: bytes per entry, {ENTRIES} with orders", f"{redis.bytes / ENTRIES:.1f}")
        row(f"zone: bytes per entry, {ENTRIES} in 20m", f"{20 * 1024 * 1024 / ENTRIES:.1f}")
        listed = self.reason(gate.port, "6" + "0" * 15)
        if listed != "listed":
            raise SystemExit(f"bench: the listed card is {listed}, so the gate does not do its work")
        for path, name in (("/gif", "empty_gif"), ("/bus/tap", "proxied")):
            rate, cpu, a_rate, b_rate = [], [], [], []
            for i in range(PAIRS + 1):
                order = (gate, bare) if i % 2 else (bare, gate)
                got = {server: self.one_run(server, path) for server in order}
                if i == 0:
                    continue                      # warms both
                rate.append(got[gate][0] / got[bare][0])
                cpu.append(got[gate][1] - got[bare][1])
                a_rate.append(got[gate][0])
                b_rate.append(got[bare][0])
            row(f"{name}: requests/s, gate / bare, median of {PAIRS}", f"{median(rate):.3f}",
                f"{min(rate):.3f}..{max(rate):.3f}; {median(a_rate):.0f} / {median(b_rate):.0f}")
            row(f"{name}: CPU over bare, us a request", f"{median(cpu):.2f}",
                f"{min(cpu):.2f}..{max(cpu):.2f}")
        for server in (gate, bare):
            server.stop(signal.SIGQUIT)
        redis.stop()

    def instructions_of(self, redis, path, requests):
        """Instructions of a whole run of one process with so many requests."""
        out = self.world.dir("callgrind") / "out"
        server = self.nginx(redis, processes="master_process off;",
                            wrap=["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}"])
        subprocess.run([BUILD / "bench_probe", str(server.port), path, "count", str(requests)], check=True,
                       capture_output=True)

        def ended():
            # again: a lone process that gets the signal just before it waits for events sleeps on
            server.signal(signal.SIGQUIT)
            return not server.alive()

        harness.wait_for(ended, 60, 0.2, why="nginx under valgrind")
        return int(next(l for l in out.read_text().splitlines() if l.startswith("totals:")).split()[1])

    def instructions(self):
        redis = self.redis(10000)
        if self.backend is None:
            self.start_backend()
        few, many = 500, 8500
        for path, name in (("/gif", "empty_gif"), ("/bus/tap", "proxied")):
            per = {}
            for which, r in (("gate", redis), ("bare", None)):
                per[which] = (self.instructions_of(r, path, many)
                              - self.instructions_of(r, path, few)) / (many - few)
            row(f"{name}: instructions over bare, a request", f"{per['gate'] - per['bare']:.0f}",
                f"{per['gate']:.0f} - {per['bare']:.0f}")
        redis.stop()

    def probe(self, server, seconds=None, until=None):
        """A paced client beside the server until a time or a condition; p50, p99, max in microseconds."""
        # before Redis on its CPU: what is measured is the server's wait, not the client's
        p = subprocess.Popen(
            pinned(CLIENT_CPU, [BUILD / "bench_probe", server.port, "/reason", "pace", "250"], nice=-15),
            stdout=subprocess.PIPE, text=True)
        try:
            if until:
                harness.wait_for(until, 120, 0.02, why="end of the load")
            else:
                try:
                    p.wait(seconds)
                except subprocess.TimeoutExpired:
                    pass
        finally:
            p.terminate()
            out = p.communicate()[0]
        n, p50, p99, longest, reason = out.split()
        return int(n), int(p50), int(p99), int(longest), reason

    def load(self):
        redis = self.redis(ENTRIES)
        longest, idle, took = [], [], []
        for _ in range(3):
            server = self.nginx(redis, wait=False)
            harness.wait_for(lambda: harness.port_open(server.port), every=0.001, why="nginx")
            begin = os.times().elapsed
            n, _, p99, longest_us, reason = self.probe(
                server, until=lambda: self.reason(server.port, "9" + "0" * 15) == "clear")
            took.append(os.times().elapsed - begin)
            if reason != "clear":
                raise SystemExit(f"bench: after the load a clean card is {reason}")
            longest.append((longest_us, p99, n))
            idle.append(self.probe(server, seconds=2)[3])
            server.stop(signal.SIGQUIT)
        row(f"load of {ENTRIES}: longest wait of a request, us", str(median([l[0] for l in longest])),
            "three loads: " + ", ".join(f"{l} (p99 {p} of {n})" for l, p, n in longest))
        row("the same client with no load: longest wait, us", str(median(idle)), ", ".join(map(str, idle)))
        row(f"load of {ENTRIES}: s until ready", f"{median(took):.2f}")
        redis.stop()


def main(names):
    folder = Path(tempfile.mkdtemp(prefix="jd-bench."))
    bench = Bench(folder)
    faults = []
    try:
        for name in names or ("table", "seal", "pairs", "instructions", "load"):
            getattr(bench, name)()
    finally:
        faults = bench.world.close()
        shutil.rmtree(folder, ignore_errors=True)
    for fault in faults:
        print("bench: " + fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
