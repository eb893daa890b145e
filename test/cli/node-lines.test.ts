/** What `shoal node start` prints of the changes that a node reports. */
import { describe, expect, it } from "vitest";
import { NODE_COMMANDS } from "../../src/cli/node-commands.js";
import { eventsText, NodeLines } from "../../src/cli/node-text.js";

const TIME = /^\d{4}-\d\d-\d\dT[\d:.]+Z$/;
const SELF = { id: "0".repeat(32), name: "a@h" };
const B = { id: "b".repeat(32), name: "b@h" };
const C = { id: "c".repeat(32), name: "c@h" };

function lines(json: boolean) {
  const printed: string[] = [];
  return { printed, lines: new NodeLines(json, (line) => printed.push(line)) };
}

/** The events and names of JSON lines, such as "joined b". */
function heads(printed: readonly string[]): string[] {
  return printed.map((line) => {
    const { event, name, group } = JSON.parse(line);
    return [event, name, ...(group === undefined ? [] : [group])].join(" ");
  });
}

describe("the lines of a node", () => {
  const EVENTS = ["ready", "joined", "shout", "of another version"];
  it.each(EVENTS)("have nothing of another program that would steer a terminal, of %s", (event) => {
    const evil = "\x1b]0;title\x07\u009b2J";
    const [line] = eventsText([
      { event, name: evil, host: evil, address: evil, group: evil, reason: evil, frames: [evil] },
    ]);
    expect(line).toContain("\\u{1b}]0;title\\u{7}\\u{9b}2J");
    expect(line).not.toMatch(/\p{Cc}/u);
  });

  it("begin with ready, then every member that is there, each once, whenever its change came", () => {
    const { printed, lines: node } = lines(true);
    node.change({ type: "joined", member: B });
    expect(printed).toEqual([]);
    node.ready(SELF, [B, C], { address: "127.0.0.1:7" });
    node.change({ type: "joined", member: C });
    expect(heads(printed)).toEqual(["ready a", "joined b", "joined c"]);
    expect(JSON.parse(printed[0] as string)).toEqual({
      ...{ event: "ready", name: "a", host: "h", id: SELF.id, time: expect.stringMatching(TIME) },
      address: "127.0.0.1:7",
    });
  });

  it.each(["left", "lost", "removed"])("say joined again after %s", (gone) => {
    const { printed, lines: node } = lines(true);
    node.ready(SELF, []);
    for (const type of ["joined", gone, "joined"]) node.change({ type, member: B });
    expect(heads(printed)).toEqual(["ready a", "joined b", `${gone} b`, "joined b"]);
  });

  it("have the reason of a loss, and the own name where no member is meant", () => {
    const { printed, lines: node } = lines(true);
    node.ready(SELF, []);
    node.change({ type: "lost", member: B, reason: "silent" });
    node.change({ type: "minority" });
    node.change({ type: "healed" });
    expect(JSON.parse(printed[1] as string)).toEqual({
      ...{ event: "lost", name: "b", host: "h", id: B.id, time: expect.stringMatching(TIME) },
      reason: "silent",
    });
    expect(heads(printed).slice(2)).toEqual(["minority a", "healed a"]);
  });

  it("name a removed node that was not here by its id, and one without a host by its name", () => {
    const { printed, lines: node } = lines(true);
    node.ready(SELF, []);
    node.change({ type: "removed", id: B.id, member: undefined });
    node.change({ type: "joined", member: { id: C.id, name: "b" } });
    expect(heads(printed).slice(1)).toEqual([`removed ${B.id}`, "joined b"]);
    expect(JSON.parse(printed[2] as string)).toMatchObject({ event: "joined", name: "b", id: C.id });
    expect(JSON.parse(printed[2] as string)).not.toHaveProperty("host");
  });

  it("read as sentences without --json, and what others send cannot steer the terminal", () => {
    const { printed, lines: node } = lines(false);
    node.ready(SELF, [B], { address: "127.0.0.1:7" });
    node.change({ type: "lost", member: B, reason: "silent" });
    node.change({ type: "lost", member: { ...C, name: "\u001b[2J\u009bhi\n" }, reason: "silent" });
    for (const line of printed) expect(line.split(" ")[0]).toMatch(TIME);
    expect(printed.map((line) => line.replace(/^\S+ /, ""))).toEqual([
      "a@h is ready at 127.0.0.1:7",
      "b@h joined",
      "b@h is lost (silent)",
      "\\u{1b}[2J\\u{9b}hi\\u{a} is lost (silent)",
    ]);
  });
});

it("the reply to routes has nothing that would steer a terminal, or pass for another line", () => {
  const evil = "\x1b]0;title\x07\u009b2J\nb is missing";
  const escaped = "\\u{1b}]0;title\\u{7}\\u{9b}2J\\u{a}b is missing";
  const reply = { routes: [{ filter: evil, nodes: ["a", evil] }] };
  expect(NODE_COMMANDS.routes?.text?.(reply)).toEqual([`${escaped} a ${escaped}`]);
});
