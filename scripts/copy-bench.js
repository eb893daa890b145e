/** Puts the benchmark contenders that are no TypeScript beside the compiled ones, so that the package has them. */
import { cpSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

const from = fileURLToPath(new URL("../bench/peers/", import.meta.url));
const to = fileURLToPath(new URL("../dist/bench/peers/", import.meta.url));

for (const folder of ["libzmq", "pyzmq"]) {
  for (const name of readdirSync(`${from}${folder}`)) {
    if (/\.(?:c|h|py)$/.test(name)) cpSync(`${from}${folder}/${name}`, `${to}${folder}/${name}`);
  }
}
