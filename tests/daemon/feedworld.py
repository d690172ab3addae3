"""One office, one Redis, one restrict-cached, and what a test asks of them."""
import json
import os
import subprocess
import time

import harness
import jdschema
from fake_office import AUD, ISS, LIST, TOKEN, Office
from harness import wait_for

KEY = jdschema.Key('d1', bytes(range(16)))
MEASURE = """
[measure {}]
legal_source = Measures on public transport of the test city, article 12
authority = Haicheng Transport Bureau
max_term = 365d
"""


class Feed:
    def __init__(self, world, measures=('bus.ride', 'metro.ride'), office=None, redis=True, expected=1000,
                 wait_redis=True, growth=None):
        self.world = world
        self.folder = world.dir('feed')
        self.office = office or Office(self.folder)
        self.redis_server = world.redis() if redis is True else redis
        self.redis = self.redis_server.client()
        self.state = self.folder / 'state'
        self.status_file = self.state / 'status.json'
        self.conf = self.folder / 'restrict-cached.conf'
        self.key_file = self.folder / 'digest.key'
        self.jwks_file = self.folder / 'office.jwks'
        self.token_file = self.folder / 'office.token'
        self.expected, self.measures, self.growth = expected, measures, growth
        self.secret(self.key_file, KEY.line())
        self.secret(self.token_file, TOKEN + '\n')
        self.jwks()
        self.configure()
        self.daemon = None

    @staticmethod
    def secret(path, text):
        path.write_text(text)
        path.chmod(0o600)

    def jwks(self, *keys):
        """The key set the daemon knows; the office's own key unless told otherwise."""
        self.jwks_file.write_text(json.dumps({'keys': [k.jwk() for k in keys or [self.office.key]]}))

    def text(self, **over):
        o = {'list': LIST, 'state': self.state, 'key_file': self.key_file, 'base': self.office.base, 'iss': ISS,
             'aud': AUD, 'jwks_file': self.jwks_file, 'ca_file': self.office.ca.ca_file,
             'auth': f'token_file = {self.token_file}', 'redis': f'127.0.0.1:{self.redis_server.port}',
             'card_subjects': 'on', **over}
        growth = f"max_growth = {self.growth}\n" if self.growth else ''
        return (f"[list]\nname = {o['list']}\n[state]\ndir = {o['state']}\n[digest]\nkey_file = {o['key_file']}\n"
                f"[office]\nbase = {o['base']}\niss = {o['iss']}\naud = {o['aud']}\njwks_file = {o['jwks_file']}\n"
                f"ca_file = {o['ca_file']}\n{o['auth']}\n[redis]\naddress = {o['redis']}\n"
                f"expected = {self.expected}\n[log]\nlevel = info\n[list]\naccept_card_subjects = {o['card_subjects']}\n{growth}"
                + ''.join(map(MEASURE.format, self.measures)))

    def configure(self, extra='', **over):
        self.conf.write_text(self.text(**over) + extra)

    def start(self, env=None, approve=True):
        """Starts the daemon. A new journal's first list is approved, unless told otherwise."""
        new = not (self.state / 'journal.db').exists()
        self.daemon = self.world.proc([harness.BIN / 'restrict-cached', '-c', self.conf], 'daemon', env=env)
        if new and approve:
            harness.approve_list(self.conf)
        return self

    def check(self):
        """`restrict-cached -t`: the finished process."""
        return subprocess.run([harness.BIN / 'restrict-cached', '-t', '-c', self.conf], text=True,
                              capture_output=True, timeout=20, env={**os.environ, **harness.SAN_ENV})

    # ---- what the daemon says ----------------------------------------------------------------

    def status(self):
        try:
            return json.loads(self.status_file.read_text())
        except (OSError, ValueError):
            return None

    def wait_status(self, test, seconds=15, why=''):
        """Waits for a status.json written from now on of which `test` is true; returns it."""
        begun = int(time.time())

        def look():
            assert self.daemon.alive(), self.daemon.log()[-3000:]
            s = self.status()
            return s if s and s['now'] >= begun and s['pid'] == self.daemon.pid and test(s) else None
        try:
            return wait_for(look, seconds, why=why or 'status')
        except AssertionError as e:
            raise AssertionError(f'{e}\n{json.dumps(self.status(), indent=1)}\n{self.daemon.log()[-3000:]}')

    def wait_contact(self, seconds=15):
        """A contact made from now on."""
        begun = int(time.time())
        return self.wait_status(lambda s: s['contact']['verified_at'] >= begun and s['redis']['state'] == 'ready',
                                seconds, 'contact')

    def no_contact_for(self, seconds):
        """Fails when a contact is made within `seconds`: ages from now on."""
        time.sleep(2.2)                              # a head of this second may be under way, and status.json be a second old
        since = self.status()['contact']['verified_at']
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            s = self.status()
            assert s['contact']['verified_at'] == since, s
            time.sleep(0.1)
        return s

    def log_has(self, text, seconds=10):
        return wait_for(lambda: text in self.daemon.log(), seconds, why=f'log: {text}\n{self.daemon.log()[-2000:]}')

    # ---- what Redis holds --------------------------------------------------------------------

    def name(self, last):
        return f'jd:{{{LIST}}}:{last}'

    def meta(self):
        return {k.decode(): v.decode() for k, v in self.redis.hgetall(self.name('meta')).items()}

    def orders(self, card='3401005512', key=KEY):
        """Orders of a card as Redis holds them: {number: order}; every MAC is checked."""
        return {o['number']: o for o in self.record(card, key)[1]}

    def observed(self, card='3401005512', key=KEY):
        """The mask of what is observed of this card."""
        return self.record(card, key)[0]

    def record(self, card, key):
        meta = self.meta()
        if 'era' not in meta:
            return 0, []
        d = jdschema.digest(key, 'card', card)
        era = int(meta['era'])
        name = self.name(f"{era}:{jdschema.bucket_of(d, int(meta['bits']))}")
        rec = self.redis.hget(name, d)
        return jdschema.decode_record(key, d, era, rec) if rec else (0, [])

    def relief(self, number):
        text = self.redis.hget(self.name('relief'), number)
        return text.decode() if text else None

    def count(self):
        return int(self.meta().get('count', 0))

    def wait_orders(self, numbers, card='3401005512', seconds=15, key=KEY):
        def look():
            assert self.daemon.alive(), self.daemon.log()[-3000:]
            return set(self.orders(card, key)) == set(numbers)
        try:
            return wait_for(look, seconds)
        except AssertionError:
            raise AssertionError(f'{self.orders(card, key)} is not {numbers}\n{self.status()}\n'
                                 f'{self.daemon.log()[-3000:]}')

    def wait_relief(self, number, text, seconds=15):
        return wait_for(lambda: self.relief(number) == text, seconds,
                        why=f'relief {self.relief(number)} is not {text}\n{self.daemon.log()[-2000:]}')

    def wait_acked(self, *jtis, seconds=15):
        return wait_for(lambda: set(jtis) <= set(self.office.acked), seconds,
                        why=f'acked {self.office.acked}, not all of {jtis}\n{self.daemon.log()[-2000:]}')
