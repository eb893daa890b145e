/** An update on its way through a server. */
import { EMPTY } from "./protocol.js";

export type OperationKind =
  | "set"
  | "delete"
  /**
   * An update that was applied before came again: its client has missed the
   * acknowledgement. The key is published anew as it is, with the UUID, so that the
   * client sees it in order and nothing is applied twice.
   */
  | "announce";

export interface Operation {
  readonly kind: OperationKind;
  readonly key: Buffer;
  /** 16 bytes, or none. */
  readonly uuid: Buffer;
  /** As the client wrote them. */
  readonly properties: Buffer;
  readonly value: Buffer;
  /** When the key ends, in the rules' time; 0: never. */
  readonly expires: number;
  /** Whether a client sent it to this server. */
  readonly counted: boolean;
  /** 0 until it has its place in the order. */
  sequence: number;
}

/** Bytes that an operation holds on to, about. */
export function sizeOf(operation: Operation): number {
  return operation.key.length + operation.value.length + operation.properties.length;
}

/** In memory of its own: what was received with others is a part of a larger memory, which must not be held for long. */
export function copyOf(operation: Operation): Operation {
  const { kind, key, uuid, properties, value, expires, counted, sequence } = operation;
  const copied = {
    kind,
    key: Buffer.from(key),
    uuid: Buffer.from(uuid),
    properties: properties.length === 0 ? EMPTY : Buffer.from(properties),
    value: value.length >= 65_536 || value.length === 0 ? value : Buffer.from(value),
  };
  return { ...copied, expires, counted, sequence };
}
