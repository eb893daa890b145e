# A peer by the text of 36/ZRE alone, over pyzmq: BROADCAST PORT. Prints what comes, and obeys lines of its standard input.
import os, socket, struct, sys, zmq

broadcast, port = sys.argv[1], int(sys.argv[2])
uuid = os.urandom(16)
context = zmq.Context()
inbox = context.socket(zmq.ROUTER)
mailbox_port = inbox.bind_to_random_port("tcp://127.0.0.1")
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
udp.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
udp.bind(("", port))
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
sender.bind(("127.0.0.1", 0))
peers = {}  # uuid: [DEALER, sequence]
groups, status = [], 0


def say(*words):
    print(*words, flush=True)


def string(text):
    return struct.pack(">B", len(text)) + text.encode()


def longstr(text):
    return struct.pack(">I", len(text)) + text.encode()


def beacon(at):
    sender.sendto(b"ZRE\x01" + uuid + struct.pack(">H", at), (broadcast, port))


def command(peer, number, fields=b"", content=()):
    peer[1] += 1
    head = b"\xaa\xa1" + struct.pack(">BBH", number, 2, peer[1])
    peer[0].send_multipart([head + fields, *content])


def require(other, endpoint):
    if other in peers:
        return
    dealer = context.socket(zmq.DEALER)
    dealer.setsockopt(zmq.IDENTITY, b"\x01" + uuid)
    dealer.linger = 500
    dealer.connect(endpoint)
    peers[other] = [dealer, 0]
    hello = string("tcp://127.0.0.1:%d" % mailbox_port) + struct.pack(">I", len(groups))
    hello += b"".join(longstr(group) for group in groups)
    hello += struct.pack(">B", status) + string("python") + struct.pack(">I", 1) + string("X-P") + longstr("yes")
    command(peers[other], 1, hello)


def text_at(frame, at):
    length = frame[at]
    return frame[at + 1 : at + 1 + length].decode(), at + 1 + length


def received(identity, frame, content):
    assert len(identity) == 17 and identity[0] == 1 and frame[:2] == b"\xaa\xa1" and frame[3] == 2
    other, number = identity[1:], frame[2]
    (sequence,) = struct.unpack(">H", frame[4:6])
    if number == 1:
        assert sequence == 1
        endpoint, at = text_at(frame, 6)
        require(other, endpoint)
        (count,) = struct.unpack(">I", frame[at : at + 4])
        at += 4
        for _ in range(count):
            (length,) = struct.unpack(">I", frame[at : at + 4])
            at += 4 + length
        name, at = text_at(frame, at + 1)
        say("HELLO", other.hex(), name, count, frame[at - len(name) - 2])
    elif number == 2:
        say("WHISPER", sequence, *[each.decode() for each in content])
    elif number == 3:
        say("SHOUT", sequence, text_at(frame, 6)[0], *[each.decode() for each in content])
    elif number in (4, 5):
        group, at = text_at(frame, 6)
        say("JOIN" if number == 4 else "LEAVE", sequence, group, frame[at])
    elif number == 6:
        say("PING", sequence)
        command(peers[other], 7)
    elif number == 7:
        say("PING-OK", sequence)


def obey(words):
    global announced, status
    if words[0] == "leave":
        # Its sockets stay until "quit": a refused connection must not overtake the farewell.
        announced = 0
    if words[0] == "quit":
        return False
    if words[0] == "join":
        status = (status + 1) % 256
        groups.append(words[1])
    for peer in peers.values():
        if words[0] == "join":
            command(peer, 4, string(words[1]) + struct.pack(">B", status))
        if words[0] == "whisper":
            command(peer, 2, b"", [words[1].encode()])
        if words[0] == "shout":
            command(peer, 3, string(words[1]), [words[2].encode()])
        if words[0] == "ping":
            command(peer, 6)
    return True


poller = zmq.Poller()
for each in (inbox, udp, sys.stdin):
    poller.register(each, zmq.POLLIN)
announced = mailbox_port
say("READY", uuid.hex())
beacon(announced)
while True:
    ready = dict(poller.poll(1000))
    if inbox in ready:
        identity, frame, *content = inbox.recv_multipart()
        received(identity, frame, content)
    if udp.fileno() in ready:
        bytes_, (address, _) = udp.recvfrom(100)
        if len(bytes_) == 22 and bytes_[:4] == b"ZRE\x01" and bytes_[4:20] != uuid:
            (at,) = struct.unpack(">H", bytes_[20:])
            if at == 0:
                if peers.pop(bytes_[4:20], None) is not None:
                    say("LEFT", bytes_[4:20].hex())
            else:
                require(bytes_[4:20], "tcp://%s:%d" % (address, at))
    if sys.stdin.fileno() in ready:
        lines = os.read(sys.stdin.fileno(), 65536).decode().splitlines()
        if not all(obey(line.split()) for line in lines or ["quit"]):
            break
    beacon(announced)
beacon(0)
context.destroy(500)
