/** shoal keygen: CURVE key pairs, as text or certificate files, and keys of clusters. */
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import type { Command } from "commander";
import { encodeZ85 } from "../core/z85.js";
import { curveKeyPair, writeCertificate } from "../index.js";
import { describe, Failure, hasCode, UsageError } from "./failure.js";
import { Log } from "./log.js";
import { addCommand } from "./options.js";
import { printText } from "./output.js";

interface KeygenSettings {
  readonly out?: string;
  readonly force?: boolean;
  readonly json?: boolean;
  readonly cluster?: boolean;
}

export function addKeygenCommand(program: Command): void {
  addCommand(program, {
    name: "keygen",
    summary: "generate a CURVE key pair, or the key of a cluster",
    description:
      "Prints a new CURVE key pair as Z85 text, or writes it as certificate files: NAME with the public key, " +
      "NAME_secret with both keys, readable only by its owner. With --cluster it is the one key of a cluster, and " +
      "NAME its file, readable only by its owner.",
    examples: ["shoal keygen", "shoal keygen --out server.key", "shoal keygen --cluster --out cluster.key"],
  })
    .option("--out <NAME>", "write files in place of printing secret keys")
    .option("--cluster", "a key for --key of shoal node start")
    .option("--force", "replace files that exist")
    .option("--json", "print one JSON object")
    .action(keygen);
}

async function keygen({ out, force = false, json = false, cluster }: KeygenSettings): Promise<void> {
  if (out === undefined && force) throw new UsageError("--force needs --out NAME");
  if (out === "") throw new UsageError("--out expects a file name");
  if (cluster === true) {
    await clusterKey(out, force, json);
    return;
  }
  const pair = curveKeyPair();
  if (out === undefined) {
    await printText(
      json ? JSON.stringify(pair) : `public-key ${pair.publicKey}\nsecret-key ${pair.secretKey}`,
    );
    return;
  }
  const { publicKey } = pair;
  const files = { publicFile: out, secretFile: `${out}_secret` };
  const existing = force ? undefined : Object.values(files).find((file) => existsSync(file));
  if (existing !== undefined) throw new Failure(`${existing} exists; --force replaces it`);
  await writeCertificate(out, { ...pair, metadata: {} }).catch((error: unknown) => {
    throw new Failure(`cannot write the certificate ${out}: ${describe(error)}`);
  });
  new Log("keygen").info(`wrote ${files.publicFile} and ${files.secretFile}`);
  await printText(json ? JSON.stringify({ publicKey, ...files }) : `public-key ${publicKey}`);
}

async function clusterKey(file: string | undefined, force: boolean, json: boolean): Promise<void> {
  const key = encodeZ85(randomBytes(32));
  if (file === undefined) {
    await printText(json ? JSON.stringify({ key }) : key);
    return;
  }
  // Its mode is that of a new file.
  if (force) await rm(file, { force: true });
  try {
    await writeFile(file, `${key}\n`, { flag: "wx", mode: 0o600, flush: true });
  } catch (error) {
    if (hasCode(error, "EEXIST")) throw new Failure(`${file} exists; --force replaces it`);
    await rm(file, { force: true });
    throw new Failure(`cannot write ${file}: ${describe(error)}`);
  }
  new Log("keygen").info(`wrote ${file}`);
}
