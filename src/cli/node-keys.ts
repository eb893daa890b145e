/** Keys of a running node: their ids, and a rotation in steps. Keys are never printed. */
import { createHash, randomBytes } from "node:crypto";
import { open, rm } from "node:fs/promises";
import type { ClusterNode } from "../cluster/index.js";
import { encodeZ85 } from "../core/z85.js";
import { InvalidArgumentError, InvalidStateError } from "../index.js";
import { describe, Failure } from "./failure.js";
import { readKeyFile } from "./key-file.js";
import { shown } from "./node-text.js";
import { printText } from "./output.js";

const ID_DIGITS = 8;

export const KEY_ACTIONS = ["list", "rotate"] as const;
export type KeyAction = (typeof KEY_ACTIONS)[number];

/** A printable id of a key: the start of its SHA-256. */
export function keyId(key: string): string {
  return createHash("sha256").update(`shoal key ${key}`).digest("hex").slice(0, ID_DIGITS);
}

/** @param file of `rotate` @throws InvalidArgumentError `EINVAL`; InvalidStateError `EFSM` */
export async function changeKeys(
  node: Pick<ClusterNode, "codec" | "setKeys">,
  action: KeyAction,
  file: string | undefined,
): Promise<object> {
  const reply = (step: "none" | keyof typeof STEPS): object => ({
    keys: node.codec.keys.map(keyId),
    byPassword: node.codec.byPassword,
    step,
  });
  if (action === "list") return reply("none");
  if (file === undefined) throw new InvalidArgumentError("keys rotate needs a file");
  if (node.codec.byPassword)
    throw new InvalidStateError("EFSM", "this node has a password: change passwordFile of its configuration");
  const [first, second] = node.codec.keys;
  if (first === undefined) throw new InvalidStateError("EFSM", "this node has no key, and keeps to its host");
  const key = await readKeyFile(file);
  if (key === first) {
    if (second === undefined) return reply("complete");
    node.setKeys(key);
    return reply("removed");
  }
  if (key === second) {
    node.setKeys(key, first);
    return reply("seals");
  }
  if (second !== undefined)
    throw new InvalidStateError("EFSM", "this node has two other keys: finish that rotation first");
  node.setKeys(first, key);
  return reply("added");
}

/** Prints a new key, or writes it to a file that only its owner can read. @throws Failure */
export async function generateKey(file: string | undefined): Promise<void> {
  const key = encodeZ85(randomBytes(32));
  if (file === undefined) {
    await printText(key);
    return;
  }
  let isNew = false;
  try {
    const handle = await open(file, "wx", 0o600);
    isNew = true;
    try {
      await handle.writeFile(`${key}\n`);
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (isNew) await rm(file, { force: true });
    throw new Failure(`cannot write the key file ${file}: ${describe(error)}`);
  }
  await printText(keyId(key));
}

const STEPS = {
  added: "added: do this on every node before the next step",
  seals: "seals now: do this on every node before the next step",
  removed: "the other key is removed",
  complete: "nothing is left to do",
} as const;

export function keysText({ keys, byPassword, step }: Readonly<Record<string, unknown>>): string[] {
  const ids = Array.isArray(keys) ? keys.map(shown) : [];
  const lines = ids.map(
    (id, at) => `${id}${at === 0 ? " (seals)" : ""}${byPassword === true ? " (of a password)" : ""}`,
  );
  const done = Object.hasOwn(STEPS, String(step)) ? STEPS[step as keyof typeof STEPS] : undefined;
  return [...(lines.length === 0 ? ["no key"] : lines), ...(done === undefined ? [] : [done])];
}
