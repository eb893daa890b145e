/** Starts peer.py, where there is a Python that has pyzmq. */
import { afterAll, afterEach, beforeAll } from "vitest";
import { missing, peerAt } from "../support/peers.js";
import { ProcessPeer, peerFile } from "./peer.js";

/** False, or why tests with the peer cannot run here. */
export const NO_PYTHON: string | false = missing("pyzmq");

/** pyzmq in a process of its own. */
export function startPython(): Promise<ProcessPeer> {
  return ProcessPeer.start("pyzmq", peerAt("pyzmq"), ["-u", peerFile("peer.py")]);
}

/** pyzmq for the tests of a group, without its sockets after each of them. @returns has it, within a test */
export function usePython(): () => ProcessPeer {
  let peer: ProcessPeer | undefined;
  beforeAll(async () => {
    peer = await startPython();
  });
  afterEach(() => peer?.call("close_all"));
  afterAll(() => peer?.stop());
  return () => peer as ProcessPeer;
}
