/** shoal doctor: looks at this machine, and at endpoints, and reports what would not work and what to do. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "commander";
import { builtFile } from "../core/built-file.js";
import { Context, Dealer, ENGINE_NAMES, Pull, Push, version } from "../index.js";
import {
  backlogFinding,
  clockFinding,
  type Finding,
  filesFinding,
  findingLines,
  ipcFinding,
  nodeFinding,
  type PackageFact,
  packageFinding,
  portsFinding,
  worst,
} from "./doctor-rules.js";
import { asUsage, describe, hasCode, Reported } from "./failure.js";
import { addCommand, repeatable, wholeNumber } from "./options.js";
import { printText } from "./output.js";
import { addClientSecurityOptions, clientSecurityOptions, type SecuritySettings } from "./security.js";
import { terminal } from "./terminal.js";

interface DoctorSettings extends SecuritySettings {
  readonly bind?: readonly string[];
  readonly connect?: readonly string[];
  readonly timeout?: number;
  readonly json?: boolean;
}

/** ms for an endpoint to answer. */
const TIMEOUT = 2_000;
/** ms over which the two clocks are compared. */
const CLOCK_TIME = 50;

/** What is installed only where somebody wants it. */
const PACKAGES: readonly (readonly [name: string, use: string])[] = [
  ["sodium-native", "fast CURVE"],
  ["msgpackr-extract", "faster decoding of MessagePack"],
  ["zeromq", "the engine libzmq"],
  ["lmdb", "stores on disk"],
  ["pg", "stores in PostgreSQL"],
  ["@nats-io/transport-node", "sessions in NATS JetStream"],
];

export function addDoctorCommand(program: Command): void {
  const command = addCommand(program, {
    name: "doctor",
    summary: "check this machine, and endpoints, and report what would not work",
    description:
      "Checks versions, engines, optional packages, limits of files and ports, the clock, and whether messages pass over tcp and " +
      "ipc here. With --connect it dials an endpoint and reports why nothing answers; with --bind it reports whether the endpoint " +
      "is free. Each line is ok, warn or fail; exit code 1 if one is fail.",
    examples: [
      "shoal doctor",
      "shoal doctor --connect tcp://127.0.0.1:5557",
      "shoal doctor --bind 'tcp://*:5555' --json",
    ],
  })
    .addOption(repeatable("--connect <EP>", "whether something answers at an endpoint (repeatable)"))
    .addOption(repeatable("--bind <EP>", "whether an endpoint can be bound (repeatable)"))
    .option("--timeout <MS>", `the longest wait for an answer (default ${TIMEOUT})`, wholeNumber(1))
    .option("--json", "one JSON object per line");
  addClientSecurityOptions(command).action(doctor);
}

async function doctor(settings: DoctorSettings): Promise<void> {
  const { bind = [], connect = [], timeout = TIMEOUT, json = false } = settings;
  const security = await clientSecurityOptions(settings);
  const findings: Finding[] = [
    versionFinding(),
    runtimeFinding(),
    ...ENGINE_NAMES.map(engineFinding),
    ...PACKAGES.map(([name, use]) => packageFinding(packageFact(name, use))),
    ...systemFindings(),
    await clock(),
    await roundTrip("tcp", "tcp://127.0.0.1:*"),
    ...(process.platform === "win32"
      ? []
      : [await roundTrip("ipc", `ipc://${join(tmpdir(), `shoal-doctor-${process.pid}`)}`)]),
    interfaces(),
  ];
  for (const endpoint of bind) findings.push(await bound(endpoint));
  for (const endpoint of connect) findings.push(await dialled(endpoint, security, timeout));
  const lines = json ? findings.map((finding) => JSON.stringify(finding)) : findingLines(findings);
  await printText(lines.join("\n"));
  if (worst(findings) === "fail") throw new Reported(1);
}

function versionFinding(): Finding {
  const { version: own } = JSON.parse(readFileSync(builtFile("package.json"), "utf8")) as { version: string };
  return {
    what: "shoal",
    verdict: "ok",
    text: `${own} on ${process.platform} ${process.arch}, its sockets as of ZeroMQ ${version}`,
  };
}

function runtimeFinding(): Finding {
  const { bun, deno, node } = process.versions as Readonly<Record<string, string | undefined>>;
  if (bun !== undefined) return nodeFinding("Bun", bun);
  return deno === undefined ? nodeFinding("Node.js", node ?? "") : nodeFinding("Deno", deno);
}

function engineFinding(engine: (typeof ENGINE_NAMES)[number]): Finding {
  try {
    const socket = new Pull({ context: new Context({ engine }) });
    void socket.close({ linger: 0 });
    return { what: "engine", verdict: "ok", text: `${engine} loads` };
  } catch (error) {
    // The engine over the package zeromq is for those who want it.
    return {
      what: "engine",
      verdict: engine === "zmtp" ? "fail" : "ok",
      text: `${engine}: ${describe(error)}`,
    };
  }
}

function packageFact(name: string, use: string): PackageFact {
  const require = createRequire(join(process.cwd(), "package.json"));
  const ours = createRequire(import.meta.url);
  for (const from of [ours, require]) {
    let path: string;
    try {
      path = from.resolve(name);
    } catch {
      continue; // It is not there: the next place is tried, and what is in neither is reported.
    }
    try {
      from(path);
      return { name, use, version: installedVersion(path, name) };
    } catch (error) {
      return { name, use, error: describe(error) };
    }
  }
  return { name, use };
}

/** Of the package.json above a file of it: many packages do not export theirs. */
function installedVersion(path: string, name: string): string {
  const end = path.lastIndexOf(join("node_modules", name));
  const file = join(path.slice(0, end), "node_modules", name, "package.json");
  return end === -1 ? "" : (JSON.parse(readFileSync(file, "utf8")) as { version: string }).version;
}

function systemFindings(): Finding[] {
  const findings: Finding[] = [];
  const files = openFiles();
  if (files !== undefined) findings.push(filesFinding(files));
  const [first, last] = numbersIn("/proc/sys/net/ipv4/ip_local_port_range");
  if (first !== undefined && last !== undefined) findings.push(portsFinding(first, last));
  const [backlog] = numbersIn("/proc/sys/net/core/somaxconn");
  if (backlog !== undefined) findings.push(backlogFinding(backlog));
  if (process.platform !== "win32") findings.push(ipcFinding(tmpdir()));
  return findings;
}

/** The limit of this process; `undefined` where the system has none to ask. */
function openFiles(): number | undefined {
  if (process.platform === "win32") return undefined;
  try {
    const text = existsSync("/proc/self/limits")
      ? (/^Max open files\s+(\S+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1] ?? "")
      : execFileSync("/bin/sh", ["-c", "ulimit -n"], { encoding: "utf8", timeout: TIMEOUT }).trim();
    return text === "unlimited" ? Number.POSITIVE_INFINITY : Number(text) || undefined;
  } catch {
    return undefined; // No shell, or a limit that is not shown: the report goes without.
  }
}

function numbersIn(file: string): number[] {
  try {
    return readFileSync(file, "utf8").trim().split(/\s+/).map(Number);
  } catch {
    return []; // Not every kernel has the file: the report goes without.
  }
}

async function clock(): Promise<Finding> {
  const [day, steady] = [Date.now(), performance.now()];
  await sleep(CLOCK_TIME);
  // What systemd-timesyncd leaves behind; others report it nowhere that a program can read without rights.
  const synchronized = existsSync("/run/systemd/timesync/synchronized") ? true : undefined;
  return clockFinding(Date.now(), Date.now() - day, performance.now() - steady, synchronized);
}

/** A message from a socket to another, within this process. */
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

function interfaces(): Finding {
  const found = Object.entries(networkInterfaces()).flatMap(([name, addresses = []]) =>
    addresses.filter(({ internal }) => !internal).map(({ address }) => `${name} ${address}`),
  );
  if (found.length > 0) return { what: "network", verdict: "ok", text: found.join(", ") };
  return {
    what: "network",
    verdict: "warn",
    text: "no address but loopback",
    remedy: "other hosts cannot be reached",
  };
}

async function bound(endpoint: string): Promise<Finding> {
  const pull = new Pull();
  try {
    await asUsage(() => pull.bind(endpoint));
    return { what: "bind", verdict: "ok", text: `${endpoint} is free` };
  } catch (error) {
    if (!hasCode(error, "EADDRINUSE") && !hasCode(error, "EACCES") && !hasCode(error, "EADDRNOTAVAIL"))
      throw error;
    return { what: "bind", verdict: "fail", text: describe(error) };
  } finally {
    await pull.close({ linger: 0 });
  }
}

/** A DEALER dials: what refuses its type speaks ZMTP, too, and is an answer. */
async function dialled(
  endpoint: string,
  security: Awaited<ReturnType<typeof clientSecurityOptions>>,
  timeout: number,
): Promise<Finding> {
  const what = "connect";
  const dealer = new Dealer({ ...security, linger: 0 });
  const aborted = new AbortController();
  const abort = (): void => aborted.abort();
  const { signals } = terminal();
  signals.on("SIGINT", abort);
  const started = performance.now();
  try {
    await asUsage(() => dealer.connect(endpoint));
    await dealer.ready({ timeout, signal: aborted.signal });
    return {
      what,
      verdict: "ok",
      text: `${endpoint} answers, after ${(performance.now() - started).toFixed(0)} ms`,
    };
  } catch (error) {
    if (hasCode(error, "ERR_ZMTP_INVALID_METADATA"))
      return { what, verdict: "ok", text: `${endpoint} answers, and is no ROUTER, REP or DEALER` };
    if (error instanceof Error && !("code" in error)) throw error;
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    return {
      what,
      verdict: "fail",
      text:
        hasCode(error, "ETIMEDOUT") && cause === error
          ? `${endpoint}: no answer within ${timeout} ms`
          : describe(cause),
      ...(hasCode(cause, "ECONNREFUSED")
        ? { remedy: "the host is there, and nothing listens at this port" }
        : {}),
      ...(hasCode(cause, "ERR_ZMTP_MECHANISM_MISMATCH")
        ? { remedy: "it wants other security: --plain, or --curve-server-key and --curve-certificate" }
        : {}),
    };
  } finally {
    signals.off("SIGINT", abort);
    await dealer.close({ linger: 0 });
  }
}
