/**
 * Encryption of a link's bytes (docs/spec/link.md, Records). Pure.
 *
 *   record   length 4 of the ciphertext (1 to 65,536), ciphertext, tag 16: AES-256-GCM; the length is its additional data
 *
 * Each direction has a key, and a nonce of 12 bytes: the number of the record, from 0.
 */
import { createCipheriv, createDecipheriv } from "node:crypto";
import { UnitReader } from "../core/unit-reader.js";

const CIPHER = "aes-256-gcm";
const RECORD_HEAD = 4;
const TAG = 16;
const MAX_RECORD = 65_536;

class Counter {
  readonly #nonce = Buffer.alloc(12);
  #next = 0;

  next(): Buffer {
    // 48 bits: nine years of a million records per second.
    this.#nonce.writeUIntBE(this.#next, 6, 6);
    this.#next += 1;
    return this.#nonce;
  }
}

export class RecordSealer {
  readonly #key: Buffer;
  readonly #counter = new Counter();

  constructor(key: Buffer) {
    this.#key = key;
  }

  seal(pieces: readonly Buffer[]): Buffer[] {
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
        this.#sealOne(record, bytes, records);
        record = [];
        bytes = 0;
      }
    }
    if (bytes > 0) this.#sealOne(record, bytes, records);
    return records;
  }

  #sealOne(pieces: readonly Buffer[], bytes: number, records: Buffer[]): void {
    const head = Buffer.allocUnsafe(RECORD_HEAD);
    head.writeUInt32BE(bytes);
    const cipher = createCipheriv(CIPHER, this.#key, this.#counter.next());
    cipher.setAAD(head);
    records.push(head);
    for (const piece of pieces) records.push(cipher.update(piece));
    cipher.final();
    records.push(cipher.getAuthTag());
  }
}

/** Plaintext passes only after its tag is verified. */
export class RecordOpener {
  readonly #key: Buffer;
  readonly #counter = new Counter();
  readonly #records = new UnitReader(
    RECORD_HEAD,
    RECORD_HEAD + MAX_RECORD + TAG,
    // None is empty.
    (bytes, at) => RECORD_HEAD + (bytes.readUInt32BE(at) || Number.POSITIVE_INFINITY) + TAG,
  );

  constructor(key: Buffer) {
    this.#key = key;
  }

  /** @returns why the bytes are refused; nothing opens afterwards */
  open(chunk: Buffer, onBytes: (bytes: Buffer) => void): string | undefined {
    this.#records.push(chunk);
    for (let record = this.#records.next(); record !== undefined; record = this.#records.next()) {
      const bytes = this.#open(record);
      if (bytes === undefined) return "a record does not open";
      onBytes(bytes);
    }
    return this.#records.excess > 0 ? "a record of no bytes, or of more than fit" : undefined;
  }

  #open(record: Buffer): Buffer | undefined {
    const decipher = createDecipheriv(CIPHER, this.#key, this.#counter.next());
    decipher.setAAD(record.subarray(0, RECORD_HEAD));
    decipher.setAuthTag(record.subarray(-TAG));
    const bytes = decipher.update(record.subarray(RECORD_HEAD, -TAG));
    try {
      decipher.final();
      return bytes;
    } catch {
      return undefined; // Wrong tag: the caller ends the connection.
    }
  }
}
