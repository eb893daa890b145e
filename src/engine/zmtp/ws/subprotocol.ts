/**
 * The subprotocols of WebSocket that say how ZMQ frames travel (45/ZWS, Handshake; docs/spec/ws.md). Pure.
 *
 *   name             a message of WebSocket is        a mechanism's handshake   who has it
 *   ZWS2.0/NULL …    a frame of ZMQ, behind a flag    yes                       libzmq, shoal
 *   ZWS2.0-NULL …    the same                         yes                       for browsers
 *   ZMTP3.1-NULL …   a piece of ZMTP's stream         yes                       shoal, in browsers
 *   ZWS2.0           a frame of ZMQ, behind a flag    no                        libzmq, shoal, all others
 *
 * "/" is no legal character of a subprotocol's name, but it is what libzmq and the RFC have; a browser throws at it. Of the
 * names for NULL those with the mechanism are preferred on both sides: libzmq with heartbeats aborts its process when the
 * other is agreed on.
 */
import type { Mechanism } from "../mechanism/mechanism.js";

/** Bytes of ZMTP's stream that a side takes before it has said how many. */
export const FIRST_LIMIT = 1_048_576;
/** A page's text in the place of a close frame: the peer closes, behind what is on its way. */
export const END = "end";

/** The subprotocol without a mechanism. */
export const BARE = "ZWS2.0";
const FRAMES = `${BARE}-`;
const STREAM = "ZMTP3.1-";

type MechanismName = Mechanism["name"];

/** What a client that writes its request itself offers, the preferred one first. */
export function offersOf(mechanism: MechanismName): readonly string[] {
  return mechanism === "NULL" ? [`${BARE}/NULL`, BARE] : [`${BARE}/${mechanism}`];
}

/** What a client offers through the interface `WebSocket`. */
export function browserOffersOf(mechanism: MechanismName): readonly string[] {
  const names = [`${STREAM}${mechanism}`, `${FRAMES}${mechanism}`];
  return mechanism === "NULL" ? [...names, BARE] : names;
}

/** What a server takes, the preferred one first. */
export function acceptsOf(mechanism: MechanismName): readonly string[] {
  const names = [`${BARE}/${mechanism}`, `${STREAM}${mechanism}`, `${FRAMES}${mechanism}`];
  return mechanism === "NULL" ? [...names, BARE] : names;
}

/** Whether there is no handshake of a mechanism: the first message of each side is its routing id. */
export function isBare(protocol: string): boolean {
  return protocol === BARE;
}

/** Whether messages are pieces of ZMTP's stream, wherever its frames begin and end. */
export function isStream(protocol: string): boolean {
  return protocol.startsWith(STREAM);
}
