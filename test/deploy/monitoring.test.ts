/**
 * What deploy/ has for Grafana asks for metrics and labels that there are; the variants with a configuration start
 * and reload; Compose has two networks that only the proxy is in.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { BUILD, FAMILIES, INFO, labelsOf, type MetricsFamily, UP } from "../../src/metrics/metrics-table.js";
import { startWithout } from "../cli/in-process.js";
import { removeAfterEach } from "../support/folders.js";
import { anywhere, documentsOf, read } from "./support.js";

const makeFolder = removeAfterEach();

/** The labels of each metric of shoal. */
const LABELS = new Map<string, readonly string[]>([
  [INFO.name, INFO.labels],
  [UP.name, UP.labels],
  [BUILD.name, BUILD.labels],
  ...Object.entries(FAMILIES).flatMap(([family, { metrics }]) =>
    metrics.map((metric) => [metric.name, labelsOf(family as MetricsFamily, metric)] as const),
  ),
]);
/** Those that Prometheus itself adds, or that come from prom-client. */
const OTHERS = ["instance", "job"];
const OF_PROCESS =
  /^(?:process_cpu_seconds_total|process_resident_memory_bytes|nodejs_eventloop_lag_(?:p99|min)_seconds)$/;

/** What an expression asks for that does not exist. */
function unknownIn(expression: string): readonly string[] {
  const unknown: string[] = [];
  const known = new Set(OTHERS);
  for (const [, name = "", selector = ""] of expression.matchAll(
    /\b((?:shoal|process|nodejs)_\w+)(?:\{([^}]*)\})?/g,
  )) {
    const labels = LABELS.get(name);
    if (labels === undefined && !OF_PROCESS.test(name)) unknown.push(name);
    for (const label of labels ?? []) known.add(label);
    for (const [, label = ""] of selector.matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g))
      if (![...OTHERS, ...(labels ?? [])].includes(label)) unknown.push(`${name}{${label}}`);
  }
  for (const [, list = ""] of expression.matchAll(/\b(?:by|on)\s*\(([^)]*)\)/g))
    for (const label of list.split(",")) if (!known.has(label.trim())) unknown.push(label.trim());
  return unknown;
}

interface Panel {
  readonly id: number;
  readonly title: string;
  readonly type: string;
  readonly targets?: readonly { readonly expr: string; readonly legendFormat?: string }[];
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
}
const { panels } = JSON.parse(read("deploy/grafana/shoal.json")) as { readonly panels: readonly Panel[] };

it("the dashboard of Grafana asks for what there is, with legends of labels that there are", () => {
  for (const { title, targets = [] } of panels)
    for (const { expr, legendFormat = "" } of targets) {
      expect([title, unknownIn(expr)]).toEqual([title, []]);
      const metric = /(?:shoal|process|nodejs)_\w+/.exec(expr)?.[0] ?? "";
      for (const [, label] of legendFormat.matchAll(/\{\{\s*(\w+)\s*\}\}/g))
        expect([...OTHERS, ...(LABELS.get(metric) ?? [])], `${title}: ${legendFormat}`).toContain(label);
    }
});

const { groups } = parse(read("deploy/prometheus/rules.yaml")) as {
  readonly groups: readonly {
    readonly rules: readonly { alert: string; expr: string; annotations: object }[];
  }[];
};

it.each(
  groups.flatMap(({ rules }) => rules),
)("the alert $alert of Prometheus asks for what there is, and has the labels it shows", ({
  expr,
  annotations,
}) => {
  expect(expr).toMatch(/shoal_/);
  expect(unknownIn(expr)).toEqual([]);
  const grouped = Array.from(expr.matchAll(/by \(([^)]*)\)/g), ([, names = ""]) => names.split(", ")).flat();
  for (const [, name] of JSON.stringify(annotations).matchAll(/\$labels\.(\w+)/g))
    expect(grouped).toContain(name);
});

describe("Compose with a proxy between two networks", () => {
  const file = "deploy/docker/compose-proxy.yaml";
  const { services, networks } = parse(read(file), { merge: true }) as {
    services: Record<
      string,
      { image: string; networks: string[]; ports?: string[]; volumes?: string[]; command?: string[] }
    >;
    networks: Record<string, { internal?: boolean } | null>;
  };

  it("has nobody but the proxy in both", () => {
    const inside = (name: string) =>
      Object.keys(services).filter((each) => services[each]?.networks.includes(name));
    expect(inside("outside").filter((name) => inside("inside").includes(name))).toEqual(["proxy"]);
    expect([networks.outside?.internal, networks.inside?.internal]).toEqual([true, true]);
  });

  it("starts a proxy and a dashboard that sees it", async () => {
    const proxy = startWithout(...anywhere(services.proxy?.command ?? []));
    const [, control = ""] = await proxy.until("stderr", /control listening at (tcp:[^"\s]+)/);
    const dashboard = startWithout(
      ...anywhere(services.dashboard?.command ?? []).map((arg) => (arg.startsWith("tcp:") ? control : arg)),
    );
    const [, url] = await dashboard.until("stderr", /listening at (http:\S+)/);
    expect((await fetch(`${url}/api/state`)).status).toBe(200);
    await Promise.all([proxy.stop(), dashboard.stop()]);
  });
});

const documents = documentsOf("deploy/kubernetes/shoal-proxies.yaml");
const of = (kind: string) => documents.find((document) => document.kind === kind);
const pod = of("Deployment").spec.template;
const [container] = pod.spec.containers;
const unit = read("deploy/systemd/shoal-proxies.service");

it.each([
  ["Kubernetes", of("ConfigMap").data["proxies.yaml"] as string, container.args as string[]],
  [
    "systemd",
    read("deploy/systemd/shoal-proxies.yaml"),
    (/^ExecStart=\S+ (.*)$/m.exec(unit)?.[1] ?? "").replace(/\$\{\w+\}/, "*:9464").split(" "),
  ],
])("proxies of a file, %s: start, and read their file again on a signal", async (_, configuration, args) => {
  const folder = makeFolder();
  const file = join(folder, "proxies.yaml");
  const own = configuration
    .replaceAll(/tcp:\/\/\*:\d+/g, "tcp://127.0.0.1:*")
    .replaceAll("/run/shoal-proxies", folder);
  writeFileSync(file, own);
  const child = startWithout(
    ...anywhere(args).map((arg) => (arg === "/etc/shoal/proxies.yaml" ? file : arg)),
  );
  await child.until("stderr", /requests.*backend listening|backend listening.*requests/);
  writeFileSync(file, own.replace(/^( +)requests:/m, "$1others:"));
  child.signal("SIGHUP");
  await child.until("stderr", /others.*backend listening|backend listening.*others/);
  await child.stop();
});
