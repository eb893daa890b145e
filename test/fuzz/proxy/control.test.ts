/** What comes at a proxy's control socket, whatever it is: refused with a reason, or exactly one known command. */
import { expect, test } from "vitest";
import { InvalidArgumentError } from "../../../src/index.js";
import { type ControlCommand, parseControl } from "../../../src/proxy/control.js";
import { fuzz } from "../messages.js";

const WORDS = ["PAUSE", "RESUME", "TERMINATE", "KILL", "STATISTICS"];
const COMMANDS = ["status", "pause", "resume", "drain", "terminate", "kill"];

test("a control command", () => {
  fuzz({
    name: "control commands",
    good: [
      ...WORDS.map((word) => [word]),
      ...COMMANDS.map((command) => [JSON.stringify({ command })]),
      ['{"command":"drain","timeout":0}'],
      ['{"timeout":2147483647,"command":"drain"}'],
      [`{"command":"status"${" ".repeat(4_096 - 20)}}`],
    ],
    bad: [
      [],
      [""],
      ["PAUSE "],
      ["PAUSE", ""],
      ["[]"],
      ["null"],
      ["7"],
      ["{}"],
      ['{"command":"peers"}'],
      ['{"command":"peers","side":"capture"}'],
      ['{"command":"status","timeout":5}'],
      ['{"command":"drain","timeout":-1}'],
      ['{"command":"drain","timeout":2147483648}'],
      ['{"command":"drain","timeout":1.5}'],
      ['{"command":"drain","timeout":null}'],
      ['{"command":"pause","__proto__":1}'],
      ['{"command":"toString"}'],
      ["toString"],
      [`{"command":"status"${" ".repeat(4_096 - 19)}}`],
    ],
    check: (frames) => {
      let command: ControlCommand;
      try {
        command = parseControl(frames);
      } catch (error) {
        expect(error).toBeInstanceOf(InvalidArgumentError);
        const { message } = error as Error;
        expect(message.length).toBeGreaterThan(10);
        expect(message.length).toBeLessThan(200);
        return false;
      }
      expect(frames).toHaveLength(1);
      const text = String(frames[0]);
      expect(frames[0]?.length).toBeLessThanOrEqual(4_096);
      if (command.as === "word") {
        expect(WORDS).toContain(text);
        expect(command.action).toBe(text.toLowerCase());
      } else {
        const { command: asked, timeout, ...more } = JSON.parse(text) as Record<string, unknown>;
        expect([asked, timeout, more]).toEqual([command.action, command.timeout, {}]);
        expect(COMMANDS).toContain(asked);
        if (timeout !== undefined) {
          expect(asked).toBe("drain");
          expect(Number.isInteger(timeout)).toBe(true);
          expect(timeout).toBeGreaterThanOrEqual(0);
          expect(timeout).toBeLessThanOrEqual(2_147_483_647);
        }
      }
      return true;
    },
  });
});
