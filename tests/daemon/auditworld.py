"""The audit chain in Python: written, verified and forged by the README alone, without a line of the C code."""
import hashlib
import json
import os
import re
import subprocess
import time

import harness
from fake_office import AUD, ISS, LIST, SigningKey, b64
from harness import wait_for

ZERO = '0' * 64
LINE = re.compile(rb'\{"n":(\d+),"at":(\d+),"kind":"([a-z0-9.-]{1,32})".*,"prev":"([0-9a-f]{64})","hash":"([0-9a-f]{64})"\}')


def sha(text):
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()


def compact(value):
    return json.dumps(value, ensure_ascii=False, separators=(',', ':'))


def jws(key, typ, claims):
    text = f'{b64(compact({"alg": "EdDSA", "kid": key.kid, "typ": typ}).encode())}.{b64(compact(claims).encode())}'
    return f'{text}.{b64(key.private.sign(text.encode()))}'


def claims_of(token):
    import base64
    part = token.split('.')[1]
    return json.loads(base64.urlsafe_b64decode(part + '=' * (-len(part) % 4)))


def line_of(record, prev):
    """A record's line (bytes, no line end) and its hash; `record` is n, at, kind and what follows."""
    body = compact({**record, 'prev': prev})
    digest = sha(body)
    return (body[:-1] + f',"hash":"{digest}"}}').encode(), digest


def read(path):
    """Records of a file, each verified against the one before: an independent verifier."""
    data = path.read_bytes()
    assert data == b'' or data.endswith(b'\n'), data[-200:]
    records, prev = [], ZERO
    for i, line in enumerate(data.split(b'\n')[:-1]):
        m = LINE.fullmatch(line)
        assert m, line
        assert int(m[1]) == i + 1, (i + 1, line)
        assert m[4].decode() == prev, (i + 1, line)
        prev = m[5].decode()
        assert sha(line[:-(len(',"hash":""}') + 64)] + b'}') == prev, (i + 1, line)
        records.append(json.loads(line))
    return records


def rcctl(*args, conf=None, **env):
    where = ['-c', conf] if conf else []
    return subprocess.run([str(a) for a in [harness.BIN / 'rcctl', *where, *args]], text=True, capture_output=True,
                          timeout=120, env={**os.environ, **harness.SAN_ENV, **env})


class Chain:
    """A chain as a daemon writes it, kept as records without prev and hash, so that it can be forged and made anew."""

    def __init__(self, operator=None, office=None):
        self.operator, self.office = operator or SigningKey('operator'), office or SigningKey('office')
        self.records = []          # dicts; a checkpoint is {'kind': 'checkpoint', 'checkpoint': None} until it is made
        self.at = int(time.time()) - 1000
        self.batches = 0
        self.made = None           # lines of the last make()

    def add(self, kind, **fields):
        self.records.append({'at': self.at + len(self.records), 'kind': kind, **fields})
        return len(self.records)

    def checkpoint(self):
        return self.add('checkpoint', checkpoint=None)

    def batch(self):
        """A batch with the newest checkpoint, and its receipt, both to be made."""
        self.batches += 1
        name = f'{"ab" * 16}-{self.batches}'
        n = self.add('batch', batch=name, batch_hash=sha(name), entries=3, checkpoint_n=None, checkpoint_hash=None)
        self.add('order.applied', order=f'CS-between-{self.batches}', by='feed')
        self.add('receipt', batch=name, batch_hash=sha(name), receipt=None)
        return n

    def claims(self, n, digest, **more):
        return {'iss': AUD, 'list': LIST, 'journal': 'cd' * 16, 'n': n, 'hash': digest, 'iat': self.at, **more}

    def receipt_claims(self, batch, **more):
        return {'iss': ISS, 'aud': AUD, 'iat': self.at + 500, 'batch': batch['batch'], 'hash': batch['batch_hash'],
                'checkpoint': {'n': batch['checkpoint_n'], 'hash': batch['checkpoint_hash']}, **more}

    def make(self, operator=True):
        """Lines (bytes). What is None is filled in: checkpoints signed if `operator`, receipts as the office gave them."""
        lines, prev, place, batches = [], ZERO, None, {}
        for i, r in enumerate(self.records):
            r = dict(r)
            if r['kind'] == 'checkpoint':
                if r['checkpoint'] is None:
                    r['checkpoint'] = jws(self.operator, 'jd-checkpoint+jwt', self.claims(i, prev))
                place = (i, prev)
            elif r['kind'] == 'batch':
                if r['checkpoint_n'] is None:
                    r['checkpoint_n'], r['checkpoint_hash'] = place
                batches[r['batch']] = r
            elif r['kind'] == 'receipt' and r['receipt'] is None:
                r['receipt'] = jws(self.office, 'jd-receipt+jwt', self.receipt_claims(batches[r['batch']]))
            line, prev = line_of({'n': i + 1, **r}, prev)
            lines.append(line)
        self.made = lines
        return lines

    def freeze(self):
        """From now on checkpoints and receipts are those that were made: what an honest daemon wrote."""
        lines, self.records = self.make(), []
        for line in lines:
            r = json.loads(line)
            for name in ('n', 'prev', 'hash'):
                del r[name]
            self.records.append(r)
        return self


def sample(n=40, every=10, batch_every=20):
    """A chain of n orders with checkpoints and receipts."""
    c = Chain()
    c.add('daemon.start', version='0.1.0', list=LIST, journal='cd' * 16)
    for i in range(n):
        c.add('order.applied', order=f'CS-{i}', by='feed', epoch=1, seq=i + 1, iat=c.at, measures=['bus.ride'],
              effect='enforce', served=1, **{'from': 1, 'until': 2, 'text': 'ab' * 8})
        if i % every == every - 1:
            c.checkpoint()
        if i % batch_every == batch_every - 1:
            c.batch()
    c.add('order.applied', order='CS-last', by='feed')
    return c.freeze()


# ---- a running daemon's chain --------------------------------------------------------------------------

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


def keygen(a, every='every_records = 5\n'):
    """A key of rcctl's own making in the configuration; the public half."""
    p = rcctl('audit', 'keygen', a.key)
    assert p.returncode == 0, p
    a.extra = f'[audit]\nkey_file = {a.key}\n{every}'
    a.feed.configure(extra=a.extra)
    return json.loads(p.stdout)
