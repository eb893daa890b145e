/** Shape of a STREAM's messages: routing id | bytes. */
import { InvalidArgumentError } from "../core/errors.js";
import { toMessage } from "./message.js";
import type { MessageShape } from "./shape.js";

/** libzmq would take a third frame for another message's routing id. */
export const STREAM_FRAMES: MessageShape = {
  encode(value) {
    const message = toMessage(value);
    if (Array.isArray(message) && message.length === 2) return message;
    throw new InvalidArgumentError(
      `A STREAM's message is [routingId, bytes]; got ${Array.isArray(value) ? value.length : 1} frames`,
    );
  },
  decode: (frames) => frames,
};
