/** A protocol for tests of links: connections of a DEALER and a ROUTER over tcp, of which a test may be one end. */

import type {
  ConnectionEvents,
  DialTarget,
  LinkHost,
  LinkProtocol,
  MessageConnection,
  ProtocolListener,
} from "../../../src/cluster/messaging/protocol.js";
import { keyOf } from "../../../src/core/memory.js";
import { Context, Dealer, Router } from "../../../src/index.js";
import { deliverNow, listen, Policing, readAll } from "../../../src/sockets/internal.js";

const NEVER = 3_600_000;
const OPTIONS = { sendHighWaterMark: 0, receiveHighWaterMark: 0, linger: 0 } as const;

export function socketProtocol(name: string): LinkProtocol {
  const context = new Context({ engine: "zmtp" });
  return {
    name,
    reaches: ({ host }) => host !== "",
    async listen(host): Promise<ProtocolListener> {
      const listener = new RouterListener(host, context);
      return { advert: await listener.bind(), close: (linger) => listener.close(linger) };
    },
    dial: (port, target, host, events) => new DealerConnection(context, port, target, host, events),
  };
}

export const tcpProtocol = (): LinkProtocol => socketProtocol("tcp");
export const ipcProtocol = (): LinkProtocol => socketProtocol("ipc");

class RouterListener {
  readonly #host: LinkHost;
  readonly #router: Router;
  readonly #policing: Policing;
  readonly #peers = new Map<string, RouterConnection>();
  #joining: unknown;

  constructor(host: LinkHost, context: Context) {
    this.#host = host;
    this.#router = new Router({ ...OPTIONS, context, heartbeatInterval: 0, authenticate: async () => true });
    this.#policing = new Policing(this.#router);
    this.#policing.change(
      {
        joins: (peer) => {
          this.#joining = peer;
          return true;
        },
      },
      undefined,
    );
    listen(this.#router, (event) => {
      if (event.type === "peer:join" && event.routingId !== undefined) this.#onJoin(event.routingId);
      else if (event.type === "peer:leave" && event.routingId !== undefined)
        this.#onLeave(event.routingId, event.reason);
    });
  }

  async bind(): Promise<string> {
    const endpoint = await this.#router.bind("tcp://127.0.0.1:*");
    readAll(this.#router, (message) => {
      const id = message.shift() as Buffer;
      this.#peers.get(keyOf(id))?.events?.onMessage(Buffer.concat(message));
    });
    return endpoint.slice(endpoint.lastIndexOf(":") + 1);
  }

  async close(linger: number): Promise<void> {
    await this.#router.close({ linger });
    for (const { events } of this.#peers.values()) events?.onClose("closed");
    this.#peers.clear();
  }

  #onJoin(routingId: Buffer): void {
    const id = Buffer.from(routingId);
    const credentials = this.#joining;
    const connection: RouterConnection = {
      events: undefined,
      send: (frames) => void this.#router.tryDeliver([id, ...frames] as Buffer[]),
      close: () => {
        connection.events = undefined;
        // A refusal leaves first.
        setImmediate(() => {
          this.#peers.delete(keyOf(id));
          if (!this.#router.closed) this.#policing.disconnect((each) => each === credentials);
        });
      },
    };
    this.#peers.set(keyOf(id), connection);
    connection.events = this.#host.accept(connection);
  }

  #onLeave(routingId: Buffer, reason: string): void {
    const connection = this.#peers.get(keyOf(routingId));
    this.#peers.delete(keyOf(routingId));
    connection?.events?.onClose(reason);
  }
}

interface RouterConnection extends MessageConnection {
  events: ConnectionEvents | undefined;
}

class DealerConnection implements MessageConnection {
  readonly copiesSent = true;
  readonly #dealer: Dealer;
  #events: ConnectionEvents | undefined;

  constructor(
    context: Context,
    port: string,
    target: DialTarget,
    { heartbeat }: LinkHost,
    events: ConnectionEvents,
  ) {
    this.#events = events;
    this.#dealer = new Dealer({
      ...OPTIONS,
      context,
      heartbeatInterval: heartbeat,
      heartbeatTimeout: heartbeat,
      reconnectInterval: NEVER,
      reconnectMaxInterval: NEVER,
    });
    listen(this.#dealer, (event) => {
      if (event.type === "peer:join") this.#events?.onOpen();
      else if (event.type === "connect:retry") this.#end(event.error?.message ?? "failed");
      else if (event.type === "peer:leave") this.#end(event.reason);
    });
    this.#dealer.connect(`tcp://${target.host}:${port}`);
    readAll(this.#dealer, (message) => this.#events?.onMessage(Buffer.concat(message)));
  }

  send(frames: readonly Uint8Array[]): void {
    if (deliverNow(this.#dealer, frames as Buffer[]) !== "sent") this.#end("closed");
  }

  close(): void {
    this.#events = undefined;
    void this.#dealer.close({ linger: 0 });
  }

  #end(reason: string): void {
    const events = this.#events;
    this.close();
    events?.onClose(reason);
  }
}
