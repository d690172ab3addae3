"""rcctl explain: a decision id opened at the desk; the tokens are made by another reading of the format (jdschema)."""
import base64
import json
import time

import pytest

import harness
import jdschema
from fake_office import record
from feedworld import KEY
from harness import wait_for

SINCE = int(time.time()) - 86400


def explain(feed, *args, stdin='', code=0):
    run = harness.rcctl(feed.conf, *args, stdin=stdin)
    assert run.returncode == code, (run.returncode, run.stdout, run.stderr)
    return run


@pytest.fixture
def known(feed):
    feed.office.publish(record('CS-1', relevance='third finding'))
    feed.wait_orders(['CS-1'])
    return feed


def test_json(known):
    at = int(time.time())
    token = jdschema.seal_token(KEY, 'credit', 'CS-1', at=at, era=17, last_id=4, age=61, link_from=SINCE)
    a = json.loads(explain(known, '--json', 'explain', token).stdout)
    now = a.pop('now')
    assert a == {'order': 'CS-1', 'measure': 'bus.ride', 'at': jdschema.china_time(at // 60 * 60), 'link_from': jdschema.china_time(SINCE),
                 'list': {'name': 'credit', 'version': '17-4', 'age_sec': 61}}
    want = known.office.orders['CS-1']
    assert (now['order'], now['state'], now['authority'], now['basis'], now['relevance']) == (
        'CS-1', 'active', want['authority'], want['basis'], 'third finding')
    assert now['until'] == want['until'] and now['contest'] == want['contest']
    token = jdschema.seal_token(KEY, 'credit', 'CS-1')
    assert json.loads(explain(known, '--json', 'explain', token).stdout)['link_from'] is None
    token = jdschema.seal_token(KEY, 'credit', 'CS-1', link_from=1)
    assert json.loads(explain(known, '--json', 'explain', token).stdout)['link_from'] == 'open'
    assert 'whose card this has been since ever' in explain(known, 'explain', token).stdout


def test_text_from_standard_input(known):
    token = jdschema.seal_token(KEY, 'credit', 'CS-1', link_from=SINCE)
    text = explain(known, 'explain', stdin=f'  {token} \r\nmore\n').stdout
    want = record('CS-1')
    for part in ('bus.ride was denied at ', 'who holds this card since ' + jdschema.china_time(SINCE), 'as the journal has it now, order CS-1: active',
                 want['authority'], want['basis'], 'contest', 'third finding', 'version 1795000000-7, true 3 s before'):
        assert part in text, text
    assert text == explain(known, 'explain', token).stdout


def test_an_order_that_ended_since(known):
    token = jdschema.seal_token(KEY, 'credit', 'CS-1')
    known.office.lift('CS-1')
    known.wait_relief('CS-1', 'lffff o0')
    now = wait_for(lambda: (a := json.loads(explain(known, '--json', 'explain', token).stdout)['now'])['state'] == 'lifted' and a)
    assert now['basis'] == record('CS-1')['basis']


def test_an_order_that_the_journal_does_not_know(known):
    token = jdschema.seal_token(KEY, 'credit', 'NOT-HERE')
    assert 'the journal does not know this order' in explain(known, 'explain', token, code=1).stdout
    assert json.loads(explain(known, '--json', 'explain', token, code=1).stdout)['now'] is None


def changed(token, at):
    return token[:at] + ('A' if token[at] != 'A' else 'B') + token[at + 1:]


def months_ago(n):
    """The first minute of the month n months ago, at +08:00."""
    sec = int(time.time())
    while jdschema.month_of(sec) > jdschema.month_of(int(time.time())) - n:
        sec -= 3600
    return sec


def test_what_does_not_open(known):
    """Each with its own reason, and nothing on standard output."""
    good = jdschema.seal_token(KEY, 'credit', 'CS-1')
    other_key = jdschema.Key('d9', bytes(16))
    cases = {
        'not a decision id': ['', 'x', '7574a95d74b9bf9ba885296882b3fe2e', good + '!', good.replace(good[5], ' ', 1), 'A' * 400, 'A' * 2000, '卡' * 30,
                              base64.urlsafe_b64encode(b'\2' + base64.urlsafe_b64decode(good + '==')[1:]).rstrip(b'=').decode()],
        'not of this month or the one before': [jdschema.seal_token(KEY, 'credit', 'CS-1', at=months_ago(2)),
                                                jdschema.seal_token(KEY, 'credit', 'CS-1', at=int(time.time()) + 40 * 86400)],
        'of another list, or of another digest key': [jdschema.seal_token(other_key, 'credit', 'CS-1'), jdschema.seal_token(KEY, 'other', 'CS-1')],
        'damaged': [changed(good, i) for i in (12, 40, len(good) - 2)],
    }
    for word, tokens in cases.items():
        for token in tokens:
            run = explain(known, 'explain', stdin=token + '\n', code=2)
            assert word in run.stderr and run.stdout == '', (token, run.stderr)
    for cut in range(20, len(good), 20):
        assert explain(known, 'explain', good[:cut], code=2).stdout == ''
    last = jdschema.seal_token(KEY, 'credit', 'CS-1', at=months_ago(1))
    assert json.loads(explain(known, '--json', 'explain', last).stdout)['order'] == 'CS-1'


def chain(feed):
    return [json.loads(line) for line in (feed.state / 'audit.log').read_text().splitlines()]


def kinds(feed):
    return [x['kind'] for x in chain(feed)]


def test_each_use_is_audited_and_says_nothing_of_whom(known):
    token = jdschema.seal_token(KEY, 'credit', 'CS-1')
    for _ in range(2):
        explain(known, 'explain', token)
    explain(known, 'explain', 'x', code=2)
    wait_for(lambda: kinds(known).count('explain') == 3, 10)
    for use in (x for x in chain(known) if x['kind'] == 'explain'):
        assert set(use) == {'n', 'at', 'kind', 'user', 'prev', 'hash'} and use['user']


def test_works_without_the_daemon(known):
    """The next daemon writes who asked."""
    token = jdschema.seal_token(KEY, 'credit', 'CS-1')
    known.daemon.stop()
    assert 'order CS-1: active' in explain(known, 'explain', token).stdout
    assert kinds(known).count('explain') == 0
    known.daemon.start()
    wait_for(lambda: kinds(known).count('explain') == 1, 10)
