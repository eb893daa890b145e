/** Linux's abstract names: `ipc://@NAME`. Whom they reach depends on how Node.js writes them. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { Context, Pull, Push } from "../../../../src/index.js";
import { collect } from "../../../contract/support/wait.js";
import { World } from "../../../contract/support/world.js";

const [, minor = 0] = (process.versions.uv ?? "").split(".").map(Number);
/** libuv from 1.48 on gives an abstract name its own length. */
const EXACT = minor >= 48;

const world = new World("zmtp", "ipc");
let names = 0;
const fresh = (): string => `shoal-abstract-${process.pid}-${++names}`;

/** As the kernel shows them: `@` for each zero byte. */
const known = (name: string): string[] =>
  readFileSync("/proc/net/unix", "latin1")
    .split("\n")
    .flatMap((line) => /@.*$/.exec(line) ?? [])
    .filter((shown) => shown.startsWith(`@${name}`));

describe.skipIf(process.platform !== "linux" && "abstract names are Linux's")("an abstract name", () => {
  it("is the name itself, or padded by Node.js 20", async () => {
    const name = fresh();
    const [pull, push] = [world.pull(), world.push()];
    await pull.bind(`ipc://@${name}`);
    push.connect(`ipc://@${name}`);
    await push.send("x");
    expect(await collect(pull, 1)).toEqual(["x"]);
    const [shown] = known(name);
    expect(shown === `@${name}`).toBe(EXACT);
  });

  it.for(["zmtp", "libzmq"])("reaches libzmq, whoever binds (bound: %s)", async (binder, context) => {
    if (!EXACT) context.skip("libuv before 1.48 (Node.js 20) pads abstract names");
    const endpoint = `ipc://@${fresh()}`;
    const engines = ["zmtp", "libzmq"].map((engine) => new Context({ engine }));
    const [ours, theirs] = binder === "zmtp" ? engines : engines.reverse();
    const pull = world.own(new Pull({ context: ours as Context }));
    const push = world.own(new Push({ context: theirs as Context }));
    await pull.bind(endpoint);
    push.connect(endpoint);
    await push.send("across");
    expect(await collect(pull, 1)).toEqual(["across"]);
  });
});
