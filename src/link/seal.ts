/**
 * Encryption of a link's bytes (docs/spec/link.md, Records). Pure.
 *
 *   record   length 4 of the ciphertext (1 to 65,536), ciphertext, tag 16: AES-256-GCM; the length is its additional data
 *
 * Each direction has a key, and a nonce that counts records from 0: 00000000, number 8.
 */
import { createCipheriv, createDecipheriv, type DecipherGCM } from "node:crypto";

const CIPHER = "aes-256-gcm";
const RECORD_HEAD = 4;
const TAG = 16;
const MAX_RECORD = 65_536;
/** Parts of a record being read. */
const MAX_PARTS = 64;
const DOES_NOT_OPEN = "a record does not open";
/** Records of a key (256 TiB); then the link ends. */
const MAX_RECORDS = 0xffff_ffff;

class Counter {
  readonly #nonce = Buffer.alloc(12);
  #next = 0;

  /** @returns `undefined` for a used-up key */
  next(): Buffer | undefined {
    if (this.#next >= MAX_RECORDS) return undefined;
    this.#nonce.writeUInt32BE(this.#next, 8);
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
        if (!this.#begin(length)) return DOES_NOT_OPEN;
      }
      const decipher = this.#decipher as unknown as DecipherGCM;
      if (this.#left > 0) {
        const taken = Math.min(this.#left, chunk.length - at);
        this.#opened.push(decipher.update(chunk.subarray(at, at + taken)));
        this.#left -= taken;
        at += taken;
        // A record arriving byte by byte must not become as many Buffers.
        if (this.#opened.length >= MAX_PARTS) this.#opened = [Buffer.concat(this.#opened)];
      }
      const taken = Math.min(TAG - this.#tagBytes, chunk.length - at);
      chunk.copy(this.#tag, this.#tagBytes, at, at + taken);
      this.#tagBytes += taken;
      at += taken;
      if (this.#tagBytes < TAG) return undefined;
      const opened = this.#end(decipher);
      if (opened === undefined) return DOES_NOT_OPEN;
      for (const bytes of opened) onBytes(bytes);
    }
    return undefined;
  }

  /** @returns `false` for a used-up key */
  #begin(length: number): boolean {
    const nonce = this.#counter.next();
    if (nonce === undefined) return false;
    this.#decipher = createDecipheriv(CIPHER, this.#key, nonce);
    this.#decipher.setAAD(this.#head);
    this.#left = length;
    return true;
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
