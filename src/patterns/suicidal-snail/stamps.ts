/** Where a message says when it was published. */
import { Kind, parseMeta } from "../sequenced/protocol.js";
import type { Stamp } from "./lateness-rules.js";

/** A stamp, and whether the message is only that: nothing for the program. */
export interface Stamped extends Stamp {
  readonly empty?: boolean;
}

/** Reads the stamp of a message; `undefined` when there is none. */
export type ReadStamp = (frames: readonly Buffer[]) => Stamped | undefined;

/** The stamp of messages that a SequencedPublisher sent: `topic | meta | body…`. */
export const sequencedStamp: ReadStamp = (frames) => {
  const second = frames[1];
  const meta = second === undefined ? undefined : parseMeta(second);
  if (meta === undefined) return undefined;
  const empty = meta.kind === Kind.MARK;
  if (empty !== (frames.length === 2)) return undefined;
  const source = meta.publisher;
  return { source, time: meta.time / 1_000, sequence: meta.sequence, row: `${source}${meta.stream}`, empty };
};
