/** Peers that nobody here wrote: pyzmq over libzmq, at the other end of the commands. */
import { describe, expect, test } from "vitest";
import { missing, peerAt } from "../support/peers.js";
import { run, start } from "./in-process.js";
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
  return new Child(peerAt("pyzmq"), ["-c", program]);
}

describe.skipIf(missing("pyzmq"))("pyzmq", () => {
  test("PULL gets what push sends, frames and bytes", async () => {
    const endpoint = ipc();
    const peer = python("PULL", "bind", endpoint, "for _ in range(3): print(s.recv_multipart())");
    const lines = '{"frames":["a",{"base64":"/wA="}]}\n{"frames":[""]}\n{"frames":["é"]}\n';
    expect((await run(lines, "push", "--json", "--connect", endpoint)).code).toBe(0);
    expect((await peer.ended).stdout.toString()).toBe("[b'a', b'\\xff\\x00']\n[b'']\n[b'\\xc3\\xa9']\n");
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
});
