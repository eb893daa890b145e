/** The entries of a synchronization: what a node knows of the buckets that differ, in packets of a bounded size. */
import { MAX_NEWS, MAX_STREAM_PACKET } from "../bounds.js";
import { shortId } from "../identity.js";
import { ALIVE_DRAINING, News } from "../wire/packets.js";
import { isWanted } from "./digest.js";
import { type Member, MemberState, type Members } from "./members.js";

/** Bytes of a packet that are not news. */
const HEAD = 64;

/**
 * @param buckets bits of those that are wanted (digest.ts)
 * @returns the news of each packet; at least one, which may be empty
 */
export function entriesFor(
  members: Members,
  buckets: readonly [number, number],
  ownAlive: News,
  ownDetails: News,
): readonly (readonly News[])[] {
  let chunk: News[] = [ownAlive, ownDetails];
  const chunks = [chunk];
  let size = HEAD + ownAlive.size + ownDetails.size;
  const add = (news: News): void => {
    if (chunk.length >= MAX_NEWS || size + news.size > MAX_STREAM_PACKET) {
      chunk = [];
      chunks.push(chunk);
      size = HEAD;
    }
    chunk.push(news);
    size += news.size;
  };
  // Nothing differs, as is usual: no walk then.
  if (buckets[0] === 0 && buckets[1] === 0) return chunks;
  for (const [id, { time, counter, removed }] of members.removals)
    if (isWanted(buckets, shortId(id))) add(News.removal(id, time, counter, removed));
  for (const member of members.live) if (isWanted(buckets, member.short)) addLive(member, add);
  for (const member of members.dead) {
    // What this node believed alone, while it was cut off, accuses nobody.
    if (member.doubtful || !isWanted(buckets, member.short)) continue;
    if (member.state === MemberState.LEFT) add(News.left(member.id, member.start, member.count));
    else add(News.dead(member.id, member.start, member.count, member.reason, 0));
  }
  return chunks;
}

function addLive(member: Member, add: (news: News) => void): void {
  const { id, start, count, name, address, draining, details } = member;
  add(News.alive(id, start, count, name, address, draining ? ALIVE_DRAINING : 0, details.version));
  if (details.version > 0) add(News.details(id, start, details));
}
