/** What is in deploy/ fits the binary: its arguments start a proxy, its probes get answers, its times fit the drain. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parseAllDocuments } from "yaml";
import { startWithout } from "../cli/in-process.js";
import { missing } from "../support/peers.js";

const ROOT = new URL("../../", import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, ROOT), "utf8");
const { version } = JSON.parse(read("package.json")) as { readonly version: string };

/** Runs `shoal` with arguments of deploy/, at ports of the system's. @returns the status of each path */
async function answers(args: readonly string[], paths: readonly string[]): Promise<readonly number[]> {
  const anywhere = args.map((arg) =>
    arg.replace(/^tcp:\/\/.*:\d+$/, "tcp://127.0.0.1:*").replace(/^[\d.*]+:\d+$/, "127.0.0.1:0"),
  );
  const child = startWithout(...anywhere);
  const [, url] = await child.until("stderr", /(http:\/\/[^/"]+)\/metrics/);
  await child.until("stderr", /backend listening/);
  const statuses: number[] = [];
  for (const path of paths) {
    let status: number;
    // "listening" is said a moment before it is ready.
    do status = (await fetch(`${url}${path}`)).status;
    while (status === 503);
    statuses.push(status);
  }
  child.signal("SIGTERM");
  expect((await child.ended).code).toBe(0);
  return statuses;
}

/** The number after a flag. */
function numberAfter(args: readonly string[], flag: string): number {
  return Number(args[args.indexOf(flag) + 1]);
}

describe("the systemd unit", () => {
  const unit = read("deploy/systemd/shoal-proxy.service");
  const values = (name: string): string[] =>
    Array.from(unit.matchAll(new RegExp(`^${name}=(.*)$`, "gm")), ([, value]) => value as string);
  const environment = Object.fromEntries(
    values("Environment").map((line) => line.split("=") as [string, string]),
  );
  const [program, ...args] = (values("ExecStart")[0] as string)
    .split(" ")
    .map((word) => word.replace(/^\$\{?(\w+)\}?$/, (_, name: string) => environment[name] ?? ""))
    .filter((word) => word !== "");

  it("starts a proxy with its arguments", async () => {
    expect(program).toBe("/usr/local/bin/shoal");
    expect(await answers(args, ["/readyz", "/metrics"])).toEqual([200, 200]);
  });

  it.skipIf(missing("systemd-analyze"))("is understood by systemd, and exposes little", () => {
    const folder = mkdtempSync(join(tmpdir(), "shoal-unit-"));
    try {
      const path = join(folder, "shoal-proxy.service");
      writeFileSync(path, unit.replace("/usr/local/bin/shoal", "/bin/true"));
      const analyze = (...more: string[]): string =>
        execFileSync("/bin/sh", ["-c", 'exec systemd-analyze "$@" 2>&1', "sh", ...more, path], {
          encoding: "utf8",
        });
      expect(analyze("verify")).toBe("");
      // Fails above 2.0 of 10.
      expect(analyze("security", "--offline=true", "--threshold=20", "--no-pager")).toMatch(
        /exposure level .* OK/,
      );
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe("the Kubernetes manifests", () => {
  interface Probe {
    readonly httpGet: { readonly path: string; readonly port: string };
  }
  // biome-ignore lint/suspicious/noExplicitAny: documents of five kinds
  const documents = parseAllDocuments(read("deploy/kubernetes/shoal-proxy.yaml")).map((document): any => {
    expect(document.errors).toEqual([]);
    return document.toJS();
  });
  const of = (kind: string) => documents.find((document) => document.kind === kind);
  const pod = of("Deployment").spec.template;
  const [container] = pod.spec.containers;

  it("starts a proxy whose probes are answered", async () => {
    const probes: Probe[] = [container.startupProbe, container.livenessProbe, container.readinessProbe];
    for (const { httpGet } of probes) expect(httpGet.port).toBe("metrics");
    const paths = [
      ...probes.map(({ httpGet }) => httpGet.path),
      pod.metadata.annotations["prometheus.io/path"],
    ];
    expect(await answers(container.args, paths)).toEqual([200, 200, 200, 200]);
  });

  it("gives a drain its time", () => {
    const [, pause] = container.lifecycle.preStop.exec.command;
    const needs = Number(pause) + numberAfter(container.args, "--drain");
    expect(pod.spec.terminationGracePeriodSeconds).toBeGreaterThan(needs);
  });
});

describe.each(["shoal-proxy", "shoal-proxies", "shoal-node"])("%s.yaml", (name) => {
  it("has the same labels, ports and image everywhere", () => {
    // biome-ignore lint/suspicious/noExplicitAny: documents of several kinds
    const documents = parseAllDocuments(read(`deploy/kubernetes/${name}.yaml`)).map((each): any =>
      each.toJS(),
    );
    const { template } = documents.find(({ kind }) => /^(?:Deployment|StatefulSet)$/.test(kind)).spec;
    const [{ ports, image, args }, ...others] = [
      ...template.spec.containers,
      ...(template.spec.initContainers ?? []),
    ];
    for (const each of [image, ...others.map((other) => other.image)]) expect(each).toBe(`shoal:${version}`);
    for (const { kind, spec } of documents) {
      const selector = spec?.podSelector ?? spec?.selector;
      if (selector !== undefined)
        expect(template.metadata.labels).toMatchObject(selector.matchLabels ?? selector);
      const named =
        kind === "Service" ? spec.ports.map((port: { targetPort: string }) => port.targetPort) : [];
      for (const port of named) expect(ports.map((each: { name: string }) => each.name)).toContain(port);
    }
    const { "prometheus.io/port": scraped } = template.metadata.annotations;
    expect(args.join(" ")).toContain(`--metrics *:${scraped}`);
    expect(ports).toContainEqual(
      expect.objectContaining({ name: "metrics", containerPort: Number(scraped) }),
    );
  });
});
