/** Starts peer.py, where there is a Python that has pyzmq. */
import { missing, peerAt } from "../support/peers.js";
import { ProcessPeer, peerFile } from "./peer.js";

/** False, or why tests with the peer cannot run here. */
export const NO_PYTHON: string | false = missing("pyzmq");

/** pyzmq in a process of its own. @param by the command that starts it, such as one that puts it in another network */
export function startPython(by: readonly string[] = []): Promise<ProcessPeer> {
  const [command = "", ...args] = [...by, peerAt("pyzmq"), "-u", peerFile("peer.py")];
  return ProcessPeer.start("pyzmq", command, args);
}
