"""The gate among nginx's other ways: redirects inside nginx, other phases, several lists, waiting."""

import http.server
import json
import socket
import struct
import threading

import pytest

from harness import request, wait_for
from httpgate import CLEAN, ENFORCE, KEY, LISTED, ORDER, PATRON, PATRON_ORDER, Gate, jd_status, raw, reason
from jdschema import Order, RedisList

GATE = f"jd_gate credit bus.ride; jd_subject card header:X-Card-No; {ENFORCE}"
DENIED = ("bus.ride", "listed", "denied")
CLEAR = ("bus.ride", "clear", "passed")


def variant(reload):
    return pytest.param(reload, id="reloaded" if reload else "fresh")


both = pytest.mark.parametrize("reload", [variant(False), variant(True)])


def start(world, server, reload=False, **kw):
    gate = Gate(world, server, **kw)
    if reload:
        gate.reload()
    return gate


@both
def test_internal_redirects(world, reload):
    """However a request gets to a gated location, it is decided there, and counted once."""
    gate = start(world, f"""
        root @DIR@/html;
        location /try {{ {GATE} try_files /none @app; }}
        location @app {{ {GATE} proxy_pass http://@B@; }}
        location /open_try {{ try_files /none @app; }}
        location /rewritten {{ rewrite ^ /target last; }}
        location /target {{ {GATE} proxy_pass http://@B@; }}
        location /accel {{ proxy_set_header X-Go /inside; proxy_pass http://@B@; }}
        location /gated_accel/ {{ {GATE} proxy_set_header X-Go /inside; proxy_pass http://@B@/accel; }}
        location /inside {{ internal; {GATE} proxy_pass http://@B@; }}
        location /page {{ error_page 404 /target; {GATE} }}
        location /open_page {{ error_page 404 = @app; }}
        location /index/ {{ {GATE} index nothing.html ../../target; }}
    """, reload)
    n = 0
    for path in ("/try", "/open_try", "/rewritten", "/target", "/accel", "/gated_accel/", "/page", "/open_page"):
        got = gate.get(path, LISTED)
        n += 1
        assert (got.status, reason(got)) == (403, "listed"), path
        assert gate.counts()[DENIED] == n, path
    n = 0
    for path in ("/try", "/open_try", "/rewritten", "/target", "/accel", "/gated_accel/", "/page", "/open_page"):
        got = gate.get(path, CLEAN)
        n += 1
        assert got.status in (200, 404) and jd_status(got)[0] is None, path
        assert gate.counts()[CLEAR] == n, path
    assert gate.counts()[DENIED] == 8
    assert gate.undecided() == 0


def test_redirect_changes_the_decision(world):
    """A second gate that differs in list, measure, person or dry run is decided by itself."""
    gate = start(world, f"""
        location /dry {{ jd_gate credit bus.ride; jd_subject card header:X-Card-No; error_page 404 = @enforce; }}
        location @enforce {{ {GATE} proxy_pass http://@B@; }}
        location /bus {{ {GATE} try_files /none @metro; }}
        location @metro {{ jd_gate credit metro.ride; jd_subject card header:X-Card-No; {ENFORCE}
                           proxy_pass http://@B@; }}
        location /person {{ jd_gate credit bus.ride; jd_subject card arg:card; {ENFORCE}
                            rewrite ^ /x?card=$http_x_other? break; try_files /none /other?card=$http_x_other; }}
        location /other {{ jd_gate credit bus.ride; jd_subject card arg:card; {ENFORCE} proxy_pass http://@B@; }}
    """)
    gate.list.put("card:7", [Order("CS-7", ["metro.ride"])])
    wait_for(lambda: gate.get("/bus", "7").status == 403)
    assert gate.get("/dry", LISTED).status == 403
    c = gate.counts()
    assert c[("bus.ride", "listed", "denied_dry_run")] == 1 and c[DENIED] == 1
    assert gate.get("/bus", LISTED).status == 403
    r = gate.get("/person?card=" + CLEAN, headers=[("X-Other", LISTED)])
    assert r.status == 403


@both
def test_denial_pages(world, reload):
    """jd_answer off leaves the answer to error_page, with the variables; the page's own gate does not ask again."""
    gate = start(world, f"""
        location /named {{ {GATE} jd_answer off; error_page 403 = @page; proxy_pass http://@B@; }}
        location @page {{ add_header X-Jd "$jd_status $jd_reason $jd_order $jd_measure" always;
                          return 402 "order $jd_order until $jd_until contest $jd_contest repair $jd_repair"; }}
        location /gated {{ {GATE} jd_answer off; error_page 403 /denied/page; proxy_pass http://@B@; }}
        location /denied/ {{ {GATE} proxy_pass http://@B@; }}
        location /plain {{ {GATE} jd_answer off; proxy_pass http://@B@; }}
        location /built_in {{ {GATE} error_page 403 /denied/page; proxy_pass http://@B@; }}
    """, reload)
    r = gate.get("/named", LISTED)
    assert r.status == 402 and jd_status(r)[0] == "DENIED"
    assert r.headers["X-Jd"] == "DENIED listed CS-2026-000123 bus.ride"
    assert r.body == (b"order CS-2026-000123 until 2029-11-22T08:00:00+08:00 contest https://credit.example/contest"
                      b" 12345 repair https://credit.example/repair")
    r = gate.get("/gated", LISTED)
    assert r.status == 403 and r.json()["target"] == "/denied/page" and r.headers["JD-Status"].startswith("DENIED;")
    r = gate.get("/plain", LISTED)
    assert r.status == 403 and b"nginx" in r.body and jd_status(r)[0] == "DENIED"
    assert gate.get("/built_in", LISTED).headers["Content-Type"].startswith("application/problem+json")
    assert gate.counts()[DENIED] == 4
    assert gate.get("/named", CLEAN).status == 200


@both
def test_other_phases(world, reload):
    """auth_request, satisfy any, limit_req and deny beside the gate: each does what it does alone."""
    http = "limit_req_zone $server_port zone=one:1m rate=1r/m;"
    server = f"""
        location /with_auth {{ {GATE} auth_request /check; proxy_pass http://@B@; }}
        location = /check {{ internal; proxy_pass http://@B@/auth; proxy_pass_request_body off;
                             proxy_set_header Content-Length ""; }}
        location /gated_check {{ auth_request /check2; proxy_pass http://@B@; }}
        location = /check2 {{ internal; {GATE} proxy_pass http://@B@/auth; }}
        location /any {{ {GATE} satisfy any; allow all; deny all; proxy_pass http://@B@; }}
        location /deny {{ {GATE} deny all; proxy_pass http://@B@; }}
        location /limit {{ {GATE} limit_req zone=one burst=1 nodelay; proxy_pass http://@B@; }}
        location /bodyauth {{ jd_gate credit bus.ride; jd_subject card json:/card; {ENFORCE}
                              auth_request /check; proxy_pass http://@B@; }}
    """
    gate = Gate(world, server, http)
    if reload:
        gate.reload()
    gate.list.put("card:5", [Order("CS-5", ["metro.ride"])])       # asked in Redis, then passed
    wait_for(lambda: reason(gate.get("/any", "5")) in ("clear", "other_measure"))
    for path in ("/with_auth", "/any"):
        assert gate.get(path, LISTED).status == 403
        assert gate.get(path, CLEAN).status == 200
        assert gate.get(path, "5").status == 200
    assert gate.get("/gated_check", LISTED).status == 200           # subrequests are not gated
    assert gate.get("/deny", CLEAN).status == 403
    assert jd_status(gate.get("/deny", LISTED))[0] == "DENIED"
    body = json.dumps({"card": CLEAN}).encode()
    r = gate.nginx.post("/bodyauth", body)
    assert r.status == 200 and bytes.fromhex(r.json()["body"]) == body
    assert gate.nginx.post("/bodyauth", json.dumps({"card": LISTED}).encode()).status == 403
    before = gate.counts()[DENIED]
    codes = [gate.get("/limit", LISTED).status for _ in range(5)]
    assert codes == [403, 403, 503, 503, 503]                       # the flood costs no decisions
    assert gate.counts()[DENIED] == before + 2
    assert gate.undecided() == 3


def test_return_is_counted(world):
    """What nginx -t cannot see: answered before the gate, counted as undecided."""
    gate = start(world, f"location / {{ {GATE} if ($arg_quick) {{ return 204; }} proxy_pass http://@B@; }}")
    assert gate.get("/?quick=1", LISTED).status == 204
    assert gate.get("/", LISTED).status == 403
    assert gate.undecided() == 1


@both
def test_fastcgi(world, reload):
    """Parameters of a FastCGI backend: JD-Status reaches it as HTTP_JD_STATUS, a forged one does not."""
    seen = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                s, _ = listener.accept()
            except OSError:
                return
            with s:
                params = body = b""
                data = s.makefile("rb")          # closed below: the backend ends the connection
                while True:
                    head = data.read(8)
                    if len(head) < 8:
                        break
                    _, kind, _, size, pad = struct.unpack(">BBHHBx", head)
                    content = data.read(size)
                    data.read(pad)
                    params += content if kind == 4 else b""
                    body += content if kind == 5 else b""
                    if kind == 5 and size == 0:
                        break
                seen.append((params, body))
                out = b"Status: 200\r\nContent-Type: text/plain\r\n\r\nok"
                s.sendall(struct.pack(">BBHHBx", 1, 6, 1, len(out), 0) + out
                          + struct.pack(">BBHHBx", 1, 3, 1, 8, 0) + bytes(8))
                data.close()

    threading.Thread(target=serve, daemon=True).start()
    port = listener.getsockname()[1]
    gate = start(world, f"""underscores_in_headers on;
        location / {{ jd_gate credit bus.ride; jd_subject card form:card; {ENFORCE}
                      fastcgi_param REQUEST_METHOD $request_method; fastcgi_pass 127.0.0.1:{port}; }}""", reload)
    assert gate.nginx.post("/", b"card=" + LISTED.encode()).status == 403
    forged = [("JD-Status", "PASSED;reason=forged"), ("Jd_Status", "forged"), ("X-Last", "yes")]
    assert gate.nginx.post("/", b"card=" + CLEAN.encode(), forged).status == 200
    params, body = seen[-1]
    assert body == b"card=" + CLEAN.encode() and b"JD_STATUS" not in params and b"X_LAST" in params
    assert gate.nginx.post("/", b"x=1", forged).status == 200
    params, body = seen[-1]
    assert params.count(b"JD_STATUS") == 1 and b"no_subject" in params and b"forged" not in params
    listener.close()


def test_inbound_header(world):
    """What the client calls JD-Status never reaches a backend of a gated location, in whatever place it stands."""
    gate = start(world, f"underscores_in_headers on; location / {{ {GATE} proxy_pass http://@B@; }}")
    mine = [("JD-Status", "a"), ("jd-status", "b"), ("JD_STATUS", "c"), ("jd_Status", "d")]
    for n in (0, 1, 18, 19, 20, 21, 45):
        other = [(f"X-H{i}", str(i)) for i in range(n)]
        for headers in (mine + other, other + mine, [h for pair in zip(mine, other) for h in pair]):
            for card in (CLEAN, None):
                r = gate.get("/", card, headers=headers)
                got = [(k, v) for k, v in r.json()["headers"]]
                status = [v for k, v in got if k.lower().replace("_", "-") == "jd-status"]
                assert [v.split(";")[1] for v in status] == ([] if card else ["reason=no_subject"])
                sent = [h for h in headers if h[0].startswith("X-H")]
                assert [h for h in got if h[0].startswith("X-H")] == sent


@both
def test_backend_is_told(world, reload):
    """JD-Status to the backend on every pass that was not clear, with well-formed parameters."""
    gate = start(world, f"location / {{ {GATE} jd_exempt $http_x_free; proxy_pass http://@B@; }}", reload)
    assert jd_status(gate.get("/", CLEAN)) == (None, {})
    word, params = jd_status(gate.get("/"))
    assert word == "PASSED" and params["reason"] == "no_subject" and params["list"] == "credit"
    assert params["measure"] == "bus.ride" and int(params["age"]) >= 0
    assert "id" not in params           # no order, nothing to look up
    assert reason(gate.get("/", LISTED, headers=[("X-Free", "1")])) == "exempt"
    gate.list.put("card:9", [Order("CS-9", ["bus.ride"], observe=True)])
    wait_for(lambda: reason(gate.get("/", "9")) == "observe")
    gate.list.lift(ORDER.number)
    assert reason(gate.get("/", LISTED)) == "lifted"


@both
def test_several_lists(world, reload):
    """Decided in turn, the first denial wins; all of one person."""
    other = world.redis()
    second = RedisList(other.client(), list="library", key=KEY)
    second.refill({f"card:{LISTED}": [Order("LB-1", ["library.checkout"])], "card:55": [Order("LB-2", ["bus.ride"])]})
    gate = Gate(world, f"""
        location / {{ jd_gate credit bus.ride; jd_gate library bus.ride; jd_gate library library.checkout;
                      jd_subject card header:X-Card-No; {ENFORCE} proxy_pass http://@B@; }}
        location /turn {{ jd_gate library library.checkout; jd_gate credit bus.ride;
                      jd_subject card header:X-Card-No; {ENFORCE} proxy_pass http://@B@; }}
        location /dry {{ jd_gate library library.checkout; jd_gate credit bus.ride;
                      jd_subject card header:X-Card-No; proxy_pass http://@B@; }}""",
                lists=f"list library {{ redis 127.0.0.1:{other.port}; zone 1m; timeout 5s; max_stale 1h; }}")
    gate.ready("library")
    if reload:
        gate.reload()
        gate.ready("library")
    assert gate.get("/", LISTED).json()["order"] == ORDER.number
    assert gate.get("/turn", LISTED).json()["order"] == "LB-1"
    assert gate.get("/", "55").json()["order"] == "LB-2"
    assert gate.get("/", CLEAN).status == 200
    credit, library = gate.counts("credit"), gate.counts("library")
    assert credit[DENIED] == 1 and credit[CLEAR] == 2
    assert library[("library.checkout", "listed", "denied")] == 1 and library[DENIED] == 1
    r = gate.get("/dry", LISTED)
    assert r.status == 200 and jd_status(r)[0] == "DENIED_DRY_RUN" and jd_status(r)[1]["list"] == "library"
    assert gate.counts("credit")[("bus.ride", "listed", "denied_dry_run")] == 1
    other.stop()
    gate.list.lift(ORDER.number)
    assert gate.get("/", LISTED).status == 200


def test_waiting(world):
    """A hanging Redis holds the listed request alone, for the timeout; who goes away is forgotten."""
    gate = Gate(world, f"location / {{ {GATE} proxy_pass http://@B@; }}")
    gate.redis.hang()
    try:
        with socket.create_connection(("127.0.0.1", gate.nginx.port), timeout=10) as s:
            s.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nX-Card-No: " + LISTED.encode() + b"\r\n\r\n")
            for _ in range(5):
                assert gate.get("/", CLEAN).status == 200
        wait_for(lambda: " 499 " in (gate.nginx.folder / "logs/access.log").read_text(), why="the closed client")
        r = gate.get("/", LISTED, timeout=20)
        assert (r.status, reason(r)) == (200, "unconfirmed")
    finally:
        gate.redis.go_on()
    wait_for(lambda: gate.get("/", LISTED, timeout=20).status == 403, 20)


def test_pipelined_while_waiting(world):
    """A client that sends its next request while the first waits for Redis."""
    gate = Gate(world, f"location / {{ {GATE} proxy_pass http://@B@; }}")
    one = b"GET / HTTP/1.1\r\nHost: a\r\nX-Card-No: %s\r\n%s\r\n"
    got = raw(gate.nginx.port, one % (LISTED.encode(), b"") * 3 + one % (CLEAN.encode(), b"Connection: close\r\n"))
    assert [int(p[:3]) for p in got.split(b"HTTP/1.1 ")[1:]] == [403, 403, 403, 200]


def test_reload_while_waiting(world):
    """A request that waits for Redis across a reload is answered by the old worker."""
    gate = Gate(world, f"location / {{ {GATE} proxy_pass http://@B@; }}")
    gate.redis.hang()
    try:
        with socket.create_connection(("127.0.0.1", gate.nginx.port), timeout=20) as s:
            s.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Card-No: " + LISTED.encode() + b"\r\n\r\n")
            wait_for(lambda: any(c for c in gate.nginx.worker_pids()))
            gate.nginx.reload()
            assert s.recv(100).startswith(b"HTTP/1.1 200")
    finally:
        gate.redis.go_on()


def test_variables_and_log(world):
    """Variables in the access log, in subrequests and where there is no gate; the log names no identifier."""
    http = """log_format jd '$uri|$jd_status|$jd_reason|$jd_list|$jd_measure|$jd_order|$jd_list_age|$jd_decision_id';
              access_log @DIR@/logs/jd.log jd;"""
    gate = Gate(world, f"""
        location /open {{ proxy_pass http://@B@; }}
        location / {{ {GATE} jd_log_level warn; proxy_pass http://@B@; }}
        location /arg {{ jd_gate credit bus.ride; jd_subject card arg:card; {ENFORCE} jd_log_level warn;
                         proxy_pass http://@B@; }}""", http)
    denied = gate.get("/", LISTED)
    gate.get("/", CLEAN)
    gate.get("/open", LISTED)
    gate.get("/arg?card=" + LISTED)
    gate.get("/arg?card=" + CLEAN + "&card=" + LISTED)
    path = gate.nginx.folder / "logs/jd.log"
    lines = wait_for(lambda: [x for x in path.read_text().splitlines() if not x.startswith("/jd/")][4:] and
                     [x.split("|") for x in path.read_text().splitlines() if not x.startswith("/jd/")])
    assert lines[0][:6] == ["/", "DENIED", "listed", "credit", "bus.ride", "CS-2026-000123"]
    assert lines[0][7] == jd_status(denied)[1]["id"] == denied.json()["decision_id"]
    assert lines[1][:6] == ["/", "PASSED", "clear", "credit", "bus.ride", "-"] and lines[1][6].isdigit()
    assert lines[2] == ["/open"] + ["-"] * 7
    log = gate.nginx.errors()
    assert f'jd: denied by list "credit", measure "bus.ride", decision {lines[0][7]}' in log
    assert 'jd: malformed subject in "arg:card", list "credit", measure "bus.ride"' in log
    assert LISTED not in log and "CS-2026" not in log


def test_one_worker_many_requests(world):
    """Waiting and passing requests side by side on many connections: each gets its own answer."""
    gate = Gate(world, f"location / {{ {GATE} proxy_pass http://@B@; }}", workers=2)
    wrong = []

    def run(card, want):
        for _ in range(30):
            status = request(gate.nginx.port, "/", headers=[("X-Card-No", card)]).status
            if status != want:
                wrong.append((card, status))

    threads = [threading.Thread(target=run, args=(LISTED if i % 2 else CLEAN, 403 if i % 2 else 200)) for i in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong
    c = gate.counts()
    assert c[DENIED] == 90 and c[CLEAR] == 90
