/**
 * WebSocket subprotocols for ZMQ (45/ZWS, Handshake; docs/spec/ws.md). Pure.
 *
 *   name             a WebSocket message is           a mechanism's handshake   who has it
 *   ZWS2.0/NULL …    a frame of ZMQ, behind a flag    yes                       libzmq, shoal
 *   ZMTP3.1-NULL …   a piece of ZMTP's stream         yes                       shoal, in browsers
 *   ZWS2.0           a frame of ZMQ, behind a flag    no                        libzmq, shoal, all others
 *
 * "/" is illegal in a subprotocol's name, but libzmq and the RFC use it; a browser throws. Names with NULL
 * are preferred: libzmq with heartbeats aborts its process on plain ZWS2.0.
 */
import type { Mechanism } from "../mechanism/mechanism.js";

/** Bytes of ZMTP's stream that may be sent before the peer's limit. */
export const FIRST_LIMIT = 1_048_576;
/** A page's text in place of a close frame. */
export const END = "end";

export const BARE = "ZWS2.0";
const STREAM = "ZMTP3.1-";

type MechanismName = Mechanism["name"];

/** Of a client that writes its own request. */
export function offersOf(mechanism: MechanismName): readonly string[] {
  return mechanism === "NULL" ? [`${BARE}/NULL`, BARE] : [`${BARE}/${mechanism}`];
}

/** Of a client with the `WebSocket` interface. */
export function browserOffersOf(mechanism: MechanismName): readonly string[] {
  const stream = `${STREAM}${mechanism}`;
  return mechanism === "NULL" ? [stream, BARE] : [stream];
}

/** In order of preference. */
export function acceptsOf(mechanism: MechanismName): readonly string[] {
  return [`${BARE}/${mechanism}`, ...browserOffersOf(mechanism)];
}

export function isBare(protocol: string): boolean {
  return protocol === BARE;
}

export function isStream(protocol: string): boolean {
  return protocol.startsWith(STREAM);
}
