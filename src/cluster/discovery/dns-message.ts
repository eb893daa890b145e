/**
 * Messages of DNS (RFC 1035), as multicast DNS has them: those records that DNS-SD needs, to bytes and back.
 *
 *   id 2 | flags 2 | questions 2 | answers 2 | authorities 2 | additionals 2 | …
 *   question   name | type 2 | class 2              the top bit of the class: an answer by unicast is welcome
 *   record     name | type 2 | class 2 | ttl 4 | length 2 | data       the top bit: it replaces those of the name before
 *   name       labels of length 1 | bytes, up to an empty one; or C0+ offset 2, which goes back in the message
 *
 * Written names are not compressed. A name is text here, in lower case, with "\." for a point within a label.
 */

export const DnsType = { A: 1, PTR: 12, TXT: 16, AAAA: 28, SRV: 33, ANY: 255 } as const;

/** Flags of an answer that its owner gives. */
const RESPONSE = 0x8400;
const CLASS_IN = 0x1;
const CACHE_FLUSH = 0x8000;
/** Bytes of a name, of a label. */
const MAX_NAME_BYTES = 255;
const MAX_LABEL = 63;
/** Questions and records of a message that are read. */
const MAX_ENTRIES = 512;
/** Bytes of a message. */
export const MAX_MESSAGE = 9_000;

export interface DnsQuestion {
  readonly name: string;
  readonly type: number;
}

/** A record; of the types that are not known `data` is empty. */
export interface DnsRecord {
  readonly name: string;
  readonly type: number;
  /** Seconds; 0: it is taken back. */
  readonly ttl: number;
  /** A, AAAA: the address. PTR: a name. SRV: the target's name. TXT: its texts, each on a line. */
  readonly data: string;
  /** SRV. */
  readonly port?: number;
}

export interface DnsMessage {
  readonly isResponse: boolean;
  readonly questions: readonly DnsQuestion[];
  /** Answers. */
  readonly answers: readonly DnsRecord[];
  /** Authorities and additionals. */
  readonly additionals: readonly DnsRecord[];
}

// --- To bytes ---------------------------------------------------------------------------------------------------------

function labelsOf(name: string): Buffer[] {
  const labels = name.split(/(?<!\\)\./).map((label) => Buffer.from(label.replaceAll("\\.", ".")));
  return labels.filter(({ length }) => length > 0).map((label) => label.subarray(0, MAX_LABEL));
}

function nameBytes(name: string): Buffer {
  const parts = labelsOf(name).flatMap((label) => [Buffer.from([label.length]), label]);
  return Buffer.concat([...parts, Buffer.alloc(1)]);
}

function addressBytes(address: string): Buffer {
  if (!address.includes(":")) return Buffer.from(address.split(".").map(Number));
  const [head = "", tail] = address.split("%")[0]?.split("::") ?? [];
  const words = (text: string): number[] =>
    text === "" ? [] : text.split(":").map((each) => Number.parseInt(each, 16));
  const before = words(head);
  const after = tail === undefined ? [] : words(tail);
  const all = [
    ...before,
    ...new Array<number>(Math.max(0, 8 - before.length - after.length)).fill(0),
    ...after,
  ];
  const bytes = Buffer.alloc(16);
  for (let i = 0; i < 8; i++) bytes.writeUInt16BE(all[i] ?? 0, 2 * i);
  return bytes;
}

function dataBytes({ type, data, port = 0 }: DnsRecord): Buffer {
  switch (type) {
    case DnsType.PTR:
      return nameBytes(data);
    case DnsType.SRV: {
      const head = Buffer.alloc(6);
      head.writeUInt16BE(port, 4);
      return Buffer.concat([head, nameBytes(data)]);
    }
    case DnsType.TXT:
      return Buffer.concat(
        data.split("\n").flatMap((line) => {
          const bytes = Buffer.from(line).subarray(0, 255);
          return [Buffer.from([bytes.length]), bytes];
        }),
      );
    default:
      return addressBytes(data);
  }
}

function recordBytes(record: DnsRecord): Buffer {
  const { name, type, ttl } = record;
  const data = dataBytes(record);
  const head = Buffer.alloc(10);
  head.writeUInt16BE(type, 0);
  // Many nodes have a pointer of the service's name: theirs do not replace each other.
  head.writeUInt16BE(type === DnsType.PTR ? CLASS_IN : CLASS_IN | CACHE_FLUSH, 2);
  head.writeUInt32BE(ttl, 4);
  head.writeUInt16BE(data.length, 8);
  return Buffer.concat([nameBytes(name), head, data]);
}

/** A query with the answers that are known already, or a response. */
export function encodeDns({ isResponse, questions, answers, additionals }: DnsMessage): Buffer {
  const head = Buffer.alloc(12);
  head.writeUInt16BE(isResponse ? RESPONSE : 0, 2);
  head.writeUInt16BE(questions.length, 4);
  head.writeUInt16BE(answers.length, 6);
  head.writeUInt16BE(additionals.length, 10);
  const asked = questions.map(({ name, type }) => {
    const tail = Buffer.alloc(4);
    tail.writeUInt16BE(type, 0);
    tail.writeUInt16BE(CLASS_IN, 2);
    return Buffer.concat([nameBytes(name), tail]);
  });
  return Buffer.concat([head, ...asked, ...[...answers, ...additionals].map(recordBytes)]);
}

// --- From bytes -------------------------------------------------------------------------------------------------------

/** A message; `undefined` for what is not one. */
export function decodeDns(bytes: Buffer): DnsMessage | undefined {
  if (bytes.length < 12 || bytes.length > MAX_MESSAGE) return undefined;
  try {
    return new Reader(bytes).message();
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

/** Reads beyond the end, and what is not a message, are RangeErrors. */
class Reader {
  readonly #bytes: Buffer;
  #at = 12;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  message(): DnsMessage {
    const bytes = this.#bytes;
    const [questions = 0, answers = 0, authorities = 0, additionals = 0] = [4, 6, 8, 10].map((at) =>
      bytes.readUInt16BE(at),
    );
    // An operation other than a query, or an error, is not of multicast DNS (RFC 6762, 18).
    if (
      (bytes.readUInt16BE(2) & 0x780f) !== 0 ||
      questions + answers + authorities + additionals > MAX_ENTRIES
    )
      throw new RangeError("not of multicast DNS");
    return {
      isResponse: (bytes.readUInt16BE(2) & 0x8000) !== 0,
      questions: Array.from({ length: questions }, () => this.#question()),
      answers: Array.from({ length: answers }, () => this.#record()),
      additionals: Array.from({ length: authorities + additionals }, () => this.#record()),
    };
  }

  #question(): DnsQuestion {
    const name = this.#name();
    const type = this.#bytes.readUInt16BE(this.#at);
    this.#bytes.readUInt16BE(this.#at + 2);
    this.#at += 4;
    return { name, type };
  }

  #record(): DnsRecord {
    const bytes = this.#bytes;
    const name = this.#name();
    const at = this.#at;
    const type = bytes.readUInt16BE(at);
    const ttl = bytes.readUInt32BE(at + 4);
    const length = bytes.readUInt16BE(at + 8);
    const start = at + 10;
    const end = start + length;
    if (end > bytes.length) throw new RangeError("data beyond the end");
    this.#at = start;
    const record = { name, type, ttl, ...this.#data(type, length) };
    if (this.#at > end) throw new RangeError("a name beyond its data");
    this.#at = end;
    return record;
  }

  #data(type: number, length: number): { data: string; port?: number } {
    const bytes = this.#bytes;
    const at = this.#at;
    switch (type) {
      case DnsType.A:
        if (length !== 4) throw new RangeError("an address of another length");
        return { data: [...bytes.subarray(at, at + 4)].join(".") };
      case DnsType.AAAA:
        if (length !== 16) throw new RangeError("an address of another length");
        return {
          data: Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(at + 2 * i).toString(16)).join(":"),
        };
      case DnsType.PTR:
        return { data: this.#name() };
      case DnsType.SRV:
        if (length < 7) throw new RangeError("a service without a target");
        this.#at += 6;
        return { port: bytes.readUInt16BE(at + 4), data: this.#name() };
      case DnsType.TXT: {
        const lines: string[] = [];
        for (let i = at; i < at + length; ) {
          const size = bytes[i] as number;
          if (i + 1 + size > at + length) throw new RangeError("a text beyond its data");
          lines.push(bytes.toString("utf8", i + 1, i + 1 + size));
          i += 1 + size;
        }
        return { data: lines.join("\n") };
      }
      default:
        return { data: "" };
    }
  }

  /** A pointer goes back before the name that has it, so that there is an end. */
  #name(): string {
    const bytes = this.#bytes;
    const labels: string[] = [];
    let at = this.#at;
    let least = at;
    let jumped = false;
    for (let size = 0; ; ) {
      const length = bytes.readUInt8(at);
      if (length >= 0xc0) {
        const target = bytes.readUInt16BE(at) & 0x3fff;
        if (!jumped) this.#at = at + 2;
        jumped = true;
        if (target >= least) throw new RangeError("a pointer that does not go back");
        least = target;
        at = target;
        continue;
      }
      if (length > MAX_LABEL) throw new RangeError("a label of no known kind");
      if (length === 0) {
        if (!jumped) this.#at = at + 1;
        return labels.join(".");
      }
      size += length + 1;
      if (size > MAX_NAME_BYTES || at + 1 + length > bytes.length)
        throw new RangeError("a name without an end");
      labels.push(
        bytes
          .toString("utf8", at + 1, at + 1 + length)
          .toLowerCase()
          .replaceAll(".", "\\."),
      );
      at += 1 + length;
    }
  }
}
