/** Peers that nobody here wrote: pyzmq over libzmq, at the other end of the commands; two by default, the long form has all. */
import { describe, expect, test } from "vitest";
import { LONG } from "../support/long.js";
import { missing, peerAt } from "../support/peers.js";
import { run, start, startWithout } from "./in-process.js";
import { Child, ipc, useShoal } from "./support.js";

useShoal();

/** A Python program that has a socket of a type, `s`, connected or bound. */
function python(type: string, attach: "bind" | "connect", endpoint: string, ...lines: string[]): Child {
  const program = [
    "import sys, zmq",
    `s = zmq.Context.instance().socket(zmq.${type})`,
    "s.linger = 5000; s.rcvtimeo = 10000; s.sndtimeo = 10000",
    `s.${attach}("${endpoint}")`,
    ...lines,
    "s.close(); zmq.Context.instance().term()",
  ].join("\n");
  return new Child(peerAt("pyzmq"), ["-c", program], {});
}

describe.skipIf(missing("pyzmq"))("pyzmq", () => {
  test("PULL gets what push sends, frames and bytes", async () => {
    const endpoint = ipc();
    const peer = python("PULL", "bind", endpoint, "for _ in range(3): print(s.recv_multipart())");
    const lines = '{"frames":["a",{"base64":"/wA="}]}\n{"frames":[""]}\n{"frames":["é"]}\n';
    expect((await run(lines, "push", "--json", "--connect", endpoint)).code).toBe(0);
    expect((await peer.ended).stdout.toString()).toBe("[b'a', b'\\xff\\x00']\n[b'']\n[b'\\xc3\\xa9']\n");
  });

  test.runIf(LONG)("PUSH is printed by pull", async () => {
    const endpoint = ipc();
    const pull = startWithout("pull", "--bind", endpoint, "--multipart", "|", "--count", "2");
    python("PUSH", "connect", endpoint, "s.send_multipart([b'a', b'', b'b']); s.send(b'c')");
    expect((await pull.ended).stdout.toString()).toBe("a||b\nc\n");
  });

  test.runIf(LONG)("REP answers req", async () => {
    const endpoint = ipc();
    python("REP", "bind", endpoint, "for _ in range(2): s.send(s.recv().upper())");
    const { code, stdout } = await run("one\ntwo\n", "req", "--connect", endpoint);
    expect(stdout.toString()).toBe("ONE\nTWO\n");
    expect(code).toBe(0);
  });

  test.runIf(LONG)("REQ is answered by rep", async () => {
    const endpoint = ipc();
    const rep = start("rep", "--bind", endpoint).end("fine\n");
    const peer = python("REQ", "connect", endpoint, "s.send(b'well?'); print(s.recv())");
    expect((await peer.ended).stdout.toString()).toBe("b'fine'\n");
    expect(await rep.ended).toMatchObject({ code: 0, stdout: Buffer.from("well?\n") });
  });

  test("REQ is answered through router, behind its empty frame", async () => {
    const endpoint = ipc();
    const router = start("router", "--bind", endpoint, "--multipart", "|", "--count", "1");
    const peer = python("REQ", "connect", endpoint, "s.send(b'well?'); print(s.recv())");
    const [, id] = await router.until("stdout", /^(0x\w+)\|\|well\?\n/);
    router.end(`${id}||fine\n`);
    expect((await peer.ended).stdout.toString()).toBe("b'fine'\n");
    expect((await router.ended).code).toBe(0);
  });

  test.runIf(LONG)("SUB gets what pub sends, and PUB is printed by sub", async () => {
    const endpoint = ipc();
    const peer = python("SUB", "connect", endpoint, "s.subscribe(b'a'); print(s.recv_multipart())");
    expect((await run("b|1\na|2\n", "pub", "--bind", endpoint, "--multipart", "|")).code).toBe(0);
    expect((await peer.ended).stdout.toString()).toBe("[b'a', b'2']\n");
    const other = ipc();
    const sub = startWithout("sub", "--connect", other, "--subscribe", "a", "--count", "1");
    python("XPUB", "bind", other, "s.recv(); s.send(b'b'); s.send(b'abc')");
    expect((await sub.ended).stdout.toString()).toBe("abc\n");
  });
});
