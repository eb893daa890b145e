/** A worker whose connection ends: what it gives up, and when it is back. */
import { expect, it } from "vitest";
import { Body, Dialect, decode } from "../../../src/patterns/majordomo/protocol.js";
import { type Delivery, WorkerSession } from "../../../src/patterns/majordomo/worker-rules.js";

function sessionOf(dialect?: Dialect, opens = true) {
  const log: string[] = [];
  const given: Delivery[] = [];
  const session = new WorkerSession(
    {
      service: Buffer.from("echo"),
      concurrency: 1,
      capacity: 1,
      name: "w",
      dialect,
      heartbeatInterval: 1_000,
      liveness: 3,
      reconnectInterval: 100,
      reconnectMaxInterval: 1_000,
    },
    {
      open: () => {
        log.push("open");
        return opens;
      },
      close: () => log.push("close"),
      send: (message) => {
        if (message.kind === "disconnect") log.push("DISCONNECT");
      },
      reply: () => {
        log.push("answered");
        return true;
      },
      credit: () => undefined,
      start: (delivery) => log.push("start") && given.push(delivery),
      cancel: () => undefined,
      joined: () => log.push("joined"),
      left: (reason, retryIn) => log.push(`${reason}, back in ${retryIn} ms`),
      fault: () => log.push("fault"),
    },
    () => 0,
  );
  session.start(0);
  return { session, given, said: () => log.splice(0) };
}

const frames = (...message: string[]) => {
  const buffers = message.map((frame) => Buffer.from(frame));
  return decode("worker", buffers);
};

it("a worker whose connection ends says READY on a new one, later each time that nothing came over it", () => {
  const { session, said } = sessionOf(Dialect.Mdp01);
  session.disconnected(10);
  expect(said()).toEqual(["open", "joined", "close", "lost, back in 50 ms"]);
  session.disconnected(11); // Of the connection that it has closed.
  expect(session.nextWakeUp()).toBe(60);
  session.tick(60);
  session.disconnected(61);
  expect(said()).toEqual(["open", "joined", "close", "lost, back in 100 ms"]);
  session.tick(161);
  session.receive(frames("", "MDPW01", "\x04"), 170);
  session.disconnected(171);
  expect(said()).toEqual(["open", "joined", "close", "lost, back in 50 ms"]);
});

it("what is no message of the protocol is counted, and is no sign of life", () => {
  const { session, said } = sessionOf(Dialect.Mdp01);
  session.receive(frames("", "MDPW01", "\x09"), 2_900);
  session.tick(3_000);
  expect(said()).toEqual(["open", "joined", "fault", "close", "expired, back in 50 ms"]);
});

it("a draining worker says DISCONNECT to a plain broker behind its last answer, at once when it has none to give", () => {
  const request = frames("", "MDPW01", "\x02", "client", "", "body");
  const { session, given, said } = sessionOf(Dialect.Mdp01);
  session.receive(request, 10);
  session.drain();
  session.drain();
  expect([said(), session.ready]).toEqual([["open", "joined", "start"], true]);
  const job = { delivery: given[0] as Delivery, pieces: 0 };
  expect(session.reply(job, true, Body.of(["answer"]))).toBe(true);
  expect([said(), session.ready, session.nextWakeUp()]).toEqual([
    ["answered", "DISCONNECT"],
    false,
    undefined,
  ]);
  session.receive(request, 20); // It was on its way.
  session.disconnected(30);
  session.end();
  expect(said()).toEqual([]);
  const idle = sessionOf(Dialect.Mdp01);
  idle.session.drain();
  expect(idle.said()).toEqual(["open", "joined", "DISCONNECT"]);
  const away = sessionOf(Dialect.Mdp01);
  away.session.disconnected(10);
  away.session.drain();
  away.session.tick(60);
  expect([away.said(), away.session.ready]).toEqual([
    ["open", "joined", "close", "lost, back in 50 ms", "open"],
    false,
  ]);
});

it("a question whom it has before it is asked again, too", () => {
  const { session, said } = sessionOf();
  session.disconnected(10);
  expect(said()).toEqual(["open", "close", "lost, back in 50 ms"]);
  session.end();
  session.disconnected(20);
  expect(said()).toEqual([]);
});
