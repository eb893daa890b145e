/** The rules of taking an ipc path, with several contenders in every order, and deaths in between. */
import { existsSync, linkSync, lstatSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, it, vi } from "vitest";
import { type Answer, type Asking, takePath } from "../../../../src/engine/zmtp/transport/ipc-path.js";
import { LONG } from "../../../support/long.js";
import fc from "../../../support/properties.js";

/** Called before each call to the file system: where another program may come between. */
const between = vi.hoisted(() => ({ call: (): void => undefined }));
vi.mock("node:fs", async (load) => {
  const fs = await load<typeof import("node:fs")>();
  const interrupted =
    <A extends unknown[], R>(call: (...args: A) => R): ((...args: A) => R) =>
    (...args) => {
      between.call();
      return call(...args);
    };
  const { linkSync, renameSync, unlinkSync, lstatSync } = fs;
  return {
    ...fs,
    linkSync: interrupted(linkSync),
    renameSync: interrupted(renameSync),
    unlinkSync: interrupted(unlinkSync),
    lstatSync: interrupted(lstatSync as (...args: unknown[]) => unknown),
  };
});
afterEach(() => {
  between.call = () => undefined;
});

const folder = mkdtempSync(join(tmpdir(), "shoal-path-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let names = 0;

/** A socket file that the system knows no listener of: whether it lives is the test's to say. */
async function socketFile(path: string): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(`${path}-`, resolve));
  linkSync(`${path}-`, path);
  await new Promise((resolve) => server.close(resolve));
  return path;
}

const inodeOf = (path: string): number | undefined => lstatSync(path, { throwIfNoEntry: false })?.ino;

/** A program that wants the path; it is asked to go on question by question. */
class Contender {
  readonly inode: number;
  readonly #rules: Asking<boolean>;
  #question: string | undefined;
  #begun = false;
  #runs = false;
  outcome: "busy" | "has" | "refused" | "dead" = "busy";

  constructor(path: string, aside: string) {
    this.inode = inodeOf(aside) as number;
    this.#rules = takePath(path, aside);
  }

  step(alive: ReadonlySet<number>): void {
    if (this.outcome !== "busy" || this.#runs) return;
    this.#runs = true;
    let next: IteratorResult<string, boolean>;
    if (!this.#begun) next = this.#rules.next();
    else {
      const inode = inodeOf(this.#question as string);
      const answer: Answer = inode === undefined ? "gone" : alive.has(inode) ? "listens" : "refuses";
      next = this.#rules.next(answer);
    }
    this.#runs = false;
    this.#begun = true;
    if (next.done !== true) this.#question = next.value;
    else this.outcome = next.value ? "has" : "refused";
  }
}

describe("contenders for a path", () => {
  it("one of them has it, in every order, even when any dies in between", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 2, max: 4 }),
        fc.boolean(),
        fc.array(fc.record({ who: fc.nat(3), dies: fc.boolean() }), { maxLength: 40 }),
        fc.array(fc.nat(15), { maxLength: 60 }),
        async (count, stale, steps, interruptions) => {
          const here = mkdtempSync(join(folder, "run-"));
          const path = join(here, "path");
          if (stale) await socketFile(path);
          const contenders: Contender[] = [];
          for (let i = 0; i < count; i++)
            contenders.push(new Contender(path, await socketFile(join(here, `aside${++names}`))));
          const alive = new Set(contenders.map(({ inode }) => inode));
          const check = (): void => {
            const holders = contenders.filter(({ outcome }) => outcome === "has");
            expect(holders.length).toBeLessThanOrEqual(1);
            for (const { inode } of holders) expect(inodeOf(path)).toBe(inode);
          };
          let interruption = 0;
          between.call = () => {
            const choice = interruptions[interruption++] ?? 15;
            const steps = choice < 8 ? 3 : choice < 12 ? 1 : 0;
            for (let i = 0; i < steps; i++) contenders[choice % count]?.step(alive);
          };
          for (const { who, dies } of steps) {
            const one = contenders[who % count] as Contender;
            one.step(alive);
            check();
            // At most all but one, and not more than half of the times.
            if (!dies || who % 2 === 0 || alive.size === 1 || !alive.delete(one.inode)) continue;
            one.outcome = "dead";
          }
          while (contenders.some(({ outcome }) => outcome === "busy")) {
            for (const one of contenders) {
              one.step(alive);
              check();
            }
          }
          between.call = () => undefined;
          check();
          const living = contenders.filter(({ outcome }) => outcome !== "dead");
          // A refusal was due to one that lived then, and may have died since: the next gets it.
          if (living.every(({ outcome }) => outcome === "refused")) {
            const next = new Contender(path, await socketFile(join(here, `aside${++names}`)));
            alive.add(next.inode);
            while (next.outcome === "busy") next.step(alive);
            expect(next.outcome).toBe("has");
          }
          // No claim is left that would keep anybody out.
          expect(existsSync(path)).toBe(true);
          if (contenders.length === living.length)
            expect(readdirSync(here).filter((name) => name.startsWith("."))).toEqual([]);
          rmSync(here, { recursive: true });
        },
      ),
      { numRuns: LONG ? 5_000 : 150 },
    );
  });
});
