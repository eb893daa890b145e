/** An ipc path that a program of another library is bound to, or was when it died. */
import { join } from "node:path";
import { expect, it } from "vitest";
import { Context, Pull, Push } from "../../src/index.js";
import { failure, thrown } from "../contract/support/wait.js";
import { sharedFolder } from "../support/folders.js";
import { NO_PYTHON, startPython } from "./python-peer.js";

const folder = sharedFolder();

it.skipIf(NO_PYTHON)(
  "an ipc path of pyzmq is not taken while it lives, and is when it has been killed",
  async () => {
    const context = new Context({ engine: "zmtp" });
    const endpoint = `ipc://${join(folder, "path")}`;
    const peer = await startPython();
    const pull = await peer.open("PULL");
    await pull.bind(endpoint);
    const [ours, push] = [new Pull({ context }), new Push({ context })];
    expect((await failure(ours.bind(endpoint))).code).toBe("EADDRINUSE");
    expect(thrown(() => ours.bindSync(endpoint)).code).toBe("EADDRINUSE");
    push.connect(endpoint);
    await push.send("still theirs");
    expect(await pull.receive()).toEqual([Buffer.from("still theirs")]);
    await peer.child.kill();
    await ours.bind(endpoint);
    await push.send("ours now");
    expect(String((await ours.receive())[0])).toBe("ours now");
    await Promise.all([ours.close(), push.close()]);
  },
);
