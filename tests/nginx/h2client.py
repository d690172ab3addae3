"""A small HTTP/2 client with prior knowledge, on python3-h2."""

import socket
import time

import h2.config
import h2.connection
import h2.events


class H2:
    def __init__(self, sock):
        self.sock = sock
        self.c = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.c.initiate_connection()
        self.streams = {}
        self.flush()

    @classmethod
    def connect(cls, port):
        try:
            return cls(socket.create_connection(("127.0.0.1", port), timeout=10))
        except OSError:
            return None

    def flush(self):
        self.sock.sendall(self.c.data_to_send())

    def send(self, method, path, headers=(), body=None, length=False, end=True):
        """Starts a request; returns its stream."""
        stream = self.c.get_next_available_stream_id()
        self.streams[stream] = [None, None, b"", False]
        pairs = [(":method", method), (":scheme", "http"), (":authority", "a"), (":path", path)]
        pairs += [(k.lower(), v) for k, v in headers]
        if length and body is not None:
            pairs.append(("content-length", str(len(body))))
        self.c.send_headers(stream, pairs, end_stream=body is None)
        self.flush()
        at = 0
        while body is not None and (at < len(body) or at == 0):
            room = min(self.c.local_flow_control_window(stream), self.c.max_outbound_frame_size, len(body) - at)
            if room <= 0 and body:
                self.receive()
                if self.streams[stream][3]:
                    return stream                   # answered before the body was sent
                continue
            self.c.send_data(stream, body[at:at + room], end_stream=end and at + room == len(body))
            self.flush()
            at += room
            if not body:
                break
        return stream

    def receive(self):
        data = self.sock.recv(65536)
        if not data:
            raise AssertionError("connection closed")
        for e in self.c.receive_data(data):
            s = self.streams.get(getattr(e, "stream_id", None))
            if isinstance(e, h2.events.ResponseReceived):
                s[1] = dict(e.headers)
                s[0] = int(s[1][":status"])
            elif isinstance(e, h2.events.DataReceived):
                s[2] += e.data
                self.c.acknowledge_received_data(e.flow_controlled_length, e.stream_id)
            elif isinstance(e, (h2.events.StreamEnded, h2.events.StreamReset)) and s:
                s[3] = True
        self.flush()

    def answer(self, stream, seconds=10):
        """(status, headers, body) of a stream."""
        end = time.monotonic() + seconds
        while not self.streams[stream][3]:
            assert time.monotonic() < end, "no answer"
            self.receive()
        return tuple(self.streams[stream][:3])

    def request(self, *args, **kw):
        return self.answer(self.send(*args, **kw))

    def reset(self, stream):
        self.c.reset_stream(stream, error_code=8)
        self.flush()

    def close(self):
        self.sock.close()
