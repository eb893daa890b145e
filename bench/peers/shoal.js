// @ts-check
/** shoal through its public door; `many` receives in batches. */
import { Pull, Push, Reply, Request } from "shoal";

export const contender = {
  Push,
  Pull,
  Reply,
  Request,
};

/**
 * @param {Pull} pull
 * @param {number} count
 * @param {(message: Buffer) => void} check
 */
export async function receiveMany(pull, count, check) {
  for (let left = count; left > 0; ) {
    const messages = await pull.receiveMany({ max: left });
    for (const [message] of messages) check(/** @type {Buffer} */ (message));
    left -= messages.length;
  }
}
