"""The audit chain of a running daemon: what it records, signs and shows."""
import json
import signal
import stat
import subprocess
import time

import jdschema
import pytest
from auditworld import Audited, claims_of, keygen, rcctl, whole
from fake_office import AUD, LIST, record
from feedworld import KEY
from harness import BIN, wait_for

CARD = '3401005512'


@pytest.fixture
def audited(make_feed):
    return Audited(make_feed(growth='10% 1000000'))


# ---- what is recorded ----------------------------------------------------------------------------------

def test_an_orders_life(audited):
    a, o = audited.start(), audited.office
    o.publish(record('CS-1', card=CARD))
    a.feed.wait_orders(['CS-1'])
    a.feed.wait_acked(o.publish(record('CS-1', card=CARD, days=200)))
    a.feed.wait_acked(o.mark('CS-1', True), o.mark('CS-1', False), o.publish(record('CS-2', card=CARD, basis=None)))
    begun = int(time.time())
    jti = o.send('relief', o.event('lift', {'seq': o.relief_seq + 1, 'order': 'CS-1'}, toe=begun - 60))
    o.relief_seq += 1
    a.feed.wait_acked(jti)
    lift = a.wait_record('lift')[0]
    a.stop()

    kinds = [r['kind'] for r in a.records()]
    assert kinds[:2] == ['daemon.start', 'config'] and kinds[-1] == 'daemon.end'
    assert kinds[2:5] == ['growth.held', 'approve', 'snapshot']      # the first list, an empty one
    assert [k for k in kinds if k in ('order.applied', 'order.amended')] == ['order.applied', 'order.amended']
    text, = a.records('text')
    assert (text['authority'], text['basis']) == ('Haicheng Transport Bureau', 'Haicheng Measures on Fare Evasion, article 12')
    applied, amended = a.records('order.applied')[0], a.records('order.amended')[0]
    assert applied['text'] == amended['text'] == text['id']
    assert (applied['order'], applied['by'], applied['epoch'], applied['seq']) == ('CS-1', 'feed', 1, 1)
    assert applied['measures'] == ['bus.ride'] and applied['effect'] == 'enforce' and amended['until'] < applied['until']
    assert [m['objection'] for m in a.records('mark')] == [True, False]
    q, = a.records('quarantine')
    assert (q['order'], q['code']) == ('CS-2', 'jd_no_basis') and q['why'].startswith('basis')
    assert (lift['order'], lift['measures'], lift['toe']) == ('CS-1', 'all', begun - 60)
    assert begun <= lift['at'] <= begun + 15 and stat.S_IMODE(a.file.stat().st_mode) == 0o600

    raw = a.file.read_bytes()
    digest = jdschema.digest(KEY, 'card', CARD)
    for secret in (CARD.encode(), digest, digest.hex().encode(), KEY.raw.hex().encode(), b'a-bearer-token'):
        assert secret not in raw
    assert a.verify()['records'] == len(kinds)


def test_what_a_snapshot_did(audited):
    a, o = audited, audited.office
    for i in range(4):
        o.publish(record(f'CS-{i}', card=str(i)), send=False)
    o.publish(record('CS-bad', contest=None), send=False)
    a.start()
    a.feed.wait_orders(['CS-0'], card='0')
    applied = a.wait_record('order.applied', 4)
    assert {r['order'] for r in applied} == {'CS-0', 'CS-1', 'CS-2', 'CS-3'} and {r['by'] for r in applied} == {'snapshot'}
    s, = a.wait_record('snapshot')
    assert (s['applied'], s['quarantined'], s['dropped']) == (4, 1, 0)
    del o.orders['CS-2']
    o.epoch += 1                                             # a new epoch, with its snapshot
    o.seq = o.relief_seq = 0
    a.feed.wait_status(lambda s: s['head']['epoch'] == 2 or 'epoch' in s['contact']['fault'])
    p = rcctl('approve', '--epoch', '2', conf=a.feed.conf)
    assert p.returncode == 0, p
    dropped, = a.wait_record('order.dropped', seconds=30)
    assert dropped['order'] == 'CS-2'
    epoch, = a.wait_record('epoch')
    assert epoch['epoch'] == 2 and epoch['user']
    s = a.wait_record('snapshot', 2)[1]
    assert (s['epoch'], s['applied'], s['unchanged'], s['dropped']) == (2, 0, 3, 1)
    assert len(a.records('quarantine')) == 1                 # known already: not said again
    a.stop()
    assert a.verify()['whole']


def test_expired_by_the_clock(audited):
    a, o = audited.start(), audited.office
    o.publish(record('CS-1', until=time.strftime('%Y-%m-%dT%H:%M:%S+00:00', time.gmtime(time.time() + 4))))
    a.wait_record('order.applied')
    e, = a.wait_record('order.expired')
    assert e['order'] == 'CS-1' and e['at'] >= e['until'] == a.records('order.applied')[0]['until']


def test_another_subject_refuses_the_version_before(audited):
    a, o = audited.start(), audited.office
    o.publish(record('CS-1'))
    o.publish(record('CS-1', card='other'))
    r, = a.wait_record('order.refused')
    assert (r['order'], r['code']) == ('CS-1', 'jd_subject_changed')


def test_a_fork_is_said_once(audited):
    a, o = audited.start(), audited.office
    o.publish(record('CS-1'))
    a.wait_record('order.applied')
    for _ in range(3):
        o.send('changes', o.event('order', {'seq': 1, 'order': record('CS-other')}))
    f, = a.wait_record('fork')
    assert (f['lane'], f['seq']) == ('changes', 1)
    time.sleep(1)
    assert len(a.records('fork')) == 1


def test_the_configuration(audited):
    a = audited.start()
    first, = a.wait_record('config')
    assert 'office' in first['sections'] and len(first['sha256']) == 64
    a.feed.daemon.signal(signal.SIGHUP)                      # the same again says nothing
    a.feed.log_has('configuration reloaded')
    a.feed.configure(extra='[audit]\nevery_minutes = 3\n')
    a.feed.daemon.signal(signal.SIGHUP)
    c = a.wait_record('config', 2)[1]
    assert c['sections'] == ['audit'] and c['sha256'] != first['sha256']
    a.stop()
    a.feed.configure(extra='')
    a.start()
    c = a.wait_record('config', 3)[2]
    assert c['sections'] == ['audit'] and c['sha256'] == first['sha256']
    a.feed.jwks(a.office.key, type(a.office.key)('k2'))      # another file, the same path
    a.feed.daemon.signal(signal.SIGHUP)
    c = a.wait_record('config', 4)[3]
    assert c['sections'] == ['office']


def test_who_used_check_and_how_often_never_about_whom(audited):
    a = audited.start()
    for _ in range(3):
        subprocess.run([str(BIN / 'rcctl'), '-c', str(a.feed.conf), 'check', '--measure', 'bus.ride'], input=CARD + '\n',
                       text=True, capture_output=True, timeout=20)
    checks = a.wait_record('check', 3)
    assert all(set(c) == {'n', 'at', 'kind', 'user', 'prev', 'hash'} and c['user'] for c in checks)
    a.stop()
    subprocess.run([str(BIN / 'rcctl'), '-c', str(a.feed.conf), 'check', '--measure', 'bus.ride'], input=CARD + '\n',
                   text=True, capture_output=True, timeout=20)
    assert len(a.records('check')) == 3                      # the daemon is down: it finds the note later
    a.start()
    a.wait_record('check', 4)
    a.stop()
    assert len(a.records('check')) == 4 and CARD.encode() not in a.file.read_bytes()
    assert list((a.feed.state / 'inbox').iterdir()) == list((a.feed.state / 'outbox').iterdir()) == []


# ---- a third party ---------------------------------------------------------------------------------------

def test_sha256sum_and_jq_verify_it(audited):
    """The recipe of the README, word by word."""
    a = audited.start()
    for i in range(5):
        a.office.publish(record(f'CS-{i}', authority='Haicheng Transport Bureau', card=str(i), basis='条例"第一条" \\ / <>&'))
    a.wait_record('order.applied', 5)
    a.stop()
    readme = (BIN.parent.parent / 'restrict-cache' / 'README.md').read_text()
    recipe = readme.split('<!-- recipe -->\n```sh\n')[1].split('```')[0]
    run = subprocess.run(['sh', '-c', recipe], cwd=a.feed.state, text=True, capture_output=True, timeout=60)
    assert run.returncode == 0 and run.stderr == '' and run.stdout.strip() == f'{len(a.records())} records', run
    data = a.file.read_bytes()
    for old, new in ((b'"CS-2"', b'"CS-9"'), (b'"n":3,', b'"n":4,')):
        a.file.write_bytes(data.replace(old, new, 1))
        run = subprocess.run(['sh', '-c', recipe], cwd=a.feed.state, text=True, capture_output=True, timeout=60)
        assert 'broken at' in run.stdout, run


# ---- checkpoints -----------------------------------------------------------------------------------------

def test_checkpoints_by_number_and_by_time(audited):
    a = audited
    public = keygen(a)
    assert public['kty'] == 'OKP' and public['crv'] == 'Ed25519' and 'd' not in public
    assert stat.S_IMODE(a.key.stat().st_mode) == 0o600
    assert rcctl('audit', 'keygen', a.key).returncode == 2   # never over a key
    a.start()
    for i in range(20):
        a.office.publish(record(f'CS-{i}', card=str(i)))
    points = a.wait_record('checkpoint', 4)
    a.stop()
    for p in a.records('checkpoint'):
        claims = claims_of(p['checkpoint'])
        assert claims == {'iss': AUD, 'list': LIST, 'journal': a.records()[0]['journal'], 'n': p['n'] - 1,
                          'hash': p['prev'], 'iat': p['at']}
    gaps = [y['n'] - x['n'] for x, y in zip(points, points[1:])]
    assert all(g <= 6 for g in gaps), gaps                   # five records and the checkpoint itself
    v = a.verify()
    assert v['checkpoints']['kid'] == public['kid'] and v['checkpoints']['verified']
    s = json.loads(a.feed.status_file.read_text())['audit']
    assert s['kid'] == public['kid'] and s['checkpoint'] > 0
    keys = a.feed.folder / 'public.jwk'
    keys.write_text(json.dumps(public))
    p = rcctl('audit', 'verify', '--file', a.file, '--keys', keys)
    assert p.returncode == 0 and public['kid'] in p.stdout, p

    n = len(a.records('checkpoint'))                         # every minute of a clock that is told
    a.feed.configure(extra=f'[audit]\nkey_file = {a.key}\nevery_minutes = 1\n')
    a.start()
    time.sleep(1.5)
    before = len(whole(a.file, 'checkpoint'))
    assert before <= n + 1
    a.stop()


def test_without_a_key_nothing_is_signed_and_that_is_said(audited):
    a = audited.start()
    assert a.audit_status()['kid'] == '' and a.records('checkpoint') == []
    p = rcctl('status', conf=a.feed.conf)
    assert 'nothing of the audit chain is signed' in p.stdout, p
    p = rcctl('audit', 'verify', conf=a.feed.conf)
    assert p.returncode == 0 and 'not verified' in p.stdout, p


def test_a_key_that_others_may_read_is_refused(audited):
    a = audited
    keygen(a)
    a.key.chmod(0o640)
    p = a.feed.check()
    assert p.returncode == 2 and f'{a.key}: others may read this secret; chmod 0600 it' in p.stderr, p
    a.key.chmod(0o600)
    assert a.feed.check().returncode == 0
    a.key.write_text('nonsense')
    p = a.feed.check()
    assert p.returncode == 2 and 'PEM' in p.stderr, p


def test_a_new_key_and_the_former_one(audited):
    a = audited
    first = keygen(a)
    a.start().stop()
    a.key = a.feed.folder / 'second.key'
    second = keygen(a)
    a.start().stop()
    v = a.verify(code=1)
    assert v['damage']['what'] == 'checkpoint' and 'unknown kid' in v['damage']['why']
    former = a.feed.folder / 'former.jwks'
    former.write_text(json.dumps({'keys': [first]}))
    a.feed.configure(extra=a.extra + f'former_keys = {former}\n')
    v = a.verify()
    assert v['checkpoints']['kid'] == second['kid']


# ---- show --------------------------------------------------------------------------------------------------

def test_show(audited):
    a, o = audited.start(), audited.office
    begun = int(time.time())
    o.publish(record('CS-1'))
    o.publish(record('CS-10', card='10'))
    a.feed.wait_acked(o.publish(record('CS-1', days=200)))   # the lanes are not in step
    a.feed.wait_acked(o.mark('CS-1', True))
    jti = o.send('relief', o.event('lift', {'seq': o.relief_seq + 1, 'order': 'CS-1'}, toe=begun - 3600))
    o.relief_seq += 1
    a.feed.wait_acked(jti)
    a.wait_record('lift')
    p = rcctl('--json', 'audit', 'show', '--order', 'CS-1', conf=a.feed.conf)
    assert p.returncode == 0, p
    life = json.loads(p.stdout)
    assert life['order'] == 'CS-1' and life['amended'] == 1 and life['authority'] == 'Haicheng Transport Bureau'
    assert begun <= life['received'] <= life['applied'] and life['months'] == []
    assert life['lifted']['act'] == begun - 3600 and life['lifted']['sec_from_act'] >= 3600
    assert 0 <= life['lifted']['sec_from_signature'] <= 15
    assert 0 <= life['lifted']['ms_to_redis'] <= 15000 and life['lifted']['gateways'] == 0
    assert 'ms_to_first_gateway' not in life['lifted']       # no gateway has said anything
    newest = a.feed.redis.xrevrange(a.feed.name('lifts'), count=1)[0][0].decode()
    a.feed.redis.hset(a.feed.name('gates'), 'gw1', f'{newest} {int(time.time() * 1000)}')

    def effect():
        answer = rcctl('--json', 'audit', 'show', '--order', 'CS-1', conf=a.feed.conf)
        return json.loads(answer.stdout)['lifted'] if '"gateways":1' in answer.stdout else None
    assert wait_for(effect, 20)['ms_to_first_gateway'] >= 0
    assert [r['kind'] for r in life['records']] == ['order.applied', 'order.amended', 'mark', 'lift']
    assert all(r['order'] == 'CS-1' for r in life['records'])
    text = rcctl('audit', 'show', '--order', 'CS-1', conf=a.feed.conf).stdout
    for word in ('received   signed', 'authority  Haicheng', 'amended    1 time', 'no denial in the ledger', 'objection  signed',
                 'lifted     act', '60 min from the act', 'order.applied'):
        assert word in text, (word, text)
    assert rcctl('audit', 'show', '--order', 'CS-404', conf=a.feed.conf).returncode == 1
    have = a.records()[-1]['n']
    p = rcctl('--json', 'audit', 'show', '--last', '3', conf=a.feed.conf)
    last = [json.loads(line)['n'] for line in p.stdout.splitlines()]
    assert last == [last[0], last[0] + 1, last[0] + 2] and have <= last[2] <= a.records()[-1]['n']
    have = len(a.records())                                  # the daemon may write another meanwhile
    assert have <= len(rcctl('audit', 'show', '--last', '1000', conf=a.feed.conf).stdout.splitlines()) <= len(a.records())


def test_verified_while_it_grows(audited):
    a = audited
    keygen(a)
    a.start()
    for round_ in range(8):
        for i in range(60):
            a.office.publish(record(f'CS-{round_}-{i}', card=f'{round_}{i:02}'))
        assert a.verify()['whole']
    a.wait_record('order.applied', 480, 40)
    a.stop()
    assert a.verify()['records'] == len(a.records())
