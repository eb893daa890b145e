/**
 * What the engine stands on in a browser: WebSockets, and the page's own `inproc`. The build puts it in the place of
 * engine/zmtp/transport/transports.ts (rolldown.config.js).
 */
import type { Transport } from "../engine/zmtp/transport/transport.js";
import type { Platform } from "../engine/zmtp/transport/transports.js";
import { webSocketTransport } from "./web-socket.js";

const TRANSPORTS: ReadonlyMap<string, Transport> = new Map(
  ["ws", "wss"].map((scheme) => [scheme, webSocketTransport(scheme)]),
);

/** The schemes of endpoints that sockets here take; inproc is an addition. */
export const SCHEMES: readonly string[] = [...TRANSPORTS.keys()];

interface EventSource {
  addEventListener?(type: string, listener: () => void): void;
  removeEventListener?(type: string, listener: () => void): void;
}

/** The page has a network again, or somebody looks at it again, whose timers were slowed down meanwhile. */
function onWake(listener: () => void): () => void {
  const page = globalThis as EventSource & {
    readonly document?: EventSource & { readonly hidden?: boolean };
  };
  const { document } = page;
  const visibilityOnChange = (): void => {
    if (document?.hidden !== true) listener();
  };
  page.addEventListener?.("online", listener);
  document?.addEventListener?.("visibilitychange", visibilityOnChange);
  return () => {
    page.removeEventListener?.("online", listener);
    document?.removeEventListener?.("visibilitychange", visibilityOnChange);
  };
}

export const MACHINE: Platform = {
  transports: TRANSPORTS,
  outlastsProgram: false,
  hostName: () => "browser",
  interfaces: () => [],
  onWake,
};
