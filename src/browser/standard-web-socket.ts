/** The interface `WebSocket` of the Web platform (WHATWG, WebSockets), as far as it is used here. */

/** The code of a connection that ended without a close frame (RFC 6455, Reserved Status Codes). */
export const ABNORMAL = 1_006;

export interface StandardWebSocket {
  binaryType: string;
  readonly bufferedAmount: number;
  readonly protocol: string;
  onopen: (() => void) | null;
  onmessage: ((event: { readonly data: unknown }) => void) | null;
  onerror: (() => void) | null;
  onclose: ((event: { readonly code: number; readonly reason: string }) => void) | null;
  send(data: Uint8Array | string): void;
  close(code?: number, reason?: string): void;
}

type Constructor = new (url: string, protocols: readonly string[]) => StandardWebSocket;

/** The platform's own; `undefined` where it has none. */
export function standardWebSocket(): Constructor | undefined {
  return (globalThis as { WebSocket?: Constructor }).WebSocket;
}
