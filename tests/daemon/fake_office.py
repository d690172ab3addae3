"""A credit office in Python: an implementation of feed version 1 that shares nothing with the C code.

It lives in the test's own process: the test publishes, lifts and breaks things by calling it, and reads what the
daemon acknowledged and reported. `fault[path]` is a function that gets the request handler and answers in the
office's place (returns True), or lets the office answer (returns a false value).
"""
import base64
import datetime
import gzip
import hashlib
import ipaddress
import json
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID

ISS, AUD, LIST, TOKEN = 'https://office.test', 'jd:gateway:test', 'credit', 'a-bearer-token-of-the-tests'
EVENT = 'https://ngx-jd.example/event/'
CHINA = datetime.timezone(datetime.timedelta(hours=8))


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b'=').decode()


def instant(unix):
    return datetime.datetime.fromtimestamp(unix, CHINA).isoformat(timespec='seconds')


def record(number='CS-2026-000001', card='3401005512', measures=('bus.ride',), days=300, **changes):
    """One whole record of the feed; `changes` replaces members, None removes one."""
    now = int(time.time())
    r = {
        'order': number, 'subject': {'scheme': 'card', 'id': card}, 'measures': list(measures),
        'authority': 'Haicheng Transport Bureau', 'basis': 'Haicheng Measures on Fare Evasion, article 12',
        'relevance': 'fare evasion, third finding', 'served': instant(now - 10 * 86400)[:10],
        'from': instant(now - 5 * 86400), 'until': instant(now + days * 86400), 'effect': 'enforce',
        'objection': False, 'contest': {'url': 'https://credit.example/contest', 'phone': '12345'},
        'repair': {'url': 'https://credit.example/repair'},
    }
    r.update(changes)
    return {k: v for k, v in r.items() if v is not None}


class Ca:
    """A certificate authority with one certificate for 127.0.0.1, as PEM files in `folder`."""

    def __init__(self, folder, name='test CA'):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.cert = self._sign(self.name, self.key.public_key(), ca=True)
        self.ca_file = folder / 'ca.pem'
        self.ca_file.write_bytes(self.cert.public_bytes(serialization.Encoding.PEM))
        self.server = self.issue(folder, 'server')

    def _sign(self, subject, public, ca=False):
        now = datetime.datetime.utcnow()
        b = (x509.CertificateBuilder().subject_name(subject).issuer_name(self.name).public_key(public)
             .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
             .not_valid_after(now + datetime.timedelta(days=30))
             .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True))
        if not ca:
            alt = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address('127.0.0.1'))])
            b = b.add_extension(alt, critical=False)
        return b.sign(self.key, hashes.SHA256())

    def issue(self, folder, name):
        """(certificate file, key file)."""
        key = ec.generate_private_key(ec.SECP256R1())
        cert = self._sign(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key.public_key())
        cert_file, key_file = folder / f'{name}.pem', folder / f'{name}.key'
        cert_file.write_bytes(cert.public_bytes(serialization.Encoding.PEM))
        key_file.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                               serialization.NoEncryption()))
        key_file.chmod(0o600)
        return cert_file, key_file


class SigningKey:
    def __init__(self, kid, nbf=None, exp=None, use=None):
        self.kid, self.use = kid, use
        self.nbf = int(time.time()) - 3600 if nbf is None else nbf
        self.exp = int(time.time()) + 86400 if exp is None else exp
        self.private = Ed25519PrivateKey.generate()

    def jwk(self):
        raw = self.private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        jwk = {'kty': 'OKP', 'crv': 'Ed25519', 'kid': self.kid, 'x': b64(raw), 'nbf': self.nbf, 'exp': self.exp}
        return {**jwk, 'jd_use': self.use} if self.use else jwk


class Office:
    """The office and its HTTPS server. Thread-safe where the tests need it: one lock, notified on news."""

    def __init__(self, folder, key=None, epoch=1):
        self.ca = Ca(folder)
        self.key = key or SigningKey('k1')
        self.epoch, self.seq, self.relief_seq, self.n_jti = epoch, 0, 0, 0
        self.orders = {}                        # number -> record, as the snapshot would show them
        self.queue = {'relief': {}, 'changes': {}}       # jti -> token, until acknowledged
        self.acked, self.errors, self.quarantine = [], {}, []
        self.requests = []                      # (method, path) of everything that arrived
        self.polls = {'relief': [], 'changes': []}       # bodies of the polls
        self.held = {'relief': 0, 'changes': 0}          # polls open now
        self.fault = {}
        self.heads = True                       # heads ride in poll answers
        self.hold_sec = 1.0                     # how long an idle poll is held
        self.snapshot_files = {}                # href -> bytes
        self.news = threading.Condition(threading.RLock())
        self.port = None
        self._start()

    # ---- signing -----------------------------------------------------------------------------

    def sign(self, payload, typ, key=None, header=None, spoil=False):
        key = key or self.key
        head = {'alg': 'EdDSA', 'kid': key.kid, 'typ': typ, **(header or {})}
        body = payload if isinstance(payload, bytes) else json.dumps(payload, ensure_ascii=False).encode()
        text = f'{b64(json.dumps(head).encode())}.{b64(body)}'
        signature = bytearray(key.private.sign(text.encode()))
        if spoil:
            signature[10] ^= 1
        return f'{text}.{b64(bytes(signature))}'

    def claims(self, **more):
        now = int(time.time())
        c = {'iss': ISS, 'aud': AUD, 'iat': now, 'exp': now + 600, 'list': LIST, 'epoch': self.epoch,
             'seq': self.seq, 'relief_seq': self.relief_seq}
        return {**c, **more}

    def head(self, **more):
        return self.sign(self.claims(**more), 'jd-head+jwt')

    def event(self, name, body, **claims):
        self.n_jti += 1
        c = {'iss': ISS, 'aud': AUD, 'iat': int(time.time()), 'jti': f'jti-{self.n_jti}', 'epoch': self.epoch,
             'events': {EVENT + name: body}}
        return {**c, **claims}

    # ---- what an office does -----------------------------------------------------------------

    def send(self, lane, payload, **sign):
        """Puts a token on a lane; returns its jti."""
        with self.news:
            self.queue[lane][payload['jti']] = self.sign(payload, 'secevent+jwt', **sign)
            self.news.notify_all()
        return payload['jti']

    def publish(self, rec, send=True):
        with self.news:
            self.seq += 1
            self.orders[rec['order']] = rec
            body = {'seq': self.seq, 'order': rec}
            return self.send('changes', self.event('order', body)) if send else None

    def lift(self, number, measures=None, send=True, **sign):
        with self.news:
            self.relief_seq += 1
            left = [m for m in self.orders.get(number, {}).get('measures', []) if measures and m not in measures]
            if left:
                self.orders[number] = {**self.orders[number], 'measures': left}
            else:
                self.orders.pop(number, None)
            body = {'seq': self.relief_seq, 'order': number, **({'measures': measures} if measures else {})}
            return self.send('relief', self.event('lift', body), **sign) if send else None

    def mark(self, number, objection):
        with self.news:
            self.relief_seq += 1
            if number in self.orders:
                self.orders[number] = {**self.orders[number], 'objection': objection}
            body = {'seq': self.relief_seq, 'order': number, 'objection': objection}
            return self.send('relief', self.event('mark', body))

    def ndjson(self):
        return b''.join(json.dumps(r, ensure_ascii=False).encode() + b'\n' for r in self.orders.values())

    def statement(self, data, href=None, records=None, **claims):
        digest = hashlib.sha256(data).hexdigest()
        href = f'records/{digest}.ndjson' if href is None else href
        self.snapshot_files[href] = data
        r = {'href': href, 'sha256': digest, 'count': data.count(b'\n'), 'bytes': len(data), **(records or {})}
        return self.sign(self.claims(records=r, **claims), 'jd-snapshot+jwt')

    def snapshot(self, **more):
        with self.news:
            return self.statement(self.ndjson(), **more)

    # ---- HTTPS -------------------------------------------------------------------------------

    def _start(self):
        office = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'
            disable_nagle_algorithm = True

            def log_message(self, *args):
                pass

            def do_GET(self):
                self.body = b''
                self._answer()

            def do_POST(self):
                self.body = self.rfile.read(int(self.headers.get('Content-Length', 0)))
                self._answer()

            def _answer(self):
                try:
                    office.serve(self)
                except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
                    self.close_connection = True

            def reply(self, status, body=b'', kind='application/json', **headers):
                body = body.encode() if isinstance(body, str) else body
                self.send_response(status)
                self.send_header('Content-Type', kind)
                self.send_header('Content-Length', str(len(body)))
                for name, value in headers.items():
                    self.send_header(name.replace('_', '-'), str(value))
                self.end_headers()
                self.wfile.write(body)

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                pass

        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(*map(str, self.ca.server))
        self.server = Server(('127.0.0.1', self.port or 0), Handler)
        self.port = self.server.server_address[1]
        self.server.socket = self.tls.wrap_socket(self.server.socket, server_side=True,
                                                  do_handshake_on_connect=False)
        self.stopping = False
        threading.Thread(target=self.server.serve_forever, kwargs={'poll_interval': 0.05}, daemon=True).start()

    def stop(self):
        """Silent from now on: the port is closed, open polls end."""
        with self.news:
            self.stopping = True
            self.news.notify_all()
        self.server.shutdown()
        self.server.server_close()

    def start_again(self):
        self._start()

    @property
    def base(self):
        return f'https://127.0.0.1:{self.port}/v1'

    def serve(self, h):
        url = urlsplit(h.path)
        path = url.path.removeprefix('/v1/')
        query = {k: v[0] for k, v in parse_qs(url.query).items()}
        if self.stopping:                        # a connection kept from before: silent too
            h.close_connection = True
            return None
        with self.news:
            self.requests.append((h.command, h.path))
            fault = self.fault.get(path) or self.fault.get(path.split('/')[0])
        if h.headers.get('Authorization') != f'Bearer {TOKEN}' and not h.connection.getpeercert():
            return h.reply(401)
        if fault and fault(h):
            return None
        if path in ('relief', 'changes'):
            return self.poll(h, path)
        if path == 'head':
            return h.reply(200, self.head(), 'application/jwt')
        if path == 'snapshot':
            if int(query['min_seq']) > self.seq or int(query['min_relief_seq']) > self.relief_seq:
                return h.reply(503, Retry_After=1)
            return h.reply(200, self.snapshot(), 'application/jwt')
        if path in self.snapshot_files:
            return h.reply(200, gzip.compress(self.snapshot_files[path]), 'application/x-ndjson',
                           Content_Encoding='gzip')
        if path == 'quarantine':
            with self.news:
                self.quarantine.append(json.loads(h.body))
            return h.reply(204)
        return h.reply(404)

    def take(self, lane, body):
        """Takes acknowledgements and errors of one poll."""
        for jti in [*body.get('ack', []), *body.get('setErrs', {})]:
            self.queue[lane].pop(jti, None)
        self.acked += body.get('ack', [])
        self.errors.update(body.get('setErrs', {}))

    def poll(self, h, lane):
        body = json.loads(h.body)
        with self.news:
            self.polls[lane].append(body)
            self.take(lane, body)
            end = time.monotonic() + self.hold_sec
            self.held[lane] += 1
            while not self.queue[lane] and not self.stopping and time.monotonic() < end:
                self.news.wait(0.05)
            self.held[lane] -= 1
            if self.stopping:
                h.close_connection = True
                return None
            sets = dict(list(self.queue[lane].items())[:body['maxEvents']])
            answer = {'sets': sets, 'moreAvailable': len(self.queue[lane]) > len(sets)}
            if self.heads:
                answer['jd_head'] = self.head()
        return h.reply(200, json.dumps(answer))
