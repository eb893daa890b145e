/** Relays TCP, until the connections that it has go silent: nothing is closed, nothing passes. New ones are relayed, unless it is cut. */
import { connect, createServer, type Server, type Socket } from "node:net";

export class FreezingProxy {
  readonly #server: Server;
  readonly #pairs = new Set<readonly [Socket, Socket]>();

  #isCut = false;

  private constructor(to: number) {
    this.#server = createServer((client) => {
      const server = connect(to, "127.0.0.1");
      const pair = [client, server] as const;
      this.#pairs.add(pair);
      if (!this.#isCut) {
        client.pipe(server);
        server.pipe(client);
      }
      const end = (): void => {
        client.destroy();
        server.destroy();
        this.#pairs.delete(pair);
      };
      for (const socket of pair) socket.on("error", end).on("close", end);
    });
  }

  static async start(to: number): Promise<FreezingProxy> {
    const proxy = new FreezingProxy(to);
    await new Promise<void>((resolve) => proxy.#server.listen(0, "127.0.0.1", resolve));
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as { port: number }).port}`;
  }

  /** All connections are silent, those that come, too, until `mend`. */
  cut(): void {
    this.#isCut = true;
    this.freeze();
  }

  /** New connections are relayed again. */
  mend(): void {
    this.#isCut = false;
  }

  freeze(): void {
    for (const [client, server] of this.#pairs) {
      client.unpipe();
      server.unpipe();
      client.pause();
      server.pause();
    }
  }

  async stop(): Promise<void> {
    for (const pair of this.#pairs) for (const socket of pair) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
