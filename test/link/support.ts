/** Two ends of a link without a network, for the tests of the rules; and a reader of frames. */
import { FrameReader } from "../../src/link/frames.js";
import { type ChannelState, type LinkEffects, LinkRules, type LinkSettings } from "../../src/link/rules.js";

export const SETTINGS: Omit<LinkSettings, "isFirst"> = {
  window: 4_096,
  peerWindow: 4_096,
  maxWindow: 32_768,
  maxUnread: 65_536,
  maxChannels: 8,
  peerMaxChannels: 8,
  pingInterval: 15_000,
  pingTimeout: 10_000,
};

/** What a channel's end has: what the program wrote, what came, and how it ended. */
export interface End {
  readonly state: ChannelState;
  written: number;
  received: number;
  /** Of what came, what the program has read. */
  read: number;
  /** The program reads nothing. */
  isFrozen: boolean;
  isFinished: boolean;
  wasReset: boolean;
}

/** The byte at a place of what an end writes: another one for each channel and direction. */
export function byteAt(id: number, fromFirst: boolean, place: number): number {
  return (id * 31 + (fromFirst ? 101 : 7) + place * 13 + (place >>> 8) * 5) & 0xff;
}

/** One end: the rules, and a program that checks every byte. */
export class Side {
  readonly rules: LinkRules;
  readonly isFirst: boolean;
  readonly ends = new Map<number, End>();
  failure: string | undefined = undefined;
  goaway: string | undefined = undefined;
  refuses = false;
  /** Whether the bytes are compared with what an end writes. */
  checksBytes = true;
  now: () => number;

  constructor(isFirst: boolean, now: () => number, settings: Partial<LinkSettings> = {}) {
    this.isFirst = isFirst;
    this.now = now;
    this.rules = new LinkRules({ ...SETTINGS, ...settings, isFirst }, this.#effects(), now());
  }

  #effects(): LinkEffects {
    return {
      onIncoming: (state) => {
        if (this.refuses) return "refused";
        this.add(state);
        return undefined;
      },
      onAccepted: () => undefined,
      onData: (state, bytes) => {
        const end = this.ends.get(state.id) as End;
        if (end.isFinished) throw new Error(`data after the end of channel ${state.id}`);
        for (let at = 0; this.checksBytes && at < bytes.length; at++) {
          const expected = byteAt(state.id, !this.isFirst, end.received + at);
          if (bytes[at] !== expected)
            throw new Error(`channel ${state.id} got ${bytes[at]} at ${end.received + at}, not ${expected}`);
        }
        end.received += bytes.length;
      },
      onFinished: (state) => {
        (this.ends.get(state.id) as End).isFinished = true;
      },
      onReset: (state) => {
        (this.ends.get(state.id) as End).wasReset = true;
      },
      onTaken: () => undefined,
      onGoaway: (_code, reason) => {
        this.goaway = reason;
      },
      onFailed: (_code, reason) => {
        this.failure = reason;
      },
      onWritable: () => undefined,
    };
  }

  add(state: ChannelState): End {
    const end: End = {
      state,
      written: 0,
      received: 0,
      read: 0,
      isFrozen: false,
      isFinished: false,
      wasReset: false,
    };
    this.ends.set(state.id, end);
    return end;
  }

  open(name: string, urgency = 3): End {
    return this.add(this.rules.open({ name, urgency, kind: 0 }, this.now()));
  }

  write(end: End, length: number): void {
    const { id } = end.state;
    const bytes = Buffer.alloc(length);
    for (let i = 0; i < length; i++) bytes[i] = byteAt(id, this.isFirst, end.written + i);
    end.written += length;
    this.rules.write(end.state, [bytes]);
  }

  /** The program reads some of what came. */
  read(end: End, most: number): number {
    const bytes = Math.min(most, end.received - end.read);
    if (bytes === 0 || end.isFrozen) return 0;
    end.read += bytes;
    this.rules.consumed(end.state, bytes, this.now());
    return bytes;
  }

  /** The bytes of the next frames. */
  take(limit = 65_536): Buffer {
    return Buffer.concat(this.rules.take(limit)?.buffers ?? []);
  }
}

/** Lets everything that is on its way arrive, in both directions. */
export function settle(a: Side, b: Side, reads = true): void {
  for (let idle = 0; idle < 2; ) {
    const [fromA, fromB] = [a.take(), b.take()];
    b.rules.receive(fromA, b.now());
    a.rules.receive(fromB, a.now());
    let read = 0;
    if (reads) {
      for (const side of [a, b]) for (const end of side.ends.values()) read += side.read(end, 1 << 20);
    }
    idle = fromA.length + fromB.length + read === 0 ? idle + 1 : 0;
  }
}

/** Reads frames from a border on. @param onData called with the channel and the length of each that has data */
export function frameReader(
  onData: (id: number, length: number) => void,
  onControl: (type: number) => void = () => undefined,
): FrameReader {
  return new FrameReader({
    onData: (id, _flags, { length }) => void onData(id, length),
    onControl: (type) => void onControl(type),
  });
}
