"""The audit chain through kill -9, a restored journal, a lost or changed file, a full disk."""
import json
import random
import resource
import shutil
import time

import pytest
from auditworld import Audited, keygen, line_of, rcctl, read, whole
from fake_office import record
from harness import wait_for


@pytest.fixture
def audited(make_feed):
    return Audited(make_feed(growth='10% 1000000'))


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
