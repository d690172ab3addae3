"""Snapshots: verified whole before anything of them acts; and the HTTPS below them."""
import gzip
import json
import time

import pytest
from fake_office import Ca, SigningKey, record
from harness import rcctl, wait_for


def jwt(text):
    return lambda h: h.reply(200, text() if callable(text) else text, 'application/jwt') or True


def test_a_new_daemon_begins_with_a_snapshot(make_feed):
    feed = make_feed()
    for n in range(300):
        feed.office.publish(record(f'CS-{n}', card=f'{n:08}'), send=False)
    feed.start()
    feed.wait_contact()
    wait_for(lambda: feed.count() == 300, 15, why=lambda: feed.count())
    assert set(feed.orders('00000299')) == {'CS-299'}
    s = feed.wait_status(lambda s: s['snapshot']['state'] == 'idle' and s['redis']['dirty'] == 0)
    assert s['marks']['seq'] == 300 and s['snapshot']['fault'] == ''


def test_absence_from_a_snapshot_ends_an_order(feed):
    o = feed.office
    o.publish(record('CS-1'))
    o.publish(record('CS-2', card='2'))
    feed.wait_orders(['CS-1'])
    feed.wait_orders(['CS-2'], card='2')
    with o.news:
        del o.orders['CS-1']
        o.seq += 1                                   # a gap: the daemon asks for a snapshot
        jti = o.publish(record('CS-3', card='3'))
    feed.wait_orders([])
    feed.wait_orders(['CS-2'], card='2')
    feed.wait_orders(['CS-3'], card='3')
    feed.wait_acked(jti)


def bad_snapshots(o):
    data = o.ndjson()
    spoiled = {
        'signature': lambda: o.sign(o.claims(records={}), 'jd-snapshot+jwt', spoil=True),
        'kid': lambda: o.sign(o.claims(records={}), 'jd-snapshot+jwt', key=SigningKey('k9')),
        'typ': lambda: o.sign(o.claims(records={}), 'jd-head+jwt'),
        'list': lambda: o.statement(data, list='another'),
        'expired': lambda: o.statement(data, exp=int(time.time()) - 1),
        'future': lambda: o.statement(data, iat=int(time.time()) + 900),
        'hash': lambda: o.statement(data, records={'sha256': '0' * 64}),
        'count': lambda: o.statement(data, records={'count': 99}),
        'size small': lambda: o.statement(data, records={'bytes': len(data) - 1}),
        'size large': lambda: o.statement(data, records={'bytes': len(data) + 1}),
        'href up': lambda: o.statement(data, href='../../records'),
        'href host': lambda: o.statement(data, href='//evil.test/records'),
        'href missing': lambda: o.statement(data, href='', records={'href': ''}),
        'not json': lambda: o.sign(b'no', 'jd-snapshot+jwt'),
    }
    return spoiled


WORDS = {'signature': 'bad signature', 'kid': 'k9: unknown kid', 'typ': 'header', 'list': 'list is not ours',
         'expired': 'expired', 'future': 'ahead', 'hash': 'hash', 'count': 'number', 'size small': 'longer',
         'size large': 'size', 'href up': 'href', 'href host': 'href', 'href missing': 'href', 'not json': 'JSON'}


@pytest.mark.parametrize('how', WORDS)
def test_a_bad_snapshot_changes_nothing(feed, how):
    o = feed.office
    o.publish(record('CS-1'))
    feed.wait_orders(['CS-1'])
    with o.news:
        del o.orders['CS-1']
        o.publish(record('CS-2', card='2'), send=False)
        o.fault['snapshot'] = jwt(bad_snapshots(o)[how])
        o.publish(record('CS-3', card='3'))
    s = feed.wait_status(lambda s: s['snapshot']['fault'] != '')
    assert WORDS[how] in s['snapshot']['fault'], s['snapshot']
    assert s['marks']['changes_gap'] and s['marks']['seq'] == 1
    assert set(feed.orders()) == {'CS-1'} and feed.orders('2') == {} == feed.orders('3')
    jti = o.lift('CS-1')                             # relief does not wait for it
    feed.wait_relief('CS-1', 'lffff o0')
    feed.wait_acked(jti)
    del o.fault['snapshot']
    feed.wait_orders(['CS-2'], card='2', seconds=30)
    feed.wait_status(lambda s: s['snapshot']['fault'] == '' and not s['marks']['changes_gap'])


def endless(h, encode=lambda b: b, **headers):
    h.send_response(200)
    h.send_header('Connection', 'close')
    for name, value in headers.items():
        h.send_header(name.replace('_', '-'), value)
    h.end_headers()
    chunk = encode(b'{"order":"x"}\n' * 4096)
    while True:
        h.wfile.write(chunk)


@pytest.mark.parametrize('where, how', [('records', 'endless'), ('records', 'bomb'), ('records', 'cut'), ('records', '404'),
                                        ('records', 'redirect'), ('snapshot', 'endless'), ('snapshot', 'redirect'),
                                        ('snapshot', '500')])
def test_a_download_is_capped_and_whole(feed, where, how):
    o = feed.office
    o.publish(record('CS-1'), send=False)

    def cut(h):
        body = o.ndjson()
        h.send_response(200)
        h.send_header('Content-Length', str(len(body)))
        h.end_headers()
        h.wfile.write(body[:-5])
        h.close_connection = True
        return True
    o.fault[where] = {
        'endless': endless, 'cut': cut,
        'bomb': lambda h: h.reply(200, gzip.compress(b'\n' * 100_000_000), Content_Encoding='gzip') or True,
        '404': lambda h: h.reply(404) or True, '500': lambda h: h.reply(500) or True,
        'redirect': lambda h: h.reply(302, Location=f'{o.base}/head') or True,
    }[how]
    o.publish(record('CS-2'))
    s = feed.wait_status(lambda s: s['snapshot']['fault'] != '')
    word = {'endless': 'longer than allowed', 'bomb': 'longer than allowed', 'cut': 'no answer', '404': '404', '500': '500',
            'redirect': '302'}[how]
    assert word in s['snapshot']['fault'], s['snapshot']
    assert feed.orders() == {}
    o.fault.clear()
    feed.wait_orders(['CS-1', 'CS-2'], seconds=30)


def test_retry_after_is_honoured(make_feed):
    feed = make_feed()
    o = feed.office
    o.publish(record('CS-1'), send=False)
    asked = []

    def later(h):
        asked.append(time.monotonic())
        return len(asked) <= 2 and (h.reply(503, Retry_After=2) or True)
    o.fault['snapshot'] = later
    feed.start()
    feed.wait_orders(['CS-1'])
    assert len(asked) == 3 and all(1.9 < b - a < 4 for a, b in zip(asked, asked[1:]))


def test_a_snapshot_is_asked_for_with_what_is_known(feed):
    o = feed.office
    for n in range(3):
        o.publish(record(f'CS-{n}'))
    feed.wait_orders(['CS-0', 'CS-1', 'CS-2'])
    feed.wait_acked(o.lift('CS-0'))
    o.publish(record('CS-3'), send=False)
    o.publish(record('CS-4'))
    feed.wait_status(lambda s: s['marks']['seq'] == 5)
    assert any(p.endswith('snapshot?min_seq=5&min_relief_seq=1') for _, p in o.requests)


def test_lifts_faster_than_a_download(feed):
    """Each download is overtaken by a lift, which acts at once; the snapshot is used all the same, once, and brings no lifted order back."""
    o = feed.office
    lifted = []

    def slow(h):
        number = f'CS-{len(lifted) + 1}'
        lifted.append(o.lift(number))
        feed.wait_acked(*lifted)
        feed.wait_relief(number, 'lffff o0')
    o.fault['records'] = slow
    with o.news:
        for n in range(1, 5):
            o.publish(record(f'CS-{n}'), send=False)
        o.publish(record('CS-5'))
    feed.wait_orders(['CS-2', 'CS-3', 'CS-4', 'CS-5'])
    assert len(lifted) == 1 and feed.relief('CS-1') == 'lffff o0'
    feed.wait_contact()
    s = feed.wait_status(lambda s: s['snapshot']['state'] == 'idle')
    assert s['marks']['relief_seq'] == 1 and s['marks']['seq'] == 5 and not s['marks']['relief_behind']
    for n in range(2, 5):                            # again and again: a gap for each lift, and a lift for each download
        with o.news:
            o.publish(record(f'CS-{n + 10}'), send=False)
            o.publish(record(f'CS-{n + 20}', card=f'{n}'))
        feed.wait_orders([f'CS-{n + 20}'], card=f'{n}')
        assert len(lifted) == n and feed.relief(f'CS-{n}') == 'lffff o0'
    feed.wait_orders(['CS-5', 'CS-12', 'CS-13', 'CS-14'])
    assert o.quarantine == []                        # what was lifted meanwhile is nothing to complain about


def test_an_objection_that_ends_while_a_snapshot_is_fetched(feed):
    """The snapshot tells of an objection; the mark that ended it came meanwhile, and is the newer word. And the other way round."""
    o = feed.office
    o.publish(record('CS-1', objection=True))
    o.publish(record('CS-2', card='2'))
    feed.wait_orders(['CS-2'], card='2')
    marks = []

    def slow(h):
        if not marks:
            marks.extend([o.mark('CS-1', False), o.mark('CS-2', True)])
            feed.wait_acked(*marks)
    o.fault['records'] = slow
    o.publish(record('CS-3', card='3'), send=False)
    o.publish(record('CS-4', card='4'))
    feed.wait_orders(['CS-3'], card='3')
    feed.wait_contact()
    state = {x['order']: x['objection'] for x in json.loads(rcctl(feed.conf, '--json', 'orders').stdout)['orders']}
    assert state == {'CS-1': False, 'CS-2': True, 'CS-3': False, 'CS-4': False}


def test_lifts_act_while_a_large_snapshot_is_applied(make_feed):
    feed = make_feed(expected=20000)
    o = feed.office
    with o.news:
        template = json.dumps(record('N-0', card='C-0'))
        o.orders = {f'N-{n}': json.loads(template.replace('N-0', f'N-{n}').replace('C-0', f'C-{n:07}')) for n in range(20000)}
        o.seq = 20000
    feed.start(approve=False)
    feed.wait_status(lambda s: s['snapshot']['applying'] or s['growth']['held'], 30)
    waits = []

    def lift(n):
        t = time.monotonic()
        o.lift(f'N-{n}')
        feed.wait_relief(f'N-{n}', 'lffff o0')
        waits.append(time.monotonic() - t)
    for n in range(5):
        lift(n)
    held = feed.wait_status(lambda s: s['growth']['held'], 60)['growth']['held']
    assert rcctl(feed.conf, 'approve', held['hash'], '--first').returncode == 0
    for n in range(5, 10):
        lift(n)
    assert max(waits) < 1.5, waits
    wait_for(lambda: feed.count() >= 19990, 60, why=lambda: feed.count())
    assert all(feed.orders(f'{n:07}') == {} for n in range(10))


def test_no_raw_identifier_is_left_anywhere(feed):
    o = feed.office
    o.publish(record('CS-1', card='SECRETCARD77'), send=False)
    o.publish(record('CS-2', card='SECRETCARD78'))
    feed.wait_orders(['CS-1'], card='SECRETCARD77')
    for path in feed.state.rglob('*'):
        assert not path.is_file() or b'SECRETCARD' not in path.read_bytes(), path
    assert 'SECRETCARD' not in feed.daemon.log()


def test_the_server_must_be_the_office(make_feed, world):
    feed = make_feed()
    other = Ca(world.dir('ca'), 'another CA')
    feed.configure(ca_file=other.ca_file)
    feed.start(approve=False)
    s = feed.wait_status(lambda s: s['lanes']['relief']['fault'] != '' and s['contact']['fault'] != '')
    assert 'certificate' in s['lanes']['relief']['fault'], s
    assert feed.office.requests == []


def test_the_client_shows_a_certificate(make_feed):
    feed = make_feed()
    o = feed.office
    o.tls.load_verify_locations(o.ca.ca_file)
    o.tls.verify_mode = 2                            # ssl.CERT_REQUIRED
    cert, key = o.ca.issue(feed.folder, 'client')
    feed.configure(auth=f'client_cert = {cert}\nclient_key = {key}')
    feed.start().wait_contact()


def test_a_refused_token_is_told(make_feed):
    feed = make_feed()
    feed.secret(feed.token_file, 'another-token\n')
    feed.start(approve=False)
    s = feed.wait_status(lambda s: '401' in s['lanes']['relief']['fault'])
    assert s['contact']['verified_at'] == 0 and 'another-token' not in feed.daemon.log()
