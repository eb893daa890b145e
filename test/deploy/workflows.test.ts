/** The workflows run what a developer runs, on what the package promises to run on. */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { expect, it } from "vitest";
import { parse } from "yaml";

const ROOT = new URL("../../", import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, ROOT), "utf8");
const FOLDER = ".github/workflows/";

interface Job {
  readonly permissions?: Readonly<Record<string, string>>;
  readonly strategy?: { readonly matrix: { readonly node: readonly number[] } };
  readonly "timeout-minutes": number;
  readonly steps: readonly { readonly run?: string; readonly uses?: string }[];
}
interface Workflow {
  readonly permissions: Readonly<Record<string, string>>;
  readonly jobs: Readonly<Record<string, Job>>;
}
const workflow = (name: string): Workflow => parse(read(FOLDER + name)) as Workflow;

it.each(
  readdirSync(new URL(FOLDER, ROOT)),
)("%s may write nothing, has a time-out, and runs what is there", (name) => {
  const { permissions, jobs } = workflow(name);
  expect(permissions).toEqual({ contents: "read" });
  const site: { readonly scripts: Readonly<Record<string, string>> } = JSON.parse(read("site/package.json"));
  const ran: [what: string, exists: boolean][] = [];
  for (const { steps, "timeout-minutes": minutes } of Object.values(jobs)) {
    expect(minutes).toBeLessThanOrEqual(60);
    for (const { run = "" } of steps) {
      for (const file of run.match(/(?:\.ci|scripts)\/[\w.]+/g) ?? [])
        ran.push([file, existsSync(new URL(file, ROOT))]);
      for (const [, script] of run.matchAll(/npm run --prefix site (\w+)/g))
        ran.push([`site: ${script}`, (script as string) in site.scripts]);
    }
  }
  expect(ran.length).toBeGreaterThan(0);
  expect(ran.filter(([, exists]) => !exists)).toEqual([]);
});

it("every Node.js that is promised is tested", () => {
  const nodes = workflow("ci.yml").jobs.all?.strategy?.matrix.node;
  const { engines } = JSON.parse(read("package.json"));
  expect(nodes?.slice(0, 2)).toEqual(
    [...engines.node.matchAll(/(\d+)\.\d+\.\d+/g)].map(([, major]) => Number(major)),
  );
  expect(statSync(new URL(".ci/run", ROOT)).mode & 0o111).toBe(0o111);
});

it("only the job that publishes can sign a statement of provenance", () => {
  const { jobs } = workflow("release.yml");
  expect(jobs.publish?.permissions).toEqual({ contents: "read", "id-token": "write" });
  expect(jobs.publish?.steps.at(-1)?.run).toBe("npm publish --provenance --access public");
});
