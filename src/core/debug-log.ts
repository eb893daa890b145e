/** `NODE_DEBUG=shoal`, except in pages. */
import { debuglog } from "node:util";

/** Remote programs may have written part of a line: `%j` escapes it. */
export const DEBUG = debuglog("shoal");

export const IS_DEBUG: boolean = DEBUG.enabled;
