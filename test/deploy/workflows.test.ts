/** The workflows run what a developer runs, on what the package promises to run on. */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { expect, it } from "vitest";
import { parse } from "yaml";

const ROOT = new URL("../../", import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, ROOT), "utf8");
const FOLDER = ".github/workflows/";

type Inputs = Readonly<Record<string, string | number | boolean>>;
interface Job {
  readonly permissions?: Readonly<Record<string, string>>;
  readonly strategy?: { readonly matrix: { readonly node: readonly number[] } };
  readonly "timeout-minutes": number;
  readonly steps: readonly { readonly run?: string; readonly uses?: string; readonly with?: Inputs }[];
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
    for (const { run = "", uses, with: inputs = {} } of steps) {
      // A tag can be moved to other code; a commit cannot.
      if (uses !== undefined) expect(uses).toMatch(/^actions\/[\w-]+@[\da-f]{40}$/);
      if (uses?.startsWith("actions/checkout@")) expect(inputs["persist-credentials"]).toBe(false);
      for (const file of run.match(/(?:\.ci|scripts)\/[\w.]+/g) ?? [])
        ran.push([file, existsSync(new URL(file, ROOT))]);
      for (const [, script] of run.matchAll(/npm run --prefix site (\w+)/g))
        ran.push([`site: ${script}`, (script as string) in site.scripts]);
    }
  }
  expect(ran.length).toBeGreaterThan(0);
  expect(ran.filter(([, exists]) => !exists)).toEqual([]);
});

it(".ci/run runs scripts that there are", () => {
  const { scripts } = JSON.parse(read("package.json"));
  const { scripts: ofSite } = JSON.parse(read("site/package.json"));
  const text = read(".ci/run");
  const named = [...text.matchAll(/npm (?:run )?(--prefix site )?((?:\w+:?)+)/g)]
    .filter(([, , name]) => name !== "ci" && name !== "rebuild" && name !== "run")
    .map(([, isSite, name]) => [name, (name as string) in (isSite === undefined ? scripts : ofSite)]);
  expect(named.length).toBeGreaterThan(7);
  expect(named.filter(([, exists]) => exists === false)).toEqual([]);
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
