// @ts-check
"use strict";
const shoal = require("shoal");
const { checkArguments, isOptionalObject } = require("./errors.js");
const inner = require("./inner.js");
const { CONTEXT, defineCalls, defineOptions } = require("./options.js");

class Context {
  /** @param {...unknown} given */
  constructor(...given) {
    checkArguments(given, [isOptionalObject, "Options must be an object"]);
    inner.set(this, new shoal.Context());
    Object.seal(this);
    Object.assign(this, given[0]);
  }
}

defineCalls(Context, ["Bool", "Int32"], [CONTEXT]);
defineOptions(Context, CONTEXT);

/** The one that sockets have by default: shoal's own, whose inproc names reach all threads and sockets of shoal. */
const context = Object.seal(Object.create(Context.prototype));
inner.set(context, shoal.context);

module.exports = { Context, context };
