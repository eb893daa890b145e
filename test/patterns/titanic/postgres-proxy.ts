/** A proxy before PostgreSQL that cuts a connection at a statement. */
import { connect, createServer, type Server, type Socket } from "node:net";

/** Where in a statement's life: the server never gets it; it does it, and its answer is lost; it was answered. */
export const CUTS = ["before it arrives", "before its answer", "after its answer"] as const;
export type Cut = (typeof CUTS)[number];

interface Rule {
  readonly statement: RegExp;
  readonly cut: Cut | "lost";
  readonly done: () => void;
}

export class PostgresProxy {
  readonly #server: Server;
  readonly #links = new Set<Link>();
  /** The next cut; taken by the first statement that it fits. */
  rule: Rule | undefined;

  private constructor(server: Server, port: number) {
    this.#server = server;
    server.on("connection", (client) => {
      const link = new Link(this, client, connect(port, "127.0.0.1"));
      this.#links.add(link);
      link.onEnd = () => this.#links.delete(link);
    });
  }

  static async start(port: number): Promise<PostgresProxy> {
    const server = createServer();
    const proxy = new PostgresProxy(server, port);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return proxy;
  }

  get connectionString(): string {
    const { port } = this.#server.address() as { port: number };
    return `postgres://shoal@127.0.0.1:${port}/postgres`;
  }

  /** Settles when the next statement that has this text was lost; the server hears no more of its client, not even its end. */
  loseAt(statement: RegExp): Promise<void> {
    return new Promise((resolve) => {
      this.rule = { statement, cut: "lost", done: resolve };
    });
  }

  /** Settles when the next statement that has this text was cut. */
  cutAt(statement: RegExp, cut: Cut): Promise<void> {
    return new Promise((resolve) => {
      this.rule = { statement, cut, done: resolve };
    });
  }

  async stop(): Promise<void> {
    for (const link of this.#links) link.end();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** One connection: the client's messages are looked at, one by one; the server's until it is ready again. */
class Link {
  readonly #proxy: PostgresProxy;
  readonly #client: Socket;
  readonly #server: Socket;
  #fromClient = Buffer.alloc(0);
  #fromServer = Buffer.alloc(0);
  #started = false;
  #cut: Rule | undefined;
  #isLost = false;
  onEnd: () => void = () => undefined;

  constructor(proxy: PostgresProxy, client: Socket, server: Socket) {
    this.#proxy = proxy;
    this.#client = client;
    this.#server = server;
    const onEnd = (): void => {
      if (!this.#isLost) this.end();
    };
    for (const socket of [client, server]) socket.on("error", onEnd).on("close", onEnd);
    client.on("data", (chunk) => this.#clientOnData(chunk));
    server.on("data", (chunk) => this.#serverOnData(chunk));
  }

  end(): void {
    this.onEnd();
    this.#client.destroy();
    this.#server.destroy();
  }

  #clientOnData(chunk: Buffer): void {
    this.#fromClient = Buffer.concat([this.#fromClient, chunk]);
    for (;;) {
      // The first message has no type before its length.
      const at = this.#started ? 1 : 0;
      if (this.#fromClient.length < at + 4) return;
      const length = at + this.#fromClient.readUInt32BE(at);
      if (this.#fromClient.length < length) return;
      const message = this.#fromClient.subarray(0, length);
      this.#fromClient = this.#fromClient.subarray(length);
      if (this.#started && this.#isCut(message)) {
        this.end();
        return;
      }
      this.#started = true;
      if (!this.#isLost) this.#server.write(message);
    }
  }

  /** Query or Parse have the text; whether the connection ends now. */
  #isCut(message: Buffer): boolean {
    const { rule } = this.#proxy;
    const type = String.fromCharCode(message[0] as number);
    if (rule === undefined || !"QP".includes(type) || !rule.statement.test(message.toString("latin1")))
      return false;
    this.#proxy.rule = undefined;
    if (rule.cut === "before it arrives") {
      rule.done();
      return true;
    }
    if (rule.cut === "lost") {
      this.#isLost = true;
      rule.done();
      return false;
    }
    this.#cut = rule;
    return false;
  }

  #serverOnData(chunk: Buffer): void {
    // Nor does the client hear that the server has given its transaction up, at the time that its own limit ends.
    if (this.#isLost) return;
    const cut = this.#cut;
    if (cut?.cut !== "before its answer") this.#client.write(chunk);
    if (cut === undefined) return;
    this.#fromServer = Buffer.concat([this.#fromServer, chunk]);
    // ReadyForQuery is the last message of an answer: Z, its length, the state of the transaction.
    const last = this.#fromServer.subarray(-6);
    if (last.toString("latin1", 0, 5) !== "Z\0\0\0\u0005") return;
    cut.done();
    if (cut.cut === "after its answer") this.#client.end(() => this.end());
    else this.end();
  }
}
