/** The part of the Web platform's interface `WebSocket` (WHATWG, WebSockets) that shoal uses. */

/** Code of a connection without a close frame (RFC 6455, Reserved Status Codes). */
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
