"""rcctl brake: a release from the operator's hand to meta, where the gates read it. (The gate's side: tests/nginx.)"""
import json

import harness
from harness import wait_for


def released(feed):
    text = feed.meta().get('brakes', '')
    return {m: int(at) for m, at in (word.split('=') for word in text.split())}


def release(feed, measure, reason='the office withdrew its batch', code=0):
    run = harness.rcctl(feed.conf, 'brake', '--release', measure, '--reason', reason)
    assert run.returncode == code, (run.stdout, run.stderr)
    return run


def test_a_release_reaches_meta_and_the_audit_chain(feed):
    feed.wait_status(lambda s: s['redis']['state'] == 'ready')
    assert released(feed) == {}
    assert 'bus.ride: released' in release(feed, 'bus.ride').stdout
    first = wait_for(lambda: released(feed).get('bus.ride'), 10)
    chain = [json.loads(line) for line in (feed.state / 'audit.log').read_text().splitlines()]
    told = [r for r in chain if r['kind'] == 'brake.release']
    assert [(r['measure'], r['reason']) for r in told] == [('bus.ride', 'the office withdrew its batch')]
    assert told[0]['user']

    # outlives the daemon and a Redis that was emptied; another measure is released beside it
    feed.daemon.kill()
    feed.redis.flushall()
    feed.start()
    assert wait_for(lambda: released(feed), 20) == {'bus.ride': first}
    release(feed, 'metro.ride')
    wait_for(lambda: set(released(feed)) == {'bus.ride', 'metro.ride'} and released(feed)['bus.ride'] == first, 10)


def test_wrong_use(feed):
    feed.wait_status(lambda s: s['redis']['state'] == 'ready')
    assert 'no such measure; one of bus.ride' in release(feed, 'bus.fly', code=2).stderr
    assert 'needs --release MEASURE and --reason' in release(feed, 'bus.ride', reason='', code=2).stderr
    feed.daemon.stop()
    wait_for(lambda: harness.rcctl(feed.conf, 'brake', '--release', 'bus.ride', '--reason', 'x').returncode == 3, 15)
    assert released(feed) == {}
