/** shoal proxy: the three kinds, with peers that outlive them. */
import { describe, expect, it } from "vitest";
import { Publisher, Push, Reply, Request, Subscriber } from "../../src/index.js";
import { curveClient } from "../contract/support/keys.js";
import { texts } from "../contract/support/wait.js";
import { closeAfterEach } from "../support/close-after-each.js";
import { fails, keygen, startWithout } from "./in-process.js";
import { metricsOf, useShoal } from "./support.js";

useShoal();

const ANY = "tcp://127.0.0.1:*";
const LIMIT = 8_000;

const open = closeAfterEach();

async function start(kind: string, ...more: string[]) {
  const args = ["proxy", kind, ...(more.includes("--frontend") ? [] : ["--frontend", ANY, "--backend", ANY])];
  const proxy = startWithout(...args, ...more);
  const at = async (name: string) =>
    (await proxy.until("stderr", new RegExp(`${name} listening at (\\S+)\\n`)))[1] as string;
  return { proxy, frontend: await at("frontend"), backend: await at("backend"), at };
}

describe("shoal proxy", () => {
  it("says why a handshake failed and from where, counts it, and says when it has drained", async () => {
    const { proxy, frontend, at } = await start("streamer", "--metrics", "127.0.0.1:0");
    const stranger = open(new Push({ plainUsername: "u", plainPassword: "p" }));
    stranger.connect(frontend);
    const misfit = open(new Publisher());
    misfit.connect(await at("frontend"));
    const why =
      /shoal proxy streamer: handshake with tcp:\/\/127\.0\.0\.1:\d+ at the frontend tcp:\/\/127\.0\.0\.1:\d+ failed: the peer uses the mechanism PLAIN, this socket NULL/;
    await proxy.until("stderr", why);
    await proxy.until("stderr", /at the frontend \S+ failed: a PULL cannot talk to a PUB/);
    const metrics = await (await fetch(`${await metricsOf(proxy)}/metrics`)).text();
    expect(metrics).toMatch(
      /^shoal_proxy_handshake_errors_total\{proxy="\S+",side="frontend",reason="mechanism"\} [1-9]/m,
    );
    const { stderr } = await proxy.stop();
    expect(stderr).toMatch(/ info shoal proxy streamer: drained$/m);
    // Once for each host and reason, however often they try again.
    expect(stderr.match(/mechanism PLAIN/g)).toHaveLength(1);
  });

  it("forwarder: a capture, and the words PAUSE and TERMINATE", async () => {
    const { proxy, frontend, backend, at } = await start("forwarder", "--capture", ANY, "--control", ANY);
    const publisher = open(new Publisher());
    const subscriber = open(new Subscriber());
    publisher.connect(frontend);
    subscriber.connect(backend);
    subscriber.subscribe("t");
    await publisher.waitForSubscribers({ topic: "t", timeout: LIMIT });
    await publisher.send(["t", "1"]);
    expect(texts(await subscriber.receive({ timeout: LIMIT }))).toEqual(["t", "1"]);
    expect(await at("capture")).toMatch(/^tcp:/);
    const controller = open(new Request());
    controller.connect(await at("control"));
    await controller.request("PAUSE", { timeout: LIMIT });
    await proxy.until("stderr", /paused/);
    await controller.request("TERMINATE", { timeout: LIMIT });
    expect((await proxy.ended).code).toBe(0);
  });

  it("joins an encrypted frontend to a plain backend", async () => {
    const { publicKey, secretFile } = await keygen();
    const { frontend, backend } = await start(
      ...["queue", "--frontend-curve-certificate", secretFile, "--backend-plain", "worker:secret"],
    );
    const worker = open(new Reply({ plainUsername: "worker", plainPassword: "secret" }));
    worker.connect(backend);
    const client = open(new Request(curveClient(undefined, publicKey)));
    client.connect(frontend);
    const asked = client.request("?", { timeout: LIMIT });
    await worker.receive({ timeout: LIMIT });
    await worker.send("!");
    expect(texts(await asked)).toEqual(["!"]);
  });

  const BOTH = `--frontend ${ANY} --backend ${ANY}`;
  it.each([
    [`queue --frontend ${ANY}`, 2, /expected --backend EP or --backend-connect EP/],
    [`queue --frontend tcp://nope --backend ${ANY}`, 2, /tcp:\/\/nope/],
    [`streamer ${BOTH} --frontend-plain secret`, 2, /user name, a colon/],
    [`queue ${BOTH} --frontend-connect ipc://a --frontend-plain a:b`, 2, /frontend-plain is for a server/],
    [`queue --frontend ${ANY} --backend ipc:///nowhere/at/all`, 1, /nowhere/],
    [`queue ${BOTH} --frontend-curve-certificate /no`, 1, /\/no/],
    [`queue ${BOTH} --control inproc://x`, 2, /reaches only this process/],
    [`queue ${BOTH} --name a:b`, 2, /--name .* a name of at most 64/],
    [`circle --frontend ${ANY}`, 2, /unknown command/],
  ] as const)("%s fails", async (args, code, why) => {
    expect(await fails(code, why, ["proxy", ...args.split(" ")])).not.toContain("secret");
  });
});
