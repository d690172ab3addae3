"""Directives of the gate: wrong use at nginx -t, what it lists, and inheritance."""

import pytest

from httpgate import CLEAN, ENFORCE, KEY, LISTED, Gate, jd_status, reason

JD = "list credit {{ redis 127.0.0.1:1; zone 1m; }} ledger @DIR@/ledger 64k gateway=gw1; key_file {key};"
GATE = "jd_gate credit bus.ride; jd_subject card header:X-Card-No;"
PASS = "proxy_pass http://127.0.0.1:1;"


def nginx_t(world, server, http="", jd=None):
    key = world.key_file(("k1", KEY))
    text = JD.format(key=key) if jd is None else jd
    n = world.nginx(text, f"{http} server {{ listen 127.0.0.1:@PORT@; server_name bus.example; {server} }}",
                    start=False)
    code, said = n.test()
    return code, said + n.errors(), str(n.conf_path)


WRONG = [
    ("jd_gate;", 'invalid number of arguments in "jd_gate"'),
    ("jd_gate credit;", '"jd_gate" needs a list and a measure, or "off"'),
    ("jd_gate credit bus.fly;", 'unknown measure "bus.fly" in "jd_gate", known are: bus.ride metro.ride'),
    ("jd_gate Credit bus.ride;", 'invalid list name "Credit"'),
    ("jd_gate debit bus.ride; jd_subject card header:A;", "debit"),
    ("jd_gate off; jd_gate credit bus.ride;", '"jd_gate" directive is duplicate'),
    ("jd_gate credit bus.ride; jd_gate off;", '"jd_gate" directive is duplicate'),
    ("jd_gate credit bus.ride; jd_gate credit bus.ride;", '"jd_gate" directive is duplicate'),
    ("jd_gate credit bus.ride;", '"jd_gate" in location "/x" of server "bus.example" has no "jd_subject"'),
    ("jd_counter;", 'invalid number of arguments in "jd_counter"'),
    ("jd_counter Credit;", 'invalid list name "Credit" in "jd_counter"'),
    ("jd_counter debit; jd_subject card header:A;", "debit"),
    ("jd_counter credit; jd_counter credit;", '"jd_counter" directive is duplicate'),
    ("jd_counter credit;", '"jd_counter" in location "/x" of server "bus.example" has no "jd_subject"'),
    (GATE + "jd_counter credit;", '"jd_counter" beside "jd_gate"'),
    ("jd_counter credit;" + GATE, '"jd_counter" beside "jd_gate"'),
    ("jd_counter credit; jd_subject card header:A; return 204;", '"jd_counter" in location "/x" of server "bus.example" is never reached'),
    ("jd_counter credit; jd_subject card json:/c; proxy_request_buffering off;" + PASS, '"proxy_request_buffering off" in location "/x"'),
    ("jd_subject card;", 'invalid number of arguments in "jd_subject"'),
    ("jd_subject passport header:A;", 'unknown scheme "passport" in "jd_subject", known are: cnid, uscc'),
    ("jd_subject card body:A;", 'invalid place "body:A" in "jd_subject"'),
    ("jd_subject card header:;", 'invalid place "header:"'),
    ("jd_subject card header:X@Y;", "invalid header name"),
    ("jd_subject card json:card;", "invalid JSON pointer"),
    ("jd_subject card json:/a~2;", "invalid JSON pointer"),
    ("jd_subject card value:123;", "has no variable"),
    ("jd_subject card value:$nosuch;", 'unknown "nosuch" variable'),
    ("jd_subject card header:A; jd_subject card header:A;", '"jd_subject" directive is duplicate'),
    ("".join(f"jd_subject card header:A{i};" for i in range(9)), 'too many "jd_subject" lines, at most 8'),
    (GATE + "jd_dry_run off;", '"jd_dry_run off" in location "/x" of server "bus.example" needs "jd_contest"'),
    ("jd_dry_run maybe;", 'invalid value "maybe" in "jd_dry_run"'),
    ("jd_contest ftp://x;", 'invalid parameter "ftp://x" in "jd_contest"'),
    ("jd_contest phone=;", 'invalid parameter "phone="'),
    ("jd_contest https://a https://b;", 'invalid parameter "https://b"'),
    ("jd_contest https://a; jd_contest https://a;", '"jd_contest" directive is duplicate'),
    ("jd_malformed deny;", 'invalid value "deny"'),
    ("jd_deny_status 200;", '"jd_deny_status" must be between 400 and 493'),
    ("jd_deny_status 503;", '"jd_deny_status" must be between 400 and 493'),
    ("jd_deny_status 401;", '"jd_deny_status" must be between 400 and 493'),
    ("jd_deny_status 444;", '"jd_deny_status" must be between 400 and 493'),
    ("jd_answer html;", 'invalid value "html"'),
    ("jd_log_level loud;", 'invalid value "loud"'),
    ("jd_body_max lots;", '"jd_body_max" directive invalid value'),
    ("jd_exempt;", 'invalid number of arguments in "jd_exempt"'),
    ("jd_status xml;", 'invalid format "xml" in "jd_status"'),
    ("jd_status; jd_status;", '"jd_status" directive is duplicate'),
    (GATE + ENFORCE + "return 204;", "is never reached: \"return\" answers before it"),
    (GATE + ENFORCE + "set $a 1; return 204;", "is never reached"),
    ("jd_gate credit bus.ride; jd_subject card json:/c;" + ENFORCE + "proxy_request_buffering off;" + PASS,
     '"proxy_request_buffering off" in location "/x"'),
    ("jd_gate credit bus.ride; jd_subject card form:c;" + ENFORCE
     + "fastcgi_request_buffering off; fastcgi_pass 127.0.0.1:1;", '"fastcgi_request_buffering off" in location "/x"'),
]


def test_wrong_use(world):
    wrong = []
    for text, message in WRONG:
        code, said, path = nginx_t(world, f"location /x {{ {text} }}")
        if code == 0 or message not in said:
            wrong.append(f"{text}\n   want: {message}\n   said: {said}")
        elif f" in {path}:" not in said and "nosuch" not in text:     # nginx's own error has no line
            wrong.append(f"{text}: no file and line: {said}")
    world.allow.append(r"\[emerg\]")
    assert not wrong, "\n".join(wrong)


def test_unbuffered_is_inherited(world):
    """The other modules' settings are looked at after they are merged."""
    world.allow.append(r"\[emerg\]")
    server = ("proxy_request_buffering off; location /x { jd_gate credit bus.ride; jd_subject card json:/c;"
              + ENFORCE + PASS + "}")
    code, said, _ = nginx_t(world, server)
    assert code != 0 and "proxy_request_buffering off" in said


def test_a_counter_where_a_gate_is_inherited(world):
    """Refused, as it would open what is gated; said clearly it stands."""
    world.allow.append(r"\[emerg\]")
    inside = "location /x {{ jd_counter credit; {} {} }}"
    for where in ("server", "http"):
        outer = GATE if where == "server" else ""
        http = GATE if where == "http" else ""
        code, said, _ = nginx_t(world, outer + inside.format("", PASS), http)
        assert code != 0 and '"jd_counter" beside "jd_gate"' in said and '"jd_gate off"' in said, said
        code, said, _ = nginx_t(world, outer + inside.format("jd_gate off;", PASS), http)
        assert code == 0 and 'jd: location "/x" of server "bus.example", list "credit": counter' in said, said
    code, said, _ = nginx_t(world, "jd_counter credit;")
    assert code != 0 and '"jd_counter" directive is not allowed here' in said, said


def test_list_and_warnings(world):
    """nginx -t lists what an operator answers for, and warns of what he may not know."""
    server = f"""
        location /a {{ {GATE} {ENFORCE} {PASS} }}
        location /b {{ {GATE} jd_gate credit metro.ride; {PASS} }}
        location /c {{ jd_gate credit bus.ride; jd_subject card arg:card; {PASS} }}
        location /d {{ {GATE} return 204; }}
        location /e {{ {GATE} {ENFORCE} if ($arg_x) {{ return 204; }} {PASS} }}
        location /f {{ {GATE} {ENFORCE} rewrite ^/f/old /new redirect; {PASS} }}
        location /g {{ jd_gate credit bus.ride; jd_subject card json:/c; proxy_request_buffering off; {PASS} }}
        location /h {{ jd_gate off; {PASS} }}
    """
    code, said, _ = nginx_t(world, server)
    assert code == 0, said
    for line in ('jd: location "/a" of server "bus.example", list "credit", measure "bus.ride": enforcing',
                 'jd: location "/b" of server "bus.example", list "credit", measure "bus.ride": dry run',
                 'jd: location "/b" of server "bus.example", list "credit", measure "metro.ride": dry run',
                 '"jd_subject" of location "/c" of server "bus.example" takes an identifier from an argument',
                 '"jd_gate" in location "/d" of server "bus.example" is never reached: "return"',
                 '"jd_gate" in location "/f" of server "bus.example" is not reached by requests that a "rewrite"',
                 '"proxy_request_buffering off" in location "/g" of server "bus.example": the dry run'):
        assert line in said, (line, said)
    assert 'never reached' not in "".join(line for line in said.splitlines(True) if '"/e"' in line)
    assert "/h" not in said.replace("/html", "")


def test_http_before_jd(world):
    """Lists may be named before they are defined."""
    n = world.nginx(None, start=False)
    key = world.key_file(("k1", KEY))
    text = n.conf_path.read_text()
    text += f"\njd {{ key_file {key}; list credit {{ redis 127.0.0.1:1; zone 1m; }} }}\n"
    text = text.replace("http {", f"http {{ server {{ listen 127.0.0.1:{n.port}; location / {{ {GATE} {PASS} }} }}")
    n.conf_path.write_text(text)
    code, said = n.test()
    assert code == 0, said


@pytest.mark.parametrize("reload", [False, True])
def test_inheritance(world, reload):
    """Gates, subjects and exemptions are replaced by those of an inner level; the rest value by value."""
    server = f"""
        jd_gate credit bus.ride; jd_subject card header:X-Card-No; {ENFORCE} jd_deny_status 451;
        jd_exempt $http_x_free;
        location / {{ proxy_pass http://@B@; }}
        location /off {{ jd_gate off; proxy_pass http://@B@; }}
        location /metro {{ jd_gate credit metro.ride; proxy_pass http://@B@; }}
        location /arg {{ jd_subject card arg:card; proxy_pass http://@B@; }}
        location /dry {{ jd_dry_run on; proxy_pass http://@B@;
            location /dry/not {{ jd_dry_run off; jd_deny_status 403; proxy_pass http://@B@; }} }}
        location /exempt {{ jd_exempt $http_x_other; proxy_pass http://@B@; }}
        location /limited {{ limit_except GET {{ deny all; }} proxy_pass http://@B@; }}
    """
    gate = Gate(world, server)
    if reload:
        gate.reload()
    free = [("X-Free", "1")]
    assert gate.get("/", LISTED).status == 451
    assert gate.get("/off", LISTED).status == 200 and jd_status(gate.get("/off", LISTED))[0] is None
    assert reason(gate.get("/metro", LISTED)) in ("clear", "other_measure")
    assert reason(gate.get("/arg", LISTED)) == "no_subject"
    assert gate.get("/arg?card=" + LISTED, CLEAN).status == 451
    r = gate.get("/dry", LISTED)
    assert r.status == 200 and jd_status(r)[0] == "DENIED_DRY_RUN"
    assert gate.get("/dry/not", LISTED).status == 403
    assert reason(gate.get("/", LISTED, headers=free)) == "exempt"
    assert gate.get("/", LISTED, headers=[("X-Free", "0")]).status == 451
    assert gate.get("/exempt", LISTED, headers=free).status == 451
    assert reason(gate.get("/exempt", LISTED, headers=[("X-Other", "yes")])) == "exempt"
    assert gate.get("/limited", LISTED).status == 451
    assert gate.nginx.post("/limited", b"", [("X-Card-No", LISTED)]).status == 451
    assert gate.nginx.post("/limited", b"", [("X-Card-No", CLEAN)]).status == 403
    assert gate.counts()[("bus.ride", "exempt", "passed")] == 2
