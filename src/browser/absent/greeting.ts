/** No greetings: a WebSocket's subprotocol has what they say. Stands in for engine/zmtp/codec/greeting.ts; nothing calls it. */
export const HAS_GREETINGS = false;
export const GREETING_SIZE = 64;

export function encodeGreeting(): Buffer {
  return Buffer.alloc(0);
}

export function parseGreeting(): undefined {}
