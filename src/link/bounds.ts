/** Limits of links (docs/spec/link.md, docs/limits.md). */

export const FRAME_HEAD = 8;
/** Payload bytes: a frame has at most 64 KiB. */
export const MAX_PAYLOAD = 65_528;
/** Payload bytes while several channels send, which bounds the wait for a turn. */
export const SHARED_PAYLOAD = 16_384;
/** UTF-8 bytes. */
export const MAX_NAME = 255;
/** Channels that the peer may open and reset at once before the link ends. */
export const RESET_BURST = 1_000;
/** Levels; 0 goes first. */
export const URGENCIES = 8;
/** Bytes of more urgent channels before a less urgent one gets a turn. */
export const STARVATION_BYTES = 262_144;
export const MIN_WINDOW = 1_024;
export const LARGEST_WINDOW = 1_073_741_824;
/** An end that has used up its half opens no more channels. */
export const MAX_CHANNEL_ID = 0x7fff_ffff;
