"""The simulated credit office (terminal-sim office) as a process, and a receiver of its feed that shares nothing with the C code."""

import base64
import hashlib
import http.client
import json
import ssl
import subprocess

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

import harness

SIM = str(harness.BIN / "terminal-sim")
EVENT = "https://ngx-jd.example/event/"


def sim(*args, stdin=None, ok=True):
    """Runs terminal-sim; its standard output (bytes). `ok`: it must succeed; else (code, stderr)."""
    r = subprocess.run([SIM, *map(str, args)], input=stdin, capture_output=True, timeout=120,
                       env={**harness.os.environ, **harness.SAN_ENV})
    assert not harness.bad_lines(r.stderr.decode()), r.stderr.decode()
    if not ok:
        return r.returncode, r.stderr.decode()
    assert r.returncode == 0, r.stderr.decode()
    return r.stdout


def generate(n, *args):
    """`n` test orders as dicts."""
    return [json.loads(line) for line in sim("office", "generate", n, *args).splitlines()]


def ndjson(records):
    return "".join(json.dumps(r, ensure_ascii=False, separators=(",", ":")) + "\n" for r in records).encode()


def b64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)


class Office:
    """An office in world's folder. start() serves it; do() runs a control command, served or not."""

    def __init__(self, world, *init, idle_ms=25000):
        self.world = world
        self.dir = world.dir("office") / "d"
        self.idle_ms = idle_ms
        self.proc = None
        self.port = 0
        sim("office", "init", self.dir, *init)
        self.party = json.loads((self.dir / "party.json").read_text())

    def start(self):
        port_file = self.dir.parent / "port"
        port_file.unlink(missing_ok=True)
        self.proc = self.world.proc([SIM, "office", "serve", self.dir, "--port", self.port, "--port-file", port_file,
                                     "--idle", self.idle_ms], name="office-log")
        harness.wait_for(lambda: port_file.exists() or not self.proc.alive(), why="office serves")
        assert self.proc.alive(), self.proc.log()
        self.port = int(port_file.read_text())      # the same one after a restart
        self.base = f"https://127.0.0.1:{self.port}/v1"
        return self

    def stop(self):
        assert self.proc.stop() == 0, self.proc.log()

    # ---- its staff

    def do(self, command, *args, stdin=None):
        """A control command with --json; the answers as dicts."""
        out = sim("office", command, self.dir, *args, "--json", stdin=stdin)
        return [json.loads(line) for line in out.splitlines()]

    def refused(self, command, *args, stdin=None):
        """A control command that must be refused (exit code 1); what it said."""
        code, said = sim("office", command, self.dir, *args, stdin=stdin, ok=False)
        assert code == 1, said
        return said

    def publish(self, *records, baseline=False):
        return self.do("publish", "-", *(["--baseline"] if baseline else []), stdin=ndjson(records))

    def amend(self, *records):
        return self.do("amend", "-", stdin=ndjson(records))

    def lift(self, number, *measures):
        return self.do("lift", number, *(["--measures", ",".join(measures)] if measures else []))[0]

    def mark(self, number, objection):
        return self.do("mark", number, "--objection", str(objection).lower())[0]

    def fault(self, name, endpoint=None, times=None):
        more = (["--endpoint", endpoint] if endpoint else []) + (["--times", times] if times else [])
        return self.do("fault", name, *more)

    def clear(self):
        return self.do("fault", "--clear")

    def log(self, event=None):
        return [e for e in self.do("log") if event in (None, e["event"])]

    # ---- a receiver

    def connect(self, timeout=20, certificate=False):
        context = ssl.create_default_context(cafile=self.dir / "ca.pem")
        if certificate:
            context.load_cert_chain(self.dir / "client.pem", self.dir / "client.key")
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=timeout, context=context)

    def ask(self, method, path, body=None, headers=None, token=True, certificate=False, timeout=20):
        c = self.connect(timeout, certificate)
        headers = dict(headers or {})
        if token:
            headers["Authorization"] = "Bearer " + (self.dir / "token").read_text().strip()
        try:
            c.request(method, "/v1/" + path, None if body is None else json.dumps(body), headers)
            r = c.getresponse()
            return Answer(r.status, r.headers, r.read())
        finally:
            c.close()

    def keys(self):
        return {k["kid"]: k for k in json.loads((self.dir / "jwks.json").read_text())["keys"]}

    def verify(self, jws, typ):
        """Payload of a token, its signature verified against jwks.json. Raises when it does not."""
        header, payload, signature = jws.split(".")
        head = json.loads(b64(header))
        assert head["alg"] == "EdDSA" and head["typ"] == typ and set(head) == {"alg", "kid", "typ"}
        key = self.keys()[head["kid"]]
        Ed25519PublicKey.from_public_bytes(b64(key["x"])).verify(b64(signature), f"{header}.{payload}".encode())
        if key.get("jd_use") == "relief":
            assert typ == "secevent+jwt"
        claims = json.loads(b64(payload))
        assert claims["iss"] == self.party["iss"] and claims["aud"] == self.party["aud"]
        return claims

    def head(self):
        a = self.ask("GET", "head")
        assert a.status == 200 and a.headers["Content-Type"] == "application/jwt"
        return self.verify(a.body.decode(), "jd-head+jwt")

    def poll(self, lane, timeout=20, **body):
        body.setdefault("returnImmediately", True)
        a = self.ask("POST", lane, body, timeout=timeout)
        assert a.status == 200, a.body
        return a.json()

    def tokens(self, lane, **body):
        """Polls; [(jti, payload)] in the order of the answer, verified."""
        answer = self.poll(lane, **body)
        out = []
        for jti, jws in answer["sets"].items():
            payload = self.verify(jws, "secevent+jwt")
            assert payload["jti"] == jti and len(payload["events"]) == 1
            out.append((jti, payload))
        return out

    def snapshot(self, query=""):
        """Statement and records, fetched and checked against each other."""
        a = self.ask("GET", "snapshot" + query)
        assert a.status == 200, a.body
        claims = self.verify(a.body.decode(), "jd-snapshot+jwt")
        r = claims["records"]
        body = self.ask("GET", r["href"]).body
        assert r["sha256"] in r["href"]
        assert hashlib.sha256(body).hexdigest() == r["sha256"]
        assert len(body) == r["bytes"]
        records = [json.loads(line) for line in body.splitlines()]
        assert len(records) == r["count"]
        return claims, records


def event(payload):
    """(name, body) of a token's one event."""
    (name, body), = payload["events"].items()
    assert name.startswith(EVENT)
    return name[len(EVENT):], body
