"""A ZeroMQ program that shoal's tests talk to: pyzmq, driven by JSON lines.

Each line on standard input is a command {"op": …}; each gets one line of
answer on standard output, {"error": …} if it failed. Commands run one after
the other, and none waits longer than LIMIT.

Test messages are made from a number and a seed, the same here and in
messages.js, so that the receiver knows what has to arrive and in which order.
"""
import base64
import itertools
import json
import os
import select
import sys
import threading
import time

import zmq
import zmq.auth
from zmq.auth.thread import ThreadAuthenticator
from zmq.utils.monitor import recv_monitor_message

LIMIT = 15.0
PATTERN = bytes(range(256)) * 4097

context = zmq.Context()
sockets = {}
monitors = {}
proxies = []
numbers = itertools.count()
authenticators = []


def body(size, seed):
    start = seed % 256
    return PATTERN[start : start + size]


def message(number, seed):
    if number % 100 == 50:
        return [b"%d" % number, body(1024 * 1024, number + seed)]
    kind = number % 6
    if kind == 0:
        return [b"message %d of %d" % (number, seed)]
    if kind == 1:
        return [b""]
    if kind == 2:
        return [b"%d" % number, b"", body(number % 300, number + seed)]
    if kind == 3:
        return [body(number % 17 + k, number + k) for k in range(10)]
    if kind == 4:
        return [b"", b"", b"%d" % (number + seed)]
    return [body(20000, number + seed)]


def check(frames, number, seed):
    expected = message(number, seed)
    if frames != expected:
        raise ValueError(
            "message %d of %d should have frames of %s bytes; got %s, or other bytes"
            % (number, seed, [len(frame) for frame in expected], [len(frame) for frame in frames])
        )


def pieces(count, seed):
    """All frames of each message as one; a message without any bytes counts as one byte."""
    return [b"".join(message(number, seed)) or b"-" for number in range(count)]


def receive(socket, deadline):
    left = deadline - time.monotonic()
    if left <= 0 or not socket.poll(left * 1000):
        raise TimeoutError("nothing came")
    return socket.recv_multipart()


def decoded(frames):
    return [base64.b64decode(frame) for frame in frames]


def op_open(command):
    socket = context.socket(getattr(zmq, command["type"]))
    socket.setsockopt(zmq.LINGER, 5000)
    socket.setsockopt(zmq.RECONNECT_IVL, 20)
    socket.setsockopt(zmq.SNDTIMEO, int(LIMIT * 1000))
    for name, value in command.get("options", {}).items():
        if isinstance(value, str):
            value = value.encode()
        socket.setsockopt(getattr(zmq, name), value)
    sockets[command["id"]] = socket
    monitors[command["id"]] = Monitor(socket)


class Monitor:
    """Counts the peers that have come and gone."""

    def __init__(self, socket):
        self.socket = socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
        self.joins = 0
        self.leaves = 0

    def wait(self, joins, leaves):
        deadline = time.monotonic() + LIMIT
        while self.joins < joins or self.leaves < leaves:
            left = deadline - time.monotonic()
            if left <= 0 or not self.socket.poll(left * 1000):
                raise TimeoutError("only %d peers have come, and %d gone" % (self.joins, self.leaves))
            if recv_monitor_message(self.socket)["event"] == zmq.EVENT_DISCONNECTED:
                self.leaves += 1
            else:
                self.joins += 1


def op_wait(command):
    monitors[command["id"]].wait(command.get("joins", 0), command.get("leaves", 0))


def op_bind(command):
    socket = sockets[command["id"]]
    socket.bind(command["endpoint"])
    return {"endpoint": socket.getsockopt(zmq.LAST_ENDPOINT).rstrip(b"\0").decode()}


def op_connect(command):
    sockets[command["id"]].connect(command["endpoint"])


def op_subscribe(command):
    sockets[command["id"]].setsockopt(zmq.SUBSCRIBE, b"")


def close(id):
    socket = sockets.pop(id)
    socket.disable_monitor()
    monitors.pop(id).socket.close(0)
    socket.close(0)


def op_close(command):
    close(command["id"])


def op_close_all(command):
    global context
    for control, thread in proxies:
        control.send(b"TERMINATE")
        thread.join()
        control.close(0)
    proxies.clear()
    for id in list(sockets):
        close(id)
    if authenticators:
        for authenticator in authenticators:
            authenticator.stop()
        authenticators.clear()
        # libzmq gives up the handler's inproc name some time after its close: the next handler needs another context.
        context.destroy(linger=0)
        context = zmq.Context()


def op_send_one(command):
    sockets[command["id"]].send_multipart(decoded(command["frames"]))


def op_receive_one(command):
    deadline = time.monotonic() + LIMIT
    frames = receive(sockets[command["id"]], deadline)
    return {"frames": [base64.b64encode(frame).decode() for frame in frames]}


def op_send(command):
    prefix = decoded(command.get("prefix", []))
    for number in range(command["count"]):
        sockets[command["id"]].send_multipart(prefix + message(number, command["seed"]))


def op_receive(command):
    deadline, number = time.monotonic() + LIMIT, 0
    while number < command["count"]:
        frames = receive(sockets[command["id"]], deadline)
        if frames != [b"sync"]:
            check(frames[command.get("strip", 0) :], number, command["seed"])
            number += 1


def op_echo(command):
    """Sends every message back as it came; "strip" frames in front are its address."""
    socket, deadline = sockets[command["id"]], time.monotonic() + LIMIT
    for number in range(command["count"]):
        frames = receive(socket, deadline)
        check(frames[command["strip"] :], number, command["seed"])
        socket.send_multipart(frames)


def op_ask(command):
    """Sends messages and checks that each comes back; "window" may be on their way."""
    socket, prefix = sockets[command["id"]], decoded(command.get("prefix", []))
    deadline, count, sent = time.monotonic() + LIMIT, command["count"], 0
    for number in range(count):
        while sent < count and sent - number < command["window"]:
            send_to_known(socket, prefix + message(sent, command["seed"]), deadline)
            sent += 1
        frames = receive(socket, deadline)
        if frames[: len(prefix)] != prefix:
            raise ValueError("reply %d has another address" % number)
        check(frames[len(prefix) :], number, command["seed"])


def op_number(command):
    """Numbered messages of one size, [number | body]."""
    socket, start = sockets[command["id"]], command["from"]
    for number in range(start, start + command["count"]):
        socket.send_multipart([b"%d" % number, body(command["size"], number)])


def op_follow(command):
    """Receives numbered messages until the last; answers with the first, and those that do not follow on
    another of their sender's. A sender has a million numbers."""
    socket = sockets[command["id"]]
    first = number = None
    before, jumps = {}, []
    while number != command["last"]:
        text, *bodies = receive(socket, time.monotonic() + LIMIT)
        number = int(text)
        if bodies != [body(command["size"], number)]:
            raise ValueError("message %d is damaged" % number)
        if first is None:
            first = number
        sender = number // 1000000
        if before.get(sender, number - 1) != number - 1:
            jumps.append(number)
        before[sender] = number
    return {"first": first, "jumps": jumps}


def send_to_known(socket, frames, deadline):
    """A mandatory ROUTER may not know its peer yet."""
    while True:
        try:
            return socket.send_multipart(frames)
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH or time.monotonic() > deadline:
                raise
            time.sleep(0.005)


def op_sync(command):
    """Publishes [sync] until the next command is there: by then the subscriber has heard one."""
    socket = sockets[command["id"]]
    while not lines.waiting(0.005):
        socket.send(b"sync")


def op_attend(command):
    """Lets libzmq work for all sockets until the next command is there."""
    while not lines.waiting(0.005):
        for socket in sockets.values():
            socket.getsockopt(zmq.EVENTS)


def op_pause(command):
    """Does nothing; ends "sync" and "attend"."""


def op_stream_send(command):
    """Bytes to the only peer of a STREAM."""
    peer = decoded([command["peer"]])
    for piece in pieces(command["count"], command["seed"]):
        sockets[command["id"]].send_multipart(peer + [piece])


def op_stream_receive(command):
    expected, at = b"".join(pieces(command["count"], command["seed"])), 0
    deadline = time.monotonic() + LIMIT
    while at < len(expected):
        piece = receive(sockets[command["id"]], deadline)[1]
        if piece != expected[at : at + len(piece)]:
            raise ValueError("other bytes behind byte %d" % at)
        at += len(piece)


def op_proxy(command):
    """Runs libzmq's proxy between two sockets in a thread, until "close_all"."""
    control, inner = context.socket(zmq.PAIR), context.socket(zmq.PAIR)
    # libzmq gives up an inproc name some time after its socket's close: each proxy has its own.
    endpoint = "inproc://proxy-%d" % next(numbers)
    control.bind(endpoint)
    inner.connect(endpoint)
    ends = [sockets[command[side]] for side in ("frontend", "backend")]
    thread = threading.Thread(target=lambda: zmq.proxy_steerable(*ends, None, inner), daemon=True)
    thread.start()
    proxies.append((control, thread))


def op_authenticate(command):
    """Starts pyzmq's ZAP handler. It has to be referenced, or it stops with its collection."""
    authenticator = ThreadAuthenticator(context)
    authenticator.start()
    authenticators.append(authenticator)
    passwords = {command["username"]: command["password"]}
    # "*" is no wildcard here: the domain is the socket's.
    authenticator.configure_plain(domain=command["domain"], passwords=passwords)
    authenticator.configure_curve_callback("*", OnlyKey(command["key"].encode()))


class OnlyKey:
    """Lets in who has this key."""

    def __init__(self, key):
        self.key = key

    def callback(self, domain, key):
        return key == self.key


def op_make_folder(command):
    os.makedirs(command["folder"], exist_ok=True)


def op_create_certificate(command):
    os.makedirs(command["folder"], exist_ok=True)
    public, secret = zmq.auth.create_certificates(command["folder"], command["name"], command.get("metadata"))
    keys = zmq.auth.load_certificate(secret)
    return {"public": public, "secret": secret, "keys": [key.decode() for key in keys]}


def op_load_certificate(command):
    public, secret = zmq.auth.load_certificate(command["file"])
    return {"public": public.decode(), "secret": None if secret is None else secret.decode()}


def op_load_certificates(command):
    return {"keys": sorted(key.decode() for key in zmq.auth.load_certificates(command["folder"]))}


class Lines:
    """Lines of standard input, read without a buffer that select cannot see."""

    def __init__(self):
        self.buffered = b""
        self.ended = False

    def waiting(self, seconds):
        if b"\n" in self.buffered or self.ended:
            return True
        if not select.select([0], [], [], seconds)[0]:
            return False
        piece = os.read(0, 65536)
        self.ended = not piece
        self.buffered += piece
        return b"\n" in self.buffered or self.ended

    def next(self):
        while not self.waiting(None):
            pass
        line, found, self.buffered = self.buffered.partition(b"\n")
        return line if found else None


def main():
    answer({"pyzmq": zmq.__version__, "libzmq": zmq.zmq_version(), "curve": zmq.has("curve")})
    line = lines.next()
    while line is not None:
        try:
            command = json.loads(line)
            answer(globals()["op_" + command["op"]](command) or {})
        except Exception as error:  # The test decides what it means.
            answer({"error": "%s: %s" % (type(error).__name__, error)})
        line = lines.next()
    for authenticator in authenticators:
        authenticator.stop()
    context.destroy(linger=0)


def answer(value):
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


lines = Lines()
main()
