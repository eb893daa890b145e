/**
 * The sockets and endpoints of one group of tests. Whatever a test opens is
 * closed after it, with linger 0, whether it passed or not.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach } from "vitest";
import type { Engine } from "../../../src/engine/engine.js";
import { loadZmtpEngine } from "../../../src/engine/zmtp/engine.js";
import * as shoal from "../../../src/index.js";
import { Context, type Raw, type Socket } from "../../../src/index.js";
import { makeCertificates } from "../../support/certificates.js";
import { classInPage, connects, contextInPage, IN_PAGE, isOfPage, rehearse } from "./page.js";
import { RawPeer } from "./zmtp-peer.js";

let names = 0;

/** Contexts that take each other for those of other threads: what one binds the others reach by a MessagePort. */
let threads: readonly Context[] | undefined;

/** More than sockets that a test connects to each other. */
const THREADS = 8;

function threadContexts(): readonly Context[] {
  const zmtp = loadZmtpEngine();
  const engine: Engine = {
    name: zmtp.name,
    capabilities: zmtp.capabilities,
    features: zmtp.features,
    checkEndpoint: zmtp.checkEndpoint,
    createContext: (options) => zmtp.createContext(options, true),
  };
  threads ??= Array.from({ length: THREADS }, () => new Context({ engine }));
  return threads;
}

type TransportOptions = Pick<shoal.PairOptions, "tlsCert" | "tlsKey" | "tlsCa">;

/** Made once in each process: openssl takes its time. */
let certificates: TransportOptions | undefined;

function readCertificates(): TransportOptions {
  const folder = mkdtempSync(join(tmpdir(), "shoal-certificates-"));
  const { serverCert, serverKey, ca } = makeCertificates(folder);
  const read = (file: string): string => readFileSync(file, "latin1");
  const made = { tlsCert: read(serverCert), tlsKey: read(serverKey), tlsCa: read(ca) };
  rmSync(folder, { recursive: true });
  return made;
}

export class World {
  readonly #sockets: Socket[] = [];
  readonly #cleanups: (() => unknown)[] = [];
  #context: Context | undefined;
  /** Sockets of this test so far that are in contexts of their own. */
  #apart = 0;
  #folder: string | undefined;
  #pageContext: Context | undefined;
  /** Whether the socket that is made now is one of a page. */
  #ofPage = false;

  /** @param inPage whether the sockets that are connected are those of a page, over ws */
  constructor(
    readonly engine: string,
    readonly transport: "tcp" | "tls" | "ws" | "wss" | "ipc" | "inproc" | "threads",
    readonly inPage = false,
  ) {
    if (inPage)
      beforeEach((context) => {
        if (!connects()) context.skip("no socket is connected in it, or it has not run over ws");
      });
    afterEach(async () => {
      this.#apart = 0;
      this.#ofPage = false;
      if (IN_PAGE && transport === "ws" && !inPage) rehearse(this.#sockets);
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

  /** The class of a socket that is made now, with `defaults`: Node.js's, or the one of its name that a page has. */
  at<C extends new (...args: never[]) => Socket>(of: C): C {
    this.#ofPage = this.inPage && isOfPage(this.#sockets.length);
    return this.#ofPage ? classInPage(of) : of;
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

  /** A peer of bare bytes at a tcp endpoint. */
  async raw(endpoint: string): Promise<RawPeer> {
    const peer = await RawPeer.connect(endpoint);
    this.after(() => peer.destroy());
    return peer;
  }

  get folder(): string {
    this.#folder ??= mkdtempSync(join(tmpdir(), "shoal-contract-"));
    return this.#folder;
  }

  /** Whether its endpoints have ports. */
  get overTcp(): boolean {
    return this.transport !== "ipc" && !this.inProcess;
  }

  /** Whether its endpoints are names within the process. */
  get inProcess(): boolean {
    return this.transport === "inproc" || this.transport === "threads";
  }

  /** What both ends need for the transport: each has a certificate of one authority, and asks the other for one. */
  get transportOptions(): TransportOptions {
    if (this.transport !== "tls" && this.transport !== "wss") return {};
    certificates ??= readCertificates();
    return certificates;
  }

  /** The options that each socket has unless a test gives others. */
  get defaults(): TransportOptions & { readonly context: Context } {
    if (this.#ofPage) {
      this.#pageContext ??= contextInPage();
      return { context: this.#pageContext };
    }
    if (this.transport !== "threads") return { context: this.context, ...this.transportOptions };
    this.#apart += 1;
    return { context: threadContexts()[this.#apart % THREADS] as Context };
  }

  /**
   * An endpoint to connect to that nobody is bound to. A port that was given up would be another file's soon.
   *
   * @param which 1 to 6, for several of one test
   */
  deadEndpoint(which = 1): string {
    return this.overTcp ? `${this.transport}://127.0.0.1:${which}` : this.freeEndpoint();
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

  /** @returns the socket, which it connects */
  connect<S extends Socket>(socket: S, endpoint: string): S {
    socket.connect(endpoint);
    return socket;
  }

  /** Binds the first and connects the others to it. @returns the endpoint */
  async link(binder: Socket, ...connecters: Socket[]): Promise<string> {
    const endpoint = await this.bind(binder);
    for (const connecter of connecters) connecter.connect(endpoint);
    return endpoint;
  }

  /** The same. @returns the sockets */
  async linked<S extends readonly [Socket, ...Socket[]]>(...sockets: S): Promise<S> {
    await this.link(sockets[0], ...sockets.slice(1));
    return sockets;
  }

  /** A socket with `defaults` and these options. */
  make<S extends Socket>(of: new (options: never) => S, options: object = {}): S {
    return this.own(new (this.at(of))({ ...this.defaults, ...options } as never));
  }

  readonly pair = <T = Raw>(options?: shoal.PairOptions<T>) => this.make<shoal.Pair<T>>(shoal.Pair, options);
  readonly publisher = <T = Raw>(options?: shoal.PublisherOptions<T>) =>
    this.make<shoal.Publisher<T>>(shoal.Publisher, options);
  readonly subscriber = <T = Raw>(options?: shoal.SubscriberOptions<T>) =>
    this.make<shoal.Subscriber<T>>(shoal.Subscriber, options);
  readonly push = <T = Raw>(options?: shoal.PushOptions<T>) => this.make<shoal.Push<T>>(shoal.Push, options);
  readonly pull = <T = Raw>(options?: shoal.PullOptions<T>) => this.make<shoal.Pull<T>>(shoal.Pull, options);
  readonly request = <T = Raw>(options?: shoal.RequestOptions<T>) =>
    this.make<shoal.Request<T>>(shoal.Request, options);
  readonly reply = <T = Raw>(options?: shoal.ReplyOptions<T>) =>
    this.make<shoal.Reply<T>>(shoal.Reply, options);
  readonly dealer = <T = Raw>(options?: shoal.DealerOptions<T>) =>
    this.make<shoal.Dealer<T>>(shoal.Dealer, options);
  readonly router = <T = Raw>(options?: shoal.RouterOptions<T>) =>
    this.make<shoal.Router<T>>(shoal.Router, options);
  readonly xPublisher = (options?: shoal.XPublisherOptions) => this.make(shoal.XPublisher, options);
  readonly xSubscriber = (options?: shoal.XSubscriberOptions) => this.make(shoal.XSubscriber, options);
  readonly stream = (options?: shoal.StreamOptions) => this.make(shoal.Stream, options);
}
