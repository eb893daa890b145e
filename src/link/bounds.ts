/** Sizes of the link's wire format and fixed limits (docs/spec/link.md, docs/limits.md). */

export const FRAME_HEAD = 8;
/** Maximum bytes of a payload: a frame has at most 64 KiB. */
export const MAX_PAYLOAD = 65_528;
/** Maximum payload while several channels send, which bounds the wait for a turn. */
export const SHARED_PAYLOAD = 16_384;
/** Maximum payload of frames other than DATA: a name of 255 bytes and its fields. */
export const MAX_CONTROL = 512;
/** Maximum UTF-8 bytes of a channel's name. */
export const MAX_NAME = 255;
/** Maximum bytes of the reason of a RESET or GOAWAY; longer ones are cut. */
export const MAX_REASON = 200;
/** Maximum bytes of unread answers to the peer; beyond it the link ends. */
export const MAX_ANSWER_BYTES = 1_048_576;
/** Burst, and rate per second, of channels that the peer may open and reset at once before it counts as an attack. */
export const RESET_BURST = 1_000;
export const RESETS_PER_SECOND = 200;
/** Levels of urgency; 0 goes first. */
export const URGENCIES = 8;
/** Bytes of more urgent channels that may pass before a less urgent one gets a turn. */
export const STARVATION_BYTES = 262_144;
export const MIN_WINDOW = 1_024;
export const LARGEST_WINDOW = 1_073_741_824;
/** Largest channel id; an end that has used up its half opens no more channels. */
export const MAX_CHANNEL_ID = 0x7fff_ffff;
/** Smaller parts of a large chunk are copied, so that they do not retain the chunk. */
export const COPIED_BYTES = 4_096;
