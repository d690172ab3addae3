"""Stays and objections of the operator: at once, durable, whoever is killed, and above any feed."""
import json
import os
import signal
import sqlite3
import subprocess
import time

import harness
import jdschema
import pytest
from fake_office import record
from feedworld import KEY
from harness import wait_for
from jdschema import FOREVER

CARD = '3401005512'
CNID = '11010519491231002X'                              # the example of GB 11643


def rcctl(feed, *args, code=0, stdin=''):
    run = harness.rcctl(feed.conf, *args, stdin=stdin)
    assert run.returncode == code, (run.returncode, run.stdout, run.stderr)
    return run


def stays(feed, *args):
    run = harness.rcctl(feed.conf, '--json', 'stays', *args)
    assert run.returncode in (0, 5), run.stderr
    return json.loads(run.stdout)


def field(subject=CARD, scheme='card', key=KEY):
    return jdschema.digest(key, scheme, subject)[:8]


def person(feed, subject=CARD, scheme='card', key=KEY):
    """The stay of a person as Redis holds it."""
    v = feed.redis.hget(feed.name('stays'), field(subject, scheme, key))
    return v.decode() if v else None


def audit(feed, kind):
    """Records of one kind, from wherever they are by now."""
    db = sqlite3.connect(f'file:{feed.state}/journal.db?mode=ro', uri=True, timeout=10)
    waiting = [json.loads('{' + t[1:] + '}') for t, in db.execute('SELECT text FROM audit WHERE kind = ? ORDER BY id', (kind,))]
    db.close()
    rows = []
    for chain in sorted(feed.state.glob('audit*')):
        if chain.is_file() and chain.suffix not in ('.db',):
            for line in chain.read_text(errors='replace').splitlines():
                try:
                    r = json.loads(line)
                except ValueError:
                    continue
                if isinstance(r, dict) and r.get('kind') == kind:
                    rows.append(r)
    # what waited when the journal was read may be in the chain by now
    rows += [w for w in waiting if not any(w.items() <= r.items() for r in rows)]
    return rows


def flush(feed):
    """Empties Redis, and waits until the daemon has filled it again."""
    era = feed.meta()['era']
    feed.redis.flushall()
    wait_for(lambda: feed.meta().get('era', era) > era, 20, why='a new era')


# ---- by the daemon ----------------------------------------------------------------------------------

def test_an_order_is_stayed_at_once(feed):
    feed.office.publish(record('CS-1'))
    feed.wait_orders(['CS-1'])
    run = rcctl(feed, '--json', 'stay', '--order', 'CS-1', '--reason', 'court order 2026/18')
    said = json.loads(run.stdout)
    assert said['way'] == 'daemon' and said['redis'] and said['ms'] < 1000, said
    assert feed.relief('CS-1') == f'l0000 o0 s{FOREVER}'
    s, = stays(feed)['stays']
    assert (s['order'], s['reason'], s['until'], s['found'], s['state']) == ('CS-1', 'court order 2026/18', None, False, 'stands')
    a, = audit(feed, 'stay')
    assert a['order'] == 'CS-1' and a['reason'] == 'court order 2026/18' and a['user'] == s['user'], a

    run = rcctl(feed, 'unstay', '--order', 'CS-1', '--reason', 'court order withdrawn')
    assert 'no longer stayed' in run.stdout
    assert feed.relief('CS-1') == 'l0000 o0'
    assert stays(feed)['stays'] == []
    s, = stays(feed, '--all')['stays']
    assert s['state'] == 'unstayed' and s['ended_reason'] == 'court order withdrawn'
    assert 'no stay of this order' in rcctl(feed, 'unstay', '--order', 'CS-1', '--reason', 'x', code=4).stderr


def test_a_person_is_stayed_and_nothing_holds_who(feed):
    run = rcctl(feed, 'stay', '--subject', '--reason', 'mistaken identity', '--until', '30d', stdin=f'cnid:{CNID}\n')
    assert 'this person is stayed' in run.stdout
    until = int(person(feed, CNID, 'cnid')[1:])
    assert abs(until - time.time() - 30 * 86400) < 60
    s, = stays(feed)['stays']
    assert s['person'] is True and 'order' not in s and not s['lost']
    a, = audit(feed, 'stay')
    assert a['person'] is True and a['until'] == until
    hidden = (CNID, field(CNID, 'cnid').hex(), jdschema.digest(KEY, 'cnid', CNID).hex())
    for text in (run.stdout, run.stderr, feed.daemon.log(), json.dumps(a), json.dumps(s),
                 rcctl(feed, 'stays').stdout, feed.status_file.read_text()):
        assert not any(h.lower() in text.lower() for h in hidden)
    for p in (feed.state / 'inbox', feed.state / 'outbox'):
        wait_for(lambda: not list(p.iterdir()), why=f'nothing left in {p}')
    rcctl(feed, 'unstay', '--subject', '--reason', 'checked', stdin=f'cnid:{CNID}\n')
    assert person(feed, CNID, 'cnid') is None


def test_what_rcctl_refuses(feed):
    for args, stdin, word in (
            (('--order', 'CS-1'), '', '--reason'),
            (('--reason', 'x'), '', '--order N or --subject'),
            (('--order', 'CS-1', '--subject', '--reason', 'x'), '', '--order N or --subject'),
            (('--order', 'C S', '--reason', 'x'), '', 'not an order number'),
            (('--order', 'CS-1', '--reason', 'x' * 501), '', '500'),
            (('--order', 'CS-1', '--reason', 'a\nb'), '', 'UTF-8'),
            (('--order', 'CS-1', '--reason', f'confused with {CNID} at the desk'), '', "citizen's number"),
            (('--subject', '--reason', 'card 998877 again'), 'card:998877', 'identifier'),
            (('--subject', '--reason', 'x'), '998877', 'scheme'),
            (('--subject', '--reason', 'x'), 'cnid:110105194912310021', 'check digit'),
            (('--subject', '--reason', 'x'), 'card:', 'empty'),
            (('--subject', '--reason', 'x', '--renew', 'abc'), 'card:1', '--renew'),
            (('--order', 'CS-1', '--reason', 'x', '--until', '2020-01-01'), '', 'not to come'),
            (('--order', 'CS-1', '--reason', 'x', '--until', 'soon'), '', 'neither a date')):
        run = rcctl(feed, 'stay', *args, code=2, stdin=stdin)
        assert word in run.stderr, (args, run.stderr)
        assert CNID not in run.stderr and '998877' not in run.stderr
    assert stays(feed, '--all')['stays'] == []


def test_a_stay_outlives_all_that_redis_and_the_feed_do(feed):
    o = feed.office
    o.publish(record('CS-1'))
    feed.wait_orders(['CS-1'])
    rcctl(feed, 'stay', '--order', 'CS-1', '--reason', 'court order')
    rcctl(feed, 'stay', '--subject', '--reason', 'mistaken', stdin=f'card:{CARD}\n')
    want = (f'l0000 o0 s{FOREVER}', f's{FOREVER}')

    def stands():
        return (feed.relief('CS-1'), person(feed)) == want
    o.publish(record('CS-1', basis='Act 2'))                # an amendment
    o.mark('CS-1', True)
    feed.wait_relief('CS-1', f'l0000 o1 s{FOREVER}')
    o.mark('CS-1', False)
    feed.wait_relief('CS-1', want[0])
    flush(feed)
    assert stands()
    feed.daemon.kill()
    assert stands()
    feed.redis.flushall()
    feed.start().wait_contact()
    wait_for(stands, 15, why=str((feed.relief('CS-1'), person(feed))))
    assert len(stays(feed)['stays']) == 2


def test_a_stay_of_an_unknown_order_waits_for_it(feed):
    rcctl(feed, 'stay', '--order', 'CS-9', '--reason', 'announced by the court')
    feed.office.publish(record('CS-9'))
    feed.wait_orders(['CS-9'])
    assert feed.relief('CS-9') == f'l0000 o0 s{FOREVER}'


def test_a_stay_lapses_and_redis_forgets_it(feed):
    feed.office.publish(record('CS-1'))
    feed.wait_orders(['CS-1'])
    until = time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(time.time() + 4))
    rcctl(feed, 'stay', '--order', 'CS-1', '--reason', 'a moment', '--until', until)
    rcctl(feed, 'stay', '--subject', '--reason', 'a moment', '--until', until, stdin=f'card:{CARD}\n')
    assert feed.relief('CS-1').startswith('l0000 o0 s') and person(feed)
    feed.wait_relief('CS-1', 'l0000 o0', 20)
    wait_for(lambda: person(feed) is None, 10)
    assert [s['state'] for s in stays(feed, '--all')['stays']] == ['lapsed', 'lapsed']
    assert [a['how'] for a in audit(feed, 'unstay')] == ['lapsed', 'lapsed']


def test_the_longest_stay_counts(feed):
    rcctl(feed, 'stay', '--order', 'CS-1', '--reason', 'one', '--until', '2h')
    rcctl(feed, 'stay', '--order', 'CS-1', '--reason', 'two')
    rcctl(feed, 'stay', '--order', 'CS-1', '--reason', 'three', '--until', '3h')
    assert feed.relief('CS-1') == f'l0000 o0 s{FOREVER}'
    rcctl(feed, 'unstay', '--order', 'CS-1', '--reason', 'all')
    assert feed.relief('CS-1') == 'l0000 o0'
    rcctl(feed, 'stay', '--order', 'CS-1', '--reason', 'again')
    assert feed.relief('CS-1') == f'l0000 o0 s{FOREVER}'


def test_a_stay_does_not_wait_for_an_import(feed):
    feed.redis_server.client().config_set('appendfsync', 'no')
    lines = '\n'.join(json.dumps(record(f'U-{i}', card=str(10 ** 9 + i))) for i in range(20000))
    path = feed.folder / 'import.ndjson'
    path.write_text(lines + '\n')
    running = subprocess.Popen([str(harness.BIN / 'rcctl'), '-c', str(feed.conf), 'import', str(path)], text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **harness.SAN_ENV})
    try:
        feed.wait_status(lambda s: s['snapshot']['applying'], 20)
        said = json.loads(rcctl(feed, '--json', 'stay', '--order', 'CS-1', '--reason', 'now').stdout)
        assert running.poll() is None, 'the import was over too early to tell'
        assert said['way'] == 'daemon', said
    finally:
        running.communicate(timeout=60)


# ---- without the daemon, or without Redis -----------------------------------------------------------

def test_the_daemon_is_down(feed):
    feed.office.publish(record('CS-1'))
    feed.wait_orders(['CS-1'])
    feed.daemon.kill()
    run = rcctl(feed, 'stay', '--order', 'CS-1', '--reason', 'court order', code=6)
    assert 'written directly' in run.stdout
    said = json.loads(rcctl(feed, '--json', 'stay', '--subject', '--reason', 'mistaken', stdin=f'card:{CARD}\n', code=6).stdout)
    assert said['way'] == 'direct' and said['redis'], said
    assert feed.relief('CS-1') == f'l0000 o0 s{FOREVER}' and person(feed) == f's{FOREVER}'
    assert stays(feed) == {'stays': [], 'waiting': 2}
    assert 'wait for the daemon' in rcctl(feed, 'stays').stdout
    rcctl(feed, 'unstay', '--order', 'CS-1', '--reason', 'x', code=3)         # what restricts needs the daemon

    feed.redis.flushall()                               # and now Redis forgets it, too
    feed.start().wait_contact()
    wait_for(lambda: feed.relief('CS-1') == f'l0000 o0 s{FOREVER}' and person(feed) == f's{FOREVER}', 15)
    assert sorted(s.get('order', 'person') for s in stays(feed)['stays']) == ['CS-1', 'person']
    assert stays(feed)['waiting'] == 0
    assert len(audit(feed, 'stay')) == 2


def test_redis_is_down(feed):
    feed.redis_server.kill()
    run = rcctl(feed, 'stay', '--order', 'CS-1', '--reason', 'court order', code=7)
    assert 'NOT IN REDIS YET' in run.stdout and 'Redis' in run.stderr
    assert len(stays(feed)['stays']) == 1
    feed.redis_server.start()
    feed.wait_relief('CS-1', f'l0000 o0 s{FOREVER}', 20)


def test_both_are_down(feed):
    feed.redis_server.kill()
    feed.daemon.kill()
    rcctl(feed, 'stay', '--order', 'CS-1', '--reason', 'court order', code=7)
    rcctl(feed, 'objection', '--order', 'CS-2', '--reason', 'statement of the person', code=7)
    assert stays(feed) == {'stays': [], 'waiting': 2}
    feed.redis_server.start()
    feed.start()
    feed.wait_relief('CS-1', f'l0000 o0 s{FOREVER}', 20)
    feed.wait_relief('CS-2', 'l0000 o1 h', 20)


def test_the_daemon_hangs(feed):
    feed.daemon.signal(signal.SIGSTOP)
    try:
        run = rcctl(feed, 'stay', '--order', 'CS-1', '--reason', 'court order', code=6)
        assert 'written directly' in run.stdout
        assert feed.relief('CS-1') == f'l0000 o0 s{FOREVER}'
    finally:
        feed.daemon.signal(signal.SIGCONT)
    wait_for(lambda: len(stays(feed)['stays']) == 1, 15)
    assert stays(feed)['waiting'] == 0 and feed.relief('CS-1') == f'l0000 o0 s{FOREVER}'


def test_nothing_can_be_kept_on_disk(feed):
    """Then Redis alone has it; the daemon takes it up from there, whatever was stayed and ended before."""
    rcctl(feed, 'stay', '--order', 'CS-1', '--reason', 'before')
    rcctl(feed, 'unstay', '--order', 'CS-1', '--reason', 'over')
    feed.daemon.kill()
    (feed.state / 'inbox').rename(feed.state / 'inbox.away')
    run = rcctl(feed, 'stay', '--order', 'CS-1', '--reason', 'court order', code=8)
    assert 'NOT KEPT ON DISK' in run.stdout
    run = rcctl(feed, 'stay', '--subject', '--reason', 'mistaken', '--until', '3h', stdin=f'card:{CARD}\n', code=8)
    rcctl(feed, 'objection', '--order', 'CS-2', '--reason', 'x', code=3)      # no emergency: it must be kept
    assert feed.relief('CS-2') is None
    held, stayed = feed.relief('CS-1'), person(feed)
    assert held.startswith('l0000 o0 s') and stayed.startswith('s')
    (feed.state / 'inbox.away').rename(feed.state / 'inbox')
    feed.start().wait_contact()
    wait_for(lambda: len(stays(feed)['stays']) == 2, 20, why=str(stays(feed, '--all')))
    assert (feed.relief('CS-1'), person(feed)) == (held, stayed)
    assert all(s['found'] and s['user'] == 'unknown' for s in stays(feed)['stays'])
    assert all(a['found'] for a in audit(feed, 'stay')[-2:])
    flush(feed)
    assert (feed.relief('CS-1'), person(feed)) == (held, stayed)
    rcctl(feed, 'unstay', '--order', 'CS-1', '--reason', 'over')
    assert feed.relief('CS-1') == 'l0000 o0'


@pytest.mark.parametrize('whom', ['order', 'person'])
def test_found_in_redis_before_its_note_it_is_one_stay_with_its_author(feed, whom):
    """rcctl wrote past a daemon that hung, which goes on and sees Redis first."""
    name, key = ('relief', 'CS-1') if whom == 'order' else ('stays', field())
    feed.redis.hset(feed.name(name), key, f"{'l0000 o0 ' if whom == 'order' else ''}s{FOREVER}")
    wait_for(lambda: [s['found'] for s in stays(feed)['stays']] == [True], 40, why='found')
    if whom == 'order':
        rcctl(feed, 'stay', '--order', 'CS-1', '--reason', 'court order')
    else:
        rcctl(feed, 'stay', '--subject', '--reason', 'mistaken', stdin=f'card:{CARD}\n')
    s, = stays(feed)['stays']
    assert not s['found'] and s['user'] != 'unknown'
    assert [x['state'] for x in stays(feed, '--all')['stays']] == ['renewed', 'stands']
    flush(feed)
    assert (feed.relief('CS-1') or person(feed)).endswith(f's{FOREVER}')
    rcctl(feed, 'stay', '--order', 'CS-1', '--reason', 'another')            # and never a second time
    assert len(stays(feed)['stays']) == 2


def test_a_stay_that_a_lost_journal_knew_is_kept(feed):
    feed.office.publish(record('CS-1'))
    feed.wait_orders(['CS-1'])
    rcctl(feed, 'stay', '--order', 'CS-1', '--reason', 'court order', '--until', '5d')
    rcctl(feed, 'stay', '--subject', '--reason', 'mistaken', stdin=f'card:{CARD}\n')
    rcctl(feed, 'objection', '--order', 'CS-2', '--reason', 'statement')
    text, stayed = feed.relief('CS-1'), person(feed)
    feed.daemon.stop()
    for p in feed.state.glob('journal.db*'):
        p.unlink()
    for p in feed.state.glob('audit*'):
        p.unlink()
    feed.start().wait_contact()
    feed.wait_orders(['CS-1'])
    wait_for(lambda: len(stays(feed)['stays']) == 2, 20)
    assert (feed.relief('CS-1'), person(feed), feed.relief('CS-2')) == (text, stayed, 'l0000 o1 h')
    flush(feed)
    assert (feed.relief('CS-1'), person(feed), feed.relief('CS-2')) == (text, stayed, 'l0000 o1 h')


def test_an_older_copy_of_redis_does_not_bring_back_an_ended_stay(feed):
    rcctl(feed, 'stay', '--order', 'CS-1', '--reason', 'court order', '--until', '5d')
    rcctl(feed, 'stay', '--subject', '--reason', 'mistaken', stdin=f'card:{CARD}\n')
    text, stayed = feed.relief('CS-1'), person(feed)
    rcctl(feed, 'unstay', '--order', 'CS-1', '--reason', 'over')
    rcctl(feed, 'unstay', '--subject', '--reason', 'over', stdin=f'card:{CARD}\n')
    feed.daemon.kill()
    feed.redis.hset(feed.name('relief'), 'CS-1', text)
    feed.redis.hset(feed.name('stays'), field(), stayed)
    feed.start().wait_contact()
    wait_for(lambda: feed.relief('CS-1') == 'l0000 o0' and person(feed) is None, 10)
    assert stays(feed)['stays'] == []


# ---- killed at any moment ---------------------------------------------------------------------------

def test_no_stay_is_lost_whoever_is_killed(feed):
    """The daemon is killed at random while stays are set, and rcctl, too; Redis is emptied now and then."""
    import random
    rnd = random.Random(20261)
    promised = set()
    for i in range(60):
        number = f'CS-{i}'
        p = subprocess.Popen([str(harness.BIN / 'rcctl'), '-c', str(feed.conf), 'stay', '--order', number, '--reason', 'r'],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **harness.SAN_ENV})
        time.sleep(rnd.random() * 0.25)
        if i % 3 != 2:
            feed.daemon.kill()
        elif p.poll() is None:
            p.kill()
        p.communicate(timeout=30)
        if p.returncode in (0, 6, 7):
            promised.add(number)
            if p.returncode != 7:
                assert feed.relief(number) == f'l0000 o0 s{FOREVER}', (number, p.returncode)
        else:
            assert p.returncode == -signal.SIGKILL, p.returncode
        if rnd.random() < 0.2:
            feed.redis.flushall()
        if not feed.daemon.alive():
            feed.start()
            if rnd.random() < 0.5:
                feed.wait_contact()
    feed.wait_contact()
    assert len(promised) >= 40
    wait_for(lambda: stays(feed)['waiting'] == 0, 10)
    assert promised <= {s['order'] for s in stays(feed)['stays']}
    for number in promised:
        assert feed.relief(number) == f'l0000 o0 s{FOREVER}', number


# ---- a new digest key -------------------------------------------------------------------------------

NEW = jdschema.Key('d2', bytes(range(16, 32)))


def rotate(feed, *keys):
    feed.secret(feed.key_file, ''.join(k.line() for k in keys))
    feed.daemon.signal(signal.SIGHUP)
    feed.wait_status(lambda s: s['key_id'] == keys[0].id and s['redis']['state'] == 'ready' and not s['marks']['changes_gap'], 30)
    wait_for(lambda: feed.meta()['key'] == keys[0].id, 20)


def test_stays_under_a_new_key(feed):
    """Who is named by an order is carried over; who is not is told of, loudly, with the mend."""
    feed.office.publish(record('CS-1'))
    feed.wait_orders(['CS-1'])
    rcctl(feed, 'stay', '--subject', '--reason', 'named by an order', stdin=f'card:{CARD}\n')
    rcctl(feed, 'stay', '--subject', '--reason', 'named by none', stdin='card:777\n')
    rotate(feed, NEW, KEY)
    assert person(feed, key=NEW) == f's{FOREVER}'
    assert person(feed, '777', key=NEW) is None
    lost = [s for s in stays(feed)['stays'] if s['lost']]
    assert [s['reason'] for s in lost] == ['named by none']
    run = rcctl(feed, 'stays', code=5)
    assert f"--renew {lost[0]['stay']}" in run.stdout
    feed.log_has('made under a digest key that is over')
    s = feed.wait_status(lambda s: s['stays']['lost'] == 1)
    run = rcctl(feed, 'status', code=5)
    assert 'WRONG: 1 stay of a person' in run.stdout and 'rcctl stay --subject --renew' in run.stdout, run.stdout

    rcctl(feed, 'stay', '--subject', '--renew', lost[0]['stay'], '--reason', 'the same', stdin='card:777\n')
    assert person(feed, '777', key=NEW) == f's{FOREVER}'
    assert not any(s['lost'] for s in stays(feed)['stays'])
    feed.wait_status(lambda s: s['stays']['lost'] == 0)
    assert [s['state'] for s in stays(feed, '--all')['stays']] == ['stands', 'renewed', 'stands']


def test_a_stay_given_before_the_rotation_covers_both_keys(feed):
    feed.secret(feed.key_file, KEY.line() + NEW.line())
    rcctl(feed, 'stay', '--subject', '--reason', 'x', stdin='card:777\n')
    assert person(feed, '777') == person(feed, '777', key=NEW) == f's{FOREVER}'
    rotate(feed, NEW, KEY)
    assert not any(s['lost'] for s in stays(feed)['stays'])
    rcctl(feed, 'unstay', '--subject', '--reason', 'x', stdin='card:777\n')
    assert person(feed, '777') is None and person(feed, '777', key=NEW) is None


def test_a_stay_under_a_key_that_is_not_the_lists(feed):
    other = feed.folder / 'other.key'
    feed.secret(other, NEW.line())
    conf = feed.folder / 'other.conf'
    conf.write_text(feed.text(key_file=other))
    run = harness.rcctl(conf, 'stay', '--subject', '--reason', 'x', stdin='card:777\n')
    assert run.returncode == 4 and 'reaches nobody' in run.stderr, run


# ---- objections -------------------------------------------------------------------------------------

def test_an_objection_acts_like_a_lift_until_the_operator_ends_it(feed):
    o = feed.office
    o.publish(record('CS-1'))
    feed.wait_orders(['CS-1'])
    run = rcctl(feed, 'objection', '--order', 'CS-1', '--reason', 'statement of the person')
    assert 'is under objection: in Redis after' in run.stdout
    assert feed.relief('CS-1') == 'l0000 o1 h'
    feed.wait_orders([])                                 # unenforceable by construction
    o.mark('CS-1', True)
    o.mark('CS-1', False)                                # the office ends its own
    feed.wait_status(lambda s: s['marks']['relief_seq'] == o.relief_seq)
    assert feed.relief('CS-1') == 'l0000 o1 h'
    flush(feed)
    assert feed.relief('CS-1') == 'l0000 o1 h' and feed.orders() == {}

    o.mark('CS-1', True)
    rcctl(feed, 'objection', '--order', 'CS-1', '--end', '--reason', 'decided')
    assert feed.relief('CS-1') == 'l0000 o1'             # the office's stands
    o.mark('CS-1', False)
    feed.wait_relief('CS-1', 'l0000 o0')
    feed.wait_orders(['CS-1'])
    run = rcctl(feed, 'objection', '--order', 'CS-1', '--end', '--reason', 'x', code=4)
    assert 'no objection of the operator' in run.stderr
    db = sqlite3.connect(f'file:{feed.state}/journal.db?mode=ro', uri=True)
    rows = db.execute('SELECT by <> "", until > 0, how, ended_reason FROM objections ORDER BY id').fetchall()
    db.close()
    assert rows == [(1, 1, 2, 'decided'), (0, 1, 1, ''), (0, 1, 1, '')], rows
    assert [(a['stands'], a['reason']) for a in audit(feed, 'objection')] == [(True, 'statement of the person'), (False, 'decided')]


def test_an_objection_with_the_daemon_down(feed):
    feed.office.publish(record('CS-1'))
    feed.wait_orders(['CS-1'])
    feed.daemon.kill()
    rcctl(feed, 'objection', '--order', 'CS-1', '--reason', 'statement', code=6)
    assert feed.relief('CS-1') == 'l0000 o1 h'
    rcctl(feed, 'objection', '--order', 'CS-1', '--end', '--reason', 'x', code=3)
    feed.start().wait_contact()
    feed.wait_orders([])
    assert feed.relief('CS-1') == 'l0000 o1 h'
