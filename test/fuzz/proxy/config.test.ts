// biome-ignore-all lint/suspicious/noTemplateCurlyInString: variables of configurations
/** A proxy's configuration, whatever is in the file: read, or refused with places in it, and its secrets in no message. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { ConfigurationError } from "../../../src/config/file.js";
import { configurationOf } from "../../../src/proxy/config/load.js";
import { Random, runs, SEED, told } from "../seed.js";

const folder = mkdtempSync(join(tmpdir(), "shoal-fuzz-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const settings = {
  environment: { PASSWORD: "tr0ub4dor&3", HOST: "127.0.0.1" },
  engine: { name: "zmtp", transports: ["tcp", "ipc", "inproc"], unsupportedOptions: ["affinity"] },
};

const GOOD = [
  `drain: 5
proxies:
  work:
    kind: streamer
    backend: { bind: "tcp://\${HOST}:5555", sendHighWaterMark: 10 }
    frontend:
      bind: [tcp://*:5556, ipc:///tmp/x]
      policy:
        addresses: { allow: [10.0.0.0/8] }
        limits: { peer: { messages: 10 } }
`,
  `proxies:
  news:
    kind: forwarder
    frontend: { connect: tcp://10.0.0.1:1, subscribe: [a, b] }
    backend: { bind: tcp://*:2, plainUsers: { user: "\${PASSWORD}" } }
    control: { bind: tcp://127.0.0.1:3 }
    capture: { type: pub, bind: tcp://127.0.0.1:4 }
  more:
    kind: queue
    frontend: &side { bind: tcp://*:7 }
    backend: { <<: *side, bind: tcp://*:8 }
`,
];
const PIECES = [
  ..."{}[]:,&*!|>'\"%@`#-?\n\t \0",
  "  ",
  "<<: *side",
  "${PASSWORD}",
  "${NOBODY}",
  "$${",
  "__proto__",
  "constructor: 1",
  "proxies:",
  "kind: pair",
  "policy: 7",
  "1e309",
  ".nan",
  "~",
  "!!binary aGk=",
  "- ",
  "9".repeat(30),
  "\ud800",
];

test("a configuration", async () => {
  const random = new Random(SEED);
  const count = runs(40, 10_000);
  let read = 0;
  for (const text of GOOD.slice(0, 1)) await configurationOf(join(folder, "x.yaml"), text, settings);
  for (let i = 0; i < count; i++) {
    let text = GOOD[random.below(GOOD.length)] as string;
    for (let changes = random.below(4); changes >= 0; changes--) {
      const at = random.below(text.length + 1);
      const piece = PIECES[random.below(PIECES.length)] as string;
      const cut = random.below(3) === 0 ? random.below(12) : 0;
      if (random.below(4) === 0) {
        const lines = text.split("\n");
        lines.splice(random.below(lines.length), 1, lines[random.below(lines.length)] as string);
        text = lines.join("\n");
      } else text = text.slice(0, at) + (random.below(2) === 0 ? piece : "") + text.slice(at + cut);
    }
    try {
      const { proxies } = await configurationOf(join(folder, "x.yaml"), text, settings);
      expect(Object.getPrototypeOf({ ...proxies })).toBe(Object.prototype);
      read += 1;
    } catch (error) {
      const why = `SHOAL_SEED=${SEED}, ${JSON.stringify(text)}`;
      if (!(error instanceof ConfigurationError)) throw new Error(why, { cause: error });
      expect(error.problems.length, why).toBeGreaterThan(0);
      const lines = text.split("\n").length;
      for (const { line, column, message } of error.problems) {
        expect(message, why).not.toContain("tr0ub4dor");
        expect(line, why).toBeGreaterThan(0);
        expect(line, why).toBeLessThanOrEqual(lines + 1);
        expect(column, why).toBeGreaterThan(0);
      }
    }
  }
  expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  told(`configurations, ${read} of them read`, count);
});
