"""Files of holders that are broken, too different, killed half way, or made under another key."""
import json
import os
import random
import signal
import sqlite3
import time

import pytest

import feedworld
import harness
import jdschema
from harness import wait_for
from holdersworld import (body, delta, full, holders, link, order, person, settle, show, states)

NOW = int(time.time())


def cards(n, first=1, holder=None):
    """n cards, one holder each, or all of `holder`."""
    return [link(f'C{i}', holder=holder or f'cnid:{person(i)}') for i in range(first, first + n)]


def listed(feed, n):
    """Orders on persons 1..n; waits until their cards have them."""
    for i in range(1, n + 1):
        feed.office.publish(order(f'CS-{i}', holder=f'cnid:{person(i)}'))
    feed.wait_orders([f'CS-{n}'], card=f'C{n}', seconds=30)
    feed.wait_status(lambda s: s['redis']['dirty'] == 0 and s['redis']['count'] == 2 * n, 30)


def matching(feed, names):
    return {c for c in names if feed.orders(c)}


# ---- files that are refused whole -----------------------------------------------------------------

@pytest.mark.parametrize('text, word', [
    ('', 'no line of it names a link'),
    ('\n\n', 'no line of it names a link'),
    ('card,holder,use\n', 'no line of it names a link'),
    ('card;holder;use\n1;2;own\n', 'neither NDJSON nor CSV'),
    ('card,holder,use,name\n', 'neither NDJSON nor CSV'),
    ('<html>\n', 'neither NDJSON nor CSV'),
    ('\0\0\0\n', 'neither NDJSON nor CSV'),
    ('x' * 5000 + '\n', 'neither NDJSON nor CSV'),
    (link('1') + link('2')[:-1], 'does not end with a newline'),
    (link('1') + link('2')[:40], 'does not end with a newline'),
    (link('1') + 'x' * 5000, 'does not end with a newline'),
    ('{"card":"1"}\n' * 3, 'no line of it names a link'),
    (''.join(cards(100)) + '{"card":"1"}\n' * 30, '30 of 130 lines cannot be read'),
    ('{"card":"1"}\n' * 1001, 'more than 1000 lines'),
    (''.join(link('1', until=NOW + i) for i in range(200)), 'more than 128 links'),
], ids=lambda v: repr(v)[:24])
def test_a_wrong_file_changes_nothing(feed, text, word):
    full(feed, link('C1'), link('C2'))
    before = (feed.state / 'links').read_bytes()
    err = holders(feed, 'import', '--full', '-', stdin=text, code=4)
    assert word in err['error'], err
    assert (feed.state / 'links').read_bytes() == before
    assert sorted(p.name for p in feed.state.iterdir() if 'links' in p.name) == ['links']
    assert list((feed.state / 'inbox').iterdir()) == []


def test_a_delta_with_a_lost_line_is_refused(feed):
    full(feed, link('C1'))
    err = delta(feed, link('C2'), '{"card":" ","holder":"x"}\n', code=4)
    assert 'nobody knows which link' in err['error'] and err['lines'] == [[2, 'card: is empty']]
    assert show(feed, 'C2', code=1) == []


# ---- lines that are refused ---------------------------------------------------------------------

def test_refused_lines_return_no_card_and_keep_none_with_the_wrong_person(feed):
    full(feed, *[link(f'C{i}') for i in range(1, 6)])
    feed.office.publish(order())
    for i in range(1, 6):
        feed.wait_orders(['CS-1'], card=f'C{i}')
    bad_date = link('C1', from_='tomorrow')                     # its holder is known: nothing is in doubt
    no_holder = link('C2', holder='cnid:1')                     # it may have passed to anybody
    new_holder = link('C3', holder=f'cnid:{person(2)}', use='lent')
    a = full(feed, bad_date, no_holder, new_holder, link('C4'), code=5)
    assert [n for n, _ in a['lines']] == [1, 2, 3] and a['refused'] == 3 and a['doubt'] == 2, a
    assert a['returned'] == 1                                   # C5 alone
    assert person() not in json.dumps(a)
    for c in ('C2', 'C3', 'C5'):
        feed.wait_orders([], card=c)
    assert matching(feed, ['C1', 'C4']) == {'C1', 'C4'}
    assert states(feed, 'C1') == ['counts'] and states(feed, 'C2') == ['in_doubt'] == states(feed, 'C3')
    # the status is written each second
    run = wait_for(lambda: 'unreadable lines: 3; cards in doubt, which match nobody: 2' in (r := harness.rcctl(feed.conf, 'status')).stdout and r)
    assert run.returncode == 5
    # the export is corrected
    a = full(feed, link('C1'), link('C2'), link('C3', holder=f'cnid:{person(2)}'), link('C4'))
    assert a['doubt'] == a['refused'] == 0
    feed.wait_orders(['CS-1'], card='C2')
    assert feed.orders('C3') == {}


def test_when_a_card_cannot_be_read_no_card_counts_as_returned(feed):
    full(feed, link('C1'), link('C2'))
    feed.office.publish(order())
    feed.wait_orders(['CS-1'], card='C2')
    a = full(feed, link('C1'), '{"card":5}\n', code=5)
    assert (a['returned'], a['doubt'], a['cards']) == (0, 1, 2), a
    feed.wait_orders([], card='C2')
    assert states(feed, 'C2') == ['in_doubt'] and set(feed.orders('C1')) == {'CS-1'}
    delta(feed, link('C2'))
    feed.wait_orders(['CS-1'], card='C2')


# ---- mass change --------------------------------------------------------------------------------

def test_a_mass_change_waits_and_what_it_frees_does_not(feed):
    full(feed, *cards(60))
    listed(feed, 40)
    new = [link(f'D{i}', holder=f'cnid:{person(i)}') for i in range(1, 31)] + cards(30, 31)
    a = full(feed, *new, code=5)
    assert a['waiting'] and a['freed'] == 30, a
    assert (a['listed'], a['listed_shrunk'], a['listed_grown'], a['listed_changed']) == (40, 30, 30, 30)
    settle(feed)
    old_cards = [f'C{i}' for i in range(1, 41)]
    assert matching(feed, old_cards) == {f'C{i}' for i in range(31, 41)}
    assert matching(feed, [f'D{i}' for i in range(1, 31)]) == set()
    text = harness.rcctl(feed.conf, 'status').stdout
    assert 'an import of holders waits: of 40 cards' in text and f"rcctl approve --holders {a['file']}" in text
    # nobody's word but the hash; additions wait with it, removals do not
    assert 'another import waits' in harness.rcctl(feed.conf, 'approve', '--holders', '0' * 64).stderr
    assert 'another import waits' in harness.rcctl(feed.conf, 'approve', '--holders', a['file'][:8]).stderr
    assert 'waits for approval' in delta(feed, link('E1'), code=4)['error']
    feed.daemon.kill()                                           # it waits over a restart, too
    feed.start().wait_contact()
    assert feed.wait_status(lambda s: s['holders']['waiting'])['holders']['waiting']['file'] == a['file']
    run = harness.rcctl(feed.conf, 'approve', '--holders', a['file'][:16])
    assert run.returncode == 0, run.stderr
    settle(feed)
    assert matching(feed, [f'D{i}' for i in range(1, 31)]) == {f'D{i}' for i in range(1, 31)}
    assert feed.status()['holders']['waiting'] is None
    assert not (feed.state / 'links.held').exists()
    assert 'no import of holders waits' in harness.rcctl(feed.conf, 'approve', '--holders', a['file']).stderr
    told = [json.loads(x) for x in (feed.state / 'audit.log').read_text().splitlines()]
    told = [x for x in told if x['kind'] == 'holders']
    assert [x['how'] for x in told] == ['full', 'narrowed', 'full'] and told[2]['approved_by'] == told[1]['user']
    assert told[1]['file'] == told[2]['file'] == a['file']


def test_what_only_frees_never_waits(feed):
    full(feed, *cards(60))
    listed(feed, 40)
    a = full(feed, *cards(1))
    assert not a['waiting'] and (a['listed_shrunk'], a['listed_grown']) == (39, 0)
    settle(feed)
    assert matching(feed, [f'C{i}' for i in range(1, 41)]) == {'C1'}
    feed.log_has('59 of 60 cards were returned at once: is the export whole?')


def test_the_first_file_for_listed_people_waits(feed):
    for i in range(1, 31):
        feed.office.publish(order(f'CS-{i}', holder=f'cnid:{person(i)}'))
    feed.wait_status(lambda s: s['marks']['seq'] == 30)
    a = full(feed, *cards(21), code=5)
    assert a['waiting'] and a['listed'] == 0 and a['listed_grown'] == 21
    full(feed, *cards(20))                                       # so few are no mass change; and it takes the other's place
    feed.wait_orders(['CS-20'], card='C20')
    assert feed.wait_status(lambda s: s['redis']['dirty'] == 0)['holders']['waiting'] is None


def test_max_change_is_a_setting_and_small_changes_pass(make_feed):
    feed = make_feed()
    feed.configure('[holders]\nmax_change = 60%\n')
    feed.start().wait_contact()
    full(feed, *cards(60))
    listed(feed, 40)
    assert not full(feed, *[link(f'D{i}', holder=f'cnid:{person(i)}') for i in range(1, 25)], *cards(36, 25))['waiting']
    assert full(feed, *cards(60), code=0)['listed_changed'] == 24
    settle(feed)
    assert len(matching(feed, [f'C{i}' for i in range(1, 41)])) == 40


def test_a_delta_of_many_cards_falls_under_mass_change_too(feed):
    full(feed, *cards(60))
    listed(feed, 40)
    a = delta(feed, *[link(f'D{i}', holder=f'cnid:{person(i)}') for i in range(1, 25)], code=5)
    assert a['waiting'] and (a['listed'], a['listed_grown'], a['listed_shrunk']) == (40, 24, 0)
    settle(feed)
    assert matching(feed, [f'D{i}' for i in range(1, 25)]) == set()
    # relief does not wait for it: a removal acts, and the import has to come again
    holders(feed, 'remove', stdin='C1\n')
    feed.wait_orders([], card='C1')
    assert feed.wait_status(lambda s: s['holders']['waiting'] is None)
    assert 'no import of holders waits' in harness.rcctl(feed.conf, 'approve', '--holders', a['file']).stderr


# ---- the configured file --------------------------------------------------------------------------

def put(path, *lines):
    tmp = path.with_suffix('.tmp')
    tmp.write_text(''.join(lines))
    tmp.rename(path)


def test_the_configured_file(make_feed):
    feed = make_feed()
    path = feed.folder / 'holders.csv'
    feed.configure(f'[holders]\nfile = {path}\n')
    feed.start().wait_contact()
    assert 'No such file' in feed.wait_status(lambda s: s['holders']['file_fault'])['holders']['file_fault']
    put(path, link('C1'))
    feed.office.publish(order())
    feed.wait_orders(['CS-1'], card='C1')
    at = feed.wait_status(lambda s: s['holders']['cards'] == 1 and s['holders']['file_fault'] == '')['holders']['at']
    put(path, link('C2'))
    feed.wait_orders(['CS-1'], card='C2')
    feed.wait_orders([], card='C1')
    put(path, 'nonsense\n')
    feed.wait_status(lambda s: 'neither NDJSON' in s['holders']['file_fault'])
    assert set(feed.orders('C2')) == {'CS-1'}
    assert '[holders] file cannot be used' in harness.rcctl(feed.conf, 'status').stdout
    put(path, link('C2'))
    feed.wait_status(lambda s: s['holders']['file_fault'] == '')
    # read once: not again after a restart, but again under another key
    reads = feed.daemon.log().count(f'{path} is read')
    feed.daemon.stop()
    feed.start().wait_contact()
    settle(feed)
    assert f'{path} is read' not in feed.daemon.log()[-3000:].split('begins: list')[-1]
    assert at and reads == 4


# ---- another key -----------------------------------------------------------------------------------

def test_links_of_another_key_are_not_used(feed):
    full(feed, link('C1'))
    feed.office.publish(order())
    feed.wait_orders(['CS-1'], card='C1')
    second = jdschema.Key('d2', bytes(range(2, 18)))
    feed.secret(feed.key_file, second.line() + feedworld.KEY.line())
    feed.daemon.signal(signal.SIGHUP)
    feed.wait_status(lambda s: s['key_id'] == 'd2' and 'import the holders again' in s['holders']['fault'], 20)
    feed.wait_status(lambda s: s['redis']['state'] == 'ready' and feed.meta()['key'] == 'd2', 30)
    assert feed.orders('C1', key=second) == {}
    assert 'another key' in harness.rcctl(feed.conf, 'status').stdout
    assert 'not usable' in delta(feed, link('C2'), code=4)['error']
    assert 'another key' in harness.rcctl(feed.conf, 'holders', 'show', stdin='C1\n').stderr
    full(feed, link('C1'))
    feed.wait_orders(['CS-1'], card='C1', key=second)
    assert feed.wait_status(lambda s: s['holders']['fault'] == '')


# ---- Redis, damage, kills -------------------------------------------------------------------------

def test_a_refill_writes_linked_cards(feed):
    full(feed, *cards(30))
    listed(feed, 20)
    holders(feed, 'add', stdin=f'E1\ncnid:{person(3)}\n')
    holders(feed, 'remove', stdin='C4\n')
    feed.wait_orders(['CS-3'], card='E1')
    feed.wait_orders([], card='C4')
    count = feed.count()
    feed.redis.flushall()
    feed.wait_status(lambda s: s['redis']['count'] == count and s['redis']['state'] == 'ready' and feed.count() == count, 30)
    assert matching(feed, [f'C{i}' for i in range(1, 31)]) == {f'C{i}' for i in range(1, 21)} - {'C4'}
    assert set(feed.orders('E1')) == {'CS-3'}


def test_damaged_or_missing_links_free_and_are_told(feed):
    full(feed, *cards(5))
    listed(feed, 3)
    for damage in ('flip', 'gone'):
        feed.daemon.stop()
        path = feed.state / 'links'
        if damage == 'flip':
            data = bytearray(path.read_bytes())
            data[1100] ^= 1
            path.write_bytes(data)
        else:
            path.unlink()
        feed.start()
        feed.wait_status(lambda s: s['holders']['fault'] != '' and s['redis']['state'] == 'ready', 20)
        wait_for(lambda: matching(feed, ['C1', 'C2', 'C3']) == set(), 20)
        full(feed, *cards(5))
        wait_for(lambda: matching(feed, ['C1', 'C2', 'C3']) == {'C1', 'C2', 'C3'}, 20)
        assert feed.wait_status(lambda s: s['holders']['fault'] == '')


def test_a_body_with_very_many_cards(feed):
    """More than one transaction takes: the rest follows, after a kill too, and a lift frees them all."""
    n = 3000
    full(feed, *cards(n, holder='uscc:' + body()))
    feed.office.publish(order(holder='uscc:' + body()))
    wait_for(lambda: feed.redis.exists(feed.name('meta')) and feed.count() > 1, 20)
    feed.daemon.kill()
    feed.start()
    feed.wait_status(lambda s: feed.count() == n + 1 and s['redis']['dirty'] == 0, 40)
    feed.office.lift('CS-1')
    feed.wait_status(lambda s: feed.count() == 0, 40)


def journal_rows(feed, table):
    db = sqlite3.connect(f'file:{feed.state}/journal.db?mode=ro', uri=True, timeout=10)
    n = db.execute(f'SELECT count(*) FROM {table}').fetchone()[0]
    db.close()
    return n


@pytest.mark.parametrize('how', ['full', 'delta'])
def test_killed_at_any_moment(make_feed, how):
    """kill -9 in the middle of imports: the links are those before or those after, and Redis says the same."""
    feed = make_feed()
    feed.start().wait_contact()
    n = 4000
    names = [f'C{i}' for i in range(1, 31)]
    before, after = cards(n), [link(f'C{i}', holder=f'cnid:{person(i + n)}') for i in range(1, n + 1)]
    full(feed, *before)
    for i in range(1, 11):
        feed.office.publish(order(f'CS-{i}', holder=f'cnid:{person(i)}'))
        feed.office.publish(order(f'CS-{i + n}', holder=f'cnid:{person(i + n)}'))
    feed.wait_orders(['CS-10'], card='C10', seconds=30)
    texts, state, seen = [before, after], 0, set()
    rng = random.Random(5)
    for round in range(12):
        state = 1 - state
        name = f'k{round}'
        (feed.state / 'inbox' / f'.{name}').write_text(''.join(texts[state]))
        (feed.state / 'inbox' / f'.{name}').rename(feed.state / 'inbox' / name)
        (feed.state / 'inbox' / f'{name}.tmp').write_text(json.dumps({'cmd': 'holders', 'how': how, 'file': name, 'user': 'u'}))
        (feed.state / 'inbox' / f'{name}.tmp').rename(feed.state / 'inbox' / f'{name}.json')
        wait_for(lambda: not (feed.state / 'inbox' / name).exists(), 10, why='taken')
        time.sleep(rng.random() * 0.8)                           # anywhere between reading and marking
        feed.daemon.kill()
        feed.start()
        feed.wait_status(lambda s: s['redis']['state'] == 'ready' and s['redis']['dirty'] == 0
                         and not s['holders']['importing'] and s['holders']['fault'] == '', 40)
        settle(feed, 40)
        x = show(feed, 'C1')
        first = {frozenset(feed.orders(c)) for c in names[:10]}
        old = {frozenset({f'CS-{i}'}) for i in range(1, 11)}
        new = {frozenset({f'CS-{i + n}'}) for i in range(1, 11)}
        if how == 'delta' and len(x) == 2:                       # a delta adds a second holder: neither counts
            assert first == {frozenset()}, first
            seen.add('after')
            full(feed, *before)
            state = 0
            wait_for(lambda: {frozenset(feed.orders(c)) for c in names[:10]} == old, 20)
            continue
        assert first in (old, new), first
        seen.add('before' if first == old else 'after')
        assert not (feed.state / 'links.new').exists()
        if (first == new) != (state == 1):
            state = 1 - state
    assert 'before' in seen                                       # some were killed in time


# ---- what stays -------------------------------------------------------------------------------------

def test_no_identifier_and_no_digest_stays_anywhere(feed):
    """Neither in the state directory, whatever became of the file, nor in log, audit chain, status and answers."""
    good, bad = person(7), person(8)
    said = [full(feed, link('SECRET1', holder=f'cnid:{good}'), link('SECRET2', holder=f'cnid:{bad[:-1]}y'),
                 '{"card":"SECRET3"}\n', link('SECRET4', use='x'), code=5),
            full(feed, link('SECRET5'), 'SECRET6' * 900 + '\n', code=5),
            full(feed, link('SECRET7')[:-1], code=4), delta(feed, 'SECRET8\n', code=4),
            holders(feed, 'add', stdin=f'SECRET9\ncnid:{good}\n'), holders(feed, 'remove', stdin='SECRET1\n'),
            show(feed, 'SECRET9'), show(feed, f'cnid:{good}')]
    feed.office.publish(order(holder=f'cnid:{good}'))
    feed.wait_orders(['CS-1'], card='SECRET9')
    settle(feed)
    digests = [jdschema.digest(feedworld.KEY, 'cnid', good), jdschema.digest(feedworld.KEY, 'card', 'SECRET9')]
    secrets = [b'SECRET', good.encode(), bad[:-1].encode()]
    texts = json.dumps(said).encode() + feed.daemon.log().encode() + (feed.state / 'status.json').read_bytes()
    texts += (feed.state / 'audit.log').read_bytes() + harness.rcctl(feed.conf, 'status').stdout.encode()
    for s in secrets + [d.hex().encode() for d in digests] + [d.hex()[:16].encode() for d in digests]:
        assert s not in texts, s
    for path in feed.state.rglob('*'):
        if path.is_file():
            data = path.read_bytes()
            for s in secrets:
                assert s not in data, (path, s)
    fds = f'/proc/{feed.daemon.pid}/fd'
    assert not [x for x in (os.readlink(f'{fds}/{f}') for f in os.listdir(fds)) if 'inbox' in x or 'sort.' in x]
