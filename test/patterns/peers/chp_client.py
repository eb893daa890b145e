"""A client: prints its snapshot, then each update; sets a key for each line that it reads, `key=value=ttl`."""
import sys, uuid, zmq
host, port, subtree = sys.argv[1], int(sys.argv[2]), sys.argv[3].encode()
c = zmq.Context(); base = host + ":%d"
snapshot = c.socket(zmq.DEALER); snapshot.linger = 0; snapshot.connect(base % port)
sub = c.socket(zmq.SUB); sub.linger = 0; sub.subscribe(subtree); sub.subscribe(b"HUGZ"); sub.connect(base % (port + 1))
pub = c.socket(zmq.XPUB); pub.linger = 0; pub.connect(base % (port + 2)); pub.recv()
snapshot.send_multipart([b"ICANHAZ?", subtree])
while True:
    key, seq, uid, props, body = snapshot.recv_multipart()
    last = int.from_bytes(seq, "big")
    assert len(seq) == 8 and uid == b"" and (key == b"KTHXBAI" or props == b"")
    if key == b"KTHXBAI":
        assert body == subtree
        print("whole", flush=True); break
    print("sync %s=%s" % (key.decode(), body.decode()), flush=True)
poller = zmq.Poller(); poller.register(sub, zmq.POLLIN); poller.register(sys.stdin, zmq.POLLIN); hugz = 0; mine = set()
while True:
    for s, _ in poller.poll():
        if s is sub:
            key, seq, uid, props, body = sub.recv_multipart(); seq = int.from_bytes(seq, "big")
            if key == b"HUGZ":
                hugz += 1
                if hugz == 1: print("hugz", flush=True)
            elif seq > last:
                last = seq; assert len(uid) == 16
                print("%s %s=%s" % ("own" if uid in mine else "pub", key.decode(), body.decode()), flush=True)
        else:
            key, value, ttl = sys.stdin.readline().strip().split("=")
            uid = uuid.uuid4().bytes; mine.add(uid)
            pub.send_multipart([key.encode(), bytes(8), uid, b"ttl=%s\n" % ttl.encode() if ttl else b"", value.encode()])
