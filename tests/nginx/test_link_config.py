"""Wrong use of the jd block is an error of nginx -t that names the directive and the mend."""

import os

import pytest

from linkgate import KEY, SERVER

@pytest.fixture(autouse=True)
def errors_are_meant(world):
    world.allow.append(r"\[emerg\]")


GOOD = "redis 127.0.0.1:6379; zone 1m;"
LEDGER = "ledger @DIR@/ledger 64k gateway=gw1; "

WRONG = {
    "no key_file": ("list credit { " + GOOD + " }", 'no "key_file"'),
    "no redis": ("@KEY@ list credit { zone 1m; }", 'no "redis" in list "credit"'),
    "no zone": ("@KEY@ list credit { redis 127.0.0.1; }", 'no "zone" in list "credit"'),
    "host name": ("@KEY@ list credit { redis localhost:6379; zone 1m; }", "needs a numeric address"),
    "bad port": ("@KEY@ list credit { redis 127.0.0.1:99999; zone 1m; }", "invalid port"),
    "small zone": ("@KEY@ list credit { redis 127.0.0.1; zone 64k; }", "too small"),
    "bad zone": ("@KEY@ list credit { redis 127.0.0.1; zone many; }", '"zone" directive has an invalid size'),
    "two zones": ("@KEY@ list credit { " + GOOD + " zone 2m; }", '"zone" directive is duplicate'),
    "no timeout": ("@KEY@ list credit { " + GOOD + " timeout 0; }", '"timeout" directive has an invalid time'),
    "too stale": ("@KEY@ list credit { " + GOOD + " max_stale 73h; }", '"max_stale" directive is above 72h'),
    "list name": ("@KEY@ list Credit { " + GOOD + " }", 'invalid list name "Credit"'),
    "two lists": ("@KEY@ list credit { " + GOOD + " } list credit { " + GOOD + " }", 'duplicate list "credit"'),
    "other list": ("@KEY@ list library { " + GOOD + " }", 'unknown list "credit" in'),
    "unknown word": ("@KEY@ list credit { " + GOOD + " redis_leger 127.0.0.1; }", 'unknown directive "redis_leger"'),
    "no ledger": ("@KEY@ list credit { " + GOOD + " }", '"jd_dry_run off" in location "/tap" of server "" needs a "ledger"'),
    "two ledgers": ("@KEY@ list credit { " + GOOD + " } " + LEDGER + LEDGER, '"ledger" directive is duplicate'),
    "ledger of no size": ("@KEY@ list credit { " + GOOD + " } ledger a b gateway=g;", '"ledger" directive has an invalid size'),
    "small ledger": ("@KEY@ list credit { " + GOOD + " } ledger a 8k gateway=g;", "too small, it must be at least 20k"),
    "no gateway": ("@KEY@ list credit { " + GOOD + " } ledger a 64k gateway;", 'invalid parameter "gateway" in "ledger"'),
    "bad gateway": ("@KEY@ list credit { " + GOOD + " } ledger a 64k gateway=a:b;", 'invalid parameter "gateway=a:b"'),
    "dash gateway": ("@KEY@ list credit { " + GOOD + " } ledger a 64k gateway=-;", 'invalid parameter "gateway=-"'),
    "two redis_ledger": ("@KEY@ list credit { " + GOOD + " redis_ledger 127.0.0.1; redis_ledger 127.0.0.1; }",
                         '"redis_ledger" directive is duplicate'),
    "host of ledger": ("@KEY@ list credit { " + GOOD + " redis_ledger localhost; }", '"redis_ledger" "localhost" needs a numeric'),
    "out of place": ("@KEY@ redis 127.0.0.1; list credit { " + GOOD + " }", '"redis" directive is not allowed here'),
    "two key files": ("@KEY@ @KEY@ list credit { " + GOOD + " }", '"key_file" directive is duplicate'),
    "no file": ("key_file /nonexistent/key; list credit { " + GOOD + " }", "No such file"),
    "no auth file": ("@KEY@ list credit { " + GOOD + " redis_auth /nonexistent/auth; }", "No such file"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_use(world, name):
    jd, said = WRONG[name]
    key = world.key_file(("k1", KEY))
    n = world.nginx(jd.replace("@KEY@", f"key_file {key};"), SERVER, start=False)
    code, text = n.test()
    assert code != 0 and said in text, text


def test_unknown_list_is_named_with_its_place(world):
    n = world.nginx(None, SERVER, start=False)
    code, text = n.test()
    assert code != 0 and 'unknown list "credit" in ' in text and "nginx.conf:" in text, text


@pytest.mark.parametrize("what", ["key", "auth"])
def test_secrets_are_not_for_everybody(world, what):
    key = world.key_file(("k1", KEY))
    auth = world.dir("auth") / "auth"
    auth.write_text("password\n")
    auth.chmod(0o600)
    n = world.nginx(f"key_file {key}; {LEDGER} list credit {{ {GOOD} redis_auth {auth}; }}", SERVER, start=False)
    assert n.test()[0] == 0
    (key if what == "key" else auth).chmod(0o644)
    code, text = n.test()
    assert code != 0 and "others may use it" in text and "chmod o=" in text
    assert KEY.hex() not in text and "password" not in text


@pytest.mark.parametrize("text", ["", "k1\n", "k1 00\n", "k1 " + "0" * 32 + "\n", "k1 zz" + "0" * 30 + "\n"])
def test_key_file_not_of_its_form(world, text):
    key = world.key_file(("k1", KEY))
    key.write_text(text)
    n = world.nginx(f"key_file {key}; list credit {{ {GOOD} }}", SERVER, start=False)
    code, said = n.test()
    assert code != 0 and "key_file" in said and str(key) in said, said


@pytest.mark.parametrize("text", ["", "\n", "user \n", " password\n"])
def test_auth_file_not_of_its_form(world, text):
    key, auth = world.key_file(("k1", KEY)), world.dir("auth") / "auth"
    auth.write_text(text)
    auth.chmod(0o600)
    n = world.nginx(f"key_file {key}; list credit {{ {GOOD} redis_auth {auth}; }}", SERVER, start=False)
    code, said = n.test()
    assert code != 0 and "redis_auth" in said, said


def test_http_before_jd_and_include(world):
    """Lists are forward references; a block may come from an included file."""
    key = world.key_file(("k1", KEY))
    part = world.dir("part") / "list.conf"
    part.write_text(f"list credit {{ {GOOD} }}\n")
    n = world.nginx(None, SERVER, start=False)
    text = n.conf_path.read_text() + f"\njd {{ key_file {key}; ledger {n.folder}/ledger 64k gateway=gw1; include {part}; }}\n"
    n.conf_path.write_text(text)
    code, said = n.test()
    assert code == 0, said


def test_key_file_may_follow_the_lists(world):
    key = world.key_file(("k1", KEY))
    n = world.nginx(f"list credit {{ {GOOD} }} {LEDGER} key_file {key};", SERVER, start=False)
    assert n.test()[0] == 0
    assert os.path.exists(key)
