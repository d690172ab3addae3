"""The confirm script in a real Redis, run by a user with no more rights than the gate's."""
import hashlib

import pytest
import redis

import jdschema
from driver import ask, unhexed
from jdschema import Order

CARD = 'card:8100000001'
RIGHTS = 'on >pw resetkeys ~jd:{credit}:* resetchannels -@all +@read -@dangerous +eval_ro +evalsha_ro'


@pytest.fixture(scope='module')
def script():
    sha, text = ask([('script',)])[0].split()
    return sha, unhexed(text)


@pytest.fixture
def confirm(world, script):
    """(list, function that confirms a digest). The function also checks EVALSHA_RO after EVAL_RO."""
    server = world.redis()
    owner = server.client()
    owner.acl_setuser('gate', enabled=True, reset=True)
    owner.execute_command('ACL', 'SETUSER', 'gate', *RIGHTS.split())
    gate = server.client(username='gate', password='pw', single_connection_client=True)
    credit = jdschema.RedisList(owner)

    def run(digest, list='credit'):
        prefix = f'jd:{{{list}}}:'
        args = [4, prefix + 'meta', prefix + 'relief', prefix + 'grounds', prefix + 'stays', prefix, digest]
        reply = gate.execute_command('EVAL_RO', script[1], *args)
        assert gate.execute_command('EVALSHA_RO', script[0], *args) == reply
        return reply

    yield credit, run
    gate.close()
    owner.close()


def test_sha1(script):
    assert hashlib.sha1(script[1]).hexdigest() == script[0]


def test_order_relief_and_grounds(confirm):
    credit, run = confirm
    lifted, marked, plain = Order('L-1', deadline=20500), Order('M-1', authority='Another office'), Order('A-1')
    credit.refill({CARD: [marked, lifted, plain], 'card:2': [Order('X')]})
    credit.lift('L-1', ['bus.ride'])
    credit.mark('M-1')
    digest = credit.digest(CARD)
    credit.meta(brakes='bus.ride=1795000000')
    meta, record, relief, grounds, stays = run(digest)
    texts = credit.meta()
    assert [v.decode() for v in meta] == [texts[f] for f in jdschema.META_FIELDS]
    assert stays == [None] * 4
    assert record == jdschema.encode_record(credit.key, digest, credit.get('era'), [marked, lifted, plain])
    assert relief == [None, b'l0001 o0', b'l0000 o1']
    assert [jdschema.decode_grounds(g)[0] for g in grounds] == [plain.authority, plain.authority, 'Another office']


@pytest.mark.parametrize('bits', [0, 1, 8, 12, 17, 20])
def test_every_width_of_bucket(confirm, bits):
    credit, run = confirm
    digests = [bytes([0xff] * 16), bytes(16), bytes([0x80] + [0] * 15), bytes([0x7f] + [0xff] * 15), bytes([1, 2, 3, 4] + [5] * 12)]
    credit.refill({d: [Order(f'N-{i}')] for i, d in enumerate(digests)}, bits=bits)
    for i, d in enumerate(digests):
        assert f'N-{i}'.encode() in run(d)[1]


def test_full_set(confirm):
    credit, run = confirm
    orders = [Order(f'{i:02}' + 'x' * 62, deadline=1 if i % 2 else None, holder=bytes([i] * 8) if i % 3 else None) for i in range(32)]
    credit.refill({CARD: orders})
    for o in orders[::3]:
        credit.lift(o.number)
    for i in (1, 2, 3, 31):
        credit.stay_subject(bytes([i] * 16), 1000 + i)
    _, _, relief, grounds, stays = run(credit.digest(CARD))
    assert {i: s for i, s in enumerate(stays) if s} == {2: b's1001', 3: b's1002', 32: b's1031'}       # order 3 has no holder
    assert [r is not None for r in relief] == [i % 3 == 0 for i in range(32)] and len(grounds) == 32 and all(grounds)


def test_grounds_missing(confirm):
    credit, run = confirm
    credit.refill({CARD: [Order('A'), Order('B')]})
    credit.redis.delete(credit.name('grounds'))
    assert run(credit.digest(CARD))[2:] == [[None, None], [None, None], [None, None, None]]


def test_stays_of_the_person_and_of_the_holder(confirm):
    """Each is one field: of the card's own digest, and of the holder that the record names."""
    credit, run = confirm
    holder = credit.digest('cnid:11010519491231002X')
    credit.refill({CARD: [Order('A'), Order('B', holder=holder, link_from=5, deadline=7), Order('C', holder=bytes(8))]})
    digest = credit.digest(CARD)
    assert run(digest)[4] == [None] * 4
    credit.stay_subject(CARD, 1800000000)
    assert run(digest)[4] == [b's1800000000', None, None, None]
    credit.stay_subject(holder)
    assert run(digest)[4] == [b's1800000000', None, b's1099511627775', None]
    credit.stay_subject(CARD, 0)
    credit.stay('A', 9)
    assert run(digest)[2][0] == b'l0000 o0 s9' and run(digest)[4] == [None, None, b's1099511627775', None]


def test_what_is_observed_needs_no_more(confirm):
    credit, run = confirm
    credit.refill({CARD: [Order('A', observe=True), Order('B', objection=True)]})
    credit.stay_subject(CARD)
    record, *rest = run(credit.digest(CARD))[1:]
    assert rest == [[], [], []] and len(record) == 12 and record[:2] == b'\2\0'


def test_no_record(confirm):
    credit, run = confirm
    credit.refill({})
    assert run(credit.digest(CARD))[1:] == [None, [], [], []]


def test_nothing_there(confirm):
    credit, run = confirm
    assert run(bytes(16)) == [[None] * 16]
    credit.refill({CARD: [Order()]})
    credit.meta(era=None)
    assert len(run(credit.digest(CARD))) == 1


@pytest.mark.parametrize('bits', ['', 'x', '-1', '21', '99', '100', '1.5', '1e1', '0x1'])
def test_bits_that_are_none(confirm, bits):
    credit, run = confirm
    credit.refill({CARD: [Order()]})
    credit.meta(bits=bits)
    assert len(run(credit.digest(CARD))) == 1


def test_records_that_cannot_be_walked(confirm):
    credit, run = confirm
    credit.refill({})
    digest = credit.digest(CARD)
    whole = jdschema.encode_record(credit.key, digest, credit.get('era'), [Order('A', deadline=5), Order('B', holder=b'holder-1'), Order('C')])
    broken = [whole[:n] for n in range(1, len(whole))] + [whole + b'\0', whole[:1] + b'\0' + whole[2:], whole[:1] + b'\x04' + whole[2:], whole[:1] + b'\x02' + whole[2:],
                                                         whole[:1] + b'\xff' + whole[2:], whole[:12] + b'\xff' + whole[13:]]
    for record in broken:
        credit.redis.hset(credit.bucket(digest), digest, record)
        assert run(digest)[1:] == [record, [], [], []], record


def test_wrong_types_are_errors(confirm):
    credit, run = confirm
    credit.refill({CARD: [Order()]})
    for name in ('stays', 'relief', 'grounds', 'meta'):
        credit.redis.delete(credit.name(name))
        credit.redis.set(credit.name(name), 'x')
        with pytest.raises(redis.ResponseError, match='WRONGTYPE'):
            run(credit.digest(CARD))
        if name != 'meta':
            credit.redis.delete(credit.name(name))


def test_another_list_is_out_of_reach(confirm):
    credit, run = confirm
    with pytest.raises(redis.exceptions.ResponseError, match='(?i)permission'):
        run(bytes(16), list='other')


def test_cost(confirm):
    """One confirm costs Redis little: the slow log is the judge, at 1 ms."""
    credit, run = confirm
    credit.refill({CARD: [Order('A'), Order('B')]})
    digest = credit.digest(CARD)
    run(digest)
    credit.redis.config_resetstat()
    for _ in range(200):
        run(digest)
    cost = credit.redis.info('commandstats')['cmdstat_evalsha_ro']['usec_per_call']
    print(f'confirm: {cost} us in Redis')
    assert cost < 1000
