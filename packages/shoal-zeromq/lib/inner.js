// @ts-check
"use strict";
/** shoal's object behind each socket and context. @type {WeakMap<object, any>} */
module.exports = new WeakMap();
