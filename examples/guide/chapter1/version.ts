/**
 * Which versions are in use: shoal's own, and that of the libzmq whose behaviour its sockets have.
 *
 * The Guide asks the C library for its version. shoal needs none: its engine `zmtp` is written in TypeScript. Look at
 * `capability`, which answers the better question: not how old a library is, but what it can do.
 *
 *   node examples/guide/chapter1/version.ts
 */
import { createRequire } from "node:module";
import { capability, context, version } from "shoal";

const { version: shoal } = createRequire(import.meta.url)("shoal/package.json");
console.log(`shoal ${shoal}`);
console.log(`ZeroMQ as in libzmq ${version}`);
console.log(`CURVE: ${capability.curve === true}, draft sockets: ${capability.draft === true}`);
console.log(`sockets of this process: at most ${context.maxSockets}`);
