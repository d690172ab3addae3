"""Bodies: read when needed and only then, in every form, and byte for byte at the backend."""

import json
import os
import socket

import pytest

from h2client import H2
from harness import free_port, request, wait_for
from httpgate import CLEAN, ENFORCE, LISTED, Gate, jd_status, raw, reason

JSON = [("Content-Type", "application/json")]
GATE = f"jd_gate credit bus.ride; jd_subject card json:/card; {ENFORCE}"

SERVER = f"""
client_body_buffer_size 4k; client_max_body_size 300k;
location / {{ {GATE} jd_body_max 200k; proxy_pass http://@B@; }}
location /small {{ {GATE} proxy_pass http://@B@; }}
location /file {{ {GATE} jd_body_max 200k; client_body_in_file_only clean; proxy_pass http://@B@; }}
location /single {{ {GATE} jd_body_max 200k; client_body_in_single_buffer on; proxy_pass http://@B@; }}
location /header {{ jd_gate credit bus.ride; jd_subject card header:X-Card-No; {ENFORCE}
    proxy_request_buffering off; proxy_http_version 1.1; proxy_pass http://@B@; }}
location /static {{ {GATE} empty_gif; }}
"""


def doc(card, size=0):
    """A JSON document of about `size` bytes with every kind of byte that JSON may hold."""
    pad = ("\u20ac\U0001f68c\t\x7f" * (size // 9 + 1))
    return json.dumps({"pad": pad, "card": card}, ensure_ascii=False).encode()


def chunks(body, size):
    out = b"".join(b"%x;x=y\r\n%s\r\n" % (len(body[i:i + size]), body[i:i + size])
                   for i in range(0, len(body), size))
    return out + b"0\r\n\r\n"


@pytest.mark.parametrize("reload", [False, True])
def test_sizes_and_storage(world, reload):
    gate = Gate(world, SERVER)
    if reload:
        gate.reload()
    for path in ("/", "/file", "/single"):
        for size in (0, 1000, 3900, 4096, 30000, 150000):
            body = doc(CLEAN, size)
            r = gate.nginx.post(path, body, JSON)
            assert (r.status, reason(r)) == (200, "clear"), (path, size)
            assert bytes.fromhex(r.json()["body"]) == body
            r = gate.nginx.post(path, doc(LISTED, size), JSON)
            assert (r.status, reason(r)) == (403, "listed"), (path, size)


def test_chunked(world):
    gate = Gate(world, SERVER)
    for size in (10, 5000, 100000):
        for card, want in ((CLEAN, 200), (LISTED, 403)):
            body = doc(card, size)
            got = raw(gate.nginx.port, b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked"
                      b"\r\n\r\n" + chunks(body, 1777))
            assert got.startswith(b"HTTP/1.1 %d" % want), got[:200]
            if want == 200:
                assert gate.backend.seen[-1][3] == body
    got = raw(gate.nginx.port, b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked"
              b"\r\n\r\n" + chunks(doc(LISTED, 220000), 8000))
    assert got.startswith(b"HTTP/1.1 200")          # over jd_body_max: malformed
    assert gate.counts()[("bus.ride", "malformed", "passed")] == 1


def test_slow_body(world):
    """A body that comes in pieces: the request waits for it without holding the worker."""
    gate = Gate(world, SERVER)
    body = doc(LISTED, 6000)
    with socket.create_connection(("127.0.0.1", gate.nginx.port), timeout=10) as s:
        s.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body))
        for i in range(0, len(body), 1500):
            s.sendall(body[i:i + 1500])
            assert gate.nginx.post("/", doc(CLEAN), JSON).status == 200
        assert s.recv(100).startswith(b"HTTP/1.1 403")
    with socket.create_connection(("127.0.0.1", gate.nginx.port), timeout=10) as s:
        s.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\n" + b"x" * 100)
    wait_for(lambda: "499" in (gate.nginx.folder / "logs/access.log").read_text() or
             "400" in (gate.nginx.folder / "logs/access.log").read_text(), why="the client that went away is noticed")
    assert gate.nginx.post("/", doc(LISTED), JSON).status == 403


def test_expect(world):
    gate = Gate(world, SERVER)
    for card, want in ((CLEAN, b"HTTP/1.1 200"), (LISTED, b"HTTP/1.1 403")):
        body = doc(card, 5000)
        with socket.create_connection(("127.0.0.1", gate.nginx.port), timeout=10) as s:
            s.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: 100-continue\r\n"
                      b"Content-Length: %d\r\n\r\n" % len(body))
            assert s.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
            s.sendall(body)
            assert s.recv(4096).startswith(want)


def test_keepalive(world):
    """One connection carries denied and passed requests; unread bodies are taken off it."""
    gate = Gate(world, SERVER)
    one = b""
    want = []
    for path, card, code in ((b"/", LISTED, 403), (b"/", CLEAN, 200), (b"/small", LISTED, 403),
                             (b"/header", LISTED, 403), (b"/header", CLEAN, 200), (b"/", LISTED, 403)):
        body = doc(card, 50)
        one += (b"POST %s HTTP/1.1\r\nHost: a\r\nX-Card-No: %s\r\nContent-Length: %d\r\n\r\n"
                % (path, card.encode(), len(body))) + body
        want.append(code)
    got = raw(gate.nginx.port, one + b"GET /header HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    codes = [int(p[:3]) for p in got.split(b"HTTP/1.1 ")[1:]]
    assert codes == [*want, 200]


def test_not_read_when_not_needed(world):
    """A header subject: the body streams through unread; an exempt request's is not read either."""
    gate = Gate(world, SERVER + f"location /free {{ {GATE} jd_exempt $http_x_free; empty_gif; }}")
    body = doc(CLEAN, 100000)
    with socket.create_connection(("127.0.0.1", gate.nginx.port), timeout=10) as s:
        s.sendall(b"POST /header HTTP/1.1\r\nHost: a\r\nX-Card-No: %s\r\nContent-Length: %d\r\n\r\n"
                  % (LISTED.encode(), len(body)))
        assert s.recv(100).startswith(b"HTTP/1.1 403")          # before one byte of the body
        s.sendall(body)
    with socket.create_connection(("127.0.0.1", gate.nginx.port), timeout=10) as s:
        s.sendall(b"POST /free HTTP/1.1\r\nHost: a\r\nX-Free: 1\r\nContent-Length: 50\r\n\r\n")
        assert s.recv(100).startswith(b"HTTP/1.1 405")          # empty_gif takes no POST; nothing was waited for
    assert gate.counts()[("bus.ride", "exempt", "passed")] == 1


def test_over_body_max(world):
    """Declared longer than jd_body_max: malformed at once, the body goes to the backend unread by the gate."""
    gate = Gate(world, SERVER)
    body = doc(LISTED, 5000)                                    # default: the body buffer, 4k
    r = gate.nginx.post("/small", body, JSON)
    assert (r.status, reason(r)) == (200, "malformed")
    assert bytes.fromhex(r.json()["body"]) == body
    assert gate.nginx.post("/small", doc(LISTED, 100), JSON).status == 403


def test_dry_run_changes_nothing(world):
    """Under dry run a request is answered as without a gate, by body limits, bad bodies and parse errors too."""
    location = "empty_gif;"
    gates = "jd_gate credit bus.ride; jd_subject card json:/card; jd_body_max 100; jd_malformed reject;"
    gate = Gate(world, f"""
        client_max_body_size 1k;
        location /dry/gif {{ {gates} {location} }} location /bare/gif {{ {location} }}
        location /dry/pass {{ {gates} proxy_pass http://@B@/x; }} location /bare/pass {{ proxy_pass http://@B@/x; }}
        location /dry/stream {{ {gates} proxy_request_buffering off; proxy_http_version 1.1; proxy_pass http://@B@/x; }}
        location /bare/stream {{ proxy_request_buffering off; proxy_http_version 1.1; proxy_pass http://@B@/x; }}
    """)
    head = b"%s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
    te = b"Transfer-Encoding: chunked\r\n\r\n"
    tails = [te + chunks(doc(CLEAN, 5000), 900), te + chunks(doc(LISTED), 9), te + b"zz\r\n",
             b"Content-Length: 5000\r\n\r\n" + b"x" * 5000, b"Content-Length: 3\r\n\r\nabc",
             b"Content-Length: 500\r\n\r\n" + b"[" * 500, b"\r\n",
             b"Content-Length: %d\r\n\r\n%s" % (len(doc(LISTED)), doc(LISTED))]
    for what in (b"gif", b"pass", b"stream"):
        for method in (b"GET", b"POST"):
            for tail in tails:
                line = [raw(gate.nginx.port, head % (method + b" /" + kind + b"/" + what) + tail).split(b"\r\n")[0]
                        for kind in (b"dry", b"bare")]
                assert line[0] == line[1], (what, method, tail[:60])
    assert any(k[2] == "denied_dry_run" for k in gate.counts())
    assert not any(k[2] in ("denied", "rejected") for k in gate.counts())


def test_http2(world):
    """HTTP/2: with and without Content-Length, small and large bodies, denials on a shared connection."""
    other = free_port()
    gate = Gate(world, f"listen 127.0.0.1:{other} http2; {SERVER}")
    c = wait_for(lambda: H2.connect(other))
    for length in (True, False):
        for size in (0, 3000, 40000):
            for card, want in ((CLEAN, 200), (LISTED, 403)):
                body = doc(card, size)
                status, headers, answer = c.request("POST", "/", JSON, body, length=length)
                assert status == want, (length, size, card, answer[:200])
                if want == 200:
                    assert bytes.fromhex(json.loads(answer)["body"]) == body
    assert c.request("GET", "/header", [("x-card-no", LISTED)])[0] == 403
    assert c.request("GET", "/header", [("x-card-no", CLEAN)])[0] == 200
    several = [c.send("GET", "/header", [("x-card-no", LISTED if i % 2 else CLEAN)]) for i in range(20)]
    assert [c.answer(s)[0] for s in several] == [200, 403] * 10
    s = c.send("POST", "/", JSON, doc(LISTED, 20000)[:5000], end=False)
    c.reset(s)
    assert c.request("GET", "/header", [("x-card-no", LISTED)])[0] == 403
    c.close()


def test_cookie_split_by_http2(world):
    other = free_port()
    gate = Gate(world, f"""listen 127.0.0.1:{other} http2;
        location / {{ jd_gate credit bus.ride; jd_subject card cookie:card; {ENFORCE} proxy_pass http://@B@; }}""")
    assert gate.get("/").status == 200
    c = wait_for(lambda: H2.connect(other))
    assert c.request("GET", "/", [("cookie", "a=b"), ("cookie", "card=" + LISTED), ("cookie", "c=d")])[0] == 403
    status, _, answer = c.request("GET", "/", [("cookie", "card=" + CLEAN), ("cookie", "card=" + LISTED)])
    assert status == 200 and b"malformed" in answer
    c.close()


def test_random_bytes(world):
    """Whatever the bytes: the answer is the backend's, and the backend has the bytes."""
    gate = Gate(world, SERVER)
    for i in range(40):
        body = os.urandom(50 + i * 37)
        r = request(gate.nginx.port, "/", "POST", JSON, body)
        assert r.status == 200 and bytes.fromhex(r.json()["body"]) == body
        assert jd_status(r)[1]["reason"] == "malformed"
