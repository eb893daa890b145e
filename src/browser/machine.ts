/** The platform of a page's contexts. */
import type { Transport } from "../engine/zmtp/transport/transport.js";
import type { Platform } from "../engine/zmtp/transport/transports.js";
import { webSocketTransport } from "./web-socket.js";

const TRANSPORTS: ReadonlyMap<string, Transport> = new Map(
  ["ws", "wss"].map((scheme) => [scheme, webSocketTransport(scheme)]),
);

/** Schemes without additions such as inproc. */
export const SCHEMES: readonly string[] = [...TRANSPORTS.keys()];

interface EventSource {
  addEventListener?(type: string, listener: () => void): void;
  removeEventListener?(type: string, listener: () => void): void;
}

/** Fires when the page is online or visible again, since browsers slow timers of hidden pages. */
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

export const PAGE: Platform = {
  transports: TRANSPORTS,
  hostName: () => "browser",
  interfaces: () => [],
  onWake,
};
