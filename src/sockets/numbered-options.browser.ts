/** Replaces sockets/numbered-options.ts: no options by libzmq's numbers. */
import { NotSupportedError } from "../core/errors.js";

export const GET_NUMBERED: unique symbol = Symbol("shoal.getNumbered");
export const SET_NUMBERED: unique symbol = Symbol("shoal.setNumbered");
export const NUMBERED = { socket: {}, context: {} } as const;

export abstract class ContextByNumber {}

export function getNumbered(): never {
  throw new NotSupportedError("A page has no options by number: use their names");
}

export const setNumbered: typeof getNumbered = getNumbered;
