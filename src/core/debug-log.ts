/** `NODE_DEBUG=shoal`, except in pages. */
import { debuglog } from "node:util";

/** Remote programs may have written part of a line: `%j` escapes it. */
export const DEBUG = debuglog("shoal");

/** A constant, so that a page's build omits the code. */
export const IS_DEBUG: boolean = DEBUG.enabled;
