/** What the ends of links have below them, where a test is the stream, or takes what they say. */
import type { PairStream, PairStreamTable } from "../../../src/cluster/messaging/pair-streams.js";
import type { ReceivingEffects } from "../../../src/cluster/messaging/receiving.js";
import { decodeAck } from "../../../src/cluster/messaging/wire.js";
import { NamespaceCodec } from "../../../src/cluster/net/namespace-codec.js";

export class FakeStream implements PairStream {
  readonly protocol = "tcp";
  readonly address = "10.0.0.2:1";
  readonly remote = "10.0.0.2";
  readonly node = undefined;
  readonly copiesSent = true;
  isOpen = true;
  isFull = false;
  /** Id of the node at its end, if only that may use it. */
  isOnlyFor: string | undefined;
  users = 0;
  onSent: ((frame: Buffer) => void) | undefined;

  sendMessages(_codec: NamespaceCodec | undefined, frames: readonly Uint8Array[]): void {
    this.onSent?.(Buffer.concat(frames));
  }

  expectAnswer(): void {}

  isFor(id: string): boolean {
    return this.isOnlyFor === undefined || this.isOnlyFor === id;
  }
}

export class FakeTable implements PairStreamTable {
  readonly scheme = "tcp";
  readonly ownAddress = "10.0.0.1:1";
  /** The stream of the node's own port. */
  stream: FakeStream | undefined;

  streamTo(): FakeStream | undefined {
    return this.stream;
  }

  open(): void {}
}

/** The stream of a receiving end alone, whose acknowledgements are taken. */
export function acksTo(take: (ack: { session: number; delivered: number }) => unknown): FakeStream {
  const stream = new FakeStream();
  stream.onSent = (frame) => {
    const ack = decodeAck(frame);
    if (ack === undefined) throw new Error("not an ack");
    take(ack);
  };
  return stream;
}

export const RECEIVING_EFFECTS: ReceivingEffects = {
  onHeard: () => undefined,
  namespace: { codec: new NamespaceCodec("default", []) },
  onItem: () => undefined,
  acknowledgeSoon: () => undefined,
  acknowledgeLater: () => undefined,
  onFault: () => undefined,
};
