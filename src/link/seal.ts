/**
 * The bytes of a link, encrypted (docs/spec/link.md, Records). Pure.
 *
 *   record   length 4 of the cipher text (1 to 65,536), cipher text, tag 16: AES-256-GCM; the length is its additional data
 *
 * Each direction has a key of its own, and counts its records from 0 in the nonce: 00000000, number 8. So a record that is
 * changed, left out, repeated or sent back does not open.
 */
import { createCipheriv, createDecipheriv } from "node:crypto";
import { allocate } from "../core/memory.js";

const CIPHER = "aes-256-gcm";
const RECORD_HEAD = 4;
const TAG = 16;
/** Bytes in a record, before they are encrypted. */
const MAX_RECORD = 65_536;
/** Records of a key; the link ends then. 256 TiB. */
const MAX_RECORDS = 0xffff_ffff;

class Counter {
  readonly #nonce = Buffer.alloc(12);
  #next = 0;

  /** @returns `undefined` when the key is used up */
  next(): Buffer | undefined {
    if (this.#next >= MAX_RECORDS) return undefined;
    this.#nonce.writeUInt32BE(this.#next, 8);
    this.#next += 1;
    return this.#nonce;
  }
}

/** Encrypts what is sent. */
export class RecordSealer {
  readonly #key: Buffer;
  readonly #counter = new Counter();

  constructor(key: Buffer) {
    this.#key = key;
  }

  /** @returns `undefined` when the key is used up */
  seal(pieces: readonly Buffer[]): Buffer[] | undefined {
    const records: Buffer[] = [];
    let record: Buffer[] = [];
    let bytes = 0;
    for (const piece of pieces) {
      for (let at = 0; at < piece.length; ) {
        const taken = Math.min(MAX_RECORD - bytes, piece.length - at);
        record.push(piece.subarray(at, at + taken));
        bytes += taken;
        at += taken;
        if (bytes < MAX_RECORD) continue;
        if (!this.#sealOne(record, bytes, records)) return undefined;
        record = [];
        bytes = 0;
      }
    }
    if (bytes > 0 && !this.#sealOne(record, bytes, records)) return undefined;
    return records;
  }

  #sealOne(pieces: readonly Buffer[], bytes: number, records: Buffer[]): boolean {
    const nonce = this.#counter.next();
    if (nonce === undefined) return false;
    const head = Buffer.allocUnsafe(RECORD_HEAD);
    head.writeUInt32BE(bytes);
    const cipher = createCipheriv(CIPHER, this.#key, nonce);
    cipher.setAAD(head);
    records.push(head);
    for (const piece of pieces) records.push(cipher.update(piece));
    cipher.final();
    records.push(cipher.getAuthTag());
    return true;
  }
}

/** Opens what comes. */
export class RecordOpener {
  readonly #key: Buffer;
  readonly #counter = new Counter();
  readonly #head = Buffer.alloc(RECORD_HEAD);
  #headBytes = 0;
  #record: Buffer | undefined = undefined;
  #recordBytes = 0;

  constructor(key: Buffer) {
    this.#key = key;
  }

  /** @returns why the bytes are refused; nothing is opened after that */
  open(chunk: Buffer, onBytes: (bytes: Buffer) => void): string | undefined {
    let at = 0;
    while (at < chunk.length) {
      if (this.#record === undefined) {
        const taken = Math.min(RECORD_HEAD - this.#headBytes, chunk.length - at);
        chunk.copy(this.#head, this.#headBytes, at, at + taken);
        this.#headBytes += taken;
        at += taken;
        if (this.#headBytes < RECORD_HEAD) return undefined;
        const length = this.#head.readUInt32BE(0);
        if (length < 1 || length > MAX_RECORD) return `a record of ${length} bytes`;
        this.#record = allocate(length + TAG);
        this.#recordBytes = 0;
      }
      const taken = Math.min(this.#record.length - this.#recordBytes, chunk.length - at);
      chunk.copy(this.#record, this.#recordBytes, at, at + taken);
      this.#recordBytes += taken;
      at += taken;
      if (this.#recordBytes < this.#record.length) return undefined;
      const bytes = this.#openOne(this.#record);
      if (bytes === undefined) return "a record does not open";
      this.#record = undefined;
      this.#headBytes = 0;
      onBytes(bytes);
    }
    return undefined;
  }

  #openOne(record: Buffer): Buffer | undefined {
    const nonce = this.#counter.next();
    if (nonce === undefined) return undefined;
    const decipher = createDecipheriv(CIPHER, this.#key, nonce);
    decipher.setAAD(this.#head);
    decipher.setAuthTag(record.subarray(record.length - TAG));
    const bytes = decipher.update(record.subarray(0, record.length - TAG));
    try {
      decipher.final();
      return bytes;
    } catch {
      return undefined;
    }
  }
}
