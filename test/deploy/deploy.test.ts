/** What is in deploy/ fits the binary: its arguments start a proxy, its probes get answers, its times fit the drain. */
import { describe, expect, it } from "vitest";
import { startWithout } from "../cli/in-process.js";
import { sharedFolder } from "../support/folders.js";
import { missing } from "../support/peers.js";
import { anywhere, askedOf, documentsOf, read, statuses, unitOf } from "./support.js";

const { version } = JSON.parse(read("package.json")) as { readonly version: string };
const folder = sharedFolder();

/** Runs `shoal` with arguments of deploy/, at ports of the system's. @returns the status of each path */
async function answers(args: readonly string[], paths: readonly string[]): Promise<readonly number[]> {
  const child = startWithout(...anywhere(args));
  await child.until("stderr", /backend listening/);
  const found = await statuses(child, paths);
  await child.stop();
  return found;
}

describe("the systemd unit", () => {
  const { program, args, expectSafe } = unitOf("shoal-proxy");

  it("starts a proxy with its arguments", async () => {
    expect(program).toBe("/usr/local/bin/shoal");
    expect(await answers(args, ["/readyz", "/metrics"])).toEqual([200, 200]);
  });

  it.skipIf(missing("systemd-analyze"))("is understood by systemd, and exposes little", () => {
    expectSafe(folder);
  });
});

describe("the Kubernetes manifests", () => {
  const documents = documentsOf("deploy/kubernetes/shoal-proxy.yaml");
  const of = (kind: string) => documents.find((document) => document.kind === kind);
  const pod = of("Deployment").spec.template;
  const [container] = pod.spec.containers;

  it("starts a proxy whose probes are answered", async () => {
    expect(await answers(container.args, askedOf(pod))).toEqual([200, 200, 200, 200]);
  });

  it("gives a drain its time", () => {
    const [, pause] = container.lifecycle.preStop.exec.command;
    const needs = Number(pause) + Number(container.args[container.args.indexOf("--drain") + 1]);
    expect(pod.spec.terminationGracePeriodSeconds).toBeGreaterThan(needs);
  });
});

describe.each(["shoal-proxy", "shoal-proxies", "shoal-node"])("%s.yaml", (name) => {
  it("has the same labels, ports and image everywhere", () => {
    const documents = documentsOf(`deploy/kubernetes/${name}.yaml`);
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
