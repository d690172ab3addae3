"""Real processes for tests: nginx with the module, Redis, restrict-cached, the simulator.

Everything binds to loopback on free ports, lives in the test's own folder, and is ended by pid. What is
started through a `World` (fixture `world`, tests/conftest.py) is stopped with it, and its logs are then
checked: no [alert], [crit], [emerg], sanitizer report or abnormal exit in any of them.

Environment: JD_NGINX (nginx binary), JD_MODULE (its ngx_jd_module.so, "" when linked in), JD_BIN (folder of
restrict-cached, rcctl, terminal-sim), JD_PLAIN (the same, unsanitised). tests/run.sh sets them.
"""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

TERM = signal.SIGTERM
TOP = Path(__file__).resolve().parent.parent
BUILD = Path(os.environ.get("JD_BUILD", TOP / "build" / "test"))
NGINX = os.environ.get("JD_NGINX", str(BUILD / "nginx"))
MODULE = os.environ.get("JD_MODULE", str(BUILD / "ngx_jd_module.so"))
BIN = Path(os.environ.get("JD_BIN", BUILD))
PLAIN = Path(os.environ.get("JD_PLAIN", BIN))       # the same programs unsanitised, for what is large

OUR_SOURCES = re.compile(r"ngx_(http_)?jd|restrict-cache|terminal-sim|/jd_")
BAD_LINE = re.compile(r"\[(alert|crit|emerg)\]|ERROR: \w*Sanitizer|SUMMARY: \w*Sanitizer|LeakSanitizer")
SAN_ENV = {
    "ASAN_OPTIONS": "detect_odr_violation=0:handle_abort=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
}
# nginx's master and workers leave by exit() with their pools alive: leaks there say nothing
NGINX_ENV = {"ASAN_OPTIONS": SAN_ENV["ASAN_OPTIONS"] + ":detect_leaks=0"}

_ports_given = set()


def free_port():
    """A TCP port of 127.0.0.1 that nobody listens on and that this process has not given out."""
    while True:
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        if port not in _ports_given:
            _ports_given.add(port)
            return port


def wait_for(what, seconds=10, every=0.01, why=""):
    """Calls `what` until it returns something true, and returns that; fails after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        value = what()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {why or what}")
        time.sleep(every)


def port_open(port, host="127.0.0.1"):
    try:
        socket.create_connection((host, port), timeout=1).close()
        return True
    except OSError:
        return False


def gone(pid):
    """The process has let go of its files: it is not there, or only waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


class Proc:
    """One process with its output in a file."""

    def __init__(self, args, log, env=None, cwd=None):
        self.args = [str(a) for a in args]
        self.log_path = Path(log)
        self.env = {**os.environ, **SAN_ENV, **(env or {})}
        self.cwd = cwd
        self.p = None

    def start(self):
        with open(self.log_path, "ab") as out:
            self.p = subprocess.Popen(self.args, stdout=out, stderr=out, stdin=subprocess.DEVNULL,
                                      env=self.env, cwd=self.cwd)
        return self

    @property
    def pid(self):
        return self.p.pid

    def alive(self):
        return self.p is not None and self.p.poll() is None

    def signal(self, sig):
        self.p.send_signal(sig)

    def kill(self):
        """kill -9"""
        if self.alive():
            self.p.kill()
        self.p.wait(10)

    def stop(self, sig=TERM, seconds=20):
        """Ends it cleanly; returns the exit code."""
        if self.p is None:
            return 0
        if self.alive():
            self.p.send_signal(sig)
        try:
            return self.p.wait(seconds)
        except subprocess.TimeoutExpired:
            self.p.kill()
            self.p.wait(10)
            raise AssertionError(f"did not end within {seconds} s: {self.args[0]}")

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""


class Redis(Proc):
    """A redis-server of its own. `conf` is a dict of further settings."""

    def __init__(self, folder, conf=None, port=None):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = port or free_port()
        self.sock = str(self.folder / "redis.sock")
        settings = {
            "bind": "127.0.0.1", "port": self.port, "unixsocket": self.sock, "dir": self.folder,
            "save": '""', "appendonly": "yes", "appendfsync": "everysec", "daemonize": "no",
            "hash-max-listpack-value": 1024, "loglevel": "notice", "logfile": '""',
        }
        settings.update(conf or {})
        path = self.folder / "redis.conf"
        path.write_text("".join(f"{k} {v}\n" for k, v in settings.items()))
        super().__init__(["redis-server", path], self.folder / "redis.log")

    def start(self, wait=True):
        super().start()
        if wait:
            wait_for(self._ready, why=f"Redis on port {self.port}: {self.log()[-500:]}")
        return self

    def _ready(self):
        if not self.alive():
            raise AssertionError(f"Redis ended: {self.log()[-500:]}")
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as s:
                s.sendall(b"PING\r\n")
                return s.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False

    def client(self, **kw):
        import redis
        return redis.Redis(host="127.0.0.1", port=self.port, **kw)

    def hang(self):
        self.signal(signal.SIGSTOP)

    def go_on(self):
        self.signal(signal.SIGCONT)

    def stop(self, sig=signal.SIGTERM, seconds=20):
        if self.alive():
            self.signal(signal.SIGCONT)
        return super().stop(sig, seconds)


class Reply:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {dict(self.headers)} {self.body[:300]!r}>"


def request(port, path="/", method="GET", headers=None, body=None, timeout=10):
    """One HTTP/1.1 request on a connection of its own. headers: dict or list of pairs (repeats allowed)."""
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        pairs = list(headers.items()) if isinstance(headers, dict) else list(headers or [])
        names = {k.lower() for k, _ in pairs}
        c.putrequest(method, path, skip_host="host" in names, skip_accept_encoding=True)
        for k, v in pairs:
            c.putheader(k, v)
        if body is not None and not names & {"content-length", "transfer-encoding"}:
            c.putheader("Content-Length", str(len(body)))
        c.endheaders()
        if body is not None:
            c.send(body)
        r = c.getresponse()
        return Reply(r.status, r.headers, r.read())
    finally:
        c.close()


class Nginx(Proc):
    """nginx with the module. `jd` is the text inside jd {}, `http` the text inside http {}; @PORT@ is its port.

    `main` goes to the top, `events` into events {}. `modules` are further .so files, loaded before ours.
    """

    def __init__(self, folder, jd=None, http="", main="", workers=1, events="", modules=(), log_level="info",
                 binary=None, module=None, port=None):
        self.folder = Path(folder)
        for sub in ("logs", "html", "tmp"):
            (self.folder / sub).mkdir(parents=True, exist_ok=True)
        self.port = port or free_port()
        self.binary = binary or NGINX
        self.module = MODULE if module is None else module
        self.modules = list(modules)
        self.workers = workers
        self.events = events
        self.main = main
        self.log_level = log_level
        self.conf_path = self.folder / "nginx.conf"
        self.error_log = self.folder / "logs" / "error.log"
        self.configure(jd, http)
        super().__init__([self.binary, "-p", self.folder, "-c", self.conf_path, "-e", self.error_log,
                          "-g", "daemon off;"], self.folder / "logs" / "stderr.log", NGINX_ENV)

    def configure(self, jd=None, http="", main=None):
        """Writes the configuration (again, before reload())."""
        if main is not None:
            self.main = main
        loads = "".join(f"load_module {m};\n" for m in [*self.modules, self.module] if m)
        user = "user root;\n" if os.getuid() == 0 else ""
        block = f"jd {{\n{jd}\n}}\n" if jd is not None else ""
        temp = "".join(f"    {n}_temp_path {self.folder}/tmp/{n};\n"
                       for n in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        text = (f"{loads}{user}pid {self.folder}/nginx.pid;\nerror_log {self.error_log} {self.log_level};\n"
                f"worker_processes {self.workers};\n{self.main}\n"
                f"events {{ worker_connections 512;\n{self.events} }}\n{block}"
                f"http {{\n    access_log {self.folder}/logs/access.log;\n{temp}{http}\n}}\n")
        self.conf_path.write_text(text.replace("@PORT@", str(self.port)).replace("@DIR@", str(self.folder)))

    def test(self):
        """nginx -t: (exit code, what it said)."""
        r = subprocess.run([self.binary, "-p", self.folder, "-c", self.conf_path, "-t"],
                           capture_output=True, text=True, env=self.env, timeout=60)
        return r.returncode, r.stdout + r.stderr

    def start(self, wait=True):
        super().start()
        if wait:
            wait_for(lambda: port_open(self.port) or self._ended(), why=f"nginx on {self.port}")
        return self

    def _ended(self):
        if not self.alive():
            raise AssertionError("nginx ended: " + self.log()[-2000:] + self.errors()[-2000:])

    def worker_pids(self):
        """Pids of worker processes (old ones in shutdown included)."""
        out = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(self.pid)], capture_output=True, text=True)
        return [int(l.split()[0]) for l in out.stdout.splitlines() if "worker process" in l]

    def reload(self, wait=True):
        """HUP; waits until new workers run (the old ones may still be ending)."""
        before = set(self.worker_pids())
        self.signal(signal.SIGHUP)
        if wait:
            wait_for(lambda: len(set(self.worker_pids()) - before) >= self.workers, 20, why="new workers")

    def quit(self, seconds=20):
        return self.stop(signal.SIGQUIT, seconds)

    def get(self, path="/", headers=None, **kw):
        return request(self.port, path, headers=headers, **kw)

    def post(self, path, body, headers=None, **kw):
        return request(self.port, path, "POST", headers, body, **kw)

    def status(self, path="/jd/status"):
        return self.get(path).json()

    def errors(self):
        return self.error_log.read_text(errors="replace") if self.error_log.exists() else ""


def bad_lines(text, allow=()):
    """Lines of a log that fail a test. `allow`: regular expressions of lines that the test provoked."""
    bad = []
    for line in text.splitlines():
        ours = "runtime error:" in line and OUR_SOURCES.search(line)
        if (BAD_LINE.search(line) or ours) and not any(re.search(a, line) for a in allow):
            bad.append(line)
    return bad


class World:
    """Everything one test starts, in one folder; ended and checked together."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.procs = []
        self.allow = []          # regular expressions of log lines that this test provokes on purpose
        self.n = 0

    def dir(self, name):
        self.n += 1
        d = self.folder / f"{name}{self.n}"
        d.mkdir(parents=True, exist_ok=True)
        return d

    def add(self, proc):
        self.procs.append(proc)
        return proc

    def redis(self, start=True, **kw):
        r = self.add(Redis(self.dir("redis"), **kw))
        return r.start() if start else r

    def nginx(self, jd=None, http="", start=True, **kw):
        n = self.add(Nginx(self.dir("nginx"), jd, http, **kw))
        return n.start() if start else n

    def proc(self, args, name="proc", env=None, start=True):
        p = self.add(Proc(args, self.dir(name) / "log", env))
        return p.start() if start else p

    def key_file(self, *keys):
        """Digest key file with (id, 16 bytes) lines; returns its path."""
        path = self.dir("key") / "digest.key"
        path.write_text("".join(f"{i} {k.hex()}\n" for i, k in keys))
        path.chmod(0o600)
        return path

    def close(self):
        faults = []
        for p in reversed(self.procs):
            try:
                code = p.stop(signal.SIGQUIT if isinstance(p, Nginx) else signal.SIGTERM)
                if code not in (0, -signal.SIGKILL, -signal.SIGTERM) and p.p is not None:
                    faults.append(f"{p.args[0]} ended with {code}: {p.log()[-1500:]}")
            except AssertionError as e:
                faults.append(str(e))
        for path in sorted(self.folder.rglob("*")):
            if path.is_file() and (path.suffix == ".log" or path.name == "log"):
                for line in bad_lines(path.read_text(errors="replace"), self.allow):
                    faults.append(f"{path.relative_to(self.folder)}: {line}")
        return faults


def rcctl(conf, *args, stdin="", timeout=60):
    """Runs rcctl; returns the finished process (text output)."""
    return subprocess.run([str(BIN / "rcctl"), "-c", str(conf), *map(str, args)], input=stdin, text=True,
                          capture_output=True, timeout=timeout, env={**os.environ, **SAN_ENV})


def remove_folder(path):
    shutil.rmtree(path, ignore_errors=True)


def approve_list(conf, seconds=40):
    """Approves the snapshot that waits as an operator does: looks at it, names it by its hash, sees it applied.
    Returns what `rcctl approve` showed of it."""
    def shown():
        run = rcctl(conf, "--json", "approve")
        return run.returncode == 0 and json.loads(run.stdout)["waits"]
    waits = wait_for(shown, seconds, every=0.1, why="a snapshot waits for approval")
    run = rcctl(conf, "approve", waits["hash"][:8], *(["--first"] if waits["first"] else []))
    assert run.returncode == 0, (run.stdout, run.stderr)
    wait_for(lambda: rcctl(conf, "--json", "approve").returncode == 1, seconds, every=0.1, why="approved and applied")
    return waits
