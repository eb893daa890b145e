/**
 * The build for browsers, in this process: its sockets against those of Node.js. It runs over Node's own WebSocket, which
 * Node.js 20 has behind `--experimental-websocket` (vitest.config.ts).
 */
import { existsSync } from "node:fs";
import { join } from "node:path";

export const WEB = join(import.meta.dirname, "../../../dist/web");

export type Web = typeof import("../../../src/browser/index.js");

export async function loadWeb(): Promise<Web> {
  const file = join(WEB, "index.js");
  if (!existsSync(file)) throw new Error("no dist/web: npm run build");
  return (await import(file)) as Web;
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
