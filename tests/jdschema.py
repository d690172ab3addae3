"""An independent Python reading of the Redis schema 1: digests, records, grounds, relief, meta.

Written from the comments of restrict-cache/core/*.h, not from their code, so that a test can compare the two;
and a way to fill a Redis exactly as the daemon would, without a daemon (class RedisList).
"""
import base64
import datetime
import os
import struct
import time
from dataclasses import dataclass, field

MEASURES = ('bus.ride metro.ride ferry.ride bike.rent library.checkout library.hold '
            'tour.annual_pass').split()
SCHEMES = 'cnid uscc patron card uid'.split()
META_FIELDS = ('schema era bits last_id epoch seq relief_seq count key key_check norm verified_at '
               'office_at beat measures brakes').split()
DAY = 86400
ORDERS_MAX = 32
OBSERVE, OBJECTION, DEADLINE, LINKED = 1, 2, 4, 8
FOREVER = 2 ** 40 - 1                           # of a stay or a link
WHOLE = 0xffff


# ---- digest ---------------------------------------------------------------------------------

def siphash128(key, text):
    """SipHash-2-4 with 128-bit output (Aumasson, Bernstein)."""
    mask = (1 << 64) - 1
    k0, k1 = struct.unpack('<QQ', key)
    a, b = k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d ^ 0xee
    c, d = k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573

    def rounds(a, b, c, d, n):
        for _ in range(n):
            a = (a + b) & mask
            b = ((b << 13 | b >> 51) & mask) ^ a
            a = (a << 32 | a >> 32) & mask
            c = (c + d) & mask
            d = ((d << 16 | d >> 48) & mask) ^ c
            a = (a + d) & mask
            d = ((d << 21 | d >> 43) & mask) ^ a
            c = (c + b) & mask
            b = ((b << 17 | b >> 47) & mask) ^ c
            c = (c << 32 | c >> 32) & mask
        return a, b, c, d

    tail = len(text) % 8
    padded = text + b'\0' * (7 - tail) + bytes([len(text) & 0xff])
    for (m,) in struct.iter_unpack('<Q', padded):
        d ^= m
        a, b, c, d = rounds(a, b, c, d, 2)
        a ^= m
    a, b, c, d = rounds(a, b, c ^ 0xee, d, 4)
    first = a ^ b ^ c ^ d
    a, b, c, d = rounds(a, b ^ 0xdd, c, d, 4)
    return struct.pack('<QQ', first, a ^ b ^ c ^ d)


@dataclass
class Key:
    id: str
    raw: bytes
    record: bytes = field(init=False)
    check: str = field(init=False)

    def __post_init__(self):
        self.record = siphash128(self.raw, b'jd record mac 1')
        self.check = siphash128(self.raw, b'jd key check 1')[:8].hex()

    def line(self):
        """The key file's line."""
        return f'{self.id} {self.raw.hex()}\n'


def digest(key, scheme, normal):
    """Digest of an identifier that is normalised already (text or bytes)."""
    if isinstance(normal, str):
        normal = normal.encode()
    return siphash128(key.raw, scheme.encode() + b':' + normal)


# ---- subject --------------------------------------------------------------------------------

WHITE = ' \t\n\v\f\r\u00a0\u3000\ufeff'
UNSEEN = (set(range(0x21)) | set(range(0x7f, 0xa1)) | {0xad, 0x61c, 0x1680, 0x180e, 0x3000, 0xfeff}
          | set(range(0x2000, 0x2010)) | set(range(0x2028, 0x2030)) | set(range(0x205f, 0x2070))
          | {0xfff9, 0xfffa, 0xfffb})


def cnid_check(first17):
    """The check character of GB 11643 of 17 digits."""
    weights = [2 ** (17 - i) % 11 for i in range(17)]
    total = sum(int(d) * w for d, w in zip(first17, weights))
    return '10X98765432'[total % 11]


def cnid_ok(text):
    if len(text) != 18 or not (text[:17].isascii() and text[:17].isdigit()):
        return False
    year, month, day = int(text[6:10]), int(text[10:12]), int(text[12:14])
    try:
        datetime.date(year, month, day)
    except ValueError:
        return False
    return 1800 <= year <= 2199 and text[17] == cnid_check(text)


def uscc_check(first17):
    """The check character of GB 32100 of 17 characters of its alphabet."""
    alphabet = '0123456789ABCDEFGHJKLMNPQRTUWXY'
    total = sum(alphabet.index(c) * 3 ** i for i, c in enumerate(first17))
    return alphabet[-total % 31]


def uscc_ok(text):
    alphabet = '0123456789ABCDEFGHJKLMNPQRTUWXY'
    return (len(text) == 18 and all(c in alphabet for c in text[:17])
            and text[17] == uscc_check(text[:17]))


def ascii_upper(text):
    return ''.join(chr(ord(c) - 32) if 'a' <= c <= 'z' else c for c in text)


def normalise(scheme, raw, words=()):
    """('ok', bytes) or ('empty' | 'other' | 'malformed', None). words: of the opaque schemes, 'upper', 'strip_zeros'."""
    if isinstance(raw, str):
        raw = raw.encode()
    if len(raw) > 256:
        return 'malformed', None
    stripped = raw.decode('utf-8', 'surrogateescape').strip(WHITE)
    if stripped == '':
        return 'empty', None
    text = ''.join(chr(ord(c) - 0xff01 + 0x21) if '\uff01' <= c <= '\uff5e' else c for c in stripped)
    if any(ord(c) in UNSEEN or '\ud800' <= c <= '\udfff' for c in text):
        return 'malformed', None
    if len(text.encode()) > 64:
        return 'malformed', None
    if scheme == 'cnid':
        text = text[:-1] + ascii_upper(text[-1])
        return ('ok', text.encode()) if cnid_ok(text) else ('other', None)
    if scheme == 'uscc':
        text = ascii_upper(text)
        return ('ok', text.encode()) if uscc_ok(text) else ('other', None)
    if 'upper' in words:
        text = ascii_upper(text)
    if 'strip_zeros' in words:
        text = text.lstrip('0') or '0'
    return 'ok', text.encode()


# ---- orders ---------------------------------------------------------------------------------

def mask_of(measures):
    return sum(1 << MEASURES.index(m) for m in measures)


@dataclass
class Order:
    """One order as the records and grounds hold it. Times are Unix seconds; deadline is a date or None."""
    number: str = 'CS-2026-000001'
    measures: object = ('bus.ride',)            # names, or a mask
    from_: int = None                           # default: yesterday
    until: int = None                           # default: in a year
    observe: bool = False
    objection: bool = False
    deadline: object = None                     # datetime.date, day number, or None
    authority: str = 'Haicheng Transport Bureau'
    basis: str = 'Haicheng Measures on Fare Evasion, article 12'
    relevance: str = 'fare evasion, third finding'
    contest_url: str = 'https://credit.example/contest'
    contest_phone: str = '12345'
    repair_url: str = 'https://credit.example/repair'
    repair_phone: str = ''
    holder: bytes = None                        # digest (or its first 8 bytes): reached by a link in
    link_from: int = 0                          # [link_from, link_until)
    link_until: int = FOREVER

    def __post_init__(self):
        now = int(time.time())
        self.from_ = now - DAY if self.from_ is None else int(self.from_)
        self.until = now + 365 * DAY if self.until is None else int(self.until)

    def mask(self):
        return self.measures if isinstance(self.measures, int) else mask_of(self.measures)

    def deadline_day(self):
        if isinstance(self.deadline, datetime.date):
            return (self.deadline - datetime.date(1970, 1, 1)).days
        return self.deadline or 0

    def flags(self):
        """Of the record: an observed order is not in it."""
        return (DEADLINE if self.deadline_day() else 0) | (LINKED if self.holder else 0)

    def enforceable(self):
        return not self.observe and not self.objection

    def texts(self):
        return [self.authority, self.basis, self.relevance, self.contest_url, self.contest_phone,
                self.repair_url, self.repair_phone]


def encode_grounds(key, texts):
    """(id, value) of seven strings."""
    value = b''.join(struct.pack('<H', len(t.encode())) + t.encode() for t in texts)
    return siphash128(key.record, value)[:8], value


def decode_grounds(value):
    texts, at = [], 0
    for _ in range(7):
        (size,) = struct.unpack_from('<H', value, at)
        texts.append(value[at + 2:at + 2 + size].decode())
        at += 2 + size
    assert at == len(value)
    return texts


def record_mac(key, digest, era, record):
    text = digest + struct.pack('<Q', era) + record[:2] + record[10:]
    return siphash128(key.record, text)[:8]


def encode_record(key, digest, era, orders, observed=0):
    """The value of one bucket field; what is observed or under objection only adds to the mask."""
    for o in orders:
        observed |= 0 if o.enforceable() else o.mask()
    orders = sorted(filter(Order.enforceable, orders), key=lambda o: o.number.encode())
    body = struct.pack('<H', observed)
    for o in orders:
        number = o.number.encode()
        body += bytes([len(number)]) + number + struct.pack('<H', o.mask())
        body += o.from_.to_bytes(5, 'little') + o.until.to_bytes(5, 'little') + bytes([o.flags()])
        body += encode_grounds(key, o.texts())[0]
        if o.deadline_day():
            body += o.deadline_day().to_bytes(3, 'little')
        if o.holder:
            body += o.holder[:8] + o.link_from.to_bytes(5, 'little') + o.link_until.to_bytes(5, 'little')
    record = bytes([1 if orders else 2, len(orders)]) + bytes(8) + body
    return record[:2] + record_mac(key, digest, era, record) + record[10:]


def decode_record(key, digest, era, record):
    """(observed, list of dicts); ValueError when it is not what the layout or the MAC says."""
    if record_mac(key, digest, era, record) != record[2:10]:
        raise ValueError('MAC')
    observed, orders, at = int.from_bytes(record[10:12], 'little'), [], 12
    for _ in range(record[1]):
        size = record[at]
        number, at = record[at + 1:at + 1 + size].decode(), at + 1 + size
        o = {'number': number, 'measures': int.from_bytes(record[at:at + 2], 'little'),
             'from': int.from_bytes(record[at + 2:at + 7], 'little'),
             'until': int.from_bytes(record[at + 7:at + 12], 'little'),
             'flags': record[at + 12], 'grounds': record[at + 13:at + 21], 'deadline_day': 0}
        at += 21
        if o['flags'] & DEADLINE:
            o['deadline_day'] = int.from_bytes(record[at:at + 3], 'little')
            at += 3
        if o['flags'] & LINKED:
            o['holder'] = record[at:at + 8]
            o['link_from'] = int.from_bytes(record[at + 8:at + 13], 'little')
            o['link_until'] = int.from_bytes(record[at + 13:at + 18], 'little')
            at += 18
        orders.append(o)
    if at != len(record) or record[0] != (1 if orders else 2):
        raise ValueError('length or kind')
    return observed, orders


def relief_text(lifted=0, objection=False, stay=0):
    return f'l{lifted:04x} o{int(bool(objection))}' + (f' s{stay}' if stay else '')


def token_keys(key, list, month):
    """(AES key, hint) of a month, counted from January 1970."""
    name = f'jd decision {1970 + month // 12:04}-{month % 12 + 1:02} {list} '.encode()
    first, second, hint = (siphash128(key.raw, name + n) for n in (b'1', b'2', b'3'))
    return first + second, hint[:4]


def month_of(sec):
    china = time.gmtime(sec + 8 * 3600)
    return (china.tm_year - 1970) * 12 + china.tm_mon - 1


def seal_token(key, list, order, measure='bus.ride', at=None, era=1795000000, last_id=7, age=3, link_from=0, nonce=None):
    """A decision id, written from the head of jd_seal.h."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    at = int(time.time()) if at is None else at
    plain = bytes([MEASURES.index(measure)]) + link_from.to_bytes(5, 'little')
    for value in (era, last_id, age, at // 60):
        while value >= 0x80:
            plain, value = plain + bytes([value & 0x7f | 0x80]), value >> 7
        plain += bytes([value])
    month = month_of(at)
    aes, hint = token_keys(key, list, month)
    clear, nonce = bytes([1]) + month.to_bytes(2, 'little') + hint, nonce or os.urandom(12)
    sealed = AESGCM(aes).encrypt(nonce, plain + order.encode(), clear + list.encode())
    return base64.urlsafe_b64encode(clear + nonce + sealed).rstrip(b'=').decode()


def open_token(key, list, text):
    """The same opened; ValueError or InvalidTag when it is none of ours."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    token = base64.urlsafe_b64decode(text + '=' * (-len(text) % 4))
    version, month = token[0], int.from_bytes(token[1:3], 'little')
    aes, hint = token_keys(key, list, month)
    if version != 1 or token[3:7] != hint:
        raise ValueError('version or hint')
    plain = AESGCM(aes).decrypt(token[7:19], token[19:], token[:7] + list.encode())
    numbers, at = [], 6
    for _ in range(4):
        value = shift = 0
        while True:
            value |= (plain[at] & 0x7f) << shift
            at, shift = at + 1, shift + 7
            if plain[at - 1] < 0x80:
                break
        numbers.append(value)
    era, last_id, age, minute = numbers
    return {'measure': MEASURES[plain[0]], 'link_from': int.from_bytes(plain[1:6], 'little'), 'era': era, 'last_id': last_id, 'age': age,
            'at': minute * 60, 'order': plain[at:].decode(), 'month': month}


def china_time(sec):
    """As rcctl and the gate print it."""
    return time.strftime('%Y-%m-%dT%H:%M:%S+08:00', time.gmtime(sec + 8 * 3600))


def bucket_of(digest, bits):
    return int.from_bytes(digest[:4], 'big') >> (32 - bits)


# ---- a list in Redis ------------------------------------------------------------------------

class RedisList:
    """Writes one list as the daemon does. `client`: redis.Redis without decode_responses."""

    def __init__(self, client, list='credit', key_id='k1', key=bytes(range(16)), norm=''):
        self.redis, self.list, self.norm = client, list, norm
        self.key = Key(key_id, key)
        self.words = dict(part.split('=') for part in norm.split())

    def name(self, last):
        return f'jd:{{{self.list}}}:{last}'

    def digest(self, subject):
        """Digest of 'scheme:identifier' (a digest of 16 bytes is returned as it is)."""
        if isinstance(subject, bytes):
            return subject
        scheme, _, raw = subject.partition(':')
        state, normal = normalise(scheme, raw, self.words.get(scheme, '').split(','))
        if state != 'ok':
            raise ValueError(f'{scheme} identifier is {state}')
        return digest(self.key, scheme, normal)

    def get(self, name, default=0):
        value = self.redis.hget(self.name('meta'), name)
        return default if value is None else int(value)

    def bucket(self, digest, era=None, bits=None):
        era = self.get('era') if era is None else era
        bits = self.get('bits') if bits is None else bits
        return self.name(f'{era}:{bucket_of(digest, bits)}')

    def refill(self, orders=None, bits=10, era=None, epoch=1):
        """A new era with these orders: {subject: [Order, ...]}. Relief stays."""
        old = self.get('era')
        era = max(old + 1, int(time.time())) if era is None else era
        buckets, grounds = {}, {}
        for subject, several in (orders or {}).items():
            d = self.digest(subject)
            several = several if isinstance(several, (list, tuple)) else [several]
            name = self.name(f'{era}:{bucket_of(d, bits)}')
            buckets.setdefault(name, {})[d] = encode_record(self.key, d, era, several)
            grounds.update(encode_grounds(self.key, o.texts()) for o in several)
        pipe = self.redis.pipeline(transaction=False)
        for name, fields in buckets.items():
            pipe.hset(name, mapping=fields)
        if grounds:
            pipe.hset(self.name('grounds'), mapping=grounds)
        pipe.execute()
        now = int(time.time())
        pipe = self.redis.pipeline(transaction=True)
        pipe.xadd(self.name('changes'), {'s': 1}, id=f'{era}-0', maxlen=100000)
        pipe.hset(self.name('meta'), mapping={
            'schema': 1, 'era': era, 'bits': bits, 'last_id': 0, 'epoch': epoch,
            'seq': self.get('seq'), 'relief_seq': self.get('relief_seq'),
            'count': sum(map(len, buckets.values())), 'key': self.key.id, 'key_check': self.key.check,
            'norm': self.norm, 'verified_at': now, 'office_at': now, 'beat': now,
            'measures': ' '.join(MEASURES), 'writer': 'jdschema', 'journal': '0' * 32})
        pipe.execute()
        if old and old != era:
            stale = list(self.redis.scan_iter(self.name(f'{old}:*'), count=1000))
            if stale:
                self.redis.unlink(*stale)
        return era

    def put_raw(self, digest, record):
        """One change: the record of a digest, b'' for none left; also a forged one."""
        era, n = self.get('era'), self.get('last_id') + 1
        bucket = self.bucket(digest)
        had = self.redis.hexists(bucket, digest)
        pipe = self.redis.pipeline(transaction=True)
        pipe.xadd(self.name('changes'), {'d': digest, 'r': record}, id=f'{era}-{n}', maxlen=100000)
        if record:
            pipe.hset(bucket, digest, record)
        else:
            pipe.hdel(bucket, digest)
        pipe.hset(self.name('meta'), 'last_id', n)
        pipe.hincrby(self.name('meta'), 'count', int(bool(record)) - int(had))
        pipe.hincrby(self.name('meta'), 'seq', 1)
        pipe.execute()

    def put(self, subject, orders):
        """The subject's whole set of orders from now on."""
        orders = orders if isinstance(orders, (list, tuple)) else [orders]
        d = self.digest(subject)
        if orders:
            grounds = dict(encode_grounds(self.key, o.texts()) for o in orders)
            self.redis.hset(self.name('grounds'), mapping=grounds)
        self.put_raw(d, encode_record(self.key, d, self.get('era'), orders) if orders else b'')

    def remove(self, subject):
        self.put_raw(self.digest(subject), b'')

    def relief(self, number):
        """(lifted mask, objection, stay) of an order number."""
        text = self.redis.hget(self.name('relief'), number)
        stays = [int(w[1:]) for w in (text or b'').split()[2:] if w[:1] == b's']
        return (int(text[1:5], 16), text[7:8] == b'1', sum(stays)) if text else (0, False, 0)

    def _relieve(self, number, lifted, objection, stay):
        pipe = self.redis.pipeline(transaction=True)
        pipe.hset(self.name('relief'), number, relief_text(lifted, objection, stay))
        pipe.hincrby(self.name('meta'), 'relief_seq', 1)
        pipe.execute()

    def lift(self, number, mask=WHOLE):
        """Ends the order, whole or for the measures of the mask (names or a number)."""
        mask = mask if isinstance(mask, int) else mask_of(mask)
        lifted, objection, stay = self.relief(number)
        self._relieve(number, lifted | mask, objection, stay)

    def mark(self, number, objection=True):
        lifted, _, stay = self.relief(number)
        self._relieve(number, lifted, objection, stay)

    def stay(self, number, until=FOREVER):
        """Stays an order; until=0 ends the stay."""
        lifted, objection, _ = self.relief(number)
        self._relieve(number, lifted, objection, until)

    def stay_subject(self, subject, until=FOREVER):
        """Stays every order of a person; until=0 ends the stay."""
        field = self.digest(subject)[:8]
        if until:
            self.redis.hset(self.name('stays'), field, f's{until}')
        else:
            self.redis.hdel(self.name('stays'), field)

    def touch(self, verified_at=None, office_at=None, beat=None):
        """Contact, office clock and the daemon's beat; each is now unless told otherwise."""
        now = int(time.time())
        self.meta(verified_at=now if verified_at is None else verified_at,
                  office_at=now if office_at is None else office_at,
                  beat=now if beat is None else beat)

    def meta(self, **overrides):
        """Sets fields of meta (None removes one) and returns meta as a dict of text."""
        for name, value in overrides.items():
            if value is None:
                self.redis.hdel(self.name('meta'), name)
            else:
                self.redis.hset(self.name('meta'), name, value)
        return {k.decode(): v.decode() for k, v in self.redis.hgetall(self.name('meta')).items()}

    def drop(self):
        """Everything of the list, as a flush would."""
        names = list(self.redis.scan_iter(self.name('*'), count=1000))
        if names:
            self.redis.unlink(*names)
