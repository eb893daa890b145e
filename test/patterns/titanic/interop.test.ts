/** A client as the Guide's ticlient is, on pyzmq: REQ sockets, MDP 0.1, lower-case UUIDs. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { MajordomoBroker, MajordomoWorker } from "../../../src/patterns/majordomo/index.js";
import { closeAfterEach } from "../../support/close-after-each.js";
import { removeAfterEach } from "../../support/folders.js";
import { missing, peerAt } from "../../support/peers.js";
import { openTitanic } from "./open.js";

const makeFolder = removeAfterEach();
const keep = closeAfterEach();

const CLIENT = `
import sys, time, zmq
socket = zmq.Context().socket(zmq.REQ)
socket.setsockopt(zmq.LINGER, 0)
socket.setsockopt(zmq.RCVTIMEO, 5000)
socket.connect(sys.argv[1])
def ask(service, *body):
    socket.send_multipart([b"MDPC01", service, *body])
    header, name, *reply = socket.recv_multipart()
    assert header == b"MDPC01" and name == service, (header, name)
    return reply
status, uuid = ask(b"titanic.request", b"echo", b"Hello world")
assert status == b"200" and len(uuid) == 32, (status, uuid)
deadline = time.monotonic() + 8
while True:
    reply = ask(b"titanic.reply", uuid.lower())
    if reply != [b"300"]:
        break
    assert time.monotonic() < deadline
    time.sleep(0.02)
assert reply == [b"200", b"Hello world"], reply
assert ask(b"titanic.close", uuid) == [b"200"]
assert ask(b"titanic.reply", uuid) == [b"400"]
assert ask(b"titanic.reply", b"../../../etc/passwd") == [b"400"]
assert ask(b"titanic.request", b"echo") == [b"500"]
print("done")
`;

it.skipIf(missing("pyzmq"))(
  "a plain MDP client of pyzmq leaves a request and fetches the reply",
  async () => {
    const endpoint = await keep(new MajordomoBroker()).bind("tcp://127.0.0.1:*");
    keep(openTitanic(endpoint, makeFolder()));
    keep(new MajordomoWorker(endpoint, "echo", (frames) => frames));
    const { stdout } = await promisify(execFile)(peerAt("pyzmq"), ["-c", CLIENT, endpoint], {
      timeout: 15_000,
      killSignal: "SIGKILL",
    });
    expect(stdout).toBe("done\n");
  },
);
