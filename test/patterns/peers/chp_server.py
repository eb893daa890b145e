"""A server as small as the Guide's: `rfc` sends what the text says (HUGZ 0, KTHXBAI the highest KVSYNC), else the Guide's bytes."""
import sys, time, zmq
rfc = sys.argv[1] == "rfc"
c = zmq.Context()
sockets = []
for kind, offset in ((zmq.ROUTER, 0), (zmq.PUB, 1), (zmq.SUB, 2)):
    s = c.socket(kind); s.linger = 0; sockets.append(s); s.bind("tcp://127.0.0.1:%d" % (int(sys.argv[2]) + offset))
router, pub, sub = sockets; sub.subscribe(b"")
print("bound", flush=True)
kv, sequence, hugz, ends = {}, 0, time.time(), {}
def publish(key, uid, props, body):
    global sequence
    sequence += 1
    if body: kv[key] = (sequence, uid, props, body)
    else: kv.pop(key, None)
    pub.send_multipart([key, sequence.to_bytes(8, "big"), uid, props, body])
poller = zmq.Poller(); poller.register(router, zmq.POLLIN); poller.register(sub, zmq.POLLIN)
while True:
    for s, _ in poller.poll(50):
        if s is router:
            client, command, subtree = router.recv_multipart(); assert command == b"ICANHAZ?"
            highest = 0
            for key, (seq, uid, props, body) in kv.items():
                if not key.startswith(subtree): continue
                highest = max(highest, seq)
                router.send_multipart([client, key, seq.to_bytes(8, "big"), b"" if rfc else uid, b"" if rfc else props, body])
            router.send_multipart([client, b"KTHXBAI", (highest if rfc else sequence).to_bytes(8, "big"), b"", b"", subtree if rfc else b""])
        else:
            key, seq, uid, props, body = sub.recv_multipart(); assert seq == bytes(8) and len(uid) == 16 and props.endswith(b"\n")
            ttl = int(dict(line.split("=") for line in props.decode().strip().split("\n"))["ttl"])
            if ttl: ends[key] = time.time() + ttl
            publish(key, uid, props, body)
    now = time.time()
    for key in [k for k, t in ends.items() if t <= now]: del ends[key]; publish(key, b"", b"", b"")
    if now - hugz > 0.1:
        hugz = now; pub.send_multipart([b"HUGZ", (0 if rfc else sequence).to_bytes(8, "big"), b"", b"", b""])
