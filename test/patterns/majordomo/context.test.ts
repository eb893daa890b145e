/** What a handler gets in addition to the body; with peers of both levels. */
import { expect, it } from "vitest";
import {
  MajordomoBroker,
  MajordomoClient,
  type MajordomoClientOptions,
  type MajordomoHandler,
  MajordomoWorker,
  type MajordomoWorkerOptions,
} from "../../../src/patterns/index.js";
import { failure } from "../../contract/support/wait.js";
import { closeAfterEach } from "../../support/close-after-each.js";
import { abortListeners } from "../../support/settled.js";

const track = closeAfterEach();

async function begin(
  handler: MajordomoHandler,
  options: { worker?: MajordomoWorkerOptions; client?: MajordomoClientOptions } = {},
): Promise<{ client: MajordomoClient }> {
  const endpoint = await track(new MajordomoBroker()).bind("tcp://127.0.0.1:*");
  const worker = track(new MajordomoWorker(endpoint, "work", handler, options.worker));
  const client = track(new MajordomoClient(endpoint, options.client));
  await worker.ready();
  return { client };
}

const tell: MajordomoHandler = (_request, { headers, deadline, attempt, id }) =>
  JSON.stringify({
    headers,
    left: deadline === undefined ? null : deadline.getTime() - Date.now(),
    attempt,
    id,
  });

it("a handler has the client's headers, its deadline and the attempt", async () => {
  const { client } = await begin(tell);
  const headers = { trace: "a-1", größe: "ü", empty: "" };
  const got = JSON.parse(String(await client.request("work", "x", { headers, timeout: 5_000 })));
  expect(got).toMatchObject({ headers, attempt: 1, id: expect.stringMatching(/^[0-9a-f]{32}$/) });
  expect(got.left).toBeGreaterThan(0);
  expect(got.left).toBeLessThanOrEqual(5_001);
  const without = JSON.parse(String(await client.request("work", "x", { timeout: -1 })));
  expect(without).toMatchObject({ headers: {}, left: null, attempt: 1 });
});

it("a plain worker serves a request with headers, and a plain client has no headers or deadline", async () => {
  const plain = await begin(tell, { worker: { protocol: "0.1" } });
  const got = await plain.client.request("work", "x", { headers: { trace: "c" } });
  expect(JSON.parse(String(got))).toMatchObject({ headers: {}, left: null, attempt: 1 });
  const asked = await begin(tell, { client: { protocol: "0.2" } });
  expect(JSON.parse(String(await asked.client.request("work", "x")))).toMatchObject({
    headers: {},
    attempt: 1,
  });
  expect(await failure(asked.client.request("work", "x", { headers: { trace: "d" } }))).toMatchObject({
    code: "NOT_SUPPORTED",
  });
});

it("an answer in pieces that fails as it is asked for leaves nothing on its signal", async () => {
  const { client } = await begin(tell, { client: { protocol: "0.2" } });
  await client.request("work", "x");
  const { signal } = new AbortController();
  const pieces = client.stream("work", "x", { headers: { trace: "d" }, signal });
  expect(abortListeners(signal)).toBe(0);
  expect(await failure(pieces.next())).toMatchObject({ code: "NOT_SUPPORTED" });
});

it.each([
  [{ trace: 5 }, "trace must be a text"],
  [[], "an object"],
  [{ "": "x" }, "1 to 255"],
  [{ trace: "x".repeat(8_193) }, "8192"],
  [Object.fromEntries(Array.from({ length: 1_000 }, (_, n) => [`n${n}`, "12345678"])), "8192"],
])("headers that cannot be right are refused: %#", async (headers, message) => {
  const { client } = await begin(tell);
  const refused = await failure(client.request("work", "x", { headers: headers as Record<string, string> }));
  expect(refused).toMatchObject({ code: "EINVAL", message: expect.stringContaining(message) });
});
