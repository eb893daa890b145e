import { expect, test } from "vitest";
import { encodeCommand } from "../../../../src/engine/zmtp/codec/command.js";
import { NullMechanism } from "../../../../src/engine/zmtp/mechanism/null.js";
import { bodyOf, READY_PUB } from "../../../vectors/mechanism.js";
import { advanced, optionsOf, outOfOrder, properties } from "./support.js";

const READY = bodyOf(READY_PUB);
const UNEXPECTED = { kind: "protocol", code: "ERR_ZMTP_UNEXPECTED_COMMAND" };

const plain = () => new NullMechanism(optionsOf({ properties: properties("DEALER") }));

const STATES = {
  waiting: () => advanced(plain()),
  over: () => advanced(plain(), READY),
  "waiting for the hook": () => advanced(new NullMechanism(optionsOf({ asks: true }))),
};
const reach = (state: string): NullMechanism => STATES[state as keyof typeof STATES]();
const COMMANDS = {
  READY,
  "another command": encodeCommand("HELLO"),
  "a message": Buffer.from("hello world"),
  nothing: Buffer.alloc(0),
};

test.each(outOfOrder(STATES, COMMANDS, ["waiting gets READY"]))("%s, %s is a fault", (state, name) => {
  const side = reach(state);
  expect(side.receive(COMMANDS[name]).failed).toMatchObject(UNEXPECTED);
  // And it stays at that.
  for (const later of Object.values(COMMANDS)) expect(side.receive(later).failed).toMatchObject(UNEXPECTED);
  expect(side.authenticated(true).failed).toMatchObject(UNEXPECTED);
});

test.each(["waiting", "over"])("%s, a verdict is a fault", (state) => {
  expect(reach(state).authenticated(true).failed).toMatchObject(UNEXPECTED);
});

test("READY with damaged metadata is a fault", () => {
  const { failed } = advanced(plain()).receive(encodeCommand("READY", Buffer.of(5, 65)));
  expect(failed).toMatchObject({ kind: "protocol", code: "ERR_ZMTP_INVALID_METADATA" });
});
