/** Programs as the dashboard reads them over HTTP: their peers, where they allow it. */
import { createServer } from "node:http";
import { afterEach, describe, expect, it, vi } from "vitest";
import { openSubject } from "../../src/cli/subjects.js";
import type { Subject, SubjectReading } from "../../src/dashboard/build.js";
import { Push } from "../../src/index.js";
import { serveMetrics } from "../../src/metrics/index.js";
import { StreamerProxy } from "../../src/proxy/index.js";
import { closeAfterEach } from "../support/close-after-each.js";
import { listening } from "../support/listening.js";

const ANY = "tcp://127.0.0.1:*";
const own = closeAfterEach();
afterEach(() => void vi.restoreAllMocks());

const subjectAt = async (url: string): Promise<Subject> => own(await openSubject(url, {}));

const look = (subject: Subject): Promise<SubjectReading> => subject.read(5_000, new AbortController().signal);

async function proxyWithPeer(): Promise<StreamerProxy> {
  const proxy = own(new StreamerProxy({ frontend: { bind: ANY }, backend: { bind: ANY } }));
  await proxy.start();
  const push = own(new Push({ linger: 0 }));
  push.connect(proxy.endpoints.frontend[0] as string);
  await push.ready();
  return proxy;
}

/** A program that answers what is given. */
async function program(answers: Readonly<Record<string, unknown>>): Promise<string> {
  const server = createServer(({ url = "" }, response) => {
    const answer = answers[url.split("?", 1)[0] as string];
    response.writeHead(answer === undefined ? 404 : 200);
    response.end(typeof answer === "string" ? answer : JSON.stringify(answer));
  });
  return `http://127.0.0.1:${await listening(server)}`;
}

describe("a program over HTTP", () => {
  it("has the peers of its proxies, which are asked for when someone looks", async () => {
    const orders = await proxyWithPeer();
    const server = own(await serveMetrics("127.0.0.1:0", { orders }, { peers: true }));
    const asked = vi.spyOn(globalThis, "fetch");
    const { reading, details } = await look(await subjectAt(server.url));
    expect(reading.sources.map(({ name }) => name)).toEqual(["orders"]);
    const { "frontend peers": front, "backend peers": back } = details.get("orders")?.lists ?? {};
    expect([front?.length, back?.length]).toEqual([1, 0]);
    expect(asked.mock.calls.map(([url]) => new URL(String(url)).pathname)).toEqual(["/metrics", "/peers"]);
    expect(await front?.items()).toMatchObject([
      { state: "connected", detail: "push, 0 to send, 0 received and waiting" },
    ]);
    expect((await fetch(`${server.url}/peers?source=toString&list=x`)).status).toBe(404);
    expect((await fetch(`${server.url}/peers?source=orders&list=toString`)).status).toBe(404);
  });

  it("has none where it does not allow it, is asked once, and has its counters all the same", async () => {
    const server = own(await serveMetrics("127.0.0.1:0", { orders: await proxyWithPeer() }));
    expect((await fetch(`${server.url}/peers`)).status).toBe(404);
    const asked = vi.spyOn(globalThis, "fetch");
    const subject = await subjectAt(server.url);
    for (let i = 0; i < 3; i++) expect((await look(subject)).details.size).toBe(0);
    expect(asked).toHaveBeenCalledTimes(4);
  });

  it("may answer anything as its peers", async () => {
    const metrics = "# nothing\n";
    const detailsOf = async (peers: unknown) =>
      (await look(await subjectAt(await program({ "/metrics": metrics, "/peers": peers })))).details;
    for (const peers of [null, 5, "x", { sources: 5 }, { sources: { a: null, b: { c: -1, d: "1" } } }]) {
      const details = await detailsOf(peers);
      for (const { lists } of details.values()) expect(lists).toEqual({});
    }
    // The characters of a long text would take minutes, and gigabytes.
    for (const sources of ["ab", { a: "ab" }])
      expect([...(await detailsOf({ sources })).keys()].filter((name) => name !== "a")).toEqual([]);
    const sources = Object.fromEntries(Array.from({ length: 3_000 }, (_, at) => [`s${at}`, { peers: 2 }]));
    const details = await detailsOf({ sources });
    expect(details.size).toBe(1_000);
    // The same page answers for the list, and has no peers.
    expect(await details.get("s0")?.lists?.peers?.items()).toEqual([]);
  });
});
