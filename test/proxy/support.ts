/** Proxies and their peers for tests: opened here, closed when the test is over. */
import { ENGINE_NAMES } from "../../src/engine/select.js";
import { Context, type Socket } from "../../src/index.js";
import type { ProxyEvent, SocketProxy } from "../../src/proxy/index.js";
import { closeAfterEach } from "../support/close-after-each.js";
import { LONG } from "../support/long.js";

/** zmtp; libzmq, which passes messages one by one, does in the long form what proxies.test.ts does not show of it. */
export const ENGINES: readonly string[] = LONG ? ENGINE_NAMES : ["zmtp"];
export const ANY = "tcp://127.0.0.1:*";
/** ms of one wait for a message. */
export const LIMIT = 8_000;

type Side = { readonly bind: string };

export interface World {
  readonly context: Context;
  /** Both bound, in the context. */
  readonly sides: { readonly frontend: Side; readonly backend: Side; readonly context: Context };
  /** Closed when the test is over. */
  socket<S extends Socket>(socket: S): S;
  /** The same, connected. */
  peer<S extends Socket & { connect(endpoint: string): void }>(socket: S, endpoint: string): S;
  /** Started; stopped when the test is over. */
  start<P extends SocketProxy>(proxy: P): Promise<P>;
}

/** Call it once in each group of tests. */
export function useWorld(engine?: string): World {
  const context = new Context(engine === undefined ? {} : { engine });
  const ownSocket = closeAfterEach();
  const ownProxy = closeAfterEach(); // First: hooks run in the reverse order.
  return {
    context,
    sides: { frontend: { bind: ANY }, backend: { bind: ANY }, context },
    socket: ownSocket,
    peer(socket, endpoint) {
      socket.connect(endpoint);
      return this.socket(socket);
    },
    async start(proxy) {
      await ownProxy(proxy).start();
      return proxy;
    },
  };
}

export const front = (proxy: SocketProxy): string => proxy.endpoints.frontend[0] as string;
export const back = (proxy: SocketProxy): string => proxy.endpoints.backend[0] as string;

/** The events of a type that a proxy reports from now on. */
export function eventsOf<T extends ProxyEvent["type"]>(proxy: SocketProxy, type: T) {
  const events: (ProxyEvent & { readonly type: T })[] = [];
  proxy.events.on(type, (event) => events.push(event as (typeof events)[number]));
  return events;
}
