/** The part of the interface `WebSocket` (WHATWG, WebSockets) that shoal uses. */

/** No close frame came (RFC 6455, Reserved Status Codes). */
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

export function standardWebSocket(): Constructor | undefined {
  return (globalThis as { WebSocket?: Constructor }).WebSocket;
}
