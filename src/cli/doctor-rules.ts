/** What `shoal doctor` makes of the facts that it found: good, doubtful or broken, and what to do. Pure. */

export type Verdict = "ok" | "warn" | "fail";

/** One line of the report. */
export interface Finding {
  /** What was looked at: `node`, `files`, `tcp`. */
  readonly what: string;
  readonly verdict: Verdict;
  readonly text: string;
  /** What to do about it, where that is not "ok". */
  readonly remedy?: string;
}

/** An optional package. `version` is absent where it is not installed, `error` where it does not load. */
export interface PackageFact {
  readonly name: string;
  readonly use: string;
  readonly version?: string;
  readonly error?: string;
}

/** Files that a process should be able to have open: each connection is one. */
const ENOUGH_FILES = 4_096;
/** Fewer than this and a server with some hundred peers fails. */
const LEAST_FILES = 1_024;
/** Local ports for outgoing connections. */
const ENOUGH_PORTS = 10_000;
/** Connections that wait to be accepted: the default of the option `backlog`. */
const ENOUGH_BACKLOG = 100;
/** The part that the clock of the day may differ from the steady one in a moment. */
const CLOCK_SLACK = 0.05;
/** The clock of a machine that never was set begins decades ago. */
const EARLIEST = Date.UTC(2025, 0, 1);
/** Bytes of an ipc path, on the system that allows least (macOS), with a name of its own. */
const IPC_FOLDER = 80;

/** @param version of Node.js, without the "v" */
export function nodeFinding(runtime: string, version: string): Finding {
  const what = "runtime";
  const text = `${runtime} ${version}`;
  if (runtime !== "Node.js") return { what, verdict: "ok", text };
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const fits = major > 22 || (major === 22 && minor >= 12) || (major === 20 && minor >= 19);
  if (fits) return { what, verdict: "ok", text };
  return { what, verdict: "fail", text, remedy: "shoal needs Node.js 20.19, 22.12 or newer" };
}

export function packageFinding({ name, use, version, error }: PackageFact): Finding {
  const what = "package";
  if (error !== undefined)
    return {
      what,
      verdict: "warn",
      text: `${name} does not load: ${error}`,
      remedy: `npm install ${name} installs it again, for ${use}`,
    };
  if (version === undefined)
    return { what, verdict: "ok", text: `${name} is not installed; it is for ${use}` };
  return { what, verdict: "ok", text: `${name} ${version}, for ${use}` };
}

/** @param limit of open files of a process; `Infinity`: none */
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

/** @param first and last local port of outgoing connections */
export function portsFinding(first: number, last: number): Finding {
  const count = last - first + 1;
  const text = `${count} local ports for connections (${first} to ${last})`;
  if (count >= ENOUGH_PORTS) return { what: "ports", verdict: "ok", text };
  return {
    what: "ports",
    verdict: "warn",
    text,
    remedy: "each outgoing connection takes one: widen net.ipv4.ip_local_port_range",
  };
}

export function backlogFinding(limit: number): Finding {
  const text = `${limit} connections may wait to be accepted`;
  if (limit >= ENOUGH_BACKLOG) return { what: "backlog", verdict: "ok", text };
  return {
    what: "backlog",
    verdict: "warn",
    text,
    remedy: "more at once are refused or wait a second: raise net.core.somaxconn",
  };
}

/** @param folder for temporary files, where ipc endpoints usually are */
export function ipcFinding(folder: string): Finding {
  const bytes = Buffer.byteLength(folder);
  if (bytes <= IPC_FOLDER)
    return { what: "ipc", verdict: "ok", text: `paths below ${folder} are short enough` };
  return {
    what: "ipc",
    verdict: "warn",
    text: `${folder} has ${bytes} bytes, and systems allow 103 to 107 for a whole path`,
    remedy: "set TMPDIR to a shorter path, or give ipc endpoints one",
  };
}

/**
 * @param now of the clock of the day, ms
 * @param walked by it, and by the steady clock in the same time, ms
 * @param synchronized as the system says; `undefined` where it does not
 */
export function clockFinding(
  now: number,
  walked: number,
  steady: number,
  synchronized: boolean | undefined,
): Finding {
  const text = new Date(now).toISOString();
  const what = "clock";
  if (now < EARLIEST)
    return { what, verdict: "fail", text, remedy: "it was never set: certificates are not valid yet" };
  if (Math.abs(walked - steady) > Math.max(5, steady * CLOCK_SLACK))
    return {
      what,
      verdict: "warn",
      text: `${text}, and was set meanwhile`,
      remedy: "look at the time service",
    };
  if (synchronized === false)
    return {
      what,
      verdict: "warn",
      text: `${text}, not synchronized`,
      remedy: "start a time service: certificates, expiry and logs of several hosts need the same time",
    };
  return { what, verdict: "ok", text: synchronized === true ? `${text}, synchronized` : text };
}

/** Worst of all. */
export function worst(findings: readonly Finding[]): Verdict {
  const has = (verdict: Verdict): boolean => findings.some((finding) => finding.verdict === verdict);
  return has("fail") ? "fail" : has("warn") ? "warn" : "ok";
}

/** The report as lines. */
export function findingLines(findings: readonly Finding[]): string[] {
  return findings.flatMap(({ what, verdict, text, remedy }) => [
    `${verdict.padEnd(5)}${what.padEnd(9)}${text}`,
    ...(remedy === undefined ? [] : [`${" ".repeat(14)}${remedy}`]),
  ]);
}
