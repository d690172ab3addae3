"""The audit chain of a running daemon: what it records, what it survives, what it says when it cannot."""
import json
import random
import resource
import shutil
import signal
import stat
import subprocess
import time

import jdschema
import pytest
from auditworld import claims_of, rcctl, read
from fake_office import AUD, LIST, record
from feedworld import KEY
from harness import BIN, wait_for

CARD = '3401005512'


class Audited:
    """A feed whose chain is looked at."""

    def __init__(self, feed, audit=''):
        self.feed, self.office = feed, feed.office
        self.file = feed.state / 'audit.log'
        self.key = feed.folder / 'operator.key'
        self.extra = audit
        feed.configure(extra=audit)

    def start(self, **kw):
        self.feed.start(**kw)
        self.feed.wait_contact()
        return self

    def stop(self):
        self.feed.wait_status(lambda s: True)                # it has its signals in hand
        assert self.feed.daemon.stop() == 0
        return self

    def records(self, kind=None):
        return [r for r in read(self.file) if kind is None or r['kind'] == kind]

    def wait_record(self, kind, n=1, seconds=15):
        """All records of a kind, when there are n of them."""
        def look():
            assert self.feed.daemon.alive(), self.feed.daemon.log()[-3000:]
            found = whole(self.file, kind)
            return found if len(found) >= n else None
        return wait_for(look, seconds, why=f'{n} records {kind}')

    def verify(self, *args, code=0):
        p = rcctl('--json', 'audit', 'verify', *args, conf=self.feed.conf)
        assert p.returncode == code, p
        return json.loads(p.stdout)

    def audit_status(self):
        return self.feed.wait_status(lambda s: True)['audit']


def whole(path, kind):
    """Records of a kind in a file that is being written."""
    lines = path.read_bytes().split(b'\n')[:-1] if path.exists() else []
    return [r for r in map(json.loads, lines) if r.get('kind') == kind]


@pytest.fixture
def audited(make_feed):
    return Audited(make_feed())


def keygen(a, every='every_records = 5\n'):
    """A key of rcctl's own making in the configuration; the public half."""
    p = rcctl('audit', 'keygen', a.key)
    assert p.returncode == 0, p
    a.extra = f'[audit]\nkey_file = {a.key}\n{every}'
    a.feed.configure(extra=a.extra)
    return json.loads(p.stdout)


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
    assert kinds[2] == 'snapshot'                            # the first, empty one
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


# ---- kill -9, restored journals, lost files ----------------------------------------------------------------

@pytest.mark.parametrize('seed', range(5))
def test_killed_at_any_moment(audited, seed):
    """SIGKILL ten times while changes and lifts stream in: each is in the chain exactly once."""
    a, o = audited, audited.office
    keygen(a)
    a.start()
    rnd = random.Random(seed)
    jtis, lifted = [], []
    for round_ in range(10):
        for n in range(25):
            number = f'CS-{round_}-{n}'
            jtis.append(o.publish(record(number, card=f'{round_:04}{n:04}')))
            if rnd.random() < 0.3:
                lifted.append(number)
                jtis.append(o.lift(number))
        time.sleep(rnd.random())
        a.feed.daemon.kill()
        a.feed.start()
    a.feed.wait_acked(*jtis, seconds=60)
    a.stop()
    applied = [r['order'] for r in a.records('order.applied')]
    assert sorted(applied) == sorted(set(applied))
    missing = {f'CS-{r}-{n}' for r in range(10) for n in range(25)} - set(applied)
    assert missing <= set(lifted)                            # lifted before it was seen: acknowledged, not enforced
    assert sorted(r['order'] for r in a.records('lift')) == sorted(lifted)
    assert 2 <= len(a.records('daemon.start')) <= 11         # some were killed before they had begun
    assert len(a.records('daemon.end')) == 1
    assert a.records('chain') == []
    assert a.verify()['records'] == len(a.records())


def test_a_torn_last_line_is_cut(audited):
    a = audited.start().stop()
    whole_file = a.file.read_bytes()
    a.file.write_bytes(whole_file + b'{"n":99,"at":1,"ki')
    a.start().stop()
    assert a.file.read_bytes().startswith(whole_file) and a.records('chain') == []
    a.file.write_bytes(a.file.read_bytes()[:-1])             # the line end alone: the journal knows the record
    before = a.file.read_bytes()
    a.start().stop()
    assert a.file.read_bytes().startswith(before + b'\n') and a.records('chain') == [] and a.verify()['whole']


def journal_copy(a, to):
    to.mkdir(exist_ok=True)
    for name in ('journal.db', 'journal.db-wal', 'journal.db-shm'):
        (to / name).unlink(missing_ok=True)
        if (a.feed.state / name).exists():
            shutil.copy(a.feed.state / name, to / name)


def journal_back(a, of):
    for name in ('journal.db', 'journal.db-wal', 'journal.db-shm'):
        (a.feed.state / name).unlink(missing_ok=True)
        if (of / name).exists():
            shutil.copy(of / name, a.feed.state / name)


@pytest.mark.parametrize('how', ['backup', 'new'])
def test_a_restored_or_new_journal_goes_on_with_the_chain(audited, how):
    a = audited
    keygen(a)
    a.start()
    a.office.publish(record('CS-1'))
    a.wait_record('order.applied')
    a.stop()
    backup = a.feed.folder / 'backup'
    journal_copy(a, backup)
    known = len(a.records()) if how == 'backup' else 0
    if how == 'new':
        shutil.rmtree(backup)
        backup.mkdir()
    a.start()
    for i in range(10):
        a.office.publish(record(f'CS-x{i}', card=str(i)))
    a.wait_record('order.applied', 11)
    a.stop()
    before = a.file.read_bytes()
    n = len(a.records())
    journal_back(a, backup)
    a.start()
    a.office.publish(record('CS-after', card='after'))
    wait_for(lambda: any(r['order'] == 'CS-after' for r in whole(a.file, 'order.applied')), 20)
    a.stop()
    assert a.file.read_bytes().startswith(before)            # never shorter
    note, = a.records('chain')
    assert (note['why'], note['known_n'], note['found_n'], note['n']) == ('longer', known, n, n + 1)
    v = a.verify()
    assert 'restored from a backup, or is new' in v['notes'][0]


def test_rows_that_wait_in_a_restored_journal_are_not_written_twice(audited):
    """A backup taken while records waited: they are in the file by now."""
    a = audited.start()
    a.stop()
    backup = a.feed.folder / 'backup'
    blocked = a.feed.folder / 'audit.log'
    a.file.rename(blocked)
    a.file.mkdir()                                           # not writable: rows wait
    a.start()
    for i in range(5):
        a.office.publish(record(f'CS-{i}', card=str(i)))
    a.feed.wait_orders(['CS-4'], card='4')
    a.feed.daemon.kill()
    journal_copy(a, backup)
    a.file.rmdir()
    blocked.rename(a.file)
    a.start()
    a.office.publish(record('CS-late', card='late'))
    wait_for(lambda: any(r['order'] == 'CS-late' for r in whole(a.file, 'order.applied')), 20)
    a.stop()
    journal_back(a, backup)
    a.start().stop()
    applied = [r['order'] for r in a.records('order.applied')]
    assert [applied.count(f'CS-{i}') for i in range(5)] == [1] * 5, applied
    assert [r['why'] for r in a.records('chain')] == ['longer'] and a.verify()['whole']


def lost(a):
    a.file.unlink()


def cut(a):
    a.file.write_bytes(b''.join(line + b'\n' for line in a.file.read_bytes().split(b'\n')[:3]))


def rewritten(a):
    """The last record made anew, whole in itself."""
    from auditworld import line_of
    lines = a.file.read_bytes().split(b'\n')[:-1]
    r = json.loads(lines[-1])
    prev = r.pop('prev')
    del r['hash']
    lines[-1] = line_of({**r, 'user': 'mallory-the-operator'}, prev)[0]
    a.file.write_bytes(b'\n'.join(lines) + b'\n')


def foreign(a):
    a.file.write_bytes(a.file.read_bytes() + b'{"n":1,"note":"nothing to see here"}\n')


@pytest.mark.parametrize('damage, why, code', [(lost, 'missing', 'removed'), (cut, 'short', 'removed'),
                                               (rewritten, 'changed', 'rebuilt'), (foreign, 'foreign', 'changed')])
def test_a_file_that_was_touched_is_never_healed_in_silence(audited, damage, why, code):
    a = audited.start()
    a.office.publish(record('CS-1'))
    a.wait_record('order.applied')
    a.stop()
    n = len(a.records())
    damage(a)
    left = a.file.read_bytes() if a.file.exists() else b''
    v = a.verify(code=1)                                     # before the daemon has seen it
    a.start()
    a.feed.log_has(f'do not agree ({why})')
    jti = a.office.lift('CS-1')
    a.feed.wait_acked(jti)
    wait_for(lambda: whole(a.file, 'lift'), 10)
    a.stop()
    assert a.file.read_bytes().startswith(left)
    note, = whole(a.file, 'chain')
    assert (note['why'], note['known_n']) == (why, n)
    v = a.verify(code=1)
    assert v['damage']['what'] == code, v


@pytest.mark.parametrize('damage', [lost, cut, rewritten, foreign])
def test_the_same_while_the_daemon_runs(audited, damage):
    a = audited.start()
    a.office.publish(record('CS-1'))
    a.wait_record('order.applied')
    time.sleep(0.5)
    damage(a)
    a.office.publish(record('CS-2', card='2'))
    wait_for(lambda: a.file.exists() and whole_or_none(a.file, 'CS-2'), 15)
    a.stop()
    assert a.verify(code=1)['damage']['what'] in ('removed', 'rebuilt', 'changed')


def whole_or_none(path, number):
    return number.encode() in path.read_bytes()


# ---- full disk, unwritable file ----------------------------------------------------------------------------

def test_a_file_that_cannot_be_written_holds_up_nothing(audited):
    a = audited
    a.feed.state.mkdir(mode=0o700)
    a.file.mkdir()
    a.start()
    a.office.publish(record('CS-1'))
    a.feed.wait_orders(['CS-1'])
    jti = a.office.lift('CS-1')
    a.feed.wait_relief('CS-1', 'lffff o0')
    a.feed.wait_acked(jti)
    s = a.feed.wait_status(lambda s: s['audit']['pending'] >= 5)
    assert 'audit.log' in s['audit']['fault'] and s['audit']['records'] == 0
    time.sleep(3)
    assert a.feed.daemon.log().count('the audit chain cannot be written') == 1
    p = rcctl('status', conf=a.feed.conf)
    assert p.returncode == 5 and 'the audit chain cannot be written' in p.stdout, p
    a.file.rmdir()
    a.wait_record('lift')
    a.feed.log_has('the audit chain is written again')
    s = a.feed.wait_status(lambda s: s['audit']['fault'] == '' and s['audit']['pending'] == 0)
    a.stop()
    assert a.verify()['whole'] and a.records('chain') == []


def test_a_full_disk_under_the_chain_alone(audited):
    """The chain has reached a file size limit that the journal has not: it says so once, and lifts go on."""
    a, o = audited, audited.office
    for i in range(9000):
        o.publish(record(f'CS-{i}', card=str(i)), send=False)
    a.start()
    a.feed.wait_status(lambda s: s['audit']['records'] >= 9000 and s['audit']['pending'] == 0, 60)
    a.stop()
    a.start()
    size = a.file.stat().st_size
    _, hard = resource.prlimit(a.feed.daemon.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(a.feed.daemon.pid, resource.RLIMIT_FSIZE, (size + 300, hard))
    assert (a.feed.state / 'journal.db').stat().st_size < size
    jtis = [o.lift(f'CS-{i}') for i in range(20)]
    for i in range(20):
        a.feed.wait_relief(f'CS-{i}', 'lffff o0')
    a.feed.wait_acked(*jtis)
    s = a.feed.wait_status(lambda s: s['audit']['fault'] != '')
    assert 'File too large' in s['audit']['fault'] and s['audit']['pending'] > 0
    assert a.file.stat().st_size <= size + 300
    time.sleep(2)
    assert a.feed.daemon.log().count('the audit chain cannot be written') == 1
    read(a.file)                                             # whole as far as it goes
    resource.prlimit(a.feed.daemon.pid, resource.RLIMIT_FSIZE, (hard, hard))
    a.wait_record('lift', 20)
    a.stop()
    assert len(a.records('lift')) == 20 and a.records('chain') == [] and a.verify()['whole']


def test_killed_while_the_disk_is_full(audited):
    """The whole disk: nothing reaches the journal, so nothing is acknowledged, and all is recorded when it is back."""
    a, o = audited.start(), audited.office
    o.publish(record('CS-1'))
    a.feed.wait_orders(['CS-1'])
    _, hard = resource.prlimit(a.feed.daemon.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(a.feed.daemon.pid, resource.RLIMIT_FSIZE, (1024, hard))
    jti = o.lift('CS-1')
    a.feed.wait_relief('CS-1', 'lffff o0')                   # the person rides
    assert jti not in o.acked
    a.feed.daemon.kill()
    a.start()
    a.feed.wait_acked(jti)
    a.wait_record('lift')
    a.stop()
    assert len(a.records('lift')) == 1 and a.verify()['whole']


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
    assert [r['kind'] for r in life['records']] == ['order.applied', 'order.amended', 'mark', 'lift']
    assert all(r['order'] == 'CS-1' for r in life['records'])
    text = rcctl('audit', 'show', '--order', 'CS-1', conf=a.feed.conf).stdout
    for word in ('received   signed', 'authority  Haicheng', 'amended    1 time', 'no denial in the ledger', 'objection  signed',
                 'lifted     act', '60 min from the act', 'order.applied'):
        assert word in text, (word, text)
    assert rcctl('audit', 'show', '--order', 'CS-404', conf=a.feed.conf).returncode == 1
    p = rcctl('--json', 'audit', 'show', '--last', '3', conf=a.feed.conf)
    last = [json.loads(line) for line in p.stdout.splitlines()]
    assert [r['n'] for r in last] == [r['n'] for r in a.records()[-3:]]
    assert len(rcctl('audit', 'show', '--last', '1000', conf=a.feed.conf).stdout.splitlines()) == len(a.records())
