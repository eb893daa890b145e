import { getEventListeners, once } from "node:events";
import { join } from "node:path";
import { beforeEach, describe, expect, it, vi } from "vitest";
import type { MajordomoHandler } from "../../../src/patterns/majordomo/index.js";
import { MajordomoBroker, MajordomoClient, MajordomoWorker } from "../../../src/patterns/majordomo/index.js";
import { TitanicClient } from "../../../src/patterns/titanic/client.js";
import type { TitanicOptions } from "../../../src/patterns/titanic/dispatch-rules.js";
import { LmdbStore, type LmdbStoreOptions } from "../../../src/patterns/titanic/lmdb-store.js";
import { Titanic } from "../../../src/patterns/titanic/titanic.js";
import { Context } from "../../../src/sockets/context.js";
import { Dealer } from "../../../src/sockets/request-reply.js";
import { StoreError } from "../../../src/store/store.js";
import { failure, turn, until } from "../../contract/support/wait.js";
import { closeAfterEach } from "../../support/close-after-each.js";
import { removeAfterEach } from "../../support/folders.js";
import { missing } from "../../support/peers.js";
import { watch } from "../../support/settled.js";
import { pythonIn } from "../pirate/python.js";
import { openTitanic, QUICK, type TitanicService } from "./open.js";

const makeFolder = removeAfterEach();
const keep = closeAfterEach();
let directory: string;
let endpoint: string;
let service: TitanicService;
let client: TitanicClient;
let raw: MajordomoClient;

const WAIT = { interval: 5, maxInterval: 20 };

const open = (folder: string, options: TitanicOptions = {}, store?: LmdbStoreOptions): TitanicService =>
  keep(openTitanic(endpoint, folder, { ...QUICK, ...options }, store));

beforeEach(async () => {
  directory = makeFolder();
  endpoint = await keep(new MajordomoBroker()).bind("tcp://127.0.0.1:*");
  service = open(directory);
  raw = keep(new MajordomoClient(endpoint));
  client = new TitanicClient(raw);
});

/** With other options, on the same folder. */
async function reopen(options: TitanicOptions, store?: LmdbStoreOptions): Promise<void> {
  await service.close();
  service = open(directory, options, store);
}

const worker = (name: string, handler: MajordomoHandler): MajordomoWorker =>
  keep(new MajordomoWorker(endpoint, name, handler, { concurrency: 8 }));

/** A client of a Titanic that has one service, which answers so. */
async function another(name: string, answer: string[]): Promise<TitanicClient> {
  const elsewhere = await keep(new MajordomoBroker({ waitForService: false })).bind("tcp://127.0.0.1:*");
  await keep(new MajordomoWorker(elsewhere, name, () => answer)).ready();
  return new TitanicClient(keep(new MajordomoClient(elsewhere)));
}

const next = (type: "request:dead" | "records:expired" | "store:failed"): Promise<unknown> =>
  new Promise((resolve) => service.titanic.events.on(type, resolve));

const ask = async (name: string, ...frames: (string | Buffer)[]): Promise<string[]> =>
  (await raw.request(name, frames)).map((frame) => frame.toString("latin1"));

describe("Titanic", () => {
  it("keeps a request for a service that is not there yet, and its reply until it is closed", async () => {
    const uuid = await client.request("echo", ["a", "", Buffer.from([0, 255])]);
    expect(uuid).toMatch(/^[0-9A-F]{32}$/);
    expect(await client.reply(uuid)).toEqual({ status: "300", body: [] });
    worker("echo", (frames) => frames);
    const reply = { status: "200", body: [Buffer.from("a"), Buffer.alloc(0), Buffer.from([0, 255])] };
    expect(await client.wait(uuid, WAIT)).toEqual(reply);
    expect(await client.reply(uuid.toLowerCase())).toEqual(reply);
    await client.forget(uuid);
    expect(await client.reply(uuid)).toEqual({ status: "400", body: [] });
    await client.forget(uuid);
  });

  it("waits no longer than until close, also between two questions", async () => {
    const uuid = await client.request("nobody", "body");
    const { answered } = raw.stats();
    const waits = watch(client.wait(uuid, { interval: 60_000 }));
    await until(() => raw.stats().answered > answered, "the first question is answered");
    await turn();
    const drained = watch(raw.drain());
    await raw.close();
    await turn();
    expect([waits.state, waits.code, drained.state]).toEqual(["rejected", "EAGAIN", "fulfilled"]);
  });

  it.each([
    -1, 60_000,
  ])("waits on when a question has no answer in time, with a limit of %i ms", async (timeout) => {
    const uuid = await client.request("echo", "body");
    await service.close();
    const impatient = keep(new MajordomoClient(endpoint, { timeout: 50, retries: 0 }));
    const questions = new TitanicClient(impatient);
    const asked = vi.spyOn(questions, "reply");
    if (timeout > 0) asked.mockImplementationOnce((id) => client.reply(id, { timeout: 50, retries: 0 }));
    const reply = questions.wait(uuid, { ...WAIT, timeout });
    await until(() => asked.mock.calls.length > 1, "the second question");
    service = open(directory);
    worker("echo", (frames) => frames);
    expect((await reply).status).toBe("200");
  });

  it("leaves nothing at a signal of a wait that has ended", async () => {
    const uuid = await client.request("nobody", "body");
    const { signal } = new AbortController();
    const kept = (): unknown =>
      Object.getOwnPropertySymbols(signal)
        .filter((symbol) => symbol.description === "kDependantSignals")
        .map((symbol) => (signal as unknown as Record<symbol, { size: number } | undefined>)[symbol]?.size);
    const before = kept();
    expect(await failure(client.wait(uuid, { ...WAIT, timeout: 500, signal }))).toMatchObject({
      code: "ETIMEDOUT",
    });
    expect([kept(), getEventListeners(signal, "abort").length]).toEqual([before, 0]);
  });

  it("takes no other text for a UUID", async () => {
    const texts = [
      "",
      "../../etc/passwd",
      "0".repeat(31),
      "0".repeat(33),
      `${"0".repeat(30)}/.`,
      `\u0000${"0".repeat(31)}`,
      "0123456789abcdef0123456789abcde\u00e9",
    ];
    for (const text of texts) {
      expect([text, ...(await ask("titanic.reply", Buffer.from(text, "latin1")))]).toEqual([text, "400"]);
      expect([text, ...(await ask("titanic.close", Buffer.from(text, "latin1")))]).toEqual([text, "200"]);
    }
  });

  it.each([
    ["no body", ["echo"]],
    ["no service", ["", "body"]],
    ["a name that is too long", ["x".repeat(256), "body"]],
    ["a name that is no UTF-8", [Buffer.from([0xff]), "body"]],
    ["a service of the broker", ["mmi.service", "echo"]],
    ["a service of its own", ["titanic.request", "echo", "body"]],
  ])("refuses a request with %s", async (_, frames) => {
    expect(await ask("titanic.request", ...frames)).toEqual(["500"]);
    expect(service.titanic.stats()).toMatchObject({ stored: 0, malformed: 1, store: { pending: 0 } });
  });

  it.each<[string, unknown, unknown, unknown]>([
    ["no service", "", "body", {}],
    ["a service that is no text", null, "body", {}],
    ["a service's name that is too long", "x".repeat(256), "body", {}],
    ["a service of the broker", "mmi.service", "body", {}],
    ["a service of its own", "titanic.request", "body", {}],
    ["no body", "echo", [], {}],
    ["a body that is no frame", "echo", [{}], {}],
    ["options that are none", "echo", "body", null],
    ["a UUID that is no text", "echo", "body", { uuid: null }],
    ["an unknown option", "echo", "body", { headers: {} }],
  ])("has a client that sends nothing with %s", async (_, name, body, options) => {
    const { requests } = raw.stats();
    const asked = client.request(name as string, body as string, options as object);
    expect(await failure(asked)).toMatchObject({ code: "EINVAL" });
    expect(raw.stats().requests).toBe(requests);
  });

  it("has a client that takes a MajordomoClient only", () => {
    for (const wrong of [endpoint, undefined, {}] as unknown as MajordomoClient[])
      expect(() => new TitanicClient(wrong)).toThrow(expect.objectContaining({ code: "EINVAL" }));
  });

  it("gives a request up that fails as often as it may, and takes it up again when it was removed and is stored again", async () => {
    await reopen({ maxAttempts: 3 });
    let calls = 0;
    let works = false;
    worker("poison", (frames) => {
      calls += 1;
      if (!works) throw Object.assign(new Error("no"), { expose: true });
      return frames;
    });
    const dead = next("request:dead");
    const retried: number[] = [];
    service.titanic.events.on("request:retried", ({ attempts }) => retried.push(attempts));
    const uuid = await client.request("poison", ["x", "y"]);
    const reason = "poison: no";
    expect(await dead).toEqual({ type: "request:dead", uuid, service: "poison", attempts: 3, reason });
    expect(await client.wait(uuid, WAIT)).toEqual({ status: "503", body: [Buffer.from(reason)] });
    expect([calls, retried]).toEqual([3, [1, 2]]);
    const { titanic } = service;
    expect(titanic.stats()).toMatchObject({ failed: 3, died: 1, store: { pending: 0, dead: 1 } });
    const [letter, ...others] = await titanic.deadLetters();
    expect(others).toEqual([]);
    const body = [Buffer.from("x"), Buffer.from("y")];
    expect(letter).toMatchObject({ uuid, service: "poison", body, attempts: 3, reason });
    works = true;
    await client.forget(uuid);
    expect(await client.request("poison", letter?.body as Buffer[], { uuid })).toBe(uuid);
    expect(await client.wait(uuid, WAIT)).toEqual({ status: "200", body });
    expect(await titanic.deadLetters()).toEqual([]);
    await expect(titanic.deadLetters(1, "../x")).rejects.toMatchObject({ code: "EINVAL" });
  });

  it("gives a request up whose handler takes too long, as often as it may", async () => {
    await reopen({ maxAttempts: 2, timeout: 50 });
    let aborted = 0;
    worker("hangs", async (_, { signal }) => {
      await once(signal, "abort");
      aborted += 1;
      throw new Error("aborted");
    });
    const dead = next("request:dead");
    const uuid = await client.request("hangs", "x");
    expect(await dead).toMatchObject({ uuid, attempts: 2 });
    expect((await client.reply(uuid)).status).toBe("503");
    await expect.poll(() => aborted).toBe(2);
  });

  it("stores a request once that is repeated under its UUID", async () => {
    const uuid = client.newUuid();
    expect(await client.request("echo", "x", { uuid })).toBe(uuid);
    const again = new TitanicClient(keep(new MajordomoClient(endpoint)));
    expect(await again.request("echo", "x", { uuid: uuid.toLowerCase() })).toBe(uuid);
    expect(service.titanic.stats()).toMatchObject({ stored: 1, repeated: 1, store: { pending: 1 } });
    await expect(client.request("echo", "x", { uuid: "x" })).rejects.toMatchObject({ code: "EINVAL" });
    for (const wrong of [undefined, null, 5, {}] as unknown as string[])
      for (const call of ["reply", "wait", "forget"] as const)
        await expect(client[call](wrong)).rejects.toThrow("uuid must be 32 hexadecimal digits; got ");
  });

  it("needs titanic.store: with another Titanic its client has the error no-service", async () => {
    const one = await another("titanic.request", ["200", "0".repeat(32)]);
    await expect(one.request("echo", "x")).rejects.toMatchObject({ reason: "no-service" });
  });

  it.each([
    ["a status that is none", ["2x0"], "ERR_PROTOCOL"],
    ["a status of another answer", ["300"], "ERR_PROTOCOL"],
    ["a refusal", ["500"], "ERR_STORE"],
  ])("says what another Titanic answered: %s", async (_what, answer, code) => {
    const one = await another("titanic.store", answer);
    await expect(one.request("echo", "x")).rejects.toMatchObject({ code });
  });

  it.each<[string, () => Promise<unknown>]>([
    ["request", () => client.request("echo", "x")],
    ["reply", () => client.reply("0".repeat(32))],
    ["request of the Majordomo client", () => raw.request("echo", "x")],
  ])("lets timers run while a program asks again and again, and is refused: %s", async (_what, ask) => {
    await raw.drain();
    let isLate = false;
    setTimeout(() => {
      isLate = true;
    }, 1);
    for (let asked = 0; !isLate && asked < 10_000; asked++)
      expect(await failure(ask())).toMatchObject({ code: "EAGAIN" });
    expect(isLate).toBe(true);
  });

  it.each([
    { maxAttempts: 0 },
    { workerConcurrency: 65_536 },
    { concurrency: 2 ** 30 },
  ])("refuses %j by name, and the folder can be opened again", async (options) => {
    const other = join(directory, "other");
    expect(() => open(other, options)).toThrow(
      expect.objectContaining({
        code: "EINVAL",
        message: expect.stringContaining(`Option ${Object.keys(options)[0]} of Titanic`),
      }),
    );
    await vi.waitFor(() => open(other), 15_000);
  });

  it("has room for the longest timeout", async () => {
    await reopen({ timeout: 2_147_483_647 });
    worker("echo", (frames) => frames);
    expect((await client.wait(await client.request("echo", "x"), WAIT)).status).toBe("200");
  });

  it("whose context has no room for its sockets leaves the store alone", async () => {
    const context = new Context();
    const dealer = new Dealer({ context });
    context.maxSockets = 2; // One for the client's check, which takes a while to close.
    const store = LmdbStore.open(join(directory, "other"));
    expect(() => new Titanic(endpoint, store, { socketOptions: { context } })).toThrow(
      expect.objectContaining({ code: "EMFILE" }),
    );
    await until(() => store.onDamage === undefined, "the end of what was made");
    await Promise.all([store.close(), dealer.close()]);
  });

  it("expires what nobody fetched, and reports it", async () => {
    await reopen({ requestTtl: 1, expireInterval: 5 });
    const expired = service.titanic.events.receive({ timeout: 5_000 });
    const uuid = await client.request("nobody", "x");
    expect(await expired).toEqual({ type: "records:expired", count: 1 });
    expect((await client.reply(uuid)).status).toBe("400");
    expect(service.titanic.stats()).toMatchObject({ expired: 1, store: { pending: 0 } });
  });

  it("answers 500 when the store is full, and still gives the replies it has", async () => {
    worker("echo", (frames) => frames);
    await reopen({}, { maxRecords: 1 });
    const uuid = await client.request("echo", "x");
    expect(await ask("titanic.request", "echo", "y")).toEqual(["500"]);
    await expect(client.request("echo", "y")).rejects.toMatchObject({ code: "ERR_STORE" });
    expect((await client.wait(uuid, WAIT)).status).toBe("200");
    await client.forget(uuid);
    await client.request("echo", "z");
  });

  it("waits with many answers for a store that fails, and warns of no leak", async () => {
    const warn = vi.spyOn(process, "emitWarning");
    const answer = vi.spyOn(LmdbStore.prototype, "answer");
    answer.mockRejectedValue(new StoreError("failed", "down"));
    worker("echo", (frames) => frames);
    await reopen({ retryDelay: 5_000, maxRetryDelay: 5_000 });
    let failures = 0;
    service.titanic.events.on("store:failed", () => (failures += 1));
    for (let n = 0; n < 20; n++) await client.request("echo", String(n));
    await until(() => failures === 20, "all answers wait");
    await turn();
    expect(warn).not.toHaveBeenCalled();
    answer.mockRestore();
    warn.mockRestore();
  });
});

it.skipIf(missing("pyzmq"))(
  "a plain MDP client of pyzmq leaves a request and fetches the reply",
  async () => {
    worker("echo", (frames) => frames);
    const { code, stdout } = await pythonIn(keep)("titanic_client.py", endpoint).outcome;
    expect([code, stdout]).toEqual([0, "done\n"]);
  },
);
