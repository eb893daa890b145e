/** Starts peer.py, where there is a Python that has pyzmq, and talks to it. */
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { Child } from "../process/child.js";

const SCRIPT = fileURLToPath(new URL("./peer.py", import.meta.url));

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

/** The Python to run the peer with; `undefined` where none has pyzmq. */
export const PYTHON: string | undefined = findPython();
/** False, or why tests with the peer cannot run here. */
export const NO_PYTHON: string | false =
  PYTHON === undefined && "no python3 here can import zmq: install pyzmq (Debian: python3-zmq)";
if (NO_PYTHON !== false) console.warn(`test/interop is skipped: ${NO_PYTHON}`);

type Answer = Record<string, unknown>;

/** pyzmq in a process of its own. */
export class PythonPeer {
  readonly child: Child;
  #last: Promise<unknown>;
  #sockets = 0;

  private constructor(child: Child) {
    this.child = child;
    this.#last = child.line();
  }

  static async start(): Promise<PythonPeer> {
    const peer = new PythonPeer(new Child(PYTHON as string, ["-u", SCRIPT], { limit: 120_000 }));
    await peer.#last;
    return peer;
  }

  /** Sends one command; answers come in order. */
  call<T = Answer>(op: string, args: Answer = {}): Promise<T> {
    this.child.tell(JSON.stringify({ op, ...args }));
    const answer = this.#last.then(async () => {
      const parsed = JSON.parse(await this.child.line()) as Answer;
      return parsed;
    });
    this.#last = answer.catch(() => undefined);
    return answer.then((parsed) => {
      if (parsed.error !== undefined) throw new Error(`peer.py, ${op}: ${String(parsed.error)}`);
      return parsed as T;
    });
  }

  /** Opens a socket of a type, by libzmq's name for it. @returns its handle */
  async open(type: string, options: Answer = {}): Promise<PythonSocket> {
    const socket = new PythonSocket(this, `s${++this.#sockets}`);
    await socket.call("open", { type, options });
    return socket;
  }

  async stop(): Promise<void> {
    this.child.process.stdin?.end();
    const ended = await Promise.race([
      this.child.outcome,
      new Promise<undefined>((resolve) => setTimeout(resolve, 3_000, undefined).unref()),
    ]);
    if (ended === undefined) await this.child.kill();
  }
}

export class PythonSocket {
  readonly #peer: PythonPeer;
  readonly #id: string;

  constructor(peer: PythonPeer, id: string) {
    this.#peer = peer;
    this.#id = id;
  }

  call<T = Answer>(op: string, args: Answer = {}): Promise<T> {
    return this.#peer.call<T>(op, { ...args, id: this.#id });
  }

  async bind(endpoint: string): Promise<string> {
    return (await this.call<{ endpoint: string }>("bind", { endpoint })).endpoint;
  }

  async send(...frames: (string | Buffer)[]): Promise<void> {
    await this.call("send_one", { frames: frames.map((frame) => Buffer.from(frame).toString("base64")) });
  }

  async receive(limit?: number): Promise<Buffer[]> {
    const args = limit === undefined ? {} : { limit };
    const { frames } = await this.call<{ frames: string[] }>("receive_one", args);
    return frames.map((frame) => Buffer.from(frame, "base64"));
  }
}
