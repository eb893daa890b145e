/** Where a server's updates come from: its clients, and its own program. */
import type { Operation, OperationKind } from "./operation.js";
import { encodeTimeToLive, timeToLive } from "./properties.js";
import {
  type CloneFault,
  EMPTY,
  KEY,
  keyFault,
  PROPERTIES,
  UUID,
  UUID_BYTES,
  updateFault,
  VALUE,
  writeSequence,
} from "./protocol.js";

/** A client's update, or what is wrong with it. */
export function operationOf(frames: readonly Buffer[], now: number): Operation | CloneFault {
  const fault = updateFault(frames) ?? keyFault(frames[KEY] as Buffer);
  if (fault !== undefined) return fault;
  const properties = frames[PROPERTIES] as Buffer;
  const ttl = timeToLive(properties);
  if (ttl === undefined) return "properties";
  const value = frames[VALUE] as Buffer;
  return {
    kind: value.length === 0 ? "delete" : "set",
    key: frames[KEY] as Buffer,
    uuid: frames[UUID] as Buffer,
    properties,
    value,
    expires: ttl === 0 || value.length === 0 ? 0 : now + ttl,
    counted: true,
    sequence: 0,
  };
}

/** Updates that the server makes itself. */
export class OwnUpdates {
  readonly #token: Buffer;
  #made = 0;

  /** @param token 8 random bytes, the first half of their UUIDs */
  constructor(token: Buffer) {
    this.#token = token;
  }

  /** @param ttl ms; 0: none */
  make(kind: OperationKind, key: Buffer, value: Buffer, ttl: number, now: number): Operation {
    const uuid = Buffer.allocUnsafe(UUID_BYTES);
    uuid.set(this.#token);
    writeSequence(uuid, 8, ++this.#made);
    const properties = ttl === 0 ? EMPTY : encodeTimeToLive(ttl);
    const expires = ttl === 0 ? 0 : now + ttl;
    return { kind, key, uuid, properties, value, expires, counted: false, sequence: 0 };
  }
}
