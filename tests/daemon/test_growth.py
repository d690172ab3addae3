"""Mass change: what adds more to a list than it may waits for `rcctl approve`; what frees never waits."""
import hashlib
import json
import re
import sqlite3
import time

import fake_office
import harness
import jdschema
import pytest
from fake_office import instant
from feedworld import KEY
from harness import wait_for

ALLOWANCE = 100
EMPTY = hashlib.sha256(b'').hexdigest()              # the first list of most tests, which status.json may still tell of


NOW = int(time.time())


def record(number, card, days=300, **changes):
    """As feed's, with the same instants each time: an amendment changes what it says and nothing else."""
    return fake_office.record(number, card, **{'from': instant(NOW - 5 * 86400), 'until': instant(NOW + days * 86400), **changes})


def rcctl(feed, *args, code=0, **kw):
    run = harness.rcctl(feed.conf, *args, **kw)
    assert run.returncode == code, (run.returncode, run.stdout, run.stderr)
    return run


def held(feed, test=lambda h: h['hash'] != EMPTY, seconds=30):
    """What waits, once it does, as status.json tells it."""
    def look(s):
        h = s['growth']['held']
        return h and not h['approved'] and test(h)
    return feed.wait_status(look, seconds, 'held')['growth']['held']


def shown(feed):
    return json.loads(rcctl(feed, '--json', 'approve').stdout)['waits']


def approve(feed, hash_, *args):
    rcctl(feed, 'approve', hash_, *args)
    feed.wait_status(lambda s: s['growth']['held'] is None, 30, 'applied')


def card(n):
    return f'{n:08}'


def listed(feed, n, prefix='B'):
    """Those of n orders that Redis holds in an enforceable form."""
    return [i for i in range(n) if f'{prefix}-{i}' in feed.orders(card(i))]


def in_snapshot(o, n, first=0, prefix='B', **more):
    """n orders that the changes lane does not tell of; the next that it does is a gap."""
    for i in range(first, first + n):
        o.publish(record(f'{prefix}-{i}', card=card(i), **more), send=False)


def decision(feed, identifier, measure='bus.ride'):
    run = harness.rcctl(feed.conf, '--json', 'check', '--measure', measure, stdin=identifier + '\n')
    return json.loads(run.stdout)['decision']


def audit(feed, kind):
    """Records of the chain file of one kind."""
    text = (feed.state / 'audit.log').read_text() if (feed.state / 'audit.log').exists() else ''
    return [r for r in map(json.loads, text.splitlines()) if r.get('kind') == kind]


def stream(feed, identifier):
    """Every state that the record of a card has had in this era, as the gates' followers saw them: sets of (number, measures)."""
    meta = feed.meta()
    d = jdschema.digest(KEY, 'card', identifier)
    out = []
    for _, fields in feed.redis.xrange(feed.name('changes')):
        if fields.get(b'd') == d:
            rec = fields[b'r']
            out.append({(o['number'], o['measures']) for o in jdschema.decode_record(KEY, d, int(meta['era']), rec)[1]} if rec else set())
    return out


# ---- the first list -----------------------------------------------------------------------------

def test_the_first_list_waits(make_feed):
    """Nothing of it is enforced before the operator's word, whatever its size; contact and relief go on meanwhile."""
    feed = make_feed()
    o = feed.office
    in_snapshot(o, 3)
    feed.start(approve=False)
    h = held(feed)
    assert h['first'] and not h['approved'] and (h['additions'], h['widenings'], h['orders']) == (3, 0, 3)
    assert h['hash'] == hashlib.sha256(o.ndjson()).hexdigest()
    feed.wait_contact()
    time.sleep(1.1)
    feed.wait_contact()                              # heads are contact, again and again
    feed.wait_acked(o.lift('B-0'))
    feed.wait_relief('B-0', 'lffff o0')
    assert listed(feed, 3) == [] and decision(feed, card(1)) == 'pass'

    status = rcctl(feed, 'status', code=5).stdout
    assert 'WRONG: the first list of all waits for approval: it adds 3 orders' in status and 'DO: rcctl approve' in status
    run = rcctl(feed, 'approve')
    assert h['hash'] in run.stdout and f"rcctl approve {h['hash'][:8]} --first" in run.stdout, run.stdout
    assert 'B-1' in run.stdout and 'Haicheng Transport Bureau' in run.stdout and 'bus.ride 3' in run.stdout

    assert '--first' in rcctl(feed, 'approve', h['hash'], code=4).stderr
    assert h['hash'] in rcctl(feed, 'approve', '0' * 64, code=4).stderr
    assert listed(feed, 3) == []
    approve(feed, h['hash'][:8], '--first')
    wait_for(lambda: listed(feed, 3) == [1, 2], 15)  # what was lifted meanwhile is lifted
    assert decision(feed, card(1)) == 'deny' and decision(feed, card(0)) == 'pass'
    assert 'nothing waits' in rcctl(feed, 'approve', code=1).stdout
    assert o.quarantine == []


def test_an_empty_first_list_waits_too(make_feed):
    feed = make_feed()
    feed.start(approve=False)
    h = held(feed, lambda h: h['hash'] == EMPTY)
    assert h['first'] and h['additions'] == 0
    jti = feed.office.publish(record('CS-1', '3401005512'))        # and what comes by the lane waits behind it
    time.sleep(1.5)
    assert feed.orders() == {} and jti not in feed.office.acked
    approve(feed, h['hash'], '--first')
    feed.wait_orders(['CS-1'])
    feed.wait_acked(jti)


# ---- snapshots ----------------------------------------------------------------------------------

def base(feed):
    """Ten orders that are there, each to meet another fate in the snapshot that waits."""
    o = feed.office
    for n in range(10):
        o.publish(record(f'A-{n}', card=f'9{n}', measures=('bus.ride', 'metro.ride')))
    for n in range(10):
        feed.wait_orders([f'A-{n}'], card=f'9{n}')


def test_a_snapshot_that_adds_too_much(feed):
    """What frees in it is applied at once, what adds waits, in one and the same order, too."""
    base(feed)
    o = feed.office
    with o.news:
        in_snapshot(o, ALLOWANCE + 20)
        del o.orders['A-0']                                                     # dropped
        o.orders['A-1'] = record('A-1', card='91', measures=('bus.ride',))      # narrower
        o.orders['A-2'] = record('A-2', card='92', measures=('bus.ride', 'metro.ride'), objection=True)
        o.orders['A-3'] = record('A-3', card='93', measures=('bus.ride', 'metro.ride'), effect='observe')
        served = instant(int(time.time()) - 86400)[:10]
        o.orders['A-4'] = record('A-4', card='94', measures=('metro.ride',), served=served, days=330)   # takes one measure, adds 30 days
        o.orders['A-5'] = record('A-5', card='95', measures=('bus.ride', 'metro.ride'), served=served, days=330)    # wider
        o.publish(record('A-6', card='96', basis=None, measures=('bus.ride', 'metro.ride')), send=False)            # cannot be enforced
        jti = o.publish(record('B-last', card='b'))
    h = held(feed)
    assert (h['additions'], h['widenings'], h['first']) == (ALLOWANCE + 21, 2, False)
    feed.wait_orders([], card='90')
    feed.wait_orders([], card='96')
    wait_for(lambda: [q['order'] for q in o.quarantine] == ['A-6'], 10)
    wait_for(lambda: feed.orders('91')['A-1']['measures'] == 1, 10)
    for n in (2, 3):
        wait_for(lambda: feed.orders(f'9{n}') == {}, 10)                        # observed only
    until = {n: feed.orders(f'9{n}')[f'A-{n}']['until'] for n in (4, 5, 7)}
    wait_for(lambda: feed.orders('94')['A-4']['measures'] == 2, 10)
    assert until[4] <= until[7] + 5 and until[5] <= until[7] + 5                # no day more
    assert listed(feed, ALLOWANCE + 20) == [] and feed.orders('b') == {}
    assert decision(feed, card(5)) == 'pass' and decision(feed, '97') == 'deny'
    feed.wait_contact()

    w = shown(feed)
    assert (w['additions'], w['widenings'], w['refused']) == (ALLOWANCE + 21, 2, 1)
    (by,) = w['by']
    assert by['authority'] == 'Haicheng Transport Bureau' and 'Fare Evasion' in by['basis']
    assert (by['orders'], by['widenings']) == (ALLOWANCE + 23, 2)
    assert by['measures'] == {'bus.ride': ALLOWANCE + 22, 'metro.ride': 2}
    assert len(w['samples']) == 20 == len(set(w['samples'])) and w['samples'] == sorted(w['samples']) == shown(feed)['samples']
    assert set(w['samples']) <= {f'B-{n}' for n in range(ALLOWANCE + 20)} | {'B-last', 'A-4', 'A-5'}

    approve(feed, h['hash'])
    wait_for(lambda: len(listed(feed, ALLOWANCE + 20)) == ALLOWANCE + 20, 15)
    feed.wait_acked(jti)
    wait_for(lambda: feed.orders('94')['A-4']['until'] > until[4] + 20 * 86400, 10)
    assert feed.orders('94')['A-4']['measures'] == 2 and feed.orders('95')['A-5']['until'] > until[5] + 20 * 86400
    assert feed.orders('90') == {} == feed.orders('93')
    assert len(o.quarantine) == 1
    (record_,) = wait_for(lambda: [r for r in audit(feed, 'approve') if not r['first']], 10)
    assert record_['snapshot'] == h['hash'] and record_['additions'] == ALLOWANCE + 21 and record_['user']
    assert [r['snapshot'] for r in audit(feed, 'growth.held')][-1] == h['hash']


def test_a_snapshot_within_the_allowance_is_applied(feed):
    o = feed.office
    with o.news:
        in_snapshot(o, ALLOWANCE - 1)
        o.publish(record('B-last', card='b'))
    feed.wait_orders(['B-last'], card='b')
    wait_for(lambda: len(listed(feed, ALLOWANCE - 1)) == ALLOWANCE - 1, 15)
    assert feed.status()['growth']['held'] is None
    with o.news:                                     # one more than the baseline and the allowance together
        in_snapshot(o, 1, first=ALLOWANCE)
        o.publish(record('B-more', card='m'))
    assert held(feed)['additions'] == 2
    assert feed.orders('m') == {}


def test_the_allowance_is_a_setting(make_feed):
    feed = make_feed(growth='50% 3').start()
    o = feed.office
    feed.wait_contact()
    with o.news:
        in_snapshot(o, 3)
        o.publish(record('B-last', card='b'))
    h = held(feed)
    assert h['additions'] == 4 and feed.status()['growth']['allowance'] == 3
    approve(feed, h['hash'])
    s = feed.wait_status(lambda s: s['growth']['size'] == 4)
    assert (s['growth']['baseline'], s['growth']['allowance']) == (4, 3)
    feed.growth = '200% 3'
    feed.configure()
    feed.daemon.signal(1)
    feed.wait_status(lambda s: s['growth']['allowance'] == 8)
    feed.growth = '10%'
    feed.configure()
    assert 'max_growth' in feed.check().stderr


# ---- bursts -------------------------------------------------------------------------------------

def test_a_burst_in_the_changes_lane(feed):
    """As many as the list may grow by are applied; the next is not, nor acknowledged, and the whole waits as one snapshot."""
    o = feed.office
    with o.news:
        jtis = [o.publish(record(f'B-{n}', card=card(n))) for n in range(ALLOWANCE)]
    feed.wait_acked(*jtis, seconds=30)
    wait_for(lambda: len(listed(feed, ALLOWANCE)) == ALLOWANCE, 15)
    assert feed.status()['growth']['held'] is None
    snapshots = len([p for _, p in o.requests if 'snapshot?' in p])
    o.fault['snapshot'] = lambda h: h.reply(503, Retry_After=1) or True
    with o.news:
        over = [o.publish(record(f'B-{n}', card=card(n))) for n in range(ALLOWANCE, ALLOWANCE + 30)]
    feed.wait_status(lambda s: s['marks']['changes_gap'])
    time.sleep(1.5)
    assert not set(over) & set(o.acked) and len(listed(feed, ALLOWANCE + 30)) == ALLOWANCE
    o.fault.clear()
    h = held(feed)
    assert h['additions'] == 30 and h['seq'] == ALLOWANCE + 30
    lift = o.lift('B-3')                             # the office takes one back, before anybody approves
    feed.wait_acked(lift)
    lifted = o.lift(f'B-{ALLOWANCE + 3}')
    feed.wait_relief(f'B-{ALLOWANCE + 3}', 'lffff o0')
    assert len(listed(feed, ALLOWANCE + 30)) == ALLOWANCE - 1
    time.sleep(2)
    assert len([p for _, p in o.requests if 'snapshot?' in p]) - snapshots < 8      # it is fetched once, and held
    approve(feed, h['hash'])
    wait_for(lambda: len(listed(feed, ALLOWANCE + 30)) == ALLOWANCE + 28, 15)
    feed.wait_acked(lifted, *over, seconds=30)
    assert o.quarantine == []


def test_wider_terms_count_as_growth(feed):
    """Amendments that widen, each lawful, are a mass change, too; by the lane as in a snapshot."""
    o = feed.office
    with o.news:
        jtis = [o.publish(record(f'B-{n}', card=card(n))) for n in range(60)]
    feed.wait_acked(*jtis)
    served = instant(int(time.time()) - 86400)[:10]
    with o.news:
        for n in range(60):
            o.publish(record(f'B-{n}', card=card(n), measures=('bus.ride', 'metro.ride'), served=served))
    h = held(feed)
    assert h['additions'] == 0 and h['widenings'] == 20          # 60 and 40 are what it may
    wider = sum(feed.orders(card(n))[f'B-{n}']['measures'] == 3 for n in range(60))
    assert wider == 40
    approve(feed, h['hash'])
    wait_for(lambda: all(feed.orders(card(n))[f'B-{n}']['measures'] == 3 for n in range(60)), 15)


# ---- while something waits ----------------------------------------------------------------------

def waiting(feed):
    """A feed with ten orders of two measures and a snapshot that waits; its hash."""
    base(feed)
    with feed.office.news:
        in_snapshot(feed.office, ALLOWANCE + 20, measures=('bus.ride', 'metro.ride'))
        feed.office.publish(record('B-last', card='b'))
    return held(feed)


def test_later_changes_that_free_act_at_once_and_stay(feed):
    """They stay with the office, unacknowledged; applying the older snapshot later undoes none of them, not for a moment."""
    h = waiting(feed)
    o = feed.office
    later = [
        o.publish(record('A-1', card='91', measures=('bus.ride',))),                                    # narrower
        o.publish(record('A-2', card='92', measures=('bus.ride', 'metro.ride'), effect='observe')),
        o.publish(record('A-3', card='93', measures=('bus.ride', 'metro.ride'), objection=True)),
        o.publish(record('A-4', card='94', measures=('bus.ride', 'metro.ride'), basis=None)),           # cannot be enforced: ends
        o.publish(record('A-5', card='95', measures=('bus.ride', 'metro.ride'), days=20)),              # shorter
    ]
    adds = [o.publish(record('L-1', card='l')),                                                         # a new one waits behind
            o.publish(record('B-1', card=card(1), measures=('bus.ride',)))]                             # of what waits, less
    wait_for(lambda: feed.orders('91')['A-1']['measures'] == 1, 10)
    for n in (2, 3, 4):
        feed.wait_orders([], card=f'9{n}')
    end = time.time() + 25 * 86400
    wait_for(lambda: feed.orders('95')['A-5']['until'] < end, 10)
    o.lift('A-6')
    feed.wait_orders([], card='96')
    o.lift('A-7', ['metro.ride'])
    feed.wait_relief('A-7', 'l0002 o0')
    time.sleep(2)                                    # offered again and again meanwhile
    assert feed.orders('l') == {} == feed.orders(card(1)) and not set(later + adds) & set(o.acked)
    assert feed.status()['growth']['held']['hash'] == h['hash'] and feed.status()['marks']['seq'] == 10

    approve(feed, h['hash'])
    feed.wait_orders(['L-1'], card='l')
    feed.wait_acked(*later, *adds)
    wait_for(lambda: len(listed(feed, ALLOWANCE + 20)) == ALLOWANCE + 20, 15)
    feed.wait_status(lambda s: s['redis']['dirty'] == 0)
    assert feed.orders('91')['A-1']['measures'] == 1 and feed.orders('95')['A-5']['until'] < end
    assert all(feed.orders(f'9{n}') == {} for n in (2, 3, 4, 6))
    # nor was it otherwise in between
    assert stream(feed, '91') == [{('A-1', 3)}, {('A-1', 1)}]
    assert stream(feed, '92') == [{('A-2', 3)}, set()]
    assert stream(feed, '93') == [{('A-3', 3)}, set()] and stream(feed, '94') == [{('A-4', 3)}, set()]
    assert stream(feed, '96') == [{('A-6', 3)}, set()]
    assert stream(feed, card(1)) == [{('B-1', 1)}]   # never with the measure that the office had taken back
    assert {q['order'] for q in o.quarantine} == {'A-4'}


def test_hundreds_of_changes_behind_what_waits(feed):
    """The office offers the oldest first: what frees is found behind many that add."""
    waiting(feed)
    o = feed.office
    with o.news:
        for n in range(300):
            o.publish(record(f'L-{n}', card=f'l{n}'))
        o.publish(record('A-1', card='91', measures=('bus.ride',)))
    wait_for(lambda: feed.orders('91')['A-1']['measures'] == 1, 15)
    assert feed.orders('l1') == {}


# ---- it is replaced, given up, imported ------------------------------------------------------------

def test_a_gap_of_relief_replaces_it(feed):
    """A lift was lost: the snapshot that closes the gap waits in its place, under another hash; the lifted order is not in it."""
    h = waiting(feed)
    o = feed.office
    o.lift('B-5', send=False)
    feed.wait_acked(o.lift('B-6'))                   # beyond the gap
    h2 = held(feed, lambda x: x['hash'] != h['hash'])
    assert h2['additions'] == h['additions'] - 2
    feed.wait_contact()
    assert h2['hash'] in rcctl(feed, 'approve', h['hash'], code=4).stderr
    assert len(list(feed.state.glob('held-*.db'))) == 1
    approve(feed, h2['hash'])
    wait_for(lambda: len(listed(feed, ALLOWANCE + 20)) == ALLOWANCE + 18, 15)
    assert feed.orders(card(5)) == {} == feed.orders(card(6))


def test_a_new_epoch_replaces_it(feed):
    h = waiting(feed)
    o = feed.office
    with o.news:
        o.epoch, o.seq, o.relief_seq = 2, 0, 0
        in_snapshot(o, 1, first=500)
    rcctl(feed, 'approve', '--epoch', '2')
    h2 = held(feed, lambda x: x['epoch'] == 2)
    assert h2['hash'] != h['hash'] and not h2['first'] and h2['additions'] == h['additions'] + 1
    feed.wait_contact()                              # of the new epoch, though its list waits
    rcctl(feed, 'approve', h['hash'], code=4)
    approve(feed, h2['hash'])
    wait_for(lambda: len(listed(feed, ALLOWANCE + 20)) == ALLOWANCE + 20, 15)
    assert feed.status()['marks']['epoch'] == 2


def test_given_up_a_fresh_one_is_fetched(feed):
    """The office has taken the mistake back; what comes now adds little, and needs no approval."""
    h = waiting(feed)
    o = feed.office
    with o.news:
        for n in range(ALLOWANCE + 20):
            o.orders.pop(f'B-{n}', None)
        o.seq += 1
    rcctl(feed, 'approve', '--reject', '12345678', code=4)
    rcctl(feed, 'approve', '--reject', h['hash'])
    feed.wait_orders(['B-last'], card='b', seconds=30)
    s = feed.wait_status(lambda s: s['growth']['held'] is None and not s['marks']['changes_gap'])
    assert listed(feed, 20) == [] and s['marks']['seq'] == o.seq and not list(feed.state.glob('held-*.db'))


def test_a_signed_import_waits_an_unsigned_one_does_not(feed):
    o = feed.office
    in_snapshot(o, ALLOWANCE + 5)
    data = o.ndjson()
    path = feed.folder / 'signed'
    path.write_bytes(o.statement(data, records={'href': ''}).encode() + b'\n' + data)
    run = rcctl(feed, '--json', 'import', path)
    h = held(feed)
    assert json.loads(run.stdout)['held'] == h['hash'] == hashlib.sha256(data).hexdigest()
    assert listed(feed, ALLOWANCE + 5) == []
    plain = feed.folder / 'plain'
    plain.write_text(''.join(json.dumps(record(f'U-{n}', card=f'u{n}')) + '\n' for n in range(ALLOWANCE + 50)))
    assert json.loads(rcctl(feed, '--json', 'import', plain).stdout)['applied'] == ALLOWANCE + 50
    s = feed.wait_status(lambda s: s['growth']['held'])
    assert s['growth']['size'] == 0                  # what only observes is not growth
    approve(feed, h['hash'])
    wait_for(lambda: len(listed(feed, ALLOWANCE + 5)) == ALLOWANCE + 5, 15)


def test_other_rules_need_another_look(feed):
    """Read when other measures were enabled, it would not be the same list: it is fetched and held anew, or applied if it is small now."""
    h = waiting(feed)
    asked = len(feed.office.requests)
    feed.measures = ('bus.ride', 'metro.ride', 'bike.rent')
    feed.configure()
    feed.daemon.signal(1)
    feed.log_has('other rules')
    wait_for(lambda: any('snapshot?' in p for _, p in feed.office.requests[asked:]))
    h2 = held(feed, lambda x: x['since'] >= h['since'])
    assert (h2['hash'], h2['additions']) == (h['hash'], h['additions']) and listed(feed, 20) == []
    feed.measures = ('bus.ride',)
    feed.configure()
    feed.daemon.signal(1)
    feed.wait_orders(['B-last'], card='b', seconds=30)       # the others carry a measure that is not enabled any more
    feed.wait_status(lambda s: s['growth']['held'] is None)
    assert listed(feed, 20) == []


def test_a_new_digest_key_while_it_waits(feed):
    """The list that stands goes over to the new key, narrowed by what waits, and what waits still waits."""
    h = waiting(feed)
    new = jdschema.Key('d2', bytes(range(1, 17)))
    feed.secret(feed.key_file, new.line() + KEY.line())
    feed.daemon.signal(1)
    feed.wait_orders(['A-1'], card='91', key=new, seconds=30)
    assert feed.orders('91', key=new)['A-1']['measures'] == 3 and feed.orders(card(1), key=new) == {}
    h2 = held(feed, lambda x: x['additions'] == h['additions'])
    approve(feed, h2['hash'])
    wait_for(lambda: 'B-1' in feed.orders(card(1), key=new), 15)


# ---- shrinking, and listed again -------------------------------------------------------------------

def test_a_large_shrink_is_applied_and_alarms(feed):
    o = feed.office
    with o.news:
        in_snapshot(o, ALLOWANCE + 50)
        o.publish(record('B-last', card='b'))
    approve(feed, held(feed)['hash'])
    wait_for(lambda: len(listed(feed, ALLOWANCE + 50)) == ALLOWANCE + 50, 15)
    with o.news:
        for n in range(ALLOWANCE + 40):
            del o.orders[f'B-{n}']
        o.seq += 1
        o.publish(record('B-last', card='b', days=200))
    wait_for(lambda: len(listed(feed, ALLOWANCE + 50)) == 10, 15)
    feed.log_has('the list shrank from 151 to 11 orders')
    s = feed.wait_status(lambda s: s['growth']['shrunk_at'] > 0)
    assert (s['growth']['shrunk_from'], s['growth']['shrunk_to'], s['growth']['held']) == (151, 11, None)
    assert 'WRONG: the list shrank from 151 to 11' in rcctl(feed, 'status', code=5).stdout
    (r,) = wait_for(lambda: audit(feed, 'growth.shrink'), 10)
    assert (r['from'], r['to']) == (151, 11)


def test_somebody_is_listed_again(feed):
    """Within 30 days of a lift or a drop, on the same authority and basis; another basis or person is nothing of the kind."""
    o = feed.office
    for n in range(4):
        o.publish(record(f'A-{n}', card=f'9{n}'))
        feed.wait_orders([f'A-{n}'], card=f'9{n}')
    o.lift('A-0')
    o.lift('A-1')
    o.lift('A-3', ['metro.ride'])                    # not the whole: it is still listed
    feed.wait_orders([], card='90')
    with o.news:
        del o.orders['A-2']                          # dropped
        o.seq += 1
        o.publish(record('X-1', card='x'))
    feed.wait_orders([], card='92')
    o.publish(record('C-0', card='90'))              # again
    o.publish(record('C-1', card='91', basis='another article'))
    o.publish(record('C-2', card='92', relevance='told in other words'))    # again
    o.publish(record('C-3', card='93'))
    o.publish(record('C-4', card='94'))
    feed.wait_orders(['C-4'], card='94')
    s = feed.wait_status(lambda s: s['growth']['relisted'] == 2)
    assert 'relisted' in rcctl(feed, 'status').stdout
    rows = wait_for(lambda: len(r := audit(feed, 'relisted')) == 2 and r, 10)
    assert [(r['order'], r['before'], r['ended']) for r in rows] == [('C-0', 'A-0', 'lifted'), ('C-2', 'A-2', 'dropped')]
    db = sqlite3.connect(f'file:{feed.state}/journal.db?mode=ro', uri=True)
    assert db.execute('SELECT number, before FROM relisted ORDER BY number').fetchall() == [('C-0', 'A-0'), ('C-2', 'A-2')]
    db.close()
    feed.daemon.kill()
    feed.start().wait_status(lambda s: s['growth']['relisted'] == 2)
    assert set(feed.orders('90')) == {'C-0'}         # flagged, not refused


# ---- restarts -----------------------------------------------------------------------------------

@pytest.mark.parametrize('end', ['stop', 'kill'])
def test_what_waits_outlives_the_daemon(feed, end):
    h = waiting(feed)
    o = feed.office
    jti = o.publish(record('A-1', card='91', measures=('bus.ride',)))
    wait_for(lambda: feed.orders('91')['A-1']['measures'] == 1, 10)
    (path,) = feed.state.glob('held-*.db')
    assert path.stat().st_mode & 0o777 == 0o600
    text = path.read_bytes()
    assert card(1).encode() not in text and card(77).encode() not in text    # digests, no identifier
    getattr(feed.daemon, end)()
    snapshots = len([p for _, p in o.requests if 'snapshot?' in p])
    feed.start()
    assert held(feed)['hash'] == h['hash'] and listed(feed, 20) == []
    feed.wait_contact()
    assert feed.orders('91')['A-1']['measures'] == 1
    assert len([p for _, p in o.requests if 'snapshot?' in p]) == snapshots
    approve(feed, h['hash'])
    wait_for(lambda: len(listed(feed, ALLOWANCE + 20)) == ALLOWANCE + 20, 15)
    feed.wait_acked(jti)
    assert stream(feed, '91') == [{('A-1', 3)}, {('A-1', 1)}]


def test_approved_and_killed_it_is_applied_by_the_next(make_feed):
    """Killed at once after the word, and again while it is applied: it is applied, without a second word."""
    feed = make_feed(expected=4000)
    o = feed.office
    o.orders = {f'B-{n}': record(f'B-{n}', card=card(n)) for n in range(4000)}
    o.seq = 4000
    feed.start(approve=False)
    h = held(feed, seconds=60)
    rcctl(feed, 'approve', h['hash'], '--first')
    feed.daemon.kill()
    for delay in (0.1, 0.5, 0.9):
        feed.start()
        time.sleep(delay)
        feed.daemon.kill()
    feed.start()
    wait_for(lambda: feed.count() == 4000, 60, why=lambda: feed.count())
    s = feed.wait_status(lambda s: s['growth']['held'] is None)
    assert s['growth']['baseline'] == s['growth']['size'] == 4000 and s['marks']['seq'] == 4000
    assert len(wait_for(lambda: audit(feed, 'approve'), 10)) == 1


@pytest.mark.parametrize('delay', [0.1, 0.3, 0.6, 1.0])
def test_killed_before_it_waits(make_feed, delay):
    """Killed while it is staged, weighed or what frees is applied: it waits in the end, nothing of it is enforced, nothing is left over."""
    feed = make_feed(expected=4000)
    feed.start().wait_contact()
    o = feed.office
    o.publish(record('A-1', card='91'))
    feed.wait_orders(['A-1'], card='91')
    with o.news:
        o.orders = {f'B-{n}': record(f'B-{n}', card=card(n)) for n in range(3000)}
        o.seq += 3000
        o.publish(record('B-last', card='b'))
    time.sleep(delay)
    feed.daemon.kill()
    feed.start()
    h = held(feed, seconds=60)
    assert h['additions'] == 3001
    feed.wait_orders([], card='91')                  # dropped
    assert feed.count() == 0 and len(list(feed.state.glob('held-*.db'))) == 1 and not (feed.state / 'stage.db').exists()
    approve(feed, h['hash'])
    wait_for(lambda: feed.count() == 3001, 60, why=lambda: feed.count())


def test_its_file_lost_it_is_fetched_again(feed):
    h = waiting(feed)
    feed.daemon.stop()
    for path in feed.state.glob('held-*.db'):
        path.unlink()
    feed.start()
    h2 = held(feed, lambda x: x['since'] >= h['since'])
    assert h2['additions'] == h['additions']
    approve(feed, h2['hash'])
    wait_for(lambda: len(listed(feed, ALLOWANCE + 20)) == ALLOWANCE + 20, 15)


def test_no_approval_by_luck(feed):
    """Too short, not hex, or of something else: refused; and what is said of it holds no order's text but what was signed."""
    h = waiting(feed)
    for hash_, code in ((h['hash'][:7], 2), (h['hash'][:8].upper() + 'Z', 2), (h['hash'] + '0', 2), ('f' * 64, 4)):
        rcctl(feed, 'approve', hash_, code=code)
    text = rcctl(feed, 'approve').stdout
    assert not re.search(r'\b0000\d{4}\b', text), text                # no identifier
    assert listed(feed, 20) == []
