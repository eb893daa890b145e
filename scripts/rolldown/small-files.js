// @ts-check
import { minifySync } from "rolldown/utils";

/** @param {string} id of a module */
export function packageOf(id) {
  return /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(id)?.[1];
}

/**
 * Files of other packages, of the harness, and the second copy of the sockets, which nobody reads: without white space, and with
 * short names of what is local. Names of functions and classes stay, since a package may look at them, and so does whose files they
 * are (scripts/check-package.js).
 *
 * @type {import("rolldown").Plugin}
 */
export const smallFiles = {
  name: "small-files",
  generateBundle({ dir }, bundle) {
    const isHarness = dir?.endsWith("/bench") === true;
    for (const chunk of Object.values(bundle)) {
      const isModule = !chunk.fileName.endsWith(".cjs");
      if (chunk.type !== "chunk" || (isModule && !isHarness && !chunk.name.startsWith("package-"))) continue;
      const small = minifySync(chunk.fileName, chunk.code, {
        module: isModule,
        compress: false,
        mangle: { toplevel: false, keepNames: true },
        codegen: { removeWhitespace: true },
      });
      if (small.errors.length > 0)
        throw new Error(`${chunk.fileName} cannot be read`, { cause: small.errors });
      const from = new Set(chunk.moduleIds.flatMap((id) => packageOf(id) ?? []));
      chunk.code = Array.from(from, (each) => `//#region node_modules/${each}/\n`).join("") + small.code;
      chunk.map = null;
    }
    // One character beyond Latin-1 doubles a whole file in memory.
    for (const chunk of Object.values(bundle))
      if (chunk.type === "chunk")
        chunk.code = chunk.code.replace(
          /[\u0100-\uffff]/g,
          (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
        );
  },
};
