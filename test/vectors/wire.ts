/**
 * ZMTP 3.1 on the wire, in hex, frame headers and all. "Captured" is what libzmq 4.3.4 sent; mechanism.ts has
 * the handshakes' commands.
 */

/** Captured: the greeting. */
export const GREETING = `ff00000000000000017f03014e554c4c${"00".repeat(48)}`;
/** The same of a peer that speaks 3.0, where subscriptions are messages. */
export const GREETING_30 = GREETING.replace("7f0301", "7f0300");

/** Captured: SUBSCRIBE and CANCEL of A, as commands of 3.1 and as messages of 3.0 (and of an XSUB's application). */
export const SUBSCRIBE = "040b0953554253435249424541";
export const CANCEL = "04080643414e43454c41";
export const SUBSCRIBE_MESSAGE = "00020141";
export const CANCEL_MESSAGE = "00020041";

/** Captured: what libzmq makes of SUBSCRIBE with a topic of 254 bytes; its flags say that the size has one byte. */
export const SUBSCRIBE_BROKEN = `04000000000000010809535542534352494245${"41".repeat(254)}`;

/** Captured: PING with a time to live of 3 s, PING with the context `ctx`, and the PONG to it. */
export const PING = "04070450494e47001e";
export const PING_CONTEXT = "040a0450494e470000637478";
export const PONG_CONTEXT = "040804504f4e47637478";

/** Captured: a REQ's `Hi`; with a request id it is between these two. */
export const REQUEST = "010000024869";
export const CORRELATED = ["0104", "010000024869"] as const;

/** Captured: [a, "", b]; the REP's answer R to a request with the envelope [a, b]. */
export const ENVELOPE = "0101610100000162";
export const REPLY = "0101610101620100000152";
/** Such a request: [a, b, "", Q]. */
export const REPLY_REQUEST = "0101610101620100000151";

/** Captured: frames of 255 and of 256 bytes, all FF. */
export const FRAME_255 = `00ff${"ff".repeat(255)}`;
export const FRAME_256 = `020000000000000100${"ff".repeat(256)}`;

export const hex = (text: string): Buffer => Buffer.from(text, "hex");
