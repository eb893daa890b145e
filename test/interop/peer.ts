/**
 * The programs that the interoperability tests bring together. Each does what
 * the same commands say, whatever it is made of: pyzmq (peers/peer.py), or shoal
 * (peers/shoal-peer.js), here or in a process of its own.
 */
import { fileURLToPath } from "node:url";
import * as shoal from "../../src/index.js";
import { Child } from "../process/child.js";

export type Answer = Record<string, unknown>;
/** An option's value, by libzmq's name for the option. */
export type PeerOptions = Readonly<Record<string, string | number>>;

/** A program's process is ended after this time, in ms. */
const LIFE = 600_000;
const PEERS = new URL("./peers/", import.meta.url);

/** The path of a program in peers/. */
export function peerFile(name: string): string {
  return fileURLToPath(new URL(name, PEERS));
}

export abstract class Peer {
  #opened = 0;

  /** @param title of what it is made, for the names of tests */
  constructor(readonly title: string) {}

  /** One command; the answer, or an error where it failed. */
  abstract call<T = Answer>(op: string, args?: Answer): Promise<T>;
  abstract stop(): Promise<unknown>;

  /** Opens a socket of a type, both by libzmq's names. */
  async open(type: string, options: PeerOptions = {}): Promise<PeerSocket> {
    const socket = new PeerSocket(this, `s${++this.#opened}`);
    await socket.call("open", { type, options });
    return socket;
  }
}

/** One socket of a peer. */
export class PeerSocket {
  constructor(
    readonly peer: Peer,
    readonly id: string,
  ) {}

  call<T = Answer>(op: string, args: Answer = {}): Promise<T> {
    return this.peer.call<T>(op, { ...args, id: this.id });
  }

  async bind(endpoint: string): Promise<string> {
    return (await this.call<{ endpoint: string }>("bind", { endpoint })).endpoint;
  }

  async connect(endpoint: string): Promise<void> {
    await this.call("connect", { endpoint });
  }

  async send(...frames: (string | Buffer)[]): Promise<void> {
    await this.call("send_one", { frames: frames.map((frame) => Buffer.from(frame).toString("base64")) });
  }

  async receive(): Promise<Buffer[]> {
    const { frames } = await this.call<{ frames: string[] }>("receive_one");
    return frames.map((frame) => Buffer.from(frame, "base64"));
  }
}

/** A peer in a process of its own, to which lines of JSON go, and from which they come. */
export class ProcessPeer extends Peer {
  readonly child: Child;
  #last: Promise<unknown>;

  private constructor(title: string, child: Child) {
    super(title);
    this.child = child;
    this.#last = child.line();
  }

  /** Starts a program; it says a line when it is ready. */
  static async start(title: string, command: string, args: readonly string[]): Promise<ProcessPeer> {
    const peer = new ProcessPeer(title, new Child(command, args, { limit: LIFE }));
    await peer.#last;
    return peer;
  }

  /** Commands run one after the other, and their answers come in order. */
  call<T = Answer>(op: string, args: Answer = {}): Promise<T> {
    this.child.tell(JSON.stringify({ op, ...args }));
    const answer = this.#last.then(async () => JSON.parse(await this.child.line()) as Answer);
    this.#last = answer.catch(() => undefined);
    return answer.then((given) => {
      if (given.error !== undefined) throw new Error(`${this.title}, ${op}: ${String(given.error)}`);
      return given as T;
    });
  }

  async stop(): Promise<void> {
    this.child.end();
    const ended = await Promise.race([
      this.child.outcome,
      new Promise<undefined>((resolve) => setTimeout(resolve, 3_000, undefined).unref()),
    ]);
    if (ended === undefined) await this.child.kill();
  }
}

interface Runner {
  run(command: Answer): Promise<Answer>;
}
interface RunnerModule {
  readonly ShoalPeer: new (library: typeof shoal, engine: string) => Runner;
}

/** Shoal in this process. */
export class LocalPeer extends Peer {
  readonly #runner: Runner;

  private constructor(engine: string, runner: Runner) {
    super(`engine ${engine}`);
    this.#runner = runner;
  }

  static async start(engine: string): Promise<LocalPeer> {
    const { ShoalPeer } = (await import(new URL("shoal-peer.js", PEERS).href)) as RunnerModule;
    return new LocalPeer(engine, new ShoalPeer(shoal, engine));
  }

  async call<T = Answer>(op: string, args: Answer = {}): Promise<T> {
    return (await this.#runner.run({ op, ...args })) as T;
  }

  stop(): Promise<unknown> {
    return this.call("close_all");
  }
}

/** Shoal in a process of its own, which can be killed; it runs the built package. */
export function startShoal(engine: string): Promise<ProcessPeer> {
  return ProcessPeer.start(`engine ${engine}`, process.execPath, [peerFile("shoal-main.js"), engine]);
}
