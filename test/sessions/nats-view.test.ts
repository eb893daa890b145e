/** What servers read from a stream of commits, in generated orders of messages, losses, repetitions, snapshots and crashes, held against a model. */
import { describe, expect, it } from "vitest";
import {
  type Commit,
  cutBody,
  decodeMessage,
  encodeCommits,
  encodeMessage,
  Kind,
  piecesOf,
} from "../../src/sessions/nats-messages.js";
import { StreamView, type ViewEvent } from "../../src/sessions/nats-view.js";
import type { SessionStoreValue } from "../../src/sessions/store.js";
import type { Random } from "../../src/testing/random.js";
import { runSchedules, SCHEDULES_TIMEOUT } from "../support/schedules.js";

const ALL = { from: "a", to: "z", limit: 1_000, maxBytes: 1_000_000 };
const KEYS = ["a", "b", "c", "d/1", "d/2", "e"];
const PIECE = 40;

/** The stream: messages by their sequence, of which the first are purged. */
class Stream {
  readonly all: Buffer[] = [];
  first = 1;

  get last(): number {
    return this.all.length;
  }

  append(message: Buffer): void {
    this.all.push(message);
  }

  purge(last: number): void {
    this.first = Math.max(this.first, last + 1);
  }

  /** The first message from a sequence on. */
  from(sequence: number): [number, Buffer] | undefined {
    const found = Math.max(sequence, this.first);
    const message = this.all[found - 1];
    return message === undefined ? undefined : [found, message];
  }
}

/** What the whole stream, of which nothing is purged, amounts to: batch by batch, with no pieces and no snapshots. */
class Model {
  readonly values = new Map<string, { value: string; version: number }>();
  readonly results = new Map<string, boolean[]>();
  readonly #batches: ReadonlyMap<string, readonly Commit[]>;
  /** How many pieces of a batch have come, of the last batch of each writer. */
  readonly #progress = new Map<string, { number: number; next: number }>();
  readonly #done = new Map<string, number>();
  #read = 0;

  constructor(batches: ReadonlyMap<string, readonly Commit[]>) {
    this.#batches = batches;
  }

  follow(stream: Stream): void {
    for (; this.#read < stream.last; this.#read++) {
      const message = decodeMessage(stream.all[this.#read] as Buffer);
      if (message === undefined || message === "newer" || message.kind !== Kind.batch) continue;
      const { id, number, index, count } = message;
      if (number <= (this.#done.get(id) ?? 0)) continue;
      let progress = this.#progress.get(id);
      if (progress === undefined || progress.number < number) {
        progress = { number, next: 0 };
        this.#progress.set(id, progress);
      }
      if (progress.number !== number || progress.next !== index) continue;
      progress.next += 1;
      if (progress.next < count) continue;
      this.#done.set(id, number);
      const commits = this.#batches.get(`${id} ${number}`) as readonly Commit[];
      this.results.set(
        `${id} ${number}`,
        commits.map((commit, i) => this.#commit(commit, (this.#read + 1) * 1_024 + i + 1)),
      );
    }
  }

  #commit({ checks, writes }: Commit, version: number): boolean {
    if (checks.some((each) => (this.values.get(each.key)?.version ?? 0) !== each.version)) return false;
    for (const { key, value } of writes) {
      if (value === undefined) this.values.delete(key);
      else this.values.set(key, { value: value.toString(), version });
    }
    return true;
  }
}

/** A server: a view, a batch that it sends, a snapshot that it writes. */
class Server {
  readonly id: string;
  readonly view = new StreamView();
  number = 0;
  /** What it reads next; a new consumer begins where the view says. */
  next = 1;
  readonly decided = new Map<string, readonly boolean[]>();
  sending: { readonly key: string; readonly messages: readonly Buffer[] } | undefined;
  snapshot:
    | {
        readonly id: string;
        readonly sequence: number;
        readonly pieces: IterableIterator<{ body: Buffer; isLast: boolean }>;
        index: number;
        isSent: boolean;
        last: Buffer | undefined;
      }
    | undefined;

  constructor(id: string) {
    this.id = id;
  }

  read(stream: Stream): ViewEvent | undefined {
    const found = stream.from(this.next);
    if (found === undefined) return undefined;
    const [sequence, message] = found;
    const event = this.view.apply(sequence, message);
    this.next = sequence + 1;
    if (event?.type === "restored") this.next = this.view.nextRead;
    if (event?.type === "batch" && event.writer === this.id) {
      this.decided.set(`${this.id} ${event.number}`, event.results);
      if (this.sending?.key === `${this.id} ${event.number}`) this.sending = undefined;
    }
    // It lies before the snapshot that this server went on from.
    if (this.view.isFollowing && this.view.lastBatch(this.id) >= this.number) this.sending = undefined;
    return event;
  }
}

function hex(random: Random): string {
  return Array.from({ length: 16 }, () => random.integer(0, 15).toString(16)).join("");
}

function valuesOf(view: StreamView): [string, string, number][] {
  return view.scan(ALL).map(({ key, value, version }) => [key, value.toString(), version]);
}

function story(random: Random, note: (what: string) => void): void {
  const stream = new Stream();
  const batches = new Map<string, readonly Commit[]>();
  const model = new Model(batches);
  /** Messages on their way, of servers that may be gone. */
  const network: Buffer[][] = [];
  let servers = Array.from({ length: 3 }, () => new Server(hex(random)));
  let text = 0;

  const commit = (view: StreamView): Commit => {
    const keys = KEYS.filter(() => random.chance(0.4));
    text += 1;
    const value = Buffer.from(`${text} ${"x".repeat(random.chance(0.3) ? random.integer(0, 150) : 0)}`);
    return {
      checks: keys.map((key) => {
        const found: SessionStoreValue | undefined = view.read(key);
        return { key, version: random.chance(0.1) ? 0 : (found?.version ?? 0) };
      }),
      writes: keys.map((key) => ({ key, value: random.chance(0.3) ? undefined : value })),
    };
  };

  const actions: Record<string, (server: Server) => void> = {
    send(server) {
      if (server.sending !== undefined || !server.view.isFollowing) return;
      server.number += 1;
      const commits = Array.from({ length: random.integer(1, 3) }, () => commit(server.view));
      const bodies = cutBody(encodeCommits(commits), random.chance(0.5) ? 10_000 : PIECE);
      const [id, number] = [server.id, server.number];
      const messages = bodies.map((body, index) =>
        encodeMessage(Kind.batch, { id, number, index, count: bodies.length, body }),
      );
      const key = `${id} ${number}`;
      batches.set(key, commits);
      server.sending = { key, messages };
      network.push([...messages]);
      note(`${key}: ${commits.length} commits in ${messages.length} pieces`);
    },
    repeat(server) {
      if (server.sending !== undefined && network.length < 10) network.push([...server.sending.messages]);
    },
    giveUp(server) {
      if (random.chance(0.2)) server.sending = undefined;
    },
    arrive() {
      if (network.length === 0) return;
      const some = random.pick(network);
      const message = some.shift() as Buffer;
      if (random.chance(0.9)) stream.append(message);
      if (some.length === 0) network.splice(network.indexOf(some), 1);
    },
    read(server) {
      for (let i = random.integer(1, 12); i > 0; i--) {
        const event = server.read(stream);
        expect(event?.type).not.toBe("diverged");
        expect(event?.type).not.toBe("newer");
      }
    },
    reconnect(server) {
      server.next = server.view.nextRead;
    },
    crash(server) {
      if (!random.chance(0.1)) return;
      servers = servers.map((each) => (each === server ? new Server(hex(random)) : each));
      note(`${server.id} crashes`);
    },
    snapshot(server) {
      const { view } = server;
      if (server.snapshot === undefined) {
        if (!view.isFollowing || view.position === 0 || !random.chance(0.3)) return;
        const sequence = view.beginCut();
        const pieces = piecesOf(view.cutRecords(), PIECE);
        server.snapshot = { id: hex(random), sequence, pieces, index: 0, isSent: false, last: undefined };
        note(`${server.id} begins a snapshot of ${sequence}`);
      }
      const { snapshot } = server;
      const isOwn = snapshot.index === 0 || view.snapshotInProgress === snapshot.id;
      if (snapshot.isSent) {
        if (random.chance(0.2)) stream.append(snapshot.last as Buffer);
        return;
      }
      const piece = isOwn && view.isCutting ? snapshot.pieces.next() : undefined;
      if (piece === undefined || piece.done === true || !view.isCutting || random.chance(0.02)) {
        server.snapshot = undefined;
        view.endCut();
        return;
      }
      snapshot.last = encodeMessage(Kind.snapshot, {
        id: snapshot.id,
        number: snapshot.sequence,
        index: snapshot.index,
        count: piece.value.isLast ? 1 : 0,
        body: piece.value.body,
      });
      snapshot.isSent = true;
      if (random.chance(0.9)) stream.append(snapshot.last);
    },
    readPiece(server) {
      const { snapshot } = server;
      if (snapshot?.isSent !== true) return;
      for (let i = 0; i < 20; i++) {
        const event = server.read(stream);
        if (event?.type !== "snapshot" || event.id !== snapshot.id || event.next <= snapshot.index) continue;
        snapshot.isSent = false;
        snapshot.index = event.next;
        if (event.isWhole) {
          if (random.chance(0.8)) stream.purge(snapshot.sequence);
          note(`the snapshot of ${snapshot.sequence} is whole`);
          server.snapshot = undefined;
          server.view.endCut();
        }
        return;
      }
    },
  };
  const names = Object.keys(actions);
  const often = ["send", "arrive", "arrive", "read", "read", "snapshot", "readPiece"];

  for (let step = 0; step < 150; step++) {
    const name = random.chance(0.7) ? random.pick(often) : random.pick(names);
    const server = random.pick(servers);
    (actions[name] as (server: Server) => void)(server);
    model.follow(stream);
    for (const each of servers) {
      // Versions never come back, and a server that has read all has what the model has.
      if (!each.view.isFollowing || each.view.position !== stream.last) continue;
      const expected = [...model.values]
        .map(([key, { value, version }]) => [key, value, version])
        .sort(([one], [other]) => ((one as string) < (other as string) ? -1 : 1));
      expect(valuesOf(each.view)).toEqual(expected);
    }
  }
  // All read the rest, those that crashed and one that has just begun among them.
  model.follow(stream);
  servers.push(new Server(hex(random)));
  for (const server of servers) {
    for (let i = 0; server.view.position < stream.last && i < 10 * stream.last; i++) server.read(stream);
    expect(server.view.isFollowing).toBe(true);
    expect(valuesOf(server.view)).toEqual(valuesOf((servers[0] as Server).view));
    for (const [key, results] of server.decided) expect(results).toEqual(model.results.get(key));
  }
  expect(valuesOf((servers[0] as Server).view).map(([key]) => key)).toEqual([...model.values.keys()].sort());
}

describe("a stream of commits", () => {
  it(
    "means the same to all who read it, however messages are lost, repeated, cut into pieces and purged",
    () => {
      runSchedules((simulation) => story(simulation.random, (what) => simulation.note(what)), { count: 40 });
    },
    SCHEDULES_TIMEOUT,
  );

  it("is another one where the last message that was read is not the same any more", () => {
    const message = (number: number): Buffer =>
      encodeMessage(Kind.batch, { id: "00".repeat(8), number, index: 0, count: 1, body: Buffer.alloc(0) });
    const view = new StreamView();
    expect(view.apply(1, message(1))).toMatchObject({ type: "batch" });
    expect(view.apply(2, message(2))).toMatchObject({ type: "batch" });
    expect(view.nextRead).toBe(2);
    expect(view.apply(2, message(2))).toBeUndefined();
    expect(view.apply(2, message(3))).toEqual({ type: "diverged" });
    expect(view.apply(1, message(1))).toEqual({ type: "diverged" });
  });

  it("ignores what is not of sessions, and does not read what a later version has written", () => {
    const view = new StreamView();
    const batch = encodeMessage(Kind.batch, {
      id: "00".repeat(8),
      number: 1,
      index: 0,
      count: 1,
      body: Buffer.from("00000001000000010161", "hex"),
    });
    expect(view.apply(1, Buffer.from("hello"))).toBeUndefined();
    expect(view.apply(2, batch)).toMatchObject({ type: "batch", results: [] });
    expect(view.malformed).toBe(2);
    expect(view.bytes).toBe(0);
    batch.writeUInt8(2, 4);
    expect(view.apply(3, batch)).toEqual({ type: "newer" });
  });

  it("seeks a snapshot that stands for what was purged, and takes no earlier one", () => {
    const writer = new StreamView();
    const write = (sequence: number, value: string): Buffer => {
      const commit = { checks: [], writes: [{ key: "k", value: Buffer.from(value) }] };
      const body = encodeCommits([commit]);
      const message = encodeMessage(Kind.batch, {
        id: "01".repeat(8),
        number: sequence,
        index: 0,
        count: 1,
        body,
      });
      writer.apply(sequence, message);
      return message;
    };
    const snapshot = (id: string): Buffer => {
      const number = writer.beginCut();
      const [piece] = piecesOf(writer.cutRecords(), 1_000);
      writer.endCut();
      return encodeMessage(Kind.snapshot, { id, number, index: 0, count: 1, body: piece?.body as Buffer });
    };
    write(1, "one");
    const early = snapshot("aa".repeat(8));
    write(2, "two");
    const late = snapshot("bb".repeat(8));
    const reader = new StreamView();
    const third = write(3, "three");
    expect(reader.apply(3, third)).toBeUndefined();
    expect(reader.isFollowing).toBe(false);
    reader.apply(4, early);
    expect(reader.isFollowing).toBe(false);
    expect(reader.apply(5, late)).toEqual({ type: "restored" });
    expect(reader.position).toBe(2);
    expect(reader.read("k")?.value.toString()).toBe("two");
    reader.apply(3, third);
    expect(reader.read("k")?.value.toString()).toBe("three");
  });

  it("takes a snapshot of one moment while keys change, and one of which a piece is missing does not count", () => {
    const view = new StreamView();
    const [names, late] = [Array.from({ length: 20 }, (_, i) => `k/${10 + i}`), "k/99"];
    let sequence = 0;
    const commit = (writes: Commit["writes"]): void => {
      sequence += 1;
      const body = encodeCommits([{ checks: [], writes }]);
      view.apply(
        sequence,
        encodeMessage(Kind.batch, { id: "01".repeat(8), number: sequence, index: 0, count: 1, body }),
      );
    };
    commit(names.map((key) => ({ key, value: Buffer.from("before") })));
    const number = view.beginCut();
    const pieces: { body: Buffer; isLast: boolean }[] = [];
    for (const piece of piecesOf(view.cutRecords(), PIECE)) {
      pieces.push(piece);
      if (pieces.length === 3) commit([{ key: late, value: Buffer.from("late") }]);
      const key = names[(pieces.length * 3) % names.length] as string;
      commit([{ key, value: pieces.length % 2 === 0 ? undefined : Buffer.from("after") }]);
    }
    view.endCut();
    const restore = (left: number | undefined): StreamView => {
      const reader = new StreamView();
      let at = number + 1;
      reader.apply(at, Buffer.from("what was before is purged"));
      for (const [index, { body, isLast }] of pieces.entries()) {
        if (index === left) continue;
        at += 1;
        const message = { id: "aa".repeat(8), number, index, count: isLast ? 1 : 0, body };
        reader.apply(at, encodeMessage(Kind.snapshot, message));
      }
      return reader;
    };
    expect(valuesOf(restore(undefined))).toEqual(names.map((key) => [key, "before", 1_025]));
    for (const left of [0, 2, pieces.length - 1]) expect(restore(left).isFollowing).toBe(false);
  });
});
