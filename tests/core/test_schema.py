"""Records, grounds, relief, meta and names against jdschema.py, each byte."""
import random

import pytest

import jdschema
from driver import ask, compare, hexed, unhexed
from jdschema import Order

KEY = jdschema.Key('k', bytes(range(100, 116)))
DIGEST = bytes(range(16))
ERA = 1795000000


def some_order(rnd, number):
    start = rnd.randrange(2 ** 40 - 2)
    return Order(number=number, measures=rnd.randrange(1, 2 ** 16), from_=start, until=rnd.randrange(start + 1, 2 ** 40),
                 holder=rnd.choice([None, None, rnd.randbytes(16)]), link_from=rnd.randrange(2 ** 39),
                 link_until=rnd.choice([2 ** 40 - 1, rnd.randrange(2 ** 39, 2 ** 40)]), deadline=rnd.choice([None, rnd.randrange(1, 2 ** 24)]), relevance=rnd.choice(['', 'x', '卡']))


def some_orders(rnd, most=32):
    numbers = {''.join(rnd.choices('AB-0123卡é', k=rnd.randrange(1, 12))) for _ in range(rnd.randrange(1, most + 1))}
    return [some_order(rnd, n) for n in numbers]


def fields(o):
    flags = o.flags() | jdschema.OBSERVE * o.observe | jdschema.OBJECTION * o.objection
    link = [o.holder[:8], o.link_from, o.link_until] if o.holder else [bytes(8), 0, 0]
    return [o.number.encode(), o.mask(), o.from_, o.until, flags, o.deadline_day(),
            jdschema.encode_grounds(KEY, o.texts())[0], *link]


def encode(orders, size=4096, observed=0):
    return ['encode', KEY.raw, DIGEST, ERA, size, observed] + sum(map(fields, orders), [])


def decode(record, digest=DIGEST, era=ERA, key=KEY.raw):
    return ['decode', key, digest, era, record]


def test_records_both_ways():
    rnd = random.Random(1)
    sets = [some_orders(rnd) for _ in range(400)]
    for orders in sets:
        rnd.shuffle(orders)
    masks = [rnd.choice([0, rnd.randrange(2 ** 16)]) for _ in sets]
    sets += [[], []]
    masks += [1, 0xffff]
    records = [jdschema.encode_record(KEY, DIGEST, ERA, orders, mask) for orders, mask in zip(sets, masks)]
    compare(sets, [encode(orders, observed=mask) for orders, mask in zip(sets, masks)], ['ok ' + hexed(r) for r in records])
    for orders, observed, record, answer in zip(sets, masks, records, ask(map(decode, records))):
        seen, decoded = jdschema.decode_record(KEY, DIGEST, ERA, record)
        assert seen == observed and record[0] == (1 if orders else 2)
        words = answer.split()
        mask = observed
        for o in orders:
            mask |= o.mask()
        assert words[:3] == ['ok', str(observed), str(mask)]
        ordered = sorted(orders, key=lambda o: o.number.encode())
        want = [hexed(w) if isinstance(w, bytes) else str(w) for o in ordered for w in fields(o)]
        assert words[3:] == want and [d['number'] for d in decoded] == [o.number for o in ordered]


def test_every_changed_byte_is_seen():
    orders = [Order('A-1', deadline=20000, holder=bytes(range(8))), Order('A-2', observe=True)]
    record = jdschema.encode_record(KEY, DIGEST, ERA, orders)
    changed = [record[:i] + bytes([record[i] ^ bit]) + record[i + 1:] for i in range(len(record)) for bit in (1, 16, 128)]
    cut = [record[:n] for n in range(len(record))] + [record + b'\0']
    assert {a.split()[0] for a in ask(map(decode, changed))} == {'bad', 'forged'}
    assert set(ask(map(decode, cut))) == {'bad'}


def test_record_is_bound_to_digest_era_and_key():
    record = jdschema.encode_record(KEY, DIGEST, ERA, [Order()])
    assert ask([decode(record, digest=bytes(16)), decode(record, era=ERA + 1), decode(record, key=bytes(16))]) == ['forged'] * 3


def signed(kind, n, body, observed=0):
    record = bytes([kind, n]) + bytes(8) + observed.to_bytes(2, 'little') + body
    return record[:2] + jdschema.record_mac(KEY, DIGEST, ERA, record) + record[10:]


def body_of(*orders):
    return b''.join(jdschema.encode_record(KEY, DIGEST, ERA, [o])[12:] for o in orders)


def test_rightly_signed_nonsense_is_bad():
    a, b = Order('A'), Order('B')
    whole = body_of(a)
    linked = body_of(Order('A', holder=b'holder-1', link_from=5, link_until=6))
    flags = 1 + 1 + 2 + 5 + 5                        # of the order "A"
    assert linked[flags] == 8 and whole[flags] == 0
    cases = [signed(1, 0, b''), signed(1, 33, body_of(*[Order(f'{i:02}') for i in range(33)])), signed(2, 1, whole), signed(0, 1, whole),
             signed(2, 0, b''), signed(1, 0, b'', 1), signed(2, 1, whole, 1), signed(1, 0, whole, 1), signed(0, 0, b'', 1), signed(3, 0, b'', 1),
             signed(2, 0, b'\0', 1), signed(1, 2, body_of(b, a)), signed(1, 2, body_of(a, a)),
             signed(1, 1, body_of(a, b)), signed(1, 2, whole), signed(1, 1, body_of(Order('A B'))), signed(1, 1, body_of(Order('A"'))),
             signed(1, 1, body_of(Order('A', measures=0))), signed(1, 1, body_of(Order('A', from_=5, until=5))),
             *[signed(1, 1, whole[:flags] + bytes([flag]) + whole[flags + 1:]) for flag in (1, 2, 3, 8, 16, 128)],
             *[signed(1, 1, linked[:flags] + bytes([flag]) + linked[flags + 1:]) for flag in (0, 4, 9, 10, 12)],
             signed(1, 1, linked[:-1]), signed(1, 1, linked[:-10]), signed(1, 1, linked + b'\0'),
             signed(1, 1, body_of(Order('A', holder=b'holder-1', link_from=6, link_until=6))), signed(1, 1, b'\0' + whole[2:])]
    assert signed(1, 1, whole) == jdschema.encode_record(KEY, DIGEST, ERA, [a])
    answers = ask(map(decode, cases))
    assert answers == ['bad'] * len(cases)


def test_what_encode_refuses():
    linked = {'holder': b'holder-1'}
    cases = [([], 'bad'), ([Order('A', observe=True)], 'bad'), ([Order('A', objection=True)], 'bad'), ([Order('A'), Order('B', observe=True)], 'bad'),
             ([Order('A', link_from=-1, **linked)], 'bad'), ([Order('A', link_from=9, link_until=9, **linked)], 'bad'),
             ([Order('A', link_until=2 ** 40, **linked)], 'bad'), ([Order('A', **linked)], 'ok'), ([Order(f'{i:02}') for i in range(33)], 'too_long'), ([Order('A'), Order('A')], 'bad'),
             ([Order('')], 'bad'), ([Order('A' * 65)], 'bad'), ([Order('A\u00a0B')], 'bad'), ([Order('A\\')], 'bad'),
             ([Order('A', measures=0)], 'bad'), ([Order('A', from_=-1)], 'bad'), ([Order('A', from_=9, until=9)], 'bad'),
             ([Order('A', until=2 ** 40)], 'bad'), ([Order('A', deadline=2 ** 24)], 'bad'), ([Order('A' * 64)], 'ok')]
    answers = ask([encode(orders) for orders, _ in cases])
    assert [a.split()[0] for a in answers] == [want for _, want in cases]
    whole = len(jdschema.encode_record(KEY, DIGEST, ERA, [Order('A')]))
    answers = ask([encode([Order('A')], size) for size in (0, whole - 1, whole)])
    assert [a.split()[0] for a in answers] == ['too_long', 'too_long', 'ok']


def test_random_bytes_are_never_a_record():
    rnd = random.Random(2)
    assert {a.split()[0] for a in ask([decode(rnd.randbytes(rnd.randrange(120))) for _ in range(3000)])} == {'bad'}


def test_grounds():
    texts = [Order().texts(), ['a', 'b', '', '', '1', '', ''], ['市' * 341, 'b', 'c', 'x' * 1024, '', '', 'z']]
    for t in texts:
        gid, value = jdschema.encode_grounds(KEY, t)
        (answer,) = ask([('grounds', KEY.raw, gid, value)])
        assert answer == f'ok ok {hexed(value)} {gid.hex()}' and jdschema.decode_grounds(value) == t


@pytest.mark.parametrize('texts', [
    ['', 'b', '', 'u', '', '', ''], ['a', '', '', 'u', '', '', ''], ['a', 'b', '', '', '', 'u', ''], ['a\n', 'b', '', 'u', '', '', ''],
    ['a', 'b\x7f', '', 'u', '', '', ''], ['a', 'b', '\u0085', 'u', '', '', ''], ['x' * 1025, 'b', '', 'u', '', '', ''],
])
def test_grounds_refused(texts):
    gid, value = jdschema.encode_grounds(KEY, texts)
    assert ask([('grounds', KEY.raw, gid, value)]) == ['bad']


def test_grounds_changed():
    gid, value = jdschema.encode_grounds(KEY, Order().texts())
    changed = [value[:i] + bytes([value[i] ^ 1]) + value[i + 1:] for i in range(len(value))]
    cut = [value[:n] for n in range(len(value))] + [value + b'\0', value[:2] + b'\xff' + value[3:]]
    assert {a for a in ask([('grounds', KEY.raw, gid, v) for v in changed])} <= {'bad', 'forged'}
    assert {a for a in ask([('grounds', KEY.raw, gid, v) for v in cut])} == {'bad'}
    assert ask([('grounds', KEY.raw, bytes(8), value), ('grounds', bytes(16), gid, value)]) == ['forged'] * 2


@pytest.mark.parametrize('text, want', [
    (b'l0000 o0', (0, 0, 0)), (b'lffff o1', (0xffff, 1, 0)), (b'l00a1 o0 s1', (0xa1, 0, 1)), (b'l0000 o1 s1099511627775', (0, 1, 2 ** 40 - 1)),
    (b'l0000 o0 later words', (0, 0, 0)), (b'l0000 o0 x s1795000000 y', (0, 0, 1795000000)), (b'l0000 o0 ', (0, 0, 0)),
    (b'l0000 o0 s', None), (b'l0000 o0 s0', None), (b'l0000 o0 s07', None), (b'l0000 o0 s1 s1', None), (b'l0000 o0 s1099511627776', None),
    (b'l0000 o0 s+1', None), (b'l0000 o0 s1\0', None), (b'l0000 o0s1', None), (b'l0001 o0x', None), (b'l0001 o2', None),
    (b'l000 o1', None), (b'l00A1 o0', None), (b'l0001', None), (b'', None), (b'x0001 o0', None), (b'l0001_o0', None), (b'l0001 p0', None),
])
def test_relief(text, want):
    (answer,) = ask([('relief', text)])
    assert answer == ('bad' if want is None else f'ok {want[0]} {want[1]} {want[2]} ' + hexed(jdschema.relief_text(*want).encode()))


META = {'schema': '1', 'era': '1795000000', 'bits': '10', 'last_id': '7', 'epoch': '3', 'seq': '9', 'relief_seq': '5', 'count': '100',
        'key': 'k1', 'key_check': '0123456789abcdef', 'norm': 'card=upper', 'verified_at': '1795000000', 'office_at': '1795000001',
        'beat': '1795000002', 'measures': ' '.join(jdschema.MEASURES), 'brakes': 'bus.ride=1795000007 sea.swim=3 metro.ride=2'}


def meta(**changed):
    values = {**META, **changed}
    return ['meta'] + ['nil' if values[f] is None else values[f].encode() for f in jdschema.META_FIELDS]


def test_meta():
    whole = f'ok 1795000000 10 {3 << 48 | 5} k1 0123456789abcdef 1795000002 1795000007,2,0,0,0,0,0'
    wide = whole.replace(str(3 << 48 | 5), str((65535 << 48) + 2 ** 48 - 1))
    assert ask([meta(), meta(epoch='65535', relief_seq=str(2 ** 48 - 1)), meta(measures='bus.ride metro.ride'),
                meta(measures=META['measures'] + ' sea.swim'), meta(norm='')]) == [whole, wide, whole, whole, whole]
    assert ask([meta(schema=None), meta(schema='2'), meta(schema='0')]) == ['empty', 'schema', 'schema']
    assert ask([meta(brakes=None), meta(brakes='')]) == [whole.replace('1795000007,2', '0,0')] * 2
    for name in jdschema.META_FIELDS[1:-1]:
        assert ask([meta(**{name: None})]) == [f'bad {name}']


@pytest.mark.parametrize('name, value', [
    ('schema', 'x'), ('schema', ''), ('era', '0'), ('era', '-1'), ('era', '01'), ('era', '9223372036854775808'), ('bits', '21'), ('bits', ' 1'),
    ('last_id', '1.0'), ('last_id', '99999999999999999999999'), ('epoch', '65536'), ('seq', str(2 ** 48)), ('relief_seq', str(2 ** 48)),
    ('count', '1e3'), ('key', ''), ('key', 'a b'), ('key', 'k' * 33), ('key_check', '0123456789ABCDEF'), ('key_check', '0123'), ('norm', 'bank=upper'),
    ('verified_at', '-5'), ('office_at', 'now'), ('beat', ''), ('beat', '1\0'), ('measures', ''), ('measures', 'bus.ride metro'), ('measures', 'metro.ride bus.ride'),
    ('brakes', 'bus.ride'), ('brakes', 'bus.ride='), ('brakes', '=1'), ('brakes', 'bus.ride=01'), ('brakes', 'bus.ride=1 '), ('brakes', 'bus.ride=1  metro.ride=1'),
])
def test_meta_refused(name, value):
    assert ask([meta(**{name: value})]) == [f'bad {name}']


def test_buckets():
    rnd = random.Random(4)
    cases, expected = [], []
    for bits in range(21):
        for _ in range(20):
            d = rnd.randbytes(16)
            cases.append(('bucket', 'credit', ERA, bits, d))
            expected.append(f'jd:{{credit}}:{ERA}:{jdschema.bucket_of(d, bits)}')
    compare(cases, cases, expected)
