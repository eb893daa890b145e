/** A protocol whose connections a test cuts, and which a test lets fail. */
import type {
  ConnectionEvents,
  DialTarget,
  LinkHost,
  LinkProtocol,
  MessageConnection,
  ProtocolListener,
} from "../../../src/cluster/messaging/protocol.js";

export class BreakableProtocol implements LinkProtocol {
  readonly name: string;
  /** Whether attempts fail. */
  fails = false;
  dialled = 0;
  readonly #inner: LinkProtocol;
  readonly #open = new Map<MessageConnection, ConnectionEvents>();

  constructor(inner: LinkProtocol, name: string = inner.name) {
    this.#inner = inner;
    this.name = name;
  }

  get connections(): number {
    return this.#open.size;
  }

  reaches(target: DialTarget): boolean {
    return this.#inner.reaches(target);
  }

  listen(host: LinkHost): Promise<ProtocolListener> {
    return this.#inner.listen(host);
  }

  dial(advert: string, target: DialTarget, host: LinkHost, events: ConnectionEvents): MessageConnection {
    this.dialled += 1;
    if (this.fails) return failing("it fails", events);
    const connection = this.#inner.dial(advert, target, host, {
      onOpen: () => events.onOpen(),
      onMessage: (frame) => events.onMessage(frame),
      onClose: (reason) => {
        this.#open.delete(connection);
        events.onClose(reason);
      },
    });
    this.#open.set(connection, events);
    return connection;
  }

  /** The connections end. */
  cut(): void {
    const open = [...this.#open];
    this.#open.clear();
    for (const [connection, events] of open) {
      connection.close();
      events.onClose("cut");
    }
  }
}

/** A protocol by which nobody gets through. */
export function refusing(name: string, listen: () => Promise<ProtocolListener>): LinkProtocol {
  return {
    name,
    reaches: () => true,
    listen,
    dial: (_where, _target, _host, events) => failing("refused", events),
  };
}

function failing(reason: string, events: ConnectionEvents): MessageConnection {
  let isClosed = false;
  queueMicrotask(() => {
    if (!isClosed) events.onClose(reason);
  });
  return {
    send: () => undefined,
    close: () => {
      isClosed = true;
    },
  };
}
