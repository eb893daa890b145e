/** What deploy/ has, as the tests read and start it. */
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { parseAllDocuments } from "yaml";
import type { Watched } from "../cli/support.js";

export const read = (path: string): string =>
  readFileSync(new URL(path, new URL("../../", import.meta.url)), "utf8");

interface Probe {
  readonly httpGet: { readonly path: string; readonly port: string };
}

// biome-ignore lint/suspicious/noExplicitAny: documents of many kinds
export function documentsOf(path: string): any[] {
  return parseAllDocuments(read(path)).map((document) => {
    expect(document.errors).toEqual([]);
    return document.toJS();
  });
}

/** The paths that Kubernetes and Prometheus ask of a container of a pod, at the port of metrics. */
// biome-ignore lint/suspicious/noExplicitAny: a part of a document
export function askedOf(pod: any): string[] {
  const [{ startupProbe, livenessProbe, readinessProbe }] = pod.spec.containers;
  const probes: Probe[] = [startupProbe, livenessProbe, readinessProbe];
  for (const { httpGet } of probes) expect(httpGet.port).toBe("metrics");
  return [...probes.map(({ httpGet }) => httpGet.path), pod.metadata.annotations["prometheus.io/path"]];
}

/** What listens does so at a port that the system chooses. */
export const anywhere = (args: readonly string[]): string[] =>
  args.map((arg) =>
    arg.replace(/^tcp:\/\/.*:\d+$/, "tcp://127.0.0.1:*").replace(/^[\d.*]+:\d+$/, "127.0.0.1:0"),
  );

/** The status of each path, of a program that has just started. */
export async function statuses(program: Watched, paths: readonly string[]): Promise<readonly number[]> {
  const [, url] = await program.until("stderr", /(http:\/\/[^/"]+)\/metrics/);
  return Promise.all(
    paths.map(async (path) => {
      let status: number;
      // 503 until it has started.
      do status = (await fetch(`${url}${path}`)).status;
      while (status === 503);
      return status;
    }),
  );
}

/** A unit of systemd: its lines of a name, and the words that it starts. */
export function unitOf(name: string) {
  const text = read(`deploy/systemd/${name}.service`);
  const values = (key: string): string[] =>
    Array.from(text.matchAll(new RegExp(`^${key}=(.*)$`, "gm")), ([, value]) => value as string);
  const environment = Object.fromEntries(
    values("Environment").map((line) => /^(\w+)=(.*)$/.exec(line)?.slice(1) as [string, string]),
  );
  const [program, ...args] = (values("ExecStart")[0] as string)
    .split(" ")
    .map((word) => word.replace(/^\$\{?(\w+)\}?$/, (_, key: string) => environment[key] ?? ""))
    .filter((word) => word !== "");
  /** That systemd understands it, and that it exposes little. */
  const expectSafe = (folder: string): void => {
    const path = join(folder, `${name}.service`);
    writeFileSync(path, text.replace("/usr/local/bin/shoal", "/bin/true"));
    const analyze = (...more: string[]): string =>
      execFileSync("/bin/sh", ["-c", 'exec systemd-analyze "$@" 2>&1', "sh", ...more, path], {
        encoding: "utf8",
      });
    expect(analyze("verify")).toBe("");
    // Fails above 2.0 of 10.
    expect(analyze("security", "--offline=true", "--threshold=20", "--no-pager")).toMatch(
      /exposure level .* OK/,
    );
  };
  return { values, program, args, expectSafe };
}
