/**
 * The build for browsers, in this process: its sockets against those of Node.js. It runs over Node's own WebSocket, which
 * Node.js 20 has behind `--experimental-websocket` (vitest.config.ts).
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterEach } from "vitest";

export const WEB = join(import.meta.dirname, "../../../dist/web");

export type Web = typeof import("../../../src/browser/index.js");

export async function loadWeb(): Promise<Web> {
  const file = join(WEB, "index.js");
  if (!existsSync(file)) throw new Error("no dist/web: npm run build");
  return (await import(file)) as Web;
}

interface Closable {
  close(options: { linger: number }): Promise<unknown>;
}

/** Closes after each test what was opened in it. */
export class Opened {
  readonly #all: Closable[] = [];

  constructor() {
    afterEach(async () => {
      await Promise.all(this.#all.splice(0).map((each) => each.close({ linger: 0 })));
    });
  }

  own<S extends Closable>(socket: S): S {
    this.#all.push(socket);
    return socket;
  }
}

type WebSocketClass = new (url: string, protocols: string[]) => { readonly protocol: string };
const globals = globalThis as unknown as { WebSocket: WebSocketClass };
const Standard = globals.WebSocket;

/** From now on a page offers those of its subprotocols alone that match. */
export function offering(pattern: RegExp): void {
  globals.WebSocket = class {
    constructor(url: string, protocols: string[]) {
      // biome-ignore lint/correctness/noConstructorReturn: it stands for the standard one
      return new Standard(
        url,
        protocols.filter((each) => pattern.test(each)),
      );
    }
  } as unknown as WebSocketClass;
}

export function restoreWebSocket(): void {
  globals.WebSocket = Standard;
}
