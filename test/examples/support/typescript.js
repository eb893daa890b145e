// @ts-check
/**
 * Lets Node.js 20 run the programs of examples/guide, which are TypeScript: `node --import …/typescript.js FILE`, worker
 * threads included. Later versions of Node.js need no help.
 */
import { register } from "node:module";

if (!process.features.typescript) register("./typescript-hooks.js", import.meta.url);
