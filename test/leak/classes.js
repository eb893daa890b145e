/**
 * Runs each program of a module several times, a few of them at once, and prints what is left of the package's classes:
 * `{ alive, objects }`, a JSON object. Started by classes.test.ts: node classes.js MODULE ROUNDS.
 *
 * All public classes get one prototype above their own, so that one walk through the heap finds the instances of all.
 */
import { queryObjects, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

// Not on the command line, which worker threads take over: they refuse it.
setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc");

const [module, rounds] = process.argv.slice(2);
const { programs, entries } = await import(module);
const AT_ONCE = 4;
/** Looks at the heap, until nothing of them is there. */
const TRIES = 20;

class Public {}
for (const entry of entries) {
  for (const value of Object.values(await import(entry))) {
    if (typeof value !== "function" || !/^class\b/.test(Function.prototype.toString.call(value))) continue;
    if (Object.getPrototypeOf(value.prototype) === Object.prototype)
      Object.setPrototypeOf(value.prototype, Public.prototype);
  }
}

/** Each program once. One that is made of the same names as itself cannot run next to itself. */
async function round() {
  const left = [...programs];
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (let next = left.pop(); next !== undefined; next = left.pop()) {
        try {
          await next.run();
        } catch (error) {
          throw new Error(`The program of ${next.names}`, { cause: error });
        }
      }
    }),
  );
}

/** A WeakRef that was looked at, and what a timer or a settled promise holds, goes with the next turn. */
async function settled() {
  for (let i = 0; i < 3; i++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    collect();
  }
}

const { log } = console;
console.log = () => undefined;
// The prototypes themselves.
const before = queryObjects(Public, { format: "summary" });
const objects = [];
for (let i = 0; i < Number(rounds); i++) {
  await round();
  if (i > 0 && Number(rounds) > 2) {
    await settled();
    objects.push(queryObjects(Object, { format: "count" }));
  }
}
let alive = [];
// A connection that ends, or a timer that runs out, may hold one for a moment; a leak holds it forever.
for (let tries = 0; tries < TRIES; tries++) {
  await settled();
  alive = queryObjects(Public, { format: "summary" });
  for (const shown of before) {
    const at = alive.indexOf(shown);
    if (at >= 0) alive.splice(at, 1);
  }
  if (alive.length === 0) break;
}
log(JSON.stringify({ alive: alive.map((shown) => shown.slice(0, 200)), objects }));
