/** The test messages, the same as peer.py and peer.c make them. */

/** So many bytes of each message are cut from here: 0 to 255, over and over. */
const PATTERN = Buffer.alloc(256 * 4_097);
for (let i = 0; i < PATTERN.length; i++) PATTERN[i] = i & 255;

/**
 * @param {number} size
 * @param {number} seed
 */
export function body(size, seed) {
  const start = seed % 256;
  return PATTERN.subarray(start, start + size);
}

/**
 * Single, multipart, empty, and now and then 1 MiB.
 *
 * @param {number} number
 * @param {number} seed
 * @returns {Buffer[]}
 */
export function message(number, seed) {
  if (number % 100 === 50) return [Buffer.from(`${number}`), body(1_048_576, number + seed)];
  switch (number % 6) {
    case 0:
      return [Buffer.from(`message ${number} of ${seed}`)];
    case 1:
      return [Buffer.alloc(0)];
    case 2:
      return [Buffer.from(`${number}`), Buffer.alloc(0), body(number % 300, number + seed)];
    case 3:
      return Array.from({ length: 10 }, (_, k) => body((number % 17) + k, number + k));
    case 4:
      return [Buffer.alloc(0), Buffer.alloc(0), Buffer.from(`${number + seed}`)];
    default:
      return [body(20_000, number + seed)];
  }
}

/**
 * All frames of many messages as one run of bytes; a message without any counts as one byte.
 *
 * @param {number} count
 * @param {number} seed
 */
export function pieces(count, seed) {
  return Array.from({ length: count }, (_, number) => {
    const bytes = Buffer.concat(message(number, seed));
    return bytes.length === 0 ? Buffer.from("-") : bytes;
  });
}

/**
 * @param {Buffer[]} frames what came
 * @param {number} number of the message that should have come
 * @param {number} seed
 * @throws Error where they differ
 */
export function check(frames, number, seed) {
  const expected = message(number, seed);
  const same = frames.length === expected.length && frames.every((frame, i) => frame.equals(expected[i]));
  if (same) return;
  const lengths = (/** @type {Buffer[]} */ all) => `[${all.map((frame) => frame.length)}]`;
  throw new Error(
    `message ${number} of ${seed} should have frames of ${lengths(expected)} bytes; got ${lengths(frames)}, or other bytes`,
  );
}
