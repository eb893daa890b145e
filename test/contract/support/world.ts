/**
 * The sockets and endpoints of one group of tests. Whatever a test opens is
 * closed after it, with linger 0, whether it passed or not.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach } from "vitest";
import {
  Context,
  Dealer,
  type DealerOptions,
  Pair,
  type PairOptions,
  Publisher,
  type PublisherOptions,
  Pull,
  type PullOptions,
  Push,
  type PushOptions,
  Reply,
  type ReplyOptions,
  Request,
  type RequestOptions,
  Router,
  type RouterOptions,
  type Socket,
  Stream,
  type StreamOptions,
  Subscriber,
  type SubscriberOptions,
  XPublisher,
  type XPublisherOptions,
  XSubscriber,
  type XSubscriberOptions,
} from "../../../src/index.js";

let names = 0;

export class World {
  readonly #sockets: Socket[] = [];
  readonly #cleanups: (() => unknown)[] = [];
  #context: Context | undefined;
  #folder: string | undefined;

  constructor(
    readonly engine: string,
    readonly transport: "tcp" | "ws" | "ipc" | "inproc",
  ) {
    afterEach(async () => {
      await Promise.all(this.#sockets.splice(0).map((socket) => socket.close({ linger: 0 })));
      for (const cleanup of this.#cleanups.splice(0).reverse()) await cleanup();
    });
    afterAll(() => {
      if (this.#folder !== undefined) rmSync(this.#folder, { recursive: true, force: true });
    });
  }

  /** Shared by the group; a context's threads live until it is collected, so not one a test. */
  get context(): Context {
    this.#context ??= new Context({ engine: this.engine });
    return this.#context;
  }

  /** A context that no other test uses. */
  freshContext(): Context {
    return new Context({ engine: this.engine });
  }

  /** Closes the socket after the test. */
  own<S extends Socket>(socket: S): S {
    this.#sockets.push(socket);
    return socket;
  }

  /** Runs after the test, when its sockets are closed; last in, first out. */
  after(cleanup: () => unknown): void {
    this.#cleanups.push(cleanup);
  }

  get folder(): string {
    this.#folder ??= mkdtempSync(join(tmpdir(), "shoal-contract-"));
    return this.#folder;
  }

  /** Whether its endpoints have ports. */
  get overTcp(): boolean {
    return this.transport === "tcp" || this.transport === "ws";
  }

  /** An endpoint to connect to that nobody is bound to. */
  deadEndpoint(): string {
    return this.overTcp ? `${this.transport}://127.0.0.1:1` : this.freeEndpoint();
  }

  /** An endpoint that nobody uses; with tcp the system chooses the port at bind. */
  freeEndpoint(): string {
    names += 1;
    if (this.overTcp) return `${this.transport}://127.0.0.1:*`;
    return this.transport === "ipc" ? `ipc://${this.folder}/${names}` : `inproc://contract-${names}`;
  }

  /** Binds to a free endpoint. @returns what to connect to */
  bind(socket: Socket): Promise<string> {
    return socket.bind(this.freeEndpoint());
  }

  /** Binds the first and connects the others to it. @returns the endpoint */
  async link(binder: Socket, ...connecters: Socket[]): Promise<string> {
    const endpoint = await this.bind(binder);
    for (const connecter of connecters) connecter.connect(endpoint);
    return endpoint;
  }

  pair(options: PairOptions = {}): Pair {
    return this.own(new Pair({ context: this.context, ...options }));
  }
  publisher(options: PublisherOptions = {}): Publisher {
    return this.own(new Publisher({ context: this.context, ...options }));
  }
  subscriber(options: SubscriberOptions = {}): Subscriber {
    return this.own(new Subscriber({ context: this.context, ...options }));
  }
  xPublisher(options: XPublisherOptions = {}): XPublisher {
    return this.own(new XPublisher({ context: this.context, ...options }));
  }
  xSubscriber(options: XSubscriberOptions = {}): XSubscriber {
    return this.own(new XSubscriber({ context: this.context, ...options }));
  }
  push(options: PushOptions = {}): Push {
    return this.own(new Push({ context: this.context, ...options }));
  }
  pull(options: PullOptions = {}): Pull {
    return this.own(new Pull({ context: this.context, ...options }));
  }
  request(options: RequestOptions = {}): Request {
    return this.own(new Request({ context: this.context, ...options }));
  }
  reply(options: ReplyOptions = {}): Reply {
    return this.own(new Reply({ context: this.context, ...options }));
  }
  dealer(options: DealerOptions = {}): Dealer {
    return this.own(new Dealer({ context: this.context, ...options }));
  }
  router(options: RouterOptions = {}): Router {
    return this.own(new Router({ context: this.context, ...options }));
  }
  stream(options: StreamOptions = {}): Stream {
    return this.own(new Stream({ context: this.context, ...options }));
  }
}
