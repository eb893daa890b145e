/** Channels of node:diagnostics_channel, without OpenTelemetry: what services publish, and what a subscriber may do. */
import { AsyncLocalStorage } from "node:async_hooks";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { expect, it, onTestFinished } from "vitest";
import type { ProcessOperation, RequestOperation } from "../../src/core/diagnostics.js";
import { MajordomoBroker, MajordomoClient, MajordomoWorker } from "../../src/patterns/index.js";
import { closeAfterEach } from "../support/close-after-each.js";

const own = closeAfterEach();

function on<T>(name: string, listener: (message: T) => void): void {
  subscribe(name, listener as (message: unknown) => void);
  onTestFinished(() => void unsubscribe(name, listener as (message: unknown) => void));
}

it("lets a subscriber add headers to a request, and stand around its handler", async () => {
  const storage = new AsyncLocalStorage<string>();
  on<RequestOperation>("shoal.request.start", (operation) => operation.setHeader("tenant", "acme"));
  on<ProcessOperation>("shoal.process.start", (operation) => {
    operation.wrap((run) => storage.run(operation.headers.tenant ?? "nobody", run));
  });
  const ended: string[] = [];
  for (const what of ["request", "process"])
    on<RequestOperation | ProcessOperation>(`shoal.${what}.end`, ({ service, system, error }) => {
      ended.push(`${what} ${system} ${service} ${error === undefined}`);
    });
  const broker = own(new MajordomoBroker());
  const endpoint = await broker.bind("tcp://127.0.0.1:*");
  const worker = own(
    new MajordomoWorker(endpoint, "work", async (_body, { headers }) => {
      await new Promise((resolve) => setImmediate(resolve));
      return JSON.stringify([storage.getStore(), headers]);
    }),
  );
  const client = own(new MajordomoClient(endpoint));
  await worker.ready();
  const reply = await client.request("work", "x", { headers: { own: "1" } });
  expect(JSON.parse(String(reply))).toEqual(["acme", { own: "1", tenant: "acme" }]);
  expect(ended).toEqual(["process majordomo work true", "request majordomo work true"]);
});
