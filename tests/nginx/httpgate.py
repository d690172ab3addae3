"""A gate to be tested: Redis filled by jdschema, nginx in front of an echo backend that reads as backends do."""

import contextlib
import http.server
import json
import re
import socket
import threading
import time
import urllib.parse

import harness
from jdschema import Order, RedisList

KEY = bytes(range(1, 17))
LISTED = "330100000001"              # a card under an order for bus.ride
CLEAN = "330100000002"
PATRON = "L20260001"                 # a library patron under an order for library.checkout
ORDER = Order("CS-2026-000123", ["bus.ride"], authority="Haicheng Transport Bureau",
              from_=1790000000, until=1890000000, deadline=20500)
PATRON_ORDER = Order("CS-2026-000777", ["library.checkout"], authority="Haicheng Library")


def readings(headers, target, body):
    """Every identifier that some common kind of backend would read from this request: for each place the value
    of the first and of the last occurrence, names as CGI, PHP and case-blind frameworks fold them."""
    found = set()
    for name, value in headers:
        if name.lower().replace("_", "-") == "x-card-no":
            found.add(value)
            found.update(value.split(","))
        if name.lower() == "cookie":
            for part in value.split(";"):
                k, _, v = part.partition("=")
                if k.strip() == "card":
                    found.update((v.strip().strip('"'), urllib.parse.unquote(v.strip().strip('"'))))

    def pairs(text):
        for part in re.split("[&;]", text):
            k, _, v = part.partition("=")
            k = re.split(r"\[", urllib.parse.unquote_plus(k))[0].strip().replace(".", "_").lower()
            if k == "card":
                found.add(urllib.parse.unquote_plus(v))

    pairs(target.partition("?")[2])
    kind = " ".join(v for k, v in headers if k.lower() == "content-type").lower()
    if "multipart" in kind:
        for m in re.finditer(rb'name="card"\r\n\r\n(.*?)\r\n', body):
            found.add(m.group(1).decode())
    else:
        pairs(body.decode("latin-1"))
    for charset in ("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"):
        with contextlib.suppress(Exception):
            text = body.decode(charset)
            pairs(text)

            def hook(items):
                found.update(str(v) for k, v in items if k.lower() == "card")
                return dict(items)

            json.JSONDecoder(object_pairs_hook=hook, strict=False).raw_decode(text.strip())
    with contextlib.suppress(Exception):
        import gzip
        found.update(str(v) for k, v in json.loads(gzip.decompress(body)).items() if k == "card")
    fold = str.maketrans({0xff01 + i: chr(0x21 + i) for i in range(94)})
    found |= {v.encode("latin-1").decode("utf-8", "replace") for v in found if max(v, default=" ") < "\u0100"}
    return sorted({v.translate(fold).strip(" \t\r\n\u3000\u00a0\ufeff") for v in found})


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers with what arrived, as JSON; /accel redirects inside nginx, /auth answers 204."""
    protocol_version = "HTTP/1.1"

    def handle_any(self):
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            body = b""
            while True:
                size = int(self.rfile.readline().split(b";")[0], 16)
                body += self.rfile.read(size)
                self.rfile.readline()
                if size == 0:
                    break
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append((self.command, self.path, list(self.headers.items()), body))
        out = b""
        self.send_response(204 if self.path.startswith("/auth") else 200)
        if self.path.startswith("/accel"):
            self.send_header("X-Accel-Redirect", self.headers["X-Go"])
        if not self.path.startswith("/auth"):
            out = json.dumps({"method": self.command, "target": self.path, "headers": list(self.headers.items()),
                              "body": body.hex(),
                              "reads": readings(list(self.headers.items()), self.path, body)}).encode()
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(out)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(out)

    do_GET = do_POST = do_PUT = do_HEAD = handle_any

    def log_message(self, *args):
        pass


class Backend:
    """The echo backend in a thread; `seen` holds (method, target, headers, body) of each request."""

    def __init__(self):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
        self.server.daemon_threads = True
        self.server.seen = []
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def seen(self):
        return self.server.seen

    # a process of the World, so that it is ended with it
    args = ["echo backend"]
    p = None

    def stop(self, *_):
        self.server.shutdown()
        self.server.server_close()
        return 0


ENFORCE = "jd_dry_run off; jd_contest https://desk.example/help phone=12345;"


class Gate:
    """Redis with one list, a backend, and nginx with `server` inside a server block. @B@ is the backend's address."""

    def __init__(self, world, server, http="", orders=None, max_stale="1h", start=True, lists="", **kw):
        self.world = world
        self.redis = world.redis()
        self.list = RedisList(self.redis.client(), key=KEY)
        self.list.refill({f"card:{LISTED}": [ORDER], f"patron:{PATRON}": [PATRON_ORDER]}
                         if orders is None else orders)
        self.backend = Backend()
        world.procs.append(self.backend)
        self.key_path = key = world.key_file(("k1", KEY))
        self.jd = (f"key_file {key};\nlist credit {{ redis 127.0.0.1:{self.redis.port}; zone 1m; timeout 5s;"
                   f" max_stale {max_stale}; }}\nledger @DIR@/ledger 128k gateway=gw1;\n{lists}")
        self.nginx = world.nginx(self.jd, self.http(server, http), start=False, **kw)
        if start:
            self.nginx.start()
            self.ready()

    def http(self, server, http=""):
        text = (f"{http}\nserver {{ listen 127.0.0.1:@PORT@; {server}\n"
                "location = /jd/status { jd_status; } location = /jd/metrics { jd_status prometheus; } }")
        return text.replace("@B@", f"127.0.0.1:{self.backend.port}")

    def ready(self, name="credit"):
        def is_ready():
            return any(s["list"] == name and s["ready"] for s in self.nginx.status()["lists"])
        harness.wait_for(is_ready, 20, why=f"list ready: {self.nginx.status()}")
        return self

    def reload(self, server=None, http=""):
        if server is not None:
            self.nginx.configure(self.jd, self.http(server, http))
        self.nginx.reload()
        self.ready()

    def get(self, path="/", card=None, **kw):
        headers = list(kw.pop("headers", []))
        if card is not None:
            headers.append(("X-Card-No", card))
        return self.nginx.get(path, headers=headers, **kw)

    def counts(self, name="credit"):
        """{(measure, reason, outcome): n}"""
        for s in self.nginx.status()["lists"]:
            if s["list"] == name:
                return {(d["measure"], d["reason"], d["outcome"]): d["count"] for d in s["decisions"]}

    def undecided(self):
        return self.nginx.status()["lists"][0]["undecided"]


def jd_status(reply):
    """JD-Status of a reply (to the terminal) or of an echoed request (to the backend): (word, parameters)."""
    value = reply.headers.get("JD-Status")
    if value is None and reply.body[:1] == b"{":
        value = dict((k.lower(), v) for k, v in reply.json().get("headers", [])).get("jd-status")
    if value is None:
        return None, {}
    word, *params = value.split(";")
    return word, {k: v.strip('"') for k, v in (p.split("=", 1) for p in params)}


def reason(reply):
    """The reason of the decision; "clear" when the backend was told nothing."""
    return jd_status(reply)[1].get("reason", "clear")


def raw(port, data, until=b"", timeout=10):
    """Sends bytes on a fresh connection; reads until it closes or `until` has been seen."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as s:
        s.sendall(data)
        got, end = b"", time.monotonic() + timeout
        while time.monotonic() < end and not (until and until in got):
            part = s.recv(65536)
            if not part:
                break
            got += part
        return got
