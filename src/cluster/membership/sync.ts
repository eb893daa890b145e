/** The entries of a synchronization: what a node knows of the buckets that differ, in packets of a bounded size. */
import { MAX_STREAM_PACKET, MAX_UPDATES } from "../bounds.js";
import { shortId } from "../identity.js";
import { ALIVE_DRAINING, Update } from "../wire/packets.js";
import { isWanted } from "./digest.js";
import { type Member, MemberState, type Members } from "./members.js";

/** Bytes of a packet that are not update. */
const HEAD = 64;

/**
 * @param buckets bits of those that are wanted (digest.ts)
 * @returns the updates of each packet; at least one, which may be empty
 */
export function entriesFor(
  members: Members,
  buckets: readonly [number, number],
  ownAlive: Update,
  ownDetails: Update,
): readonly (readonly Update[])[] {
  let chunk: Update[] = [ownAlive, ownDetails];
  const chunks = [chunk];
  let size = HEAD + ownAlive.size + ownDetails.size;
  const add = (update: Update): void => {
    if (chunk.length >= MAX_UPDATES || size + update.size > MAX_STREAM_PACKET) {
      chunk = [];
      chunks.push(chunk);
      size = HEAD;
    }
    chunk.push(update);
    size += update.size;
  };
  // Nothing differs, as is usual: no walk then.
  if (buckets[0] === 0 && buckets[1] === 0) return chunks;
  for (const [id, { time, counter, removed }] of members.removals)
    if (isWanted(buckets, shortId(id))) add(Update.removal(id, time, counter, removed));
  for (const member of members.live) if (isWanted(buckets, member.short)) addLive(member, add);
  for (const member of members.dead) {
    // What this node believed alone, while it was cut off, accuses nobody.
    if (member.doubtful || !isWanted(buckets, member.short)) continue;
    if (member.state === MemberState.LEFT) add(Update.left(member.id, member.start, member.count));
    else add(Update.dead(member.id, member.start, member.count, member.reason, 0));
  }
  return chunks;
}

function addLive(member: Member, add: (update: Update) => void): void {
  const { id, start, count, name, address, draining, details } = member;
  add(Update.alive(id, start, count, name, address, draining ? ALIVE_DRAINING : 0, details.version));
  if (details.version > 0) add(Update.details(id, start, details));
}
