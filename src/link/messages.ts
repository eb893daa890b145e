/** Messages on a channel, each after its length in 4 bytes (docs/spec/link.md, Messages). Pure. */
import { owned } from "../core/bytes.js";
import { UnitReader } from "../core/unit-reader.js";

const LENGTH = 4;

export function encodeMessage(data: Uint8Array): Buffer {
  const message = Buffer.allocUnsafe(LENGTH + data.length);
  message.writeUInt32BE(data.length);
  message.set(data, LENGTH);
  return message;
}

/** Memory grows with received bytes, not with the length that the peer claims. */
export class MessageReader extends UnitReader {
  constructor(maxMessage: number) {
    super(LENGTH, LENGTH + maxMessage, (bytes, at) => LENGTH + bytes.readUInt32BE(at));
  }

  /** The next whole message. */
  message(): Buffer | undefined {
    const unit = this.next();
    return unit && owned(unit.subarray(LENGTH));
  }
}
