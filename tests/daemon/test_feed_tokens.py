"""The two lanes: what is applied, acknowledged, reported, or left standing. Each test reads Redis, the office and status.json."""
import json
import time

import pytest
from fake_office import SigningKey, record
from harness import wait_for


def test_an_order_is_published_lifted_and_stays_lifted(feed):
    o = feed.office
    a = o.publish(record('CS-1'))
    feed.wait_orders(['CS-1'])
    feed.wait_acked(a)
    b = o.lift('CS-1')
    feed.wait_relief('CS-1', 'lffff o0')
    feed.wait_acked(b)
    again = o.publish(record('CS-1'))               # amendment of a lifted order: acknowledged, not enforced
    feed.wait_acked(again)
    assert feed.relief('CS-1') == 'lffff o0'
    s = feed.wait_status(lambda s: s['marks']['seq'] == 2 and s['marks']['relief_seq'] == 1)
    assert s['lanes']['relief']['state'] == s['lanes']['changes']['state'] == 'polling'


def test_a_part_is_lifted_then_an_objection_comes_and_goes(feed):
    o = feed.office
    o.publish(record('CS-1', measures=['bus.ride', 'metro.ride']))
    feed.wait_orders(['CS-1'])
    o.lift('CS-1', ['metro.ride'])
    feed.wait_relief('CS-1', 'l0002 o0')
    o.mark('CS-1', True)
    feed.wait_relief('CS-1', 'l0002 o1')
    o.mark('CS-1', False)
    feed.wait_relief('CS-1', 'l0002 o0')


def test_a_lift_is_never_refused(feed):
    """Unknown order, a seq far ahead, an epoch of the past or to come: applied and acknowledged."""
    o = feed.office
    jtis = [o.send('relief', o.event('lift', {'seq': seq, 'order': f'X-{seq}'}, epoch=epoch))
            for seq, epoch in [(900, 1), (3, 0), (77, 9)]]
    for seq in (900, 3, 77):
        feed.wait_relief(f'X-{seq}', 'lffff o0')
    feed.wait_acked(*jtis)


def test_lifts_act_while_changes_stand_still(feed):
    """The relief lane does not wait for the other."""
    feed.office.fault['changes'] = lambda h: h.reply(500) or True
    feed.wait_status(lambda s: s['lanes']['changes']['state'] == 'waiting' and '500' in s['lanes']['changes']['fault'])
    t = time.monotonic()
    feed.office.lift('CS-9')
    feed.wait_relief('CS-9', 'lffff o0')
    assert time.monotonic() - t < 2
    feed.wait_contact()                              # and the list does not age for it


@pytest.mark.parametrize('how', ['signature', 'kid', 'expired', 'early', 'typ', 'alg', 'iss', 'aud', 'jti', 'crit'])
def test_a_relief_token_that_does_not_verify_makes_the_lane_stand(make_feed, how):
    feed = make_feed()
    o = feed.office
    old, new = SigningKey('old', exp=int(time.time()) - 1), SigningKey('new', nbf=int(time.time()) + 3600)
    feed.jwks(o.key, old, new)
    feed.start().wait_contact()

    payload, sign, kid, reason = o.event('lift', {'seq': 1, 'order': 'CS-1'}), {}, 'k1', 'ours'
    if how == 'signature':
        sign, reason = {'spoil': True}, 'bad signature'
    elif how == 'kid':
        sign, kid, reason = {'key': SigningKey('k9')}, 'k9', 'unknown kid'
    elif how == 'expired':
        sign, kid, reason = {'key': old}, 'old', 'expired'
    elif how == 'early':
        sign, kid, reason = {'key': new}, 'new', 'not valid yet'
    elif how in ('typ', 'alg', 'crit'):
        sign = {'header': {'typ': 'jd-head+jwt'} if how == 'typ' else {'alg': 'none'} if how == 'alg' else {'crit': ['x']}}
        reason = 'header'
    elif how == 'iss':
        payload['iss'] = 'https://other.test'
    elif how == 'aud':
        payload['aud'] = 'jd:gateway:other'
    o.relief_seq = 1
    jti = payload['jti']
    if how == 'jti':
        payload['jti'] = 'another'
        reason = 'jti'
        with o.news:
            o.queue['relief'][jti] = o.sign(payload, 'secevent+jwt')
    else:
        o.send('relief', payload, **sign)

    s = feed.wait_status(lambda s: s['lanes']['relief']['state'] == 'standing')
    assert reason in s['lanes']['relief']['fault'] and s['lanes']['relief']['kid'] == kid
    good = o.lift('CS-2')                            # what verifies in the same answer is applied all the same
    feed.wait_relief('CS-2', 'lffff o0')
    feed.wait_acked(good)
    s = feed.no_contact_for(2)                       # freshness ages
    assert 'stands' in s['contact']['fault']
    assert feed.relief('CS-1') is None
    assert jti not in o.acked and jti not in o.errors

    with o.news:                                     # the office sends it well
        o.queue['relief'][jti] = o.sign(o.event('lift', {'seq': 1, 'order': 'CS-1'}, jti=jti), 'secevent+jwt')
    feed.wait_relief('CS-1', 'lffff o0')
    feed.wait_acked(jti)
    feed.wait_contact()


def test_an_unknown_key_becomes_known_by_a_reload(feed):
    o = feed.office
    k2 = SigningKey('k2')
    jti = o.lift('CS-1', key=k2)
    feed.wait_status(lambda s: s['lanes']['relief']['kid'] == 'k2')
    feed.jwks(o.key, k2)
    feed.daemon.signal(1)
    feed.wait_relief('CS-1', 'lffff o0')
    feed.wait_acked(jti)
    feed.wait_contact()


def test_a_relief_only_key_signs_no_order_no_head_no_snapshot(make_feed):
    feed = make_feed()
    o = feed.office
    relief_key = SigningKey('r1', use='relief')
    feed.jwks(o.key, relief_key)
    feed.start().wait_contact()
    jti = o.lift('CS-7', key=relief_key)
    feed.wait_relief('CS-7', 'lffff o0')
    feed.wait_acked(jti)

    o.seq += 1
    bad = o.send('changes', o.event('order', {'seq': o.seq, 'order': record('CS-1')}), key=relief_key)
    s = feed.wait_status(lambda s: s['lanes']['changes']['state'] == 'standing')
    assert 'relief only' in s['lanes']['changes']['fault'] and s['lanes']['changes']['kid'] == 'r1'
    assert bad not in o.acked and bad not in o.errors and feed.orders() == {}

    o.key, was = relief_key, o.key
    s = feed.wait_status(lambda s: 'relief only' in s['contact']['fault'])
    o.key = was


def test_a_token_that_verifies_and_does_not_parse_is_reported(feed):
    o = feed.office
    bad = [o.event('lift', {'seq': 1}), o.event('lift', {'seq': 1.5, 'order': 'A'}), o.event('order', {'seq': 1, 'order': {}}),
           {**o.event('lift', {'seq': 1, 'order': 'A'}), 'events': {}}]
    jtis = [o.send('relief', p) for p in bad]
    wait_for(lambda: set(jtis) <= set(o.errors), why=f'{o.errors}')
    assert {e['err'] for e in o.errors.values()} == {'jd_schema'}
    assert all(e['description'] for e in o.errors.values())
    assert not set(jtis) & set(o.acked)
    feed.wait_status(lambda s: s['lanes']['relief']['state'] == 'polling')


def test_repeated_members_in_a_signed_payload_are_refused(feed):
    o = feed.office
    text = json.dumps(o.event('lift', {'seq': 1, 'order': 'CS-1'})).replace('"order": "CS-1"', '"order": "CS-1", "order": "CS-2"')
    jti = f'jti-{o.n_jti}'
    with o.news:
        o.queue['relief'][jti] = o.sign(text.encode(), 'secevent+jwt')
    wait_for(lambda: jti in o.errors)
    assert feed.relief('CS-1') is None and feed.relief('CS-2') is None


def test_shuffled_sets_are_applied_by_seq(feed):
    o = feed.office
    snapshots = [p for _, p in o.requests if 'snapshot' in p]
    with o.news:                                     # one answer, the newest first
        seqs = [5, 2, 4, 1, 3]
        tokens = {s: o.event('order', {'seq': s, 'order': record(f'CS-{s}')}) for s in seqs}
        for s in seqs:
            o.queue['changes'][tokens[s]['jti']] = o.sign(tokens[s], 'secevent+jwt')
            o.orders[f'CS-{s}'] = record(f'CS-{s}')
        o.seq = 5
        o.news.notify_all()
    feed.wait_orders([f'CS-{s}' for s in seqs])
    feed.wait_acked(*[t['jti'] for t in tokens.values()])
    assert snapshots == [p for _, p in o.requests if 'snapshot' in p]


def test_an_old_token_again_is_acknowledged_and_changes_nothing(feed):
    o = feed.office
    with o.news:
        jti = o.publish(record('CS-1'))
        token = o.queue['changes'][jti]
    feed.wait_acked(jti)
    o.publish(record('CS-2', card='9'))
    feed.wait_orders(['CS-2'], card='9')
    last = feed.meta()['last_id']
    o.acked.clear()
    with o.news:
        o.queue['changes'][jti] = token
        o.news.notify_all()
    feed.wait_acked(jti)
    assert feed.meta()['last_id'] == last and set(feed.orders()) == {'CS-1'}


def test_a_gap_in_changes_is_closed_by_a_snapshot(feed):
    o = feed.office
    o.publish(record('CS-1'), send=False)            # this one never comes by the lane
    jti = o.publish(record('CS-2'))
    feed.wait_orders(['CS-1', 'CS-2'])
    feed.wait_acked(jti)
    s = feed.wait_status(lambda s: not s['marks']['changes_gap'] and s['marks']['seq'] == 2)
    assert s['snapshot']['state'] == 'idle'


def test_a_gap_in_relief_is_no_contact_until_a_snapshot_closes_it(feed):
    o = feed.office
    o.fault['snapshot'] = lambda h: h.reply(503, Retry_After=1) or True
    o.publish(record('CS-1'))
    feed.wait_orders(['CS-1'])
    o.lift('CS-1', send=False)
    jti = o.lift('CS-2')
    feed.wait_relief('CS-2', 'lffff o0')             # applied at once
    feed.wait_acked(jti)
    s = feed.no_contact_for(2)
    assert s['marks']['relief_behind'] and s['contact']['fault']
    del o.fault['snapshot']
    feed.wait_orders([])                             # absence from the snapshot ends the order
    feed.wait_contact()
    assert not feed.status()['marks']['relief_behind']


def test_a_fork_waits_for_a_new_epoch(feed):
    o = feed.office
    o.publish(record('CS-1'))
    feed.wait_orders(['CS-1'])
    other = o.send('changes', o.event('order', {'seq': 1, 'order': record('CS-8', card='8')}))
    s = feed.wait_status(lambda s: s['marks']['forked'])
    assert 'fork' in feed.wait_status(lambda s: s['lanes']['changes']['fault'])['lanes']['changes']['fault']
    assert other not in o.acked and feed.orders('8') == {}
    jti = o.lift('CS-1')                             # relief goes on
    feed.wait_relief('CS-1', 'lffff o0')
    feed.wait_acked(jti)
    assert s['marks']['approved_epoch'] == 0


def test_hundreds_of_events_come_in_several_polls(make_feed):
    feed = make_feed(growth='10% 300').start()
    o = feed.office
    # while the first list waited, more was looked at
    wait_for(lambda: o.held['changes'] and o.polls['changes'][-1]['maxEvents'] == 100)
    first = len(o.polls['changes']) - 1
    with o.news:
        jtis = [o.publish(record(f'CS-{n}', card=f'{n:08}')) for n in range(250)]
    feed.wait_acked(*jtis, seconds=30)
    wait_for(lambda: feed.count() == 250, 15, why=lambda: feed.count())
    polls = o.polls['changes'][first:]
    assert all(p['maxEvents'] == 100 and p['returnImmediately'] is False for p in polls)
    assert sum(len(p.get('ack', [])) for p in polls) >= 250


def test_polls_are_held_and_cost_nothing(make_feed):
    feed = make_feed()
    feed.office.hold_sec = 30
    feed.start().wait_status(lambda s: s['contact']['verified_at'] or s['redis']['state'] == 'ready')
    wait_for(lambda: feed.office.held == {'relief': 1, 'changes': 1})
    time.sleep(2)
    polls = {k: len(v) for k, v in feed.office.polls.items()}
    time.sleep(2)
    assert polls == {k: len(v) for k, v in feed.office.polls.items()}
    jti = feed.office.lift('CS-1')                   # a held poll is answered at once
    feed.wait_relief('CS-1', 'lffff o0', seconds=2)
    feed.wait_acked(jti, seconds=2)


def test_empty_polls_for_ever_are_no_contact_and_no_busy_loop(make_feed):
    feed = make_feed()
    o = feed.office
    empty = json.dumps({'sets': {}, 'moreAvailable': False})
    feed.start().wait_contact()
    o.relief_seq = 1                                 # a lift that the office never sends
    o.fault['relief'] = o.fault['changes'] = lambda h: h.reply(200, empty) or True
    o.fault['snapshot'] = lambda h: h.reply(503, Retry_After=1) or True
    feed.no_contact_for(2)
    before = len(o.requests)
    time.sleep(3)
    assert len(o.requests) - before < 40


def test_a_poll_answer_that_is_no_poll_answer(feed):
    o = feed.office
    for body in ('', '[]', '{"sets":[]}', '{"sets":{},"sets":{}}', '{"sets":{}}' + '\0', '{"sets":{"j":1}}'):
        o.fault['relief'] = lambda h, b=body: h.reply(200, b) or True
        feed.wait_status(lambda s: s['lanes']['relief']['fault'] != '')
        o.fault.clear()
        feed.wait_status(lambda s: s['lanes']['relief']['fault'] == '')


def test_bad_records_are_quarantined_and_reported(feed):
    o = feed.office
    bad = {
        'jd_no_basis': record('Q-1', basis=None), 'jd_not_served': record('Q-2', served=None),
        'jd_no_term': record('Q-3', until=None), 'jd_term_too_long': record('Q-4', days=3000),
        'jd_no_contest': record('Q-5', contest={}), 'jd_measure_not_enabled': record('Q-6', measures=['bike.rent']),
        'jd_authority': record('Q-7', authority='Somebody Else'), 'jd_subject': record('Q-8', subject={'scheme': 'cnid', 'id': '1'}),
        'jd_schema': record('Q-9', effect='maybe'),
    }
    with o.news:
        jtis = [o.publish(r) for r in bad.values()] + [o.publish(record('CS-1'))]
    feed.wait_acked(*jtis)
    feed.wait_orders(['CS-1'])
    wait_for(lambda: {q['order']: q['code'] for q in o.quarantine} == {r['order']: c for c, r in bad.items()},
             15, why=lambda: o.quarantine)
    assert all(q['description'] for q in o.quarantine)
    assert '3401005512' not in json.dumps(o.quarantine) + feed.daemon.log()


def test_a_quarantine_report_is_repeated_until_it_is_taken(feed):
    o = feed.office
    tries = []
    o.fault['quarantine'] = lambda h: (tries.append(1), h.reply(500))[0] is None
    o.publish(record('Q-1', basis=None))
    wait_for(lambda: len(tries) >= 2, 15)
    del o.fault['quarantine']
    wait_for(lambda: [q['order'] for q in o.quarantine] == ['Q-1'], 15)
