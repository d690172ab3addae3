"""Holders beside a running daemon: what an order on a person or body does to the cards that are theirs."""
import json
import os
import time

import pytest

import harness
import jdschema
from fake_office import record
from harness import wait_for
from holdersworld import (CARD, body, delta, full, holders, link, order, person, settle, show, states,
                          wait_quarantine)

HOUR = 3600


@pytest.fixture
def now():
    return int(time.time())


# ---- whose card ----------------------------------------------------------------------------------

def test_an_order_reaches_own_cards_and_no_others(feed, now):
    full(feed, link('1'), link('uid:04AB'), link('2', use='other'), link('3', holder=f'cnid:{person(2)}'),
         link('patron:P-1'))
    feed.office.publish(order())
    o = feed.wait_orders(['CS-1'], card='1') and feed.orders('1')['CS-1']
    assert o['flags'] & jdschema.LINKED
    assert o['holder'] == jdschema.digest(feed_key(feed), 'cnid', person())[:8]
    assert (o['link_from'], o['link_until']) == (0, jdschema.FOREVER)
    settle(feed)
    assert feed.orders('2') == {} and feed.orders('3') == {}
    assert set(orders_of(feed, 'uid', '04AB')) == {'CS-1'} == set(orders_of(feed, 'patron', 'P-1'))
    # the person's own number, read at a counter, has the order itself, by no link
    own = orders_of(feed, 'cnid', person())
    assert set(own) == {'CS-1'} and not own['CS-1']['flags'] & jdschema.LINKED
    feed.office.lift('CS-1')
    feed.wait_orders([], card='1')
    assert orders_of(feed, 'uid', '04AB') == {}


def feed_key(feed):
    import feedworld
    return feedworld.KEY


def orders_of(feed, scheme, identifier):
    """Like feed.orders, of any scheme."""
    key, meta = feed_key(feed), feed.meta()
    d = jdschema.digest(key, scheme, identifier)
    era = int(meta['era'])
    rec = feed.redis.hget(feed.name(f"{era}:{jdschema.bucket_of(d, int(meta['bits']))}"), d)
    return {o['number']: o for o in jdschema.decode_record(key, d, era, rec)[1]} if rec else {}


def test_a_body_is_not_its_people(feed):
    """A uscc order reaches the body's own cards; a staff card that a person merely uses, and the person, it does not."""
    full(feed, link('1', holder=f'uscc:{body()}'), link('2', holder=f'uscc:{body()}', use='other'),
         link('2', holder=f'cnid:{person()}'), link('3', holder=f'cnid:{person()}'))
    feed.office.publish(order(holder=f'uscc:{body()}'))
    feed.wait_orders(['CS-1'], card='1')
    settle(feed)
    assert feed.orders('2') == {} and feed.orders('3') == {}


def test_terms_are_in_the_record(feed, now):
    """To come and over: the gate compares clocks, nothing has to wake up; a link long over is left out."""
    full(feed, link('1', from_=now + HOUR), link('2', from_=now - 9 * HOUR, until=now - HOUR),
         link('3', until=now - 40 * 86400))
    feed.office.publish(order())
    feed.wait_orders(['CS-1'], card='1')
    assert feed.orders('1')['CS-1']['link_from'] == now + HOUR
    feed.wait_orders(['CS-1'], card='2')
    assert feed.orders('2')['CS-1']['link_until'] == now - HOUR
    settle(feed)
    assert feed.orders('3') == {}
    assert states(feed, '1') == ['to_come'] and states(feed, '2') == ['over']


def test_two_orders_of_two_origins_on_one_card(feed):
    """An order on the card itself and one by its holder stand side by side; ending one keeps the other."""
    full(feed, link())
    feed.office.publish(order('CS-1'))
    feed.office.publish(record('CS-2', CARD))
    feed.wait_orders(['CS-1', 'CS-2'])
    feed.office.lift('CS-1')
    feed.wait_orders(['CS-2'])
    assert not feed.orders()['CS-2']['flags'] & jdschema.LINKED


# ---- changes of links ---------------------------------------------------------------------------

def test_a_replaced_card_follows_within_a_second(feed):
    full(feed, link('1'))
    feed.office.publish(order())
    feed.wait_orders(['CS-1'], card='1')
    begun = time.monotonic()
    assert delta(feed, json.dumps({'op': 'remove', 'card': '1'}) + '\n', link('2'))['changed'] == 0
    feed.wait_orders(['CS-1'], card='2')
    feed.wait_orders([], card='1')
    assert time.monotonic() - begun < 3          # of it, two are rcctl's and a sanitized daemon's start of work


def test_a_card_that_passes_to_someone_else_stops_matching(feed, now):
    full(feed, link('1'), link('2'))
    feed.office.publish(order())
    feed.wait_orders(['CS-1'], card='1')
    # in one line of a delta, and the whole of it in a full file
    delta(feed, link('1', until=now), link('1', holder=f'cnid:{person(2)}', from_=now))
    wait_for(lambda: feed.orders('1') == {} or feed.orders('1')['CS-1']['link_until'] == now, 5)
    full(feed, link('1', holder=f'cnid:{person(2)}'), link('2'))
    feed.wait_orders([], card='1')
    assert set(feed.orders('2')) == {'CS-1'}
    assert states(feed, '1') == ['counts']


def test_missing_in_a_full_file_is_returned(feed):
    full(feed, link('1'), link('2'), link('3'))
    feed.office.publish(order())
    for c in '123':
        feed.wait_orders(['CS-1'], card=c)
    a = full(feed, link('1'))
    assert (a['cards'], a['returned'], a['added'], a['changed'], a['refused']) == (1, 2, 0, 0, 0), a
    feed.wait_orders([], card='2')
    feed.wait_orders([], card='3')
    assert set(feed.orders('1')) == {'CS-1'} and show(feed, '2', code=1) == []


def test_add_and_remove_one_link(feed, now):
    feed.office.publish(order())
    stdin = f'{CARD}\ncnid:{person()}\n'
    assert holders(feed, 'add', stdin=stdin)['cards'] == 1
    feed.wait_orders(['CS-1'])
    assert holders(feed, 'remove', stdin=f'{CARD}\ncnid:{person(2)}\n')['returned'] == 0      # not this person's
    assert set(feed.orders()) == {'CS-1'}
    assert holders(feed, 'remove', stdin=f'{CARD}\n')['returned'] == 1
    feed.wait_orders([])
    holders(feed, 'add', '--from', '2026-01-01', '--until', '2099-01-01', '--use', 'other', stdin=stdin)
    [x] = show(feed)
    assert x == {'card': 'card', 'holder': 'cnid', 'use': 'other', 'from': '2026-01-01T00:00:00+08:00',
                 'until': '2099-01-01T00:00:00+08:00', 'state': 'other_use'}
    assert show(feed, f'cnid:{person()}') == [x]
    for bad in (f'{CARD}\ncnid:{person()[:-1]}\n', f'{CARD}\nuid:1\n', f'passport:1\ncnid:{person()}\n', '\n\n'):
        err = holders(feed, 'add', stdin=bad, code=2 if bad == '\n\n' else 4)
        assert person()[:-1] not in str(err)


# ---- two holders --------------------------------------------------------------------------------

def test_two_holders_at_once_neither_counts(feed):
    other = f'cnid:{person(2)}'
    full(feed, link('1'), link('2'))
    feed.office.publish(order('CS-1'))
    feed.office.publish(order('CS-2', holder=other))
    feed.wait_orders(['CS-1'], card='1')
    assert delta(feed, link('1', holder=other))['two'] == 1
    feed.wait_orders([], card='1')
    assert set(feed.orders('2')) == {'CS-1'}
    wait_quarantine(feed, [('CS-1', 'jd_two_holders'), ('CS-2', 'jd_two_holders')])
    wait_for(lambda: sorted((q['order'], q['code']) for q in feed.office.quarantine) ==
             [('CS-1', 'jd_two_holders'), ('CS-2', 'jd_two_holders')], why='told to the office')
    assert states(feed, '1') == ['two_holders', 'two_holders']
    assert feed.wait_status(lambda s: s['holders']['two'] == 1 and s['holders']['two_listed'] == 1)
    text = harness.rcctl(feed.conf, 'status').stdout
    assert 'cards with two holders at once' in text
    holders(feed, 'remove', stdin=f'1\ncnid:{person()}\n')
    feed.wait_orders(['CS-2'], card='1')
    wait_quarantine(feed, [])
    assert len(feed.office.quarantine) == 2                       # each was told once


def test_two_holders_one_after_the_other_both_count(feed, now):
    full(feed, link('1', until=now + HOUR), link('1', holder=f'cnid:{person(2)}', from_=now + HOUR))
    feed.office.publish(order('CS-1'))
    feed.office.publish(order('CS-2', holder=f'cnid:{person(2)}'))
    feed.wait_orders(['CS-1', 'CS-2'], card='1')
    o = feed.orders('1')
    assert o['CS-1']['link_until'] == o['CS-2']['link_from'] == now + HOUR


def test_two_holders_for_a_while(feed, now):
    """After the span in which the links contradict each other, the one that goes on counts; before, neither."""
    full(feed, link('1', until=now + HOUR), link('1', holder=f'cnid:{person(2)}', from_=now - HOUR))
    feed.office.publish(order('CS-1'))
    feed.office.publish(order('CS-2', holder=f'cnid:{person(2)}'))
    feed.wait_orders(['CS-2'], card='1')
    assert feed.orders('1')['CS-2']['link_from'] == now + HOUR


def test_the_next_term_of_the_same_holder_wakes_up(feed, now):
    """A card returned and had again by the same person: one order, one term at a time in the record."""
    full(feed, link('1', until=now + 6), link('1', from_=now + 8))
    feed.office.publish(order())
    feed.wait_orders(['CS-1'], card='1')
    assert feed.orders('1')['CS-1']['link_until'] == now + 6
    wait_for(lambda: feed.orders('1').get('CS-1', {}).get('link_from') == now + 8, 20, why='the later term')


def test_more_orders_than_a_record_holds(feed, now):
    """33 orders by two holders' worth: the most lasting 32 stay, the rest is counted and said."""
    full(feed, link('1'))
    for i in range(32):
        feed.office.publish(order(f'CS-{i:02}', days=100 + i))
    feed.office.publish(record('CS-X', '1', days=50))
    feed.wait_orders([f'CS-{i:02}' for i in range(32)], card='1', seconds=30)
    s = feed.wait_status(lambda s: s['holders']['over_orders'] == 1)
    assert s['holders']['over_cards'] == 1
    feed.office.lift('CS-00')
    feed.wait_orders([f'CS-{i:02}' for i in range(1, 32)] + ['CS-X'], card='1')
    feed.wait_status(lambda s: s['holders']['over_orders'] == 0)
