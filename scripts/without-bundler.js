// @ts-check
/** `node --import ./scripts/without-bundler.js …`: as on a machine for which the bundler is not installed. */
import { register } from "node:module";

register(
  `data:text/javascript,${encodeURIComponent(`
  export async function resolve(name, context, next) {
    if (name === "rolldown") throw new Error("There is no bundler here");
    return next(name, context);
  }`)}`,
);
