/** Numbers of the wire form of links, and bounds that no option changes (docs/spec/link.md, docs/limits.md). */

/** Bytes of a frame's head. */
export const FRAME_HEAD = 8;
/** Bytes that follow it, at most: a frame has 64 KiB. */
export const MAX_PAYLOAD = 65_528;
/** Bytes of a frame's payload while several channels have something to send: so much waits before another's turn. */
export const SHARED_PAYLOAD = 16_384;
/** Bytes of a frame that is not DATA: a name of 255, and what goes with it. */
export const MAX_CONTROL = 512;
/** Bytes of a channel's name in UTF-8. */
export const MAX_NAME = 255;
/** Bytes of the reason of a RESET or GOAWAY; a longer one is cut. */
export const MAX_REASON = 200;
/** Bytes of answers that the other end made this one write and did not read yet; beyond it the link ends. */
export const MAX_ANSWER_BYTES = 1_048_576;
/** Channels that the other end opened and reset at once, before this end finds that it is attacked, and a second's worth. */
export const RESET_BURST = 1_000;
export const RESETS_PER_SECOND = 200;
/** Urgencies of channels: 0 goes first. */
export const URGENCIES = 8;
/** Bytes of more urgent channels that pass before a less urgent one gets a turn. */
export const STARVATION_BYTES = 262_144;
/** The smallest window of a channel in bytes. */
export const MIN_WINDOW = 1_024;
/** The largest window of a channel in bytes. */
export const LARGEST_WINDOW = 1_073_741_824;
/** Ids of channels; an end that used up its half opens no more. */
export const MAX_CHANNEL_ID = 0x7fff_ffff;
/** Below this many bytes a piece of a larger chunk is copied, so that it does not keep the chunk. */
export const COPIED_BYTES = 4_096;
