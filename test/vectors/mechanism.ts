/**
 * Handshakes and CURVE on the wire, in hex, with their frame headers. "Captured" is what libzmq 4.3.4 sent;
 * "accepted" was made here and taken by it; "calculated" follows from the RFC alone. NaCl's are from the
 * tests of its box.
 */

/** Captured: READY of a DEALER without a routing id. */
export const READY_DEALER =
  "04290552454144590b536f636b65742d54797065000000064445414c4552084964656e7469747900000000";

/** Captured: READY of a PUB. */
export const READY_PUB = "04190552454144590b536f636b65742d5479706500000003505542";

/** Captured: PLAIN's HELLO of admin with the password secret, and the WELCOME to it. */
export const PLAIN_HELLO = "04130548454c4c4f0561646d696e06736563726574";
export const PLAIN_WELCOME = "04080757454c434f4d45";

/** Captured: ERROR 400 as libzmq's PLAIN server misspells it, and as its NULL and CURVE servers send it. */
export const ERROR_PLAIN = "04095e52524f5203343030";
export const ERROR = "040a054552524f5203343030";

/** Captured: a PONG with the context `zz`, as it is inside a CURVE MESSAGE: flags, then the command. */
export const PONG_IN_MESSAGE = "0204504f4e477a7a";

/** Accepted: the box of HELLO begins so, and the whole body has this SHA-256; c' is 32 x 01, s 32 x 02, counter 1. */
export const CURVE_HELLO_BOX = "331fb6d435f33411de5cd78cde6c76ee";
export const CURVE_HELLO_SHA256 = "7876245bec1b3cec";

/** Calculated: MESSAGE with `Hi` from the client; c' is 32 x 01, s' 32 x 02, counter 3. */
export const CURVE_MESSAGE = "0023074d4553534147450000000000000003b55af3e8dda8ab8da7e884c4c20a742c5fce90";

/** NaCl: the key that two pairs agree on (X25519 as in RFC 7748, 6.1), and a box under it. */
export const NACL = {
  secretKey: "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
  publicKey: "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
  peerPublicKey: "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
  key: "1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389",
  nonce: "69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37",
  plain:
    "be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffce5ecbaaf33bd751a1ac728d45e6c6129" +
    "6cdc3c01233561f41db66cce314adb310e3be8250c46f06dceea3a7fa1348057e2f6556ad6b1318a024a838f21af1fde" +
    "048977eb48f59ffd4924ca1c60902e52f0a089bc76897040e082f937763848645e0705",
  sealed:
    "f3ffc7703f9400e52a7dfb4b3d3305d98e993b9f48681273c29650ba32fc76ce48332ea7164d96a4476fb8c531a1186a" +
    "c0dfc17c98dce87b4da7f011ec48c97271d2c20f9b928fe2270d6fb863d51738b48eeee314a7cc8ab932164548e526ae" +
    "90224368517acfeabd6bb3732bc0e9da99832b61ca01b6de56244a9e88d5f9b37973f622a43d14a6599b1f654cb45a74" +
    "e355a5",
} as const;

/** A frame's body: these frames are all short. */
export function bodyOf(frame: string): Buffer {
  return Buffer.from(frame, "hex").subarray(2);
}
