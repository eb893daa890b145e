/** Whatever a handler throws, its client gets an error, and the server goes on. */
import { afterEach, describe, expect, test } from "vitest";
import {
  FreelanceClient,
  FreelanceServer,
  LoadBalancer,
  LoadBalancerClient,
  MajordomoBroker,
  MajordomoClient,
  MajordomoWorker,
  PirateWorker,
} from "../../../src/patterns/index.js";
import { UNREADABLE } from "../../support/unreadable.js";

const open: { close(options: { linger: number }): Promise<unknown> }[] = [];

function kept<T extends (typeof open)[number]>(thing: T): T {
  open.push(thing);
  return thing;
}

afterEach(async () => {
  await Promise.all(open.splice(0).map((thing) => thing.close({ linger: 0 })));
});

function handle([name]: readonly Buffer[]): string {
  if (String(name) === "fine") return "fine";
  throw UNREADABLE[String(name)];
}

type Ask = (body: string) => Promise<Buffer[]>;

const ANY = "tcp://127.0.0.1:*";

async function majordomo(exposeErrors: boolean): Promise<Ask> {
  const endpoint = await kept(new MajordomoBroker()).bind(ANY);
  kept(new MajordomoWorker(endpoint, "fish", handle, { exposeErrors }));
  const client = kept(new MajordomoClient(endpoint));
  return (body) => client.request("fish", body);
}

const servers: Readonly<Record<string, () => Promise<Ask>>> = {
  "a Freelance server": async () => {
    const endpoint = await kept(new FreelanceServer(handle)).bind(ANY);
    const client = kept(new FreelanceClient(endpoint));
    return (body) => client.request(body);
  },
  "a Pirate's worker": async () => {
    const broker = kept(new LoadBalancer());
    const [frontend, backend] = [await broker.bind("frontend", ANY), await broker.bind("backend", ANY)];
    kept(new PirateWorker(backend, handle, { dialect: "simple" }));
    const client = kept(new LoadBalancerClient(frontend));
    return (body) => client.request(body);
  },
  "a Majordomo worker": () => majordomo(false),
  "a Majordomo worker that exposes errors": () => majordomo(true),
};

describe.each(Object.entries(servers))("%s", (_, start) => {
  test.each(Object.keys(UNREADABLE))("goes on after its handler threw %s", async (name) => {
    const ask = await start();
    await expect(ask(name)).rejects.toMatchObject({ code: "ERR_SERVICE", reason: "worker-failed" });
    expect((await ask("fine")).map(String)).toEqual(["fine"]);
  });
});
