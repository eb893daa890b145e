/**
 * What deploy/ has for nodes fits the binary: those of Compose and of systemd start; in the long form three nodes start with the arguments of
 * the StatefulSet and find each other by the EndpointSlices, their probes get answers, the command of preStop drains. Ports, paths and the scope are the
 * test's own.
 */
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { parse } from "yaml";
import { run } from "../cli/in-process.js";
import { type Child, MAIN, startWithout, useShoal } from "../cli/support.js";
import { pod as endpoint, slice } from "../cluster/discovery/api-server.js";
import { removeAfterEach } from "../support/folders.js";
import { listening } from "../support/listening.js";
import { LONG } from "../support/long.js";
import { missing } from "../support/peers.js";
import { freePorts } from "../support/ports.js";
import { askedOf, documentsOf, read, statuses, unitOf } from "./support.js";

const makeFolder = removeAfterEach();
useShoal();

let folder = "";
let password = "";
beforeEach(() => {
  folder = makeFolder();
  password = join(folder, "password");
  writeFileSync(password, `${"kelp".repeat(8)}\n`, { mode: 0o600 });
  vi.stubEnv("XDG_RUNTIME_DIR", folder);
  vi.stubEnv("SHOAL_RUNTIME_DIR", undefined);
});
afterEach(() => void vi.unstubAllEnvs());

/** The value behind a flag. */
const flagOf = (args: readonly string[], flag: string): string => args[args.indexOf(flag) + 1] as string;

/** Starts a node with arguments of deploy/: at a port of the test's, on this host, with the test's password. */
function startNode(args: readonly string[], port: number, discovery: string): Child {
  const own: Readonly<Record<string, string>> = {
    "--scope": "host",
    "--ports": `${port}-${port}`,
    "--password-file": password,
    "--metrics": "127.0.0.1:0",
    "--control": `ipc://${folder}/control`,
    "--discovery": discovery,
  };
  return startWithout(...args.map((arg, at) => own[args[at - 1] ?? ""] ?? arg));
}

describe("the StatefulSet of nodes", () => {
  const documents = documentsOf("deploy/kubernetes/shoal-node.yaml");
  const of = (kind: string) => documents.find((document) => document.kind === kind);
  const { spec } = of("StatefulSet");
  const pod = spec.template;
  const [container] = pod.spec.containers;
  const args: readonly string[] = container.args;
  const port = Number(flagOf(args, "--ports").split("-")[0]);

  /** Serves the slices of the Service to every namespace, without asking who it is. */
  async function serveSlices(ports: readonly number[]): Promise<string> {
    const items = ports.map((each, at) =>
      slice(`shoal-node-${at}`, [endpoint("127.0.0.1")], { ports: [{ name: "node", port: each }] }),
    );
    const server = createServer(({ url = "" }, response) => {
      const { pathname, searchParams } = new URL(url, "http://api");
      const service = searchParams.get("labelSelector");
      const isOurs = service === `kubernetes.io/service-name=${of("Service").metadata.name}`;
      if (pathname !== "/apis/discovery.k8s.io/v1/namespaces/sea/endpointslices" || !isOurs)
        response.writeHead(404).end();
      else response.end(JSON.stringify({ metadata: { resourceVersion: "1" }, items }));
    });
    return `http://127.0.0.1:${await listening(server)}`;
  }

  it.runIf(LONG)("starts nodes that find each other, answer probes, drain and leave", async () => {
    const ports = await freePorts(3);
    const server = await serveSlices(ports);
    expect(flagOf(args, "--discovery")).toMatch(
      new RegExp(`^kubernetes://\\$\\(POD_NAMESPACE\\)/[a-z-]+:${port}$`),
    );
    // The slices of the tests have a port for each node.
    const discovery = flagOf(args, "--discovery").replace("$(POD_NAMESPACE)", "sea").replace(`:${port}`, "");
    const nodes = ports.map((each, at) => {
      const runtime = join(folder, `${at}`);
      mkdirSync(runtime);
      vi.stubEnv("XDG_RUNTIME_DIR", runtime);
      const named = args.map((arg) => arg.replace("$(POD_NAME)", `pod-${at}`));
      return startNode(named, each, `${discovery}?server=${server}`);
    });
    for (const [at, node] of nodes.entries())
      for (const other of [0, 1, 2])
        if (other !== at) await node.until("stdout", new RegExp(`"name":"pod-${other}"`));

    expect(await statuses(nodes[0] as Child, askedOf(pod))).toEqual([200, 200, 200, 200]);

    const [shell, flag, command] = container.lifecycle.preStop.exec.command;
    expect([shell, flag]).toEqual(["sh", "-c"]);
    const [drain, pause] = command.split("; ");
    expect(drain).toContain("/opt/shoal/dist/cli/main.js node drain");
    vi.stubEnv("XDG_RUNTIME_DIR", join(folder, "0"));
    execFileSync("sh", ["-c", drain.replace("/opt/shoal/dist/cli/main.js", MAIN)]);
    await (nodes[1] as Child).until("stdout", /"event":"draining".*"pod-0"/);

    const seconds = Number(pause.replace("sleep ", ""));
    expect(pod.spec.terminationGracePeriodSeconds).toBeGreaterThan(seconds + 10);
    await (nodes[0] as Child).stop();
    await (nodes[1] as Child).until("stdout", /"event":"left".*"pod-0"/);
    await Promise.all(nodes.slice(1).map((node) => node.stop()));
  });

  it("gives the node a password that its user alone can read", () => {
    const [init] = pod.spec.initContainers;
    const [, , command] = init.command as string[];
    const secret = join(folder, "secret");
    mkdirSync(secret);
    writeFileSync(join(secret, "password"), "kelp kelp kelp\n");
    chmodSync(join(secret, "password"), pod.spec.volumes[0].secret.defaultMode);
    rmSync(password);
    const own = (command as string).replaceAll("/secret", secret).replaceAll("/run/shoal", folder);
    execFileSync("sh", ["-c", own]);
    // The group may read the Secret's file, and not the copy. It is made again when the pod's sandbox is.
    execFileSync("sh", ["-c", own]);
    expect(execFileSync("stat", ["-c", "%a", password], { encoding: "utf8" })).toBe("400\n");
    expect(flagOf(args, "--password-file")).toBe("/run/shoal/password");
    const mounts = (each: { volumeMounts: { mountPath: string }[] }) =>
      each.volumeMounts.map(({ mountPath }) => mountPath);
    expect([mounts(init), mounts(container)]).toEqual([["/secret", "/run/shoal"], ["/run/shoal"]]);
  });
});

const file = parse(read("deploy/docker/compose.yaml"), { merge: true });
const services = Object.entries(file.services) as [string, { command: string[]; [key: string]: unknown }][];

it("the Compose file of nodes starts a node with its arguments, whose health is asked", async () => {
  const [, ana] = services[0] as (typeof services)[0];
  const [port] = await freePorts(1);
  const node = startNode(ana.command, port, `static:127.0.0.1:${port}`);
  const [, url] = await node.until("stderr", /(http:\/\/[^/"]+)\/metrics/);
  await statuses(node, ["/readyz"]);
  const [, program, flag, script] = (ana.healthcheck as { test: string[] }).test;
  expect([program, flag]).toEqual(["node", "-e"]);
  expect(script).toContain(`127.0.0.1:${flagOf(ana.command, "--metrics").slice(2)}/readyz`);
  const asked = (script as string).replace(/http:\/\/127\.0\.0\.1:\d+/, url as string);
  execFileSync(process.execPath, ["-e", asked]);
  await node.stop();
  expect(() => execFileSync(process.execPath, ["-e", asked], { stdio: "ignore" })).toThrow();
});

describe("the systemd unit of a node", () => {
  const { values, program, args, expectSafe } = unitOf("shoal-node");

  it("starts a node with its arguments, which commands find at its control socket", async () => {
    expect(program).toBe("/usr/local/bin/shoal");
    const [port] = await freePorts(1);
    const named = args.map((arg) => (arg === "%l" ? "host" : arg));
    const node = startNode(named, port, "");
    expect(await statuses(node, ["/healthz", "/readyz", "/metrics"])).toEqual([200, 200, 200]);
    const { stdout } = await run("", "node", "status", "--control", `ipc://${folder}/control`);
    expect(String(stdout)).toMatch(/host@\S+ +running/);
    await node.stop();
  });

  it("gives the node a password that its user alone can read", () => {
    const [line] = values("ExecStartPre");
    // systemd's own escapes of $ and %; "+" is: as root.
    const command = /^\+\/bin\/sh -c '(.*)'$/
      .exec(line as string)?.[1]
      ?.replaceAll("$$", "$")
      .replaceAll("%%", "%");
    rmSync(password);
    writeFileSync(join(folder, "given"), "kelp kelp kelp\n");
    const own = (command as string)
      .replaceAll("/etc/shoal/password", join(folder, "given"))
      .replaceAll("/run/shoal-node", folder);
    execFileSync("sh", ["-c", own]);
    const { uid } = process.getuid === undefined ? { uid: 0 } : { uid: process.getuid() };
    expect(execFileSync("stat", ["-c", "%a %u", password], { encoding: "utf8" })).toBe(`600 ${uid}\n`);
  });

  it.skipIf(missing("systemd-analyze"))("is understood by systemd, and exposes little", () => {
    expectSafe(folder);
  });
});
