"""Checkpoints go to the office with each batch of the ledger, its receipts come back into the chain: real daemon, Redis, office."""
import json
import os
import resource
import subprocess
import time

import harness
import pytest
from auditworld import Chain, claims_of, jws, line_of, rcctl, read
from harness import wait_for
from ledgerworld import Gate, World


@pytest.fixture
def lw(world):
    folder = world.dir('operator')
    key = folder / 'operator.key'
    p = rcctl('audit', 'keygen', key)
    assert p.returncode == 0, p
    w = World(world, conf=f'[audit]\nkey_file = {key}\nevery_records = 4\n')
    w.public, w.file = json.loads(p.stdout), w.state / 'audit.log'
    return w.start()


def verify(lw, *args, code=0):
    p = rcctl('--json', 'audit', 'verify', '--receipts', *args, conf=lw.conf)
    assert p.returncode == code, p
    return json.loads(p.stdout)


def settle(lw, n=2):
    """Denials of n gates, told to the office and signed for."""
    gates = [Gate(f'gw{i}') for i in range(n)]
    for i, g in enumerate(gates):
        g.deny(lw.records[i]['order'], 'bus.ride', months_ago=1, hours_ago=1 + i, n=i + 1)
        g.close()
    lw.settle(*gates)


def test_the_chain_is_certain_up_to_the_newest_receipt(lw):
    wait_for(lambda: lw.status()['audit']['checkpoint'] > 0)
    settle(lw)
    assert lw.daemon.stop() == 0
    records = read(lw.file)
    batches = [r for r in records if r['kind'] == 'batch']
    receipts = [r for r in records if r['kind'] == 'receipt']
    assert len(batches) == len(receipts) >= 2
    sent = [json.loads(line) for line in (lw.office.dir / 'ledger').read_bytes().split(b'\n') if line]
    for b, r, body in zip(batches, receipts, sent):
        claims, point = claims_of(r['receipt']), claims_of(body['checkpoint'])
        assert claims['checkpoint'] == {'n': point['n'], 'hash': point['hash']}
        assert (b['checkpoint_n'], b['checkpoint_hash']) == (point['n'], point['hash'])
        assert records[point['n'] - 1]['hash'] == point['hash'] and point['n'] < b['n'] < r['n']
        assert body['batch'] == claims['batch'] == b['batch'] == r['batch'] and body['hash'] == b['batch_hash'] == claims['hash']
    v = verify(lw)
    assert v['certain'] == batches[-1]['checkpoint_n'] and v['behind'] == len(records) - v['certain']
    text = rcctl('audit', 'verify', '--receipts', conf=lw.conf).stdout
    assert f"certain     up to record {v['certain']}, batch {batches[-1]['batch']}: the office has signed for it" in text
    life = json.loads(rcctl('--json', 'audit', 'show', '--order', lw.records[0]['order'], conf=lw.conf).stdout)
    assert life['months'] == [{'month': life['first_month_enforced'], 'measure': 'bus.ride', 'denied': 1}]
    assert life['first_month_enforced'] == life['last_month_enforced']


def test_the_operator_alone_cannot_rewrite_what_has_a_receipt(lw):
    """With the daemon's own key, journal and all: what the office signed for stands."""
    wait_for(lambda: lw.status()['audit']['checkpoint'] > 0)
    settle(lw)
    assert lw.daemon.stop() == 0
    honest = read(lw.file)
    certain = verify(lw)['certain']
    target = honest[1]                                       # the configuration of then
    assert target['kind'] == 'config' and target['n'] < certain

    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    forger = Chain()
    forger.operator.kid = lw.public['kid']
    forger.operator.private = load_pem_private_key(key_of(lw), None)
    lines, prev = [], '0' * 64
    for r in honest:
        r = {k: v for k, v in r.items() if k not in ('prev', 'hash')}
        if r['n'] == target['n']:
            r['sections'] = []
        if r['kind'] == 'checkpoint':
            r['checkpoint'] = jws(forger.operator, 'jd-checkpoint+jwt',
                                  {**claims_of(r['checkpoint']), 'hash': prev})
        line, prev = line_of(r, prev)
        lines.append(line)
    lw.file.write_bytes(b'\n'.join(lines) + b'\n')
    forge_journal(lw, lines)
    assert json.loads(rcctl('--json', 'audit', 'show', '--last', '1', conf=lw.conf).stdout)['hash'] == prev
    v = verify(lw, code=1)
    assert v['damage']['what'] == 'rebuilt' and v['damage']['n'] == next(r['n'] for r in honest if r['kind'] == 'batch'), v


def key_of(lw):
    line = next(x for x in lw.conf.read_text().splitlines() if x.startswith('key_file') and x.endswith('operator.key'))
    with open(line.split(' = ')[1], 'rb') as f:
        return f.read()


def forge_journal(lw, lines):
    import sqlite3
    db = sqlite3.connect(lw.state / 'journal.db')
    db.execute('UPDATE audit_head SET hash = ?, size = ?',
               (bytes.fromhex(json.loads(lines[-1])['hash']), sum(len(x) + 1 for x in lines)))
    db.commit()
    db.close()


def test_a_batch_before_any_checkpoint_goes_without(world):
    lw = World(world).start()
    settle(lw)
    assert lw.daemon.stop() == 0
    batch = next(r for r in read(lw.state / 'audit.log') if r['kind'] == 'batch')
    assert 'checkpoint_n' not in batch
    assert 'checkpoint' not in json.loads((lw.office.dir / 'ledger').read_bytes().split(b'\n')[0])
    v = verify(lw)
    assert v['receipts']['count'] >= 1 and v['certain'] == 0


def limits():
    resource.setrlimit(resource.RLIMIT_AS, (64 << 20, 64 << 20))


def test_a_long_chain_is_verified_in_constant_memory(world):
    """Within 64 MB of address space, by the unsanitised program; the time is printed."""
    n = 1_000_000 if os.environ.get('JD_MILLION') == '1' else 100_000
    path = world.dir('long') / 'audit.log'
    prev, at = '0' * 64, int(time.time())
    with open(path, 'wb') as f:
        for i in range(n):
            line, prev = line_of({'n': i + 1, 'at': at, 'kind': 'order.applied', 'order': f'CS-2026-{i:07}', 'by': 'snapshot',
                                  'iat': at, 'measures': ['bus.ride'], 'effect': 'enforce', 'served': at, 'from': at,
                                  'until': at, 'text': 'ab' * 8}, prev)
            f.write(line + b'\n')
    t = time.monotonic()
    p = subprocess.run([str(harness.PLAIN / 'rcctl'), '--json', 'audit', 'verify', '--file', str(path)], text=True,
                       capture_output=True, timeout=300, preexec_fn=limits)
    took = time.monotonic() - t
    assert p.returncode == 0 and json.loads(p.stdout)['records'] == n, p
    print(f'\n{n} records, {path.stat().st_size / n:.0f} bytes each, verified in {took:.1f} s within 64 MB')
    t = time.monotonic()
    p = subprocess.run([str(harness.PLAIN / 'rcctl'), '--json', 'audit', 'show', '--file', str(path), '--order',
                        f'CS-2026-{n // 2:07}'], text=True, capture_output=True, timeout=300, preexec_fn=limits)
    assert p.returncode == 0 and len(json.loads(p.stdout)['records']) == 1, p
    print(f'one order found in {time.monotonic() - t:.1f} s')
