/** Against programs on pyzmq that speak CHP as its text and the Guide's programs do, both directions. */
import { describe, expect, it } from "vitest";
import { CloneClient, CloneServer } from "../../../src/patterns/index.js";
import { until, within } from "../../contract/support/wait.js";
import { closeAfterEach } from "../../support/close-after-each.js";
import { missing } from "../../support/peers.js";
import { freeRange } from "../../support/ports.js";
import { pythonIn } from "../pirate/python.js";

/** A client: prints its snapshot, then each update; sets a key for each line that it reads, `key=value=ttl`. */
const CLIENT = `
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
            pub.send_multipart([key.encode(), bytes(8), uid, b"ttl=%s\\n" % ttl.encode() if ttl else b"", value.encode()])
`;

/** A server as small as the Guide's: \`rfc\` sends what the text says (HUGZ 0, KTHXBAI the highest KVSYNC), else the Guide's bytes. */
const SERVER = `
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
            key, seq, uid, props, body = sub.recv_multipart(); assert seq == bytes(8) and len(uid) == 16 and props.endswith(b"\\n")
            ttl = int(dict(line.split("=") for line in props.decode().strip().split("\\n"))["ttl"])
            if ttl: ends[key] = time.time() + ttl
            publish(key, uid, props, body)
    now = time.time()
    for key in [k for k, t in ends.items() if t <= now]: del ends[key]; publish(key, b"", b"", b"")
    if now - hugz > 0.1:
        hugz = now; pub.send_multipart([b"HUGZ", (0 if rfc else sequence).to_bytes(8, "big"), b"", b"", b""])
`;

const track = closeAfterEach();
const python = pythonIn(track);

describe.skipIf(missing("pyzmq"))("with pyzmq", () => {
  it("our server serves a client of 12/CHP: snapshot, updates, ephemeral values, HUGZ", async () => {
    const server = track(new CloneServer({ heartbeatInterval: 200 }));
    const endpoint = await server.bind("tcp://127.0.0.1:*");
    const ours = track(new CloneClient(endpoint, { heartbeatInterval: 200 }));
    await within(ours.ready(), "the map");
    await ours.set("/client/a", "1");
    await ours.set("/other/b", "2");
    const [host, port] = endpoint.split(/:(?=\d+$)/) as [string, string];
    const theirs = python(CLIENT, host, port, "/client/");
    expect(await within(theirs.line(), "an entry")).toBe("sync /client/a=1");
    await within(theirs.heard("whole"), "the snapshot");
    await within(theirs.heard("hugz"), "a sign of life");
    await ours.set("/other/c", "not theirs");
    await ours.set("/client/a", "3");
    expect(await within(theirs.line(), "an update")).toBe("pub /client/a=3");
    theirs.tell("/client/own=4=");
    expect(await within(theirs.line(), "its own")).toBe("own /client/own=4");
    await until(() => ours.has("/client/own"), "ours has it");
    theirs.tell("/client/soon=5=1");
    expect(await within(theirs.line(), "its own")).toBe("own /client/soon=5");
    await until(() => ours.has("/client/soon"), "ours has it, for a second");
    expect(await within(theirs.line(), "its end")).toBe("pub /client/soon=");
    await until(() => !ours.has("/client/soon"), "it is gone");
    theirs.tell("/client/a==");
    expect(await within(theirs.line(), "the delete")).toBe("own /client/a=");
    await until(() => !ours.has("/client/a"), "it is gone");
    expect(ours.stats().gaps).toBe(0);
  });

  it.each(["rfc", "guide"])("our client is one of a server that speaks as the %s does", async (dialect) => {
    const port = await freeRange(3);
    const server = python(SERVER, dialect, String(port));
    expect(await within(server.line(), "its sockets")).toBe("bound");
    const servers = `tcp://127.0.0.1:${port}`;
    const a = track(new CloneClient(servers, { heartbeatInterval: 200, liveness: 10 }));
    await within(a.ready(), "an empty map");
    expect(await within(a.set("/client/a", "1"), "a set")).toBe(1);
    await within(Promise.all(Array.from({ length: 100 }, (_, n) => a.set(`/many/${n}`, "x"))), "sets");
    await a.delete("/many/99");
    const b = track(new CloneClient(servers, { subtree: "/client/", heartbeatInterval: 200, liveness: 10 }));
    const c = track(new CloneClient(servers, { heartbeatInterval: 200, liveness: 10 }));
    await within(Promise.all([b.ready(), c.ready()]), "maps");
    expect([b.size, c.size]).toEqual([1, 100]);
    await a.set("/client/soon", "2", { ttl: 1_000 });
    await until(() => b.has("/client/soon") && c.has("/client/soon"), "the others have it");
    await until(() => ![a, b, c].some((client) => client.has("/client/soon")), "it ends");
    // By the text KTHXBAI is older than the last delete, which looks like a gap once; not more.
    await until(() => c.state === "live" && c.size === 100, "the map is right");
    expect(c.stats().gaps).toBeLessThanOrEqual(dialect === "rfc" ? 2 : 0);
    expect(a.stats()).toMatchObject({ gaps: 0, acknowledged: 103, faults: 0 });
  });
});
