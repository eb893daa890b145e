/**
 * What tests need of the machine and cannot bring along: other implementations to talk to, and rights that not every
 * user has. Each is probed once in a run (setup.ts), by doing what the tests do with it: that a file is there says
 * little. A test asks `missing(name)`.
 *
 *   SHOAL_REQUIRE_PEERS=pyzmq,czmq   a peer that is named and missing fails the run, so that no coverage is lost unseen
 *   SHOAL_PYTHON=PATH                the Python to use, in place of the first that has pyzmq
 */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { inject } from "vitest";

const run = promisify(execFile);

/** ms that one command of a probe may take, on a busy machine. */
const LIMIT = 20_000;

const DEBIAN_POSTGRESQL = "/usr/lib/postgresql";

/** Resolves with where the peer is, rejects when it cannot be used. */
const PROBES = {
  python3: () => firstPython("pty, fcntl"),
  pyzmq: () => firstPython("zmq, zmq.auth.thread"),
  cc: () => compile("int main(void) { return 0; }\n", "-lc"),
  czmq: () => compile("#include <czmq.h>\nint main(void) { return zsys_interrupted; }\n", "-lczmq"),
  postgresql: findPostgresql,
  etcd: () => hasVersion("etcd"),
  networks: makeNetwork,
  mounts: () => inFolder((folder) => mount(folder)),
  "systemd-analyze": () => hasVersion("systemd-analyze"),
  ipv6: () => listen("::1"),
  chromium: () => hasVersion(process.env.CHROMIUM ?? "chromium"),
} as const;

export type PeerName = keyof typeof PROBES;

/** What each is good for, and how it is had. */
const REMEDIES: Readonly<Record<PeerName, string>> = {
  python3: "no python3 (Debian: python3)",
  pyzmq: "no python3 that can import zmq (Debian: python3-zmq; or SHOAL_PYTHON)",
  cc: "no C compiler (cc; Debian: gcc libc6-dev)",
  czmq: "no C compiler (cc), or no czmq to build against (Debian: gcc libczmq-dev)",
  postgresql: `no PostgreSQL server under ${DEBIAN_POSTGRESQL} that can run here (Debian: postgresql)`,
  etcd: "no etcd (Debian: etcd-server)",
  networks: "no network namespaces (Debian: iproute2; and the right to make them)",
  mounts: "no right to mount a file system",
  "systemd-analyze": "no systemd-analyze (Debian: systemd)",
  ipv6: "no IPv6 on the loopback interface",
  chromium: "no chromium (Debian: chromium; or CHROMIUM)",
};

/** What a probe found: where the peer is, or why tests with it are skipped. */
export type Found = { readonly at: string } | { readonly missing: string };

declare module "vitest" {
  interface ProvidedContext {
    peers: Readonly<Record<string, Found>>;
  }
}

/** Probes all, at the same time. */
export async function probePeers(): Promise<Record<PeerName, Found>> {
  const names = Object.keys(PROBES) as PeerName[];
  const found = await Promise.all(
    names.map(async (name): Promise<[PeerName, Found]> => {
      try {
        return [name, { at: await PROBES[name]() }];
      } catch (error) {
        return [name, { missing: `${REMEDIES[name]}: ${reasonOf(error)}` }];
      }
    }),
  );
  return Object.fromEntries(found) as Record<PeerName, Found>;
}

/**
 * @param required names, separated by commas
 * @throws Error for a required peer that is missing, and for a name that no probe has
 */
export function checkRequired(found: Readonly<Record<string, Found>>, required: string): void {
  const names = required.split(",").filter((name) => name !== "");
  const unknown = names.filter((name) => !(name in found));
  if (unknown.length > 0)
    throw new Error(
      `SHOAL_REQUIRE_PEERS names ${unknown.join(", ")}; there are ${Object.keys(found).join(", ")}`,
    );
  const reasons = names.flatMap((name) => {
    const peer = found[name] as Found;
    return "missing" in peer ? [`${name}: ${peer.missing}`] : [];
  });
  if (reasons.length > 0)
    throw new Error(`SHOAL_REQUIRE_PEERS: these are required and missing:\n  ${reasons.join("\n  ")}`);
}

/** False, or why tests with a peer cannot run here. */
export function missing(name: PeerName): string | false {
  const found = inject("peers")[name] as Found;
  return "missing" in found && found.missing;
}

/** Where a peer is: a command, a folder of programs. Empty where it is missing. */
export function peerAt(name: PeerName): string {
  const found = inject("peers")[name] as Found;
  return "at" in found ? found.at : "";
}

/** A Python that can import these modules: the system's own first, which has what its packages installed. */
async function firstPython(modules: string): Promise<string> {
  const given = process.env.SHOAL_PYTHON ?? "";
  let reason: unknown;
  for (const python of given === "" ? ["/usr/bin/python3", "python3", "python"] : [given]) {
    try {
      await run(python, ["-c", `import ${modules}`], { timeout: LIMIT });
      return python;
    } catch (error) {
      reason ??= error;
    }
  }
  throw reason;
}

async function hasVersion(program: string): Promise<string> {
  await run(program, ["--version"], { timeout: LIMIT });
  return program;
}

async function compile(source: string, library: string): Promise<string> {
  await inFolder(async (folder) => {
    await writeFile(join(folder, "probe.c"), source);
    await run("cc", ["probe.c", "-o", "probe", library], { cwd: folder, timeout: LIMIT });
  });
  return "cc";
}

/** The newest one's programs. As root it needs a user to run as. */
async function findPostgresql(): Promise<string> {
  const versions = (await readdir(DEBIAN_POSTGRESQL)).sort((a, b) => Number(b) - Number(a));
  const bin = versions
    .map((version) => join(DEBIAN_POSTGRESQL, version, "bin"))
    .find((path) => existsSync(join(path, "initdb")));
  if (bin === undefined) throw new Error("no initdb there");
  if (process.getuid?.() === 0) await run("id", ["-u", "postgres"]);
  return bin;
}

async function makeNetwork(): Promise<string> {
  const name = `shoal-${process.pid}-probe`;
  await run("ip", ["netns", "add", name], { timeout: LIMIT });
  try {
    const link = `-n ${name} link add one type veth peer name two`;
    await run("ip", link.split(" "), { timeout: LIMIT });
  } finally {
    await run("ip", ["netns", "del", name], { timeout: LIMIT });
  }
  return "ip";
}

async function mount(folder: string): Promise<string> {
  const disk = join(folder, "disk");
  await mkdir(disk);
  await run("mount", ["-t", "tmpfs", "-o", "size=1m", "none", disk], { timeout: LIMIT });
  await run("umount", [disk], { timeout: LIMIT });
  return "mount";
}

async function listen(host: string): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject).listen(0, host, resolve);
  });
  await new Promise((resolve) => server.close(resolve));
  return host;
}

/** Calls `use` with a folder that is gone afterwards. */
async function inFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), "shoal-probe-"));
  try {
    return await use(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The last line of what a program wrote to its standard error says why, where there is one. */
function reasonOf(error: unknown): string {
  const { stderr = "", message } = error as { stderr?: string; message: string };
  return stderr.trim().split("\n").at(-1) || (message.split("\n")[0] ?? "");
}
