/** Both ends of a handshake, with nothing between them but this. */

import { randomBytes } from "node:crypto";
import { NOBLE } from "../../../../src/browser/curve/noble.js";
import { encodeMetadata } from "../../../../src/engine/zmtp/codec/command.js";
import type { CurveRandom } from "../../../../src/engine/zmtp/mechanism/curve.js";
import {
  type CurveBox,
  type CurvePrimitives,
  type KeyPair,
  keyPairOf,
} from "../../../../src/engine/zmtp/mechanism/curve-box.js";
import { OVERHEAD, type Sealer } from "../../../../src/engine/zmtp/mechanism/curve-cipher.js";
import {
  boxWith,
  loadCurveBox,
  loadLibsodium,
  loadSodium,
} from "../../../../src/engine/zmtp/mechanism/curve-primitives.js";
import type {
  Credentials,
  Fault,
  Mechanism,
  MechanismOptions,
  Metadata,
  Step,
} from "../../../../src/engine/zmtp/mechanism/mechanism.js";

/** What one side came to. */
export interface Side {
  done?: Metadata;
  failed?: Fault;
  claim?: Credentials;
  /** What it sent. */
  readonly sent: Buffer[];
}

export interface Shaken {
  readonly client: Side;
  readonly server: Side;
}

export function properties(socketType: string): Buffer {
  return encodeMetadata([["Socket-Type", Buffer.from(socketType)]]);
}

export function optionsOf(changes: Partial<MechanismOptions> = {}): MechanismOptions {
  return {
    properties: properties("DEALER"),
    asks: false,
    plainUsername: "admin",
    plainPassword: "secret",
    curveSecretKey: undefined,
    curveServerKey: undefined,
    ...changes,
  };
}

/**
 * Lets the two talk until neither has anything to say.
 *
 * @param allows what the hook answers
 */
export function shake(
  client: Mechanism,
  server: Mechanism,
  allows: (credentials: Credentials) => boolean = () => true,
): Shaken {
  const sides: Shaken = { client: { sent: [] }, server: { sent: [] } };
  const queue: { to: "client" | "server"; body: Buffer }[] = [];
  const carryOut = (at: "client" | "server", step: Step): void => {
    const side = sides[at];
    for (const body of step.send ?? []) {
      side.sent.push(Buffer.from(body));
      queue.push({ to: at === "client" ? "server" : "client", body: Buffer.from(body) });
    }
    if (step.done !== undefined) side.done = step.done;
    if (step.failed !== undefined) side.failed = step.failed;
    if (step.ask !== undefined) {
      side.claim = step.ask;
      carryOut(at, (at === "client" ? client : server).authenticated(allows(step.ask)));
    }
  };
  carryOut("client", client.start());
  carryOut("server", server.start());
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    const side = sides[next.to];
    if (side.done !== undefined || side.failed !== undefined) continue;
    carryOut(next.to, (next.to === "client" ? client : server).receive(next.body));
  }
  return sides;
}

/** A new side, once it has started and received so much, and been told that its peer is allowed. */
export function advanced<Side extends Mechanism>(side: Side, ...came: readonly (Buffer | "allowed")[]): Side {
  side.start();
  for (const each of came) each === "allowed" ? side.authenticated(true) : side.receive(each);
  return side;
}

/** Each state with each command that is not due in it. @param due `STATE gets COMMAND` */
export function outOfOrder<Name extends string>(
  states: object,
  commands: Record<Name, Buffer>,
  due: readonly string[],
): [state: string, command: Name][] {
  const names = Object.keys(commands) as Name[];
  const all = Object.keys(states).flatMap((state) => names.map((name): [string, Name] => [state, name]));
  return all.filter(([state, name]) => !due.includes(`${state} gets ${name}`));
}

/** Random bytes that are the same each time. */
export function knownRandom(secretKey: Uint8Array): CurveRandom {
  let next = 1;
  return { bytes: (length) => Buffer.alloc(length, next++), keyPair: () => keyPairOf(secretKey) };
}

/** A new permanent pair. */
export function newPair(): KeyPair {
  return keyPairOf(randomBytes(32));
}

export function primitivesOf(box: CurveBox): CurvePrimitives {
  return { load: () => undefined, box: () => box };
}

// For mechanisms with the primitives of Node.js.
await loadCurveBox();

export const LIBSODIUM: CurveBox = await loadLibsodium();
/** That of pages. */
export { NOBLE };

/** The optional package's, where it loads. */
function nativeBoxes(): CurveBox[] {
  try {
    return [boxWith(loadSodium(), LIBSODIUM)];
  } catch {
    return [];
  }
}

export const BOXES: readonly CurveBox[] = [LIBSODIUM, NOBLE, ...nativeBoxes()];

/** What is in a sealed body, or the fault. */
export function openSealed(
  sealer: Sealer | undefined,
  sealed: Uint8Array,
): { readonly flags: number; readonly body: Buffer } | Fault {
  if (sealer === undefined) throw new Error("there is no sealer");
  const plain = Buffer.alloc(1 + Math.max(0, sealed.length - OVERHEAD));
  const opened = sealer.openFrame(sealed, 0, sealed.length, plain, 0);
  return typeof opened === "number" ? { flags: opened, body: plain.subarray(1) } : opened;
}
