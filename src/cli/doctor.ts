/** shoal doctor: checks this machine and endpoints. */
import { execFileSync } from "node:child_process";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Command } from "commander";
import { loadOptional, thisProcess } from "../core/packages.js";
import { Context, Dealer, ENGINE_NAMES, Pull, Push, ShoalError, TimeoutError, version } from "../index.js";
import { causeOf, remedyOf } from "../sockets/stalls.js";
import { asUsage, describe, hasCode, Reported, UsageError } from "./failure.js";
import { addCommand, numberFlag, repeatable } from "./options.js";
import { printText } from "./output.js";
import { addSecurityOptions, clientSecurityOptions, type SecuritySettings } from "./security.js";

interface Finding {
  /** `runtime`, `files`, `tcp`. */
  readonly what: string;
  readonly verdict: "ok" | "info" | "warn" | "fail";
  readonly text: string;
  readonly remedy?: string;
}

interface DoctorSettings extends SecuritySettings {
  readonly bind?: readonly string[];
  readonly timeout?: number;
  readonly json?: boolean;
}

/** ms. */
const TIMEOUT = 2_000;
/** For some thousand peers, and for some hundred. */
const ENOUGH_FILES = 4_096;
const LEAST_FILES = 1_024;

const PACKAGES: readonly (readonly [name: string, use: string])[] = [
  ["sodium-native", "fast CURVE"],
  ["msgpackr-extract", "faster decoding of MessagePack"],
  ["lmdb", "stores on disk"],
  ["pg", "stores in PostgreSQL"],
];

export function addDoctorCommand(program: Command): void {
  const command = addCommand(program, {
    name: "doctor",
    summary: "check this machine, and endpoints, and report what does not work",
    description:
      "Checks versions, engines, optional packages, the limit of open files, and whether messages pass over tcp and ipc. It dials " +
      "each ENDPOINT and reports why nothing answers. Each line is ok, info, warn or fail; exit code 1 if one is fail.",
    examples: [
      "shoal doctor",
      "shoal doctor tcp://127.0.0.1:5557",
      "shoal doctor --bind 'tcp://*:5555' --json",
    ],
  })
    .argument("[endpoint...]", "endpoints to dial")
    .addOption(repeatable("--bind <EP>", "check that an endpoint can be bound (repeatable)"))
    .addOption(numberFlag("--timeout <MS>", "the longest wait for an answer", { default: TIMEOUT }))
    .option("--json", "one JSON object per line");
  addSecurityOptions(command, "connect").action(doctor);
}

async function doctor(endpoints: readonly string[], settings: DoctorSettings): Promise<void> {
  const { bind = [], timeout = TIMEOUT, json = false } = settings;
  const security = await clientSecurityOptions(settings);
  const isWindows = process.platform === "win32";
  const about = `${thisProcess().version} on ${process.platform} ${process.arch}, its sockets as of ZeroMQ ${version}`;
  const findings: Finding[] = [
    { what: "shoal", verdict: "ok", text: about },
    runtimeFinding(),
    ...ENGINE_NAMES.map(engineFinding),
    ...PACKAGES.map(([name, use]) => packageFinding(name, use)),
    ...(isWindows ? [] : [openFiles()]),
    await roundTrip("tcp", "tcp://127.0.0.1:*"),
    ...(isWindows ? [] : [await roundTrip("ipc", `ipc://${join(tmpdir(), `shoal-doctor-${process.pid}`)}`)]),
  ];
  for (const endpoint of bind) findings.push(await bound(endpoint));
  for (const endpoint of endpoints) findings.push(await dialled(endpoint, security, timeout));
  await printText((json ? findings.map((each) => JSON.stringify(each)) : findingLines(findings)).join("\n"));
  if (findings.some(({ verdict }) => verdict === "fail")) throw new Reported(1);
}

function findingLines(findings: readonly Finding[]): string[] {
  return findings.flatMap(({ what, verdict, text, remedy }) => [
    `${verdict.padEnd(5)}${what.padEnd(9)}${text}`,
    ...(remedy === undefined ? [] : [`${" ".repeat(14)}${remedy}`]),
  ]);
}

export function runtimeFinding(
  versions: Readonly<Record<string, string | undefined>> = process.versions,
): Finding {
  const what = "runtime";
  const { bun, deno, node = "" } = versions;
  if (bun !== undefined) return { what, verdict: "ok", text: `Bun ${bun}` };
  if (deno !== undefined) return { what, verdict: "ok", text: `Deno ${deno}` };
  const text = `Node.js ${node}`;
  const [major = 0, minor = 0] = node.split(".").map(Number);
  const fits = major > 22 || (major === 22 && minor >= 12) || (major === 20 && minor >= 19);
  if (fits) return { what, verdict: "ok", text };
  return { what, verdict: "fail", text, remedy: "shoal needs Node.js 20.19, 22.12 or newer" };
}

function engineFinding(engine: (typeof ENGINE_NAMES)[number]): Finding {
  const what = "engine";
  try {
    void new Pull({ context: new Context({ engine }) }).close({ linger: 0 });
    return { what, verdict: "ok", text: `${engine} loads` };
  } catch (error) {
    // The package zeromq is optional.
    return { what, verdict: engine === "zmtp" ? "fail" : "info", text: `${engine}: ${describe(error)}` };
  }
}

function packageFinding(name: string, use: string): Finding {
  const what = "package";
  try {
    loadOptional(name, use);
    return { what, verdict: "ok", text: `${name}, for ${use}` };
  } catch (error) {
    const text = describe(error);
    return { what, verdict: text.includes("which is not installed") ? "info" : "warn", text };
  }
}

/** Small images have no shell. */
export function openFiles(shell = "/bin/sh"): Finding {
  try {
    const text = execFileSync(shell, ["-c", "ulimit -n"], { encoding: "utf8", timeout: TIMEOUT }).trim();
    return filesFinding(text === "unlimited" ? Number.POSITIVE_INFINITY : Number(text));
  } catch (error) {
    return { what: "files", verdict: "info", text: `open files per process: unknown, ${describe(error)}` };
  }
}

/** @param limit per process */
export function filesFinding(limit: number): Finding {
  const what = "files";
  const text = Number.isFinite(limit) ? `${limit} open files per process` : "no limit of open files";
  if (limit >= ENOUGH_FILES) return { what, verdict: "ok", text };
  return {
    what,
    verdict: limit < LEAST_FILES ? "fail" : "warn",
    text,
    remedy: `each connection is an open file: raise it with ulimit -n ${ENOUGH_FILES}, or LimitNOFILE= of systemd`,
  };
}

async function roundTrip(what: string, endpoint: string): Promise<Finding> {
  const pull = new Pull({ receiveTimeout: TIMEOUT });
  const push = new Push({ sendTimeout: TIMEOUT, linger: 0 });
  try {
    await pull.bind(endpoint);
    push.connect(pull.lastEndpoint ?? endpoint);
    const started = performance.now();
    await push.send("x");
    await pull.receive();
    const ms = (performance.now() - started).toFixed(1);
    return { what, verdict: "ok", text: `a first message took ${ms} ms` };
  } catch (error) {
    return { what, verdict: "fail", text: describe(error), remedy: `sockets over ${what} do not work here` };
  } finally {
    await Promise.all([push.close({ linger: 0 }), pull.close({ linger: 0 })]);
  }
}

async function bound(endpoint: string): Promise<Finding> {
  const pull = new Pull();
  try {
    await pull.bind(endpoint);
    return { what: "bind", verdict: "ok", text: `${endpoint} is free` };
  } catch (error) {
    return { what: "bind", verdict: "fail", text: describe(error) };
  } finally {
    await pull.close({ linger: 0 });
  }
}

/** Dials with a DEALER. A peer that refuses its type has answered. */
async function dialled(
  endpoint: string,
  security: Awaited<ReturnType<typeof clientSecurityOptions>>,
  timeout: number,
): Promise<Finding> {
  const what = "connect";
  const dealer = new Dealer({ ...security, linger: 0 });
  dealer.events.on("connect:retry", () => undefined); // The finding replaces the process warning.
  const started = performance.now();
  try {
    await asUsage(() => dealer.connect(endpoint));
    await dealer.ready({ timeout });
    const ms = (performance.now() - started).toFixed(0);
    return { what, verdict: "ok", text: `${endpoint} answers, after ${ms} ms` };
  } catch (error) {
    if (error instanceof UsageError) return { what, verdict: "fail", text: error.message };
    // The message names the peer's type.
    if (hasCode(error, "ERR_ZMTP_INVALID_METADATA"))
      return { what, verdict: "ok", text: `${endpoint} answers: ${describe(error).split(": ").at(-1)}` };
    const cause = (error instanceof TimeoutError && error.cause) || error;
    if (!(cause instanceof ShoalError)) throw error;
    const why =
      cause === error && hasCode(error, "ETIMEDOUT") ? `no answer within ${timeout} ms` : causeOf(cause);
    return { what, verdict: "fail", text: `${endpoint}: ${why}`, remedy: remedyOf(cause) };
  } finally {
    await dealer.close({ linger: 0 });
  }
}
