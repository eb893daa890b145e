/** Limits of links (docs/spec/link.md, docs/limits.md). */

export const FRAME_HEAD = 8;
/** Payload bytes: a frame has at most 64 KiB. */
export const MAX_PAYLOAD = 65_528;
/** Payload bytes while several channels send, which bounds the wait for a turn. */
export const SHARED_PAYLOAD = 16_384;
/** Payload bytes of other frames: a name of 255 bytes and its fields. */
export const MAX_CONTROL = 512;
/** UTF-8 bytes. */
export const MAX_NAME = 255;
/** Bytes of a RESET's or GOAWAY's reason; longer ones are cut. */
export const MAX_REASON = 200;
/** Unread answers to the peer, bytes; beyond it the link ends. */
export const MAX_ANSWER_BYTES = 1_048_576;
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
/** Smaller parts of a chunk are copied, so that they do not retain it. */
export const COPIED_BYTES = 4_096;
