/** shoal titanic dead, remove: dead letters of a `--titanic DIR`, whether its broker runs or not. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { quoted } from "../core/arguments.js";
import { LmdbStore, type TitanicStoredDeadLetter } from "../patterns/titanic/index.js";
import { formatUuid, parseUuid } from "../patterns/titanic/protocol.js";
import { describeDeep, Failure, UsageError } from "./failure.js";
import { bytesToJson } from "./format.js";
import { Log } from "./log.js";
import { addCommand, addGroup } from "./options.js";
import { LINES, printing } from "./output.js";
import { printable } from "./terminal.js";

interface ListSettings {
  readonly json?: boolean;
}

interface RemoveSettings {
  readonly all?: boolean;
}

const PAGE = 100;

export function addTitanicCommand(program: Command): void {
  const titanic = addGroup(program, {
    name: "titanic",
    summary: "list and remove dead letters",
    description:
      "Dead letters: requests that failed too often, in the folder of shoal majordomo broker --titanic DIR.",
    examples: ["shoal titanic dead requests", "shoal titanic remove requests --all"],
  });
  addCommand(titanic, {
    name: "dead",
    summary: "list the dead letters",
    description: "Prints one per line: UUID, service, failed attempts, time, reason.",
    examples: ["shoal titanic dead requests", "shoal titanic dead requests --json"],
  })
    .argument("<DIR>", "the folder")
    .option("--json", "JSON lines, with the request's frames")
    .action((directory: string, settings: ListSettings) => list(directory, settings));
  addCommand(titanic, {
    name: "remove",
    summary: "remove dead letters",
    description: "Removes dead letters. Their clients get the reply that such a request is unknown.",
    examples: ["shoal titanic remove requests --all"],
  })
    .argument("<DIR>", "the folder")
    .argument("[UUID...]", "the letters")
    .option("--all", "all of them")
    .action((directory: string, uuids: string[], settings: RemoveSettings) =>
      remove(directory, uuids, settings),
    );
}

async function list(directory: string, { json = false }: ListSettings): Promise<void> {
  const lineOf = json ? jsonOf : textOf;
  await printing(LINES, (output, stop) =>
    using(directory, async (store) => {
      for await (const letter of letters(store)) {
        await output.write(`${lineOf(letter)}\n`);
        if (output.gone) return;
        if (stop.requested.aborted) throw new Failure("stopped before all letters were printed");
      }
    }),
  );
}

function jsonOf({ uuid, service, body, attempts, reason, died, expires }: TitanicStoredDeadLetter): string {
  const frames = body.map(bytesToJson);
  return JSON.stringify({
    uuid: formatUuid(uuid),
    service: String(service),
    attempts,
    reason,
    died,
    expires,
    frames,
  });
}

/** Clients choose the service, and workers the reason. */
function textOf({ uuid, service, attempts, reason, died }: TitanicStoredDeadLetter): string {
  const line = `${formatUuid(uuid)} ${service} ${attempts} ${new Date(died).toISOString()} ${reason}`;
  return printable(line.replaceAll(/\s+/g, " "));
}

async function remove(
  directory: string,
  texts: readonly string[],
  { all = false }: RemoveSettings,
): Promise<void> {
  if (all === texts.length > 0) throw new UsageError("expected UUIDs or --all");
  const uuids = texts.map((text) => {
    const uuid = parseUuid(text);
    if (uuid === undefined) throw new UsageError(`a UUID has 32 hexadecimal digits; got ${quoted(text)}`);
    return uuid;
  });
  await using(directory, async (store) => {
    if (all) for await (const { uuid } of letters(store)) uuids.push(uuid);
    const missing: string[] = [];
    for (const uuid of uuids) {
      if ((await store.look(uuid)).state === "dead") await store.forget(uuid);
      else missing.push(formatUuid(uuid));
    }
    new Log("titanic remove").info(`remove: ${uuids.length - missing.length} of ${uuids.length}`);
    if (missing.length > 0) throw new Failure(`not a dead letter: ${missing.join(" ")}`);
  });
}

async function* letters(store: LmdbStore) {
  for (let after: Buffer | undefined; ; ) {
    const page = await store.deadLetters(PAGE, after);
    yield* page;
    if (page.length < PAGE) return;
    after = page.at(-1)?.uuid;
  }
}

async function using(directory: string, run: (store: LmdbStore) => Promise<void>): Promise<void> {
  if (!existsSync(join(directory, "data.mdb"))) throw new Failure(`there is no store in ${directory}`);
  let store: LmdbStore;
  try {
    store = LmdbStore.open(directory, { maintenance: true });
  } catch (error) {
    throw new Failure(`${directory}: ${describeDeep(error)}`);
  }
  try {
    await run(store);
  } finally {
    await store.close();
  }
}
