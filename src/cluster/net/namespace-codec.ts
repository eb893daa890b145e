/** Packets of a cluster as bytes: in the clear, or sealed with its key. */
import { InvalidArgumentError } from "../../core/errors.js";
import { loadCurveBox } from "../../engine/zmtp/mechanism/curve-primitives.js";
import { MAX_PACKET, MAX_STREAM_PACKET } from "../bounds.js";
import { namespaceNumber } from "../identity.js";
import {
  decodeBody,
  decodePacket,
  encodePacket,
  FirstByte,
  type PacketFault,
  PREFIX,
} from "../wire/codec.js";
import type { Packet } from "../wire/packets.js";
import { MAX_BODY, type Refusal, Sealer, type StreamWay } from "../wire/seal.js";
import { MESSAGES } from "../wire/stream.js";

/** A fixed list, for counters. */
export type PacketRefusal = PacketFault | Refusal | "sealed";

export class NamespaceCodec {
  /** The first 6 bytes of its name's hash. */
  readonly namespace: number;
  readonly name: string;
  readonly sealer: Sealer | undefined;
  /** For reports of a wrong key. */
  readonly byPassword: boolean;
  /** The first seals. */
  keys: readonly string[];
  /** Before messages, in the clear. */
  readonly #head: Buffer;

  /** @throws InvalidArgumentError `EINVAL` for an invalid name or key, and for too many keys */
  constructor(name: string, keys: readonly string[], byPassword = false) {
    this.byPassword = byPassword;
    this.namespace = namespaceNumber(name);
    this.name = name;
    this.keys = keys;
    this.#head = Buffer.alloc(PREFIX + 1);
    this.#head.writeUInt8(FirstByte.VERSION, 0);
    this.#head.writeUIntBE(this.namespace, 1, PREFIX - 1);
    this.#head.writeUInt8(MESSAGES, PREFIX);
    if (keys.length > 0) this.sealer = new Sealer(this.namespace, keys);
  }

  /**
   * @param keys the first seals, all open
   * @throws InvalidArgumentError `EINVAL` for an invalid key, none or too many, and for a cluster without keys
   */
  setKeys(keys: readonly string[]): void {
    if (this.sealer === undefined)
      throw new InvalidArgumentError("a cluster that was started without a key gets none while it runs");
    this.sealer.setKeys(keys);
    this.keys = [...keys];
  }

  /**
   * Loads the box, before the first packet.
   *
   * @returns `undefined` if it is loaded, or not needed; else a promise, which may reject
   * @throws as `loadCurveBox`
   */
  load(): Promise<void> | undefined {
    return this.sealer === undefined ? undefined : loadCurveBox();
  }

  encode(packet: Packet): Buffer {
    return this.sealer?.seal(encodePacket(packet, -1)) ?? encodePacket(packet, this.namespace);
  }

  decode(bytes: Buffer): Packet | PacketRefusal {
    if (this.sealer !== undefined) {
      const body = this.sealer.open(bytes, MAX_BODY);
      return typeof body === "string" ? body : decodeBody(body);
    }
    return isSealed(bytes) ? "sealed" : decodePacket(bytes, this.namespace, MAX_PACKET);
  }

  encodeStream(way: StreamWay, packet: Packet): Buffer {
    return this.sealer?.sealStream(way, encodePacket(packet, -1)) ?? encodePacket(packet, this.namespace);
  }

  /** Proves at the start of a stream that this node has the cluster's key. */
  prove(way: StreamWay): Buffer {
    return this.sealer?.sealStream(way, Buffer.alloc(0)) ?? this.#head.subarray(0, PREFIX);
  }

  /** @returns why a proof of the other end is refused, if so */
  check(way: StreamWay, proof: Buffer): PacketRefusal | "password" | undefined {
    if (this.sealer === undefined) return isSealed(proof) ? "key" : undefined;
    const opened = this.sealer.openStream(way, proof);
    if (typeof opened !== "string") return undefined;
    return opened === "key" && this.byPassword ? "password" : opened;
  }

  /** Encodes messages for one direction of a stream. @returns parts of a frame, in order */
  encodeMessages(way: StreamWay, parts: readonly Uint8Array[]): readonly Uint8Array[] {
    const { sealer } = this;
    if (sealer === undefined) return [this.#head, ...parts];
    return [sealer.sealStream(way, Buffer.concat([this.#head.subarray(PREFIX), ...parts]))];
  }

  /** @returns a packet; or a frame of messages without its type */
  decodeStream(way: StreamWay, bytes: Buffer): Packet | Buffer | PacketRefusal {
    if (this.sealer === undefined && isSealed(bytes)) return "sealed";
    const body = this.sealer?.openStream(way, bytes) ?? bytes.subarray(PREFIX);
    if (typeof body === "string") return body;
    if (body[0] === MESSAGES) return body.subarray(1);
    return body.length > MAX_STREAM_PACKET ? "oversized" : decodeBody(body);
  }
}

function isSealed(bytes: Buffer): boolean {
  return ((bytes[0] ?? 0) & FirstByte.SEALED) !== 0;
}
