/** What a peer says of itself under the name that this socket announces, too. Pure. */
import type { Announcement } from "../engine.js";
import type { Metadata } from "./mechanism/mechanism.js";

/** Bytes of a value; a longer one is none. */
const MAX_ANNOUNCED = 255;

/** @returns `undefined` where it says nothing, or nobody here listens */
export function announcedBy(metadata: Metadata, announcement: Announcement | undefined): string | undefined {
  if (announcement === undefined) return undefined;
  const value = metadata.get(announcement.name.toLowerCase());
  return value === undefined || value.length > MAX_ANNOUNCED ? undefined : value.toString("latin1");
}
