/** Receiver thread: the SUB, the state machine, and a port to each worker thread. Started by black-box.ts. */
import { type MessagePort, parentPort, workerData } from "node:worker_threads";
import { Context } from "../../sockets/context.js";
import type { EndpointSource } from "../../sockets/endpoint-source.js";
import { Subscriber } from "../../sockets/pub-sub.js";
import {
  type FromReceiver,
  Progress,
  pack,
  type ReceiverData,
  type ReceiverStats,
  type ToReceiver,
  toPlain,
} from "./messages.js";
import { BoxRules, keyEndOf } from "./rules.js";

const READ = 1_000;
const REPORT_INTERVAL = 100;

interface Link {
  readonly port: MessagePort;
  /** Updated before and after each message. */
  readonly progress: Uint32Array;
  /** Messages of reported batches, and failures. */
  finished: number;
  failed: number;
}

const main = parentPort as NonNullable<typeof parentPort>;

function post(message: FromReceiver): void {
  main.postMessage(message);
}

/** The main thread's source. Supports one reader at a time. */
class RelayedSource implements EndpointSource {
  #list: readonly string[] | undefined;
  #wake: () => void = () => undefined;

  /** An unread list is replaced. */
  set(list: readonly string[]): void {
    this.#list = list;
    this.#wake();
  }

  async *endpoints(signal: AbortSignal): AsyncGenerator<readonly string[], undefined> {
    let given: readonly string[] | undefined;
    signal.addEventListener("abort", () => this.#wake(), { once: true });
    while (!signal.aborted) {
      if (this.#list === given) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        continue;
      }
      given = this.#list as readonly string[];
      yield given;
    }
    return undefined;
  }
}

class Receiver {
  readonly #socket: Subscriber;
  readonly #rules: BoxRules;
  readonly #links = new Map<number, Link>();
  readonly #source = new RelayedSource();
  #unread = 0;
  #reporting: NodeJS.Timeout | undefined;
  #proceed: (() => void) | undefined;
  readonly #whenIdle: (() => void)[] = [];

  constructor(data: ReceiverData) {
    const { rules, key, engine, socketOptions } = data;
    this.#rules = new BoxRules(rules, keyEndOf(key), {
      batch: (shard, messages) => {
        const batch = pack(messages);
        this.#links.get(shard)?.port.postMessage(batch, [batch]);
      },
    });
    this.#socket = new Subscriber({
      linger: 0,
      ...(engine === undefined ? {} : { context: new Context({ engine }) }),
      ...socketOptions,
    });
    this.#socket.events
      .on("peer:join", ({ address }) => post({ type: "peer:joined", address }))
      .on("peer:leave", ({ address }) => post({ type: "peer:left", address }))
      .on("endpoint:refused", ({ address, error }) =>
        post({ type: "endpoint:refused", endpoint: address, error: toPlain(error) }),
      );
  }

  async open({ bind, connect, hasSource, subscribe }: ReceiverData): Promise<void> {
    for (const endpoint of bind) await this.#socket.bind(endpoint);
    this.#socket.subscribe(...subscribe);
    for (const endpoint of connect) this.#socket.connect(endpoint);
    if (hasSource) this.#socket.connect(this.#source);
    post({ type: "open", endpoint: this.#socket.lastEndpoint });
  }

  async read(): Promise<void> {
    const socket = this.#socket;
    const rules = this.#rules;
    while (!socket.closed) {
      let messages: Buffer[][];
      try {
        messages = await socket.receiveMany({ max: READ, timeout: -1 });
      } catch (error) {
        if (socket.closed) return;
        throw error;
      }
      rules.receive(messages);
      this.#reporting ??= setTimeout(this.#report, REPORT_INTERVAL);
      while (rules.blocked && !socket.closed) {
        await new Promise<void>((resolve) => {
          this.#proceed = resolve;
        });
      }
    }
  }

  follow(endpoints: readonly string[]): void {
    this.#source.set(endpoints);
  }

  up(shard: number, port: MessagePort, progress: Uint32Array): void {
    this.#links.set(shard, { port, progress, finished: 0, failed: 0 });
    port.on("message", (failed: number) => this.#finished(shard, port, failed));
    this.#rules.up(shard);
    this.#moved();
  }

  down(shard: number): void {
    const link = this.#links.get(shard);
    if (link === undefined) return;
    this.#links.delete(shard);
    link.port.close();
    const { progress } = link;
    const since = (index: number, reported: number): number => ((progress[index] as number) - reported) >>> 0;
    const lost = this.#rules.crashed(shard, {
      begun: since(Progress.BEGUN, link.finished),
      finished: since(Progress.FINISHED, link.finished),
      failed: since(Progress.FAILED, link.failed),
    });
    post({ type: "lost", shard, messages: lost });
    this.#moved();
  }

  stats(): ReceiverStats {
    return { ...this.#rules.stats(), socket: this.#socket.stats(), unread: this.#unread };
  }

  /** Reports when all read messages are handled. */
  async drain(): Promise<void> {
    await this.#stopReading();
    await this.#idle(-1);
    post({ type: "drained" });
  }

  /** Waits at most `linger` ms until all read messages are handled. */
  async close(linger: number): Promise<void> {
    await this.#stopReading();
    if (linger !== 0) await this.#idle(linger);
    for (const shard of [...this.#links.keys()]) this.down(shard);
    this.#rules.close();
    this.#report();
    clearTimeout(this.#reporting);
    post({ type: "closed", stats: this.stats() });
    main.close();
  }

  async #stopReading(): Promise<void> {
    if (!this.#socket.closed) this.#unread = this.#socket.stats().receiveQueued;
    await this.#socket.close({ linger: 0 });
    this.#proceed?.();
  }

  /** @param limit ms; negative: no limit */
  async #idle(limit: number): Promise<void> {
    if (this.#rules.idle) return;
    await new Promise<void>((resolve) => {
      const timer = limit < 0 ? undefined : setTimeout(resolve, limit);
      this.#whenIdle.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  #finished(shard: number, port: MessagePort, failed: number): void {
    const link = this.#links.get(shard);
    if (link === undefined || link.port !== port) return; // It crashed: counted by its progress.
    link.finished = (link.finished + this.#rules.finished(shard, failed)) >>> 0;
    link.failed = (link.failed + failed) >>> 0;
    this.#moved();
  }

  #moved(): void {
    if (this.#proceed !== undefined && !this.#rules.blocked) {
      this.#proceed();
      this.#proceed = undefined;
    }
    if (this.#rules.idle) for (const resolve of this.#whenIdle.splice(0)) resolve();
  }

  #report = (): void => {
    this.#reporting = undefined;
    const drops = this.#rules.takeDrops();
    if (drops.length > 0) post({ type: "drops", drops });
  };
}

const data = workerData as ReceiverData;

async function open(receiver: Receiver): Promise<void> {
  try {
    await receiver.open(data);
  } catch (error) {
    post({ type: "refused", error: toPlain(error) });
    return;
  }
  await receiver.read();
}

try {
  const receiver = new Receiver(data);
  main.on("message", (message: ToReceiver) => {
    switch (message.type) {
      case "start":
        void open(receiver);
        break;
      case "up":
        receiver.up(message.shard, message.port, message.progress);
        break;
      case "down":
        receiver.down(message.shard);
        break;
      case "stats":
        post({ type: "stats", stats: receiver.stats() });
        break;
      case "endpoints":
        receiver.follow(message.endpoints);
        break;
      case "drain":
        void receiver.drain();
        break;
      case "close":
        void receiver.close(message.linger);
    }
  });
} catch (error) {
  post({ type: "refused", error: toPlain(error) });
}
