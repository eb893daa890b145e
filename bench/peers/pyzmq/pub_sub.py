"""XPUB and SUB: fan-out, and the cost of subscriptions."""

import zmq
from bodies import Bodies, Tally


def topic(i):
    return b"%08d" % i


def publisher(side):
    """Waits until all have subscribed; full queues make it wait instead of dropping (XPUB_NODROP)."""
    socket = side.socket(zmq.XPUB)
    socket.setsockopt(zmq.XPUB_VERBOSE, 1)
    socket.setsockopt(zmq.XPUB_NODROP, 1)
    socket.bind(side.endpoint)
    side.ready(socket)
    side.wait_for_start()
    subscriptions = side.number("subscriptions", 0)
    for _ in range(subscriptions or side.number("peers", 1)):
        socket.recv()
    make = Bodies(side.size).make
    topics = [topic(i) for i in range(subscriptions)]
    for k in range(side.warmup + side.count):
        if k == side.warmup:
            side.begin()
        if subscriptions > 0:
            socket.send(topics[k * 7919 % subscriptions], zmq.SNDMORE)
        socket.send(make(k))
    side.done(side.count)


def subscriber(side):
    """Several sockets in one thread, each of which must get everything in order.

    With many subscriptions it is an XSUB without a send high-water mark: libzmq keeps subscriptions in the send queue,
    and drops those that do not fit."""
    subscriptions = side.number("subscriptions", 0)
    poller = zmq.Poller()
    tallies = {}
    for _ in range(side.number("sockets", 1)):
        socket = side.socket(zmq.XSUB if subscriptions > 0 else zmq.SUB)
        if subscriptions > 0:
            socket.sndhwm = 0
        else:
            socket.subscribe(b"")
        socket.connect(side.endpoint)
        for i in range(subscriptions):
            socket.send(b"\x01" + topic(i))
        tallies[socket] = Tally(side.size, side.warmup, side.count)
        poller.register(socket, zmq.POLLIN)
    side.ready()
    side.wait_for_start()
    unfinished = len(tallies)
    first = max(1, side.warmup)
    begun = False
    late = 0  # Of the warm-up, to others than the first warm one, which starts the clock.
    while unfinished > 0:
        for socket, _ in poller.poll():
            tally = tallies[socket]
            try:
                while tally.seen < tally.total:
                    message = socket.recv(zmq.DONTWAIT)
                    if subscriptions > 0:
                        message = socket.recv()
                    tally.take(message)
                    if not begun and tally.seen == first:
                        begun = True
                        late = sum(max(0, side.warmup - other.seen) for other in tallies.values())
                        side.begin()
            except zmq.Again:
                continue
            poller.unregister(socket)
            unfinished -= 1
    side.end()
    side.done(
        side.count * len(tallies),
        checksum=sum(tally.sum for tally in tallies.values()),
        ordered=all(tally.good for tally in tallies.values()),
        extra={"late": late},
    )


ROLES = {"publisher": publisher, "subscriber": subscriber}
