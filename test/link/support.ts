/** Two ends of a link without a network, for the tests of the rules; and a reader of frames. */
import { FRAME_HEAD, FrameType, frameReader as readerOf } from "../../src/link/frames.js";
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

/** What a channel's end has: what came, and how it ended. */
export interface End {
  readonly state: ChannelState;
  received: number;
  /** Of what came, what the program has read. */
  read: number;
  wasReset: boolean;
}

/** One end: the rules, and a program that counts bytes. */
export class Side {
  readonly rules: LinkRules;
  readonly ends = new Map<number, End>();
  failure: string | undefined = undefined;
  goaway: string | undefined = undefined;
  now: () => number;

  constructor(isFirst: boolean, now: () => number, settings: Partial<LinkSettings> = {}) {
    this.now = now;
    this.rules = new LinkRules({ ...SETTINGS, ...settings, isFirst }, this.#effects(), now());
  }

  #effects(): LinkEffects {
    return {
      onIncoming: (state) => {
        this.add(state);
        return undefined;
      },
      onAccepted: () => undefined,
      onData: (state, bytes) => {
        (this.ends.get(state.id) as End).received += bytes.length;
      },
      onFinished: () => undefined,
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
    const end: End = { state, received: 0, read: 0, wasReset: false };
    this.ends.set(state.id, end);
    return end;
  }

  open(name: string): End {
    return this.add(this.rules.open({ name, kind: 0 }, this.now()));
  }

  write(end: End, length: number): void {
    this.rules.write(end.state, [Buffer.alloc(length)]);
  }

  /** The program reads some of what came. */
  read(end: End, most: number): number {
    const bytes = Math.min(most, end.received - end.read);
    if (bytes === 0) return 0;
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
): { read(chunk: Buffer): void } {
  const frames = readerOf();
  return {
    read(chunk) {
      frames.push(chunk);
      for (let frame = frames.next(); frame !== undefined; frame = frames.next()) {
        const type = frame[0] as number;
        if (type === FrameType.DATA) onData(frame.readUInt32BE(4), frame.length - FRAME_HEAD);
        else onControl(type);
      }
    },
  };
}
