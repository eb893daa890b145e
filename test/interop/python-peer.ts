/** Starts peer.py, where there is a Python that has pyzmq. */
import { execFileSync } from "node:child_process";
import { ProcessPeer, peerFile } from "./peer.js";

function findPython(): string | undefined {
  for (const python of ["/usr/bin/python3", "python3", "python"]) {
    try {
      execFileSync(python, ["-c", "import zmq, zmq.auth.thread"], { stdio: "ignore", timeout: 10_000 });
      return python;
    } catch {
      // Not there, or without pyzmq.
    }
  }
  return undefined;
}

const PYTHON: string | undefined = findPython();
/** False, or why tests with the peer cannot run here. */
export const NO_PYTHON: string | false =
  PYTHON === undefined && "no python3 here can import zmq: install pyzmq (Debian: python3-zmq)";
if (NO_PYTHON !== false) console.warn(`test/interop is skipped in part: ${NO_PYTHON}`);

/** pyzmq in a process of its own. @param by the command that starts it, such as one that puts it in another network */
export function startPython(by: readonly string[] = []): Promise<ProcessPeer> {
  const [command = "", ...args] = [...by, PYTHON as string, "-u", peerFile("peer.py")];
  return ProcessPeer.start("pyzmq", command, args);
}
