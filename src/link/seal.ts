/**
 * Encryption of a link's bytes (docs/spec/link.md, Records). Pure.
 *
 *   record   length 4 of the ciphertext (1 to 65,536), ciphertext, tag 16: AES-256-GCM; the length is its additional data
 *
 * Each direction has a key, and a nonce of 12 bytes: the number of the record, from 0.
 */
import { createCipheriv, createDecipheriv, type DecipherGCM } from "node:crypto";

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
  readonly #head = Buffer.alloc(RECORD_HEAD);
  #headBytes = 0;
  /** The current record: missing ciphertext bytes, and plaintext. */
  #decipher: DecipherGCM | undefined = undefined;
  #left = 0;
  #opened: Buffer[] = [];
  readonly #tag = Buffer.alloc(TAG);
  #tagBytes = 0;

  constructor(key: Buffer) {
    this.#key = key;
  }

  /** @returns why the bytes are refused; nothing opens afterwards */
  open(chunk: Buffer, onBytes: (bytes: Buffer) => void): string | undefined {
    let at = 0;
    while (at < chunk.length) {
      if (this.#decipher === undefined) {
        const taken = Math.min(RECORD_HEAD - this.#headBytes, chunk.length - at);
        chunk.copy(this.#head, this.#headBytes, at, at + taken);
        this.#headBytes += taken;
        at += taken;
        if (this.#headBytes < RECORD_HEAD) return undefined;
        const length = this.#head.readUInt32BE(0);
        if (length < 1 || length > MAX_RECORD) return `a record of ${length} bytes`;
        this.#decipher = createDecipheriv(CIPHER, this.#key, this.#counter.next());
        this.#decipher.setAAD(this.#head);
        this.#left = length;
      }
      const decipher: DecipherGCM = this.#decipher;
      if (this.#left > 0) {
        const taken = Math.min(this.#left, chunk.length - at);
        this.#opened.push(decipher.update(chunk.subarray(at, at + taken)));
        this.#left -= taken;
        at += taken;
        // A record arriving byte by byte must not become as many Buffers.
        if (this.#opened.length >= 64) this.#opened = [Buffer.concat(this.#opened)];
      }
      const taken = Math.min(TAG - this.#tagBytes, chunk.length - at);
      chunk.copy(this.#tag, this.#tagBytes, at, at + taken);
      this.#tagBytes += taken;
      at += taken;
      if (this.#tagBytes < TAG) return undefined;
      const opened = this.#end(decipher);
      if (opened === undefined) return "a record does not open";
      for (const bytes of opened) onBytes(bytes);
    }
    return undefined;
  }

  #end(decipher: DecipherGCM): Buffer[] | undefined {
    const opened = this.#opened;
    decipher.setAuthTag(this.#tag);
    this.#decipher = undefined;
    this.#opened = [];
    this.#headBytes = 0;
    this.#tagBytes = 0;
    try {
      decipher.final();
      return opened;
    } catch {
      return undefined; // Wrong tag: the caller ends the connection.
    }
  }
}
