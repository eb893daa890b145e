"""A server that returns messages, and its clients: latency, load, request-reply, connections."""

import threading
import time

import zmq
from bodies import Bodies, Tally
from side import resident


def strict(side):
    """REQ and REP if the case requires them; otherwise DEALER and ROUTER."""
    return side.option("pattern", "dealer-router") == "req-rep"


def connections_done(side, before, connections):
    now = resident()
    extra = {"rssBefore": before, "rssAfter": now, "bytesPerConnection": (now - before) / connections}
    side.done(connections, extra=extra)


def server(side):
    """Echoes whole messages, including address frames, even before `start`, since clients may greet."""
    socket = side.socket(zmq.REP if strict(side) else zmq.ROUTER)
    socket.rcvtimeo = 20
    socket.bind(side.endpoint)
    side.ready(socket)
    before = resident()
    memory = side.scenario == "idle-memory"
    last = side.number("connections", 1) if memory else None
    echoed = 0
    while not side.stopping and echoed != last:
        try:
            frames = socket.recv_multipart()
        except zmq.Again:
            continue
        socket.send_multipart(frames)
        echoed += 1
    if memory:
        side.wait_for_start()  # Said when the clients are ready, thus connected.
        connections_done(side, before, last)
    side.done(echoed)


def echo_inproc(side, reply):
    for _ in range(side.warmup + side.count):
        reply.send(reply.recv())


def both(side):
    """inproc: the server is a thread of the same process."""
    reply = side.socket(zmq.REP)
    reply.bind(side.endpoint)
    threading.Thread(target=echo_inproc, args=(side, reply), daemon=True).start()
    ask_in_turn(side)


def ask_in_turn(side):
    """Each socket has one request in flight. Count and warm-up are per socket."""
    kind = zmq.REQ if strict(side) else zmq.DEALER
    sockets = [side.socket(kind) for _ in range(side.number("sockets", 1))]
    tallies = {socket: Tally(side.size, side.warmup, side.count) for socket in sockets}
    poller = zmq.Poller()
    for socket in sockets:
        socket.connect(side.endpoint)
        poller.register(socket, zmq.POLLIN)
    make = Bodies(side.size).make
    side.ready()
    side.wait_for_start()
    now = time.perf_counter
    asked, latencies = {}, []
    for socket in sockets:
        asked[socket] = now()
        socket.send(make(0))
    replies = 0
    single = [(sockets[0], zmq.POLLIN)] if len(sockets) == 1 else None
    while replies < len(sockets) * (side.warmup + side.count):
        for socket, _ in single or poller.poll():
            tally = tallies[socket]
            reply = socket.recv()
            latency = now() - asked[socket]
            tally.take(reply)
            if tally.seen > side.warmup:
                latencies.append(latency)
            replies += 1
            if replies == len(sockets) * side.warmup:
                side.begin()
            if tally.seen == tally.total:
                continue
            message = make(tally.seen)
            asked[socket] = now()
            socket.send(message)
    side.end()
    side.done(
        len(sockets) * side.count,
        checksum=sum(tally.sum for tally in tallies.values()),
        ordered=all(tally.good for tally in tallies.values()),
        latencies=latencies,
    )


def ask_on_schedule(side):
    """Open loop: request k is due at k / rate, whatever happened to earlier ones, and its latency counts from then.
    So a stall affects every request that it delayed (no coordinated omission)."""
    rate = side.number("rate", 1000)
    socket = side.socket(zmq.DEALER)
    socket.connect(side.endpoint)
    make = Bodies(side.size).make
    tally = Tally(side.size, side.warmup, side.count)
    side.ready()
    side.wait_for_start()
    socket.send(make(0))  # The first waits for the connection, before the schedule begins.
    tally.take(socket.recv())
    now = time.perf_counter
    begun = now()
    sent, latencies = 1, []
    while tally.seen < tally.total:
        try:
            while sent < tally.total and begun + (sent - 1) / rate <= now():
                socket.send(make(sent), zmq.DONTWAIT)
                sent += 1
        except zmq.Again:
            pass
        try:
            while tally.seen < sent:
                reply = socket.recv(zmq.DONTWAIT)
                due = begun + (tally.seen - 1) / rate
                tally.take(reply)
                if tally.seen > side.warmup:
                    latencies.append(now() - due)
                elif tally.seen == side.warmup:
                    side.begin()
        except zmq.Again:
            time.sleep(0)  # Sleeping longer is too coarse for thousands a second.
    side.end()
    side.done(side.count, tally, latencies=latencies)


def connect_many(side, first, count, tally):
    """Opens connections, each with a message and its reply."""
    make = Bodies(side.size).make
    sockets = []
    for k in range(first, first + count):
        socket = side.socket(zmq.DEALER)
        socket.connect(side.endpoint)
        socket.send(make(k))
        sockets.append(socket)
    for socket in sockets:
        tally.take(socket.recv())
    return sockets


WARM_AT_ONCE = 250
SETTLED_AFTER = 0.2  # seconds


def storm(side):
    tally = Tally(side.size, side.warmup, side.count)
    side.ready()
    side.wait_for_start()
    # Before the counted ones: no implementation has room for all as sockets.
    for first in range(0, side.warmup, WARM_AT_ONCE):
        for socket in connect_many(side, first, min(WARM_AT_ONCE, side.warmup - first), tally):
            socket.close()
    if side.warmup > WARM_AT_ONCE:
        time.sleep(SETTLED_AFTER)
    side.begin()
    kept = connect_many(side, side.warmup, side.count, tally)
    side.end()
    side.done(side.count, tally)


def idle(side):
    connections = side.number("connections", 1)
    before = resident()
    kept = connect_many(side, 0, connections, Tally(side.size, 0, connections))
    side.ready()
    side.wait_for_start()
    connections_done(side, before, len(kept))


CLIENTS = {"latency-under-load": ask_on_schedule, "connection-storm": storm, "idle-memory": idle}


def client(side):
    CLIENTS.get(side.scenario, ask_in_turn)(side)


ROLES = {"server": server, "client": client}
