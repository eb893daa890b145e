/** Against programs on pyzmq, which speak MDP as its text says it: 0.1 and 0.2, both directions. */
import { describe, expect, it } from "vitest";
import { MajordomoBroker, MajordomoClient, MajordomoWorker } from "../../../src/patterns/index.js";
import { within } from "../../contract/support/wait.js";
import { closeAfterEach } from "../../support/close-after-each.js";
import { missing } from "../../support/peers.js";
import { pythonIn } from "../pirate/python.js";

/** A worker that upper-cases, and beats only between requests. */
const WORKER = `
import sys, zmq
endpoint, version = sys.argv[1:3]
old = version == "0.1"
lead = [b"", b"MDPW01"] if old else [b"MDPW02"]
s = zmq.Context().socket(zmq.DEALER); s.linger = 0; s.connect(endpoint)
s.send_multipart(lead + [b"\\x01", b"upper"]); print("ready", flush=True)
while True:
    if not s.poll(1000):
        s.send_multipart(lead + [b"\\x04" if old else b"\\x05"]); continue
    m = s.recv_multipart()[len(lead):]
    if m[0] != b"\\x02": continue
    client, empty, body = m[1], m[2], m[3:]
    assert empty == b""
    body = [f.upper() for f in body]
    if old: s.send_multipart(lead + [b"\\x03", client, b""] + body)
    else:
        for f in body: s.send_multipart(lead + [b"\\x03", client, b"", f])
        s.send_multipart(lead + [b"\\x04", client, b"", b"END"])
`;

/** A client that asks 20 times, and prints each answer's frames. */
const CLIENT = `
import sys, zmq
endpoint, version = sys.argv[1:3]
c = zmq.Context()
s = c.socket(zmq.REQ if version == "0.1" else zmq.DEALER); s.linger = 0; s.rcvtimeo = 8000; s.connect(endpoint)
for i in range(20):
    body = b"a%d" % i
    s.send_multipart([b"MDPC01", b"upper", body] if version == "0.1" else [b"MDPC02", b"\\x01", b"upper", body])
    while True:
        m = s.recv_multipart()
        print("|".join(repr(f)[2:-1] for f in m), flush=True)
        if version == "0.1" or m[1] == b"\\x03": break
`;

/** A broker of 0.1 for one service, as small as the Guide's: idle workers in turn, 501 for all of mmi but mmi.service. */
const BROKER = `
import zmq
s = zmq.Context().socket(zmq.ROUTER); s.linger = 0
print("tcp://127.0.0.1:%d" % s.bind_to_random_port("tcp://127.0.0.1"), flush=True)
idle, waiting = [], []
while True:
    m = s.recv_multipart(); sender, empty, header = m[:3]; m = m[3:]
    assert empty == b""
    if header == b"MDPC01":
        if m[0].startswith(b"mmi."): s.send_multipart([sender, b"", b"MDPC01", m[0], b"200" if m[0] == b"mmi.service" and idle else b"501"])
        else: waiting.append((sender, m[0], m[1:]))
    elif m[0] == b"\\x01": idle.append(sender)
    elif m[0] == b"\\x03":
        s.send_multipart([m[1], b"", b"MDPC01", b"upper"] + m[3:]); idle.append(sender)
    while idle and waiting:
        client, service, body = waiting.pop(0)
        s.send_multipart([idle.pop(0), b"", b"MDPW01", b"\\x02", client, b""] + body)
`;

const track = closeAfterEach();
const python = pythonIn(track);

describe.skipIf(missing("pyzmq"))("with pyzmq", () => {
  it.each(["0.1", "0.2"])("our broker and client use a worker of %s", async (version) => {
    const endpoint = await track(new MajordomoBroker()).bind("tcp://127.0.0.1:*");
    await python(WORKER, endpoint, version).heard("ready");
    for (const protocol of ["auto", "0.1", "0.2"] as const) {
      const client = track(new MajordomoClient(endpoint, { protocol }));
      const reply = client.request("upper", ["eel", "cod"]);
      if (version === "0.2" && protocol === "0.1")
        await expect(reply).rejects.toMatchObject({ reason: "invalid-reply" });
      else
        expect((await reply).map(String)).toEqual(version === "0.1" ? ["EEL", "COD"] : ["EEL", "COD", "END"]);
    }
  });

  it.each(["0.1", "0.2"])("our broker and worker serve a client of %s", async (version) => {
    const endpoint = await track(new MajordomoBroker()).bind("tcp://127.0.0.1:*");
    track(new MajordomoWorker(endpoint, "upper", ([body]) => String(body).toUpperCase()));
    const client = python(CLIENT, endpoint, version);
    const lead = version === "0.1" ? "MDPC01|upper" : "MDPC02|\\x03|upper";
    for (let i = 0; i < 20; i++) expect(await client.line()).toBe(`${lead}|A${i}`);
  });

  it("our client and worker use a plain broker, one request at a time", async () => {
    const endpoint = await python(BROKER).line();
    const upper = async ([body]: Buffer[]) => String(body).toUpperCase();
    const worker = track(new MajordomoWorker(endpoint, "upper", upper, { concurrency: 3 }));
    const client = track(new MajordomoClient(endpoint));
    const replies = Promise.all(Array.from({ length: 60 }, (_, i) => client.request("upper", `a${i}`)));
    expect((await within(replies, "60 replies")).map(String)).toEqual(
      Array.from({ length: 60 }, (_, i) => `A${i}`),
    );
    expect(worker.stats().answered).toBe(60);
  });
});
