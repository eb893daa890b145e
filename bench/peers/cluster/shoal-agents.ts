/** `shoal node start` as the agents of a cluster. */
import { randomBytes } from "node:crypto";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../../places.js";
import type { AgentKind, AgentLine } from "./agents.js";

const BINARY = join(ROOT, "dist/cli/main.js");
const Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

const UP: ReadonlySet<string> = new Set(["joined", "back"]);
const DOWN: ReadonlySet<string> = new Set(["lost", "left", "removed"]);

export const shoalAgents: AgentKind = {
  async command({ index, cluster, folder, place }) {
    const args = [BINARY, "node", "start", "--name", `n${index}`, "--group", cluster, "--json", "-q"];
    if (place !== undefined) {
      const key = join(folder, "key");
      if (!existsSync(key)) writeFileSync(key, `${randomKey()}\n`, { mode: 0o600 });
      args.push("--scope", "link", "--interface", place.device, "--key", key);
    }
    return { file: process.execPath, args };
  },
  parse(line): AgentLine | undefined {
    if (!line.startsWith("{")) return undefined;
    const { event, name, group } = JSON.parse(line) as Record<string, string>;
    if (event === undefined || name === undefined || group !== undefined) return undefined;
    if (event === "ready") return { event: "ready", name };
    if (UP.has(event)) return { event: "up", name };
    return DOWN.has(event) ? { event: "down", name } : undefined;
  },
};

/** Any 40 characters are a key if each group of five is a number of 32 bits. */
function randomKey(): string {
  return Array.from({ length: 8 }, () => {
    let number = randomBytes(4).readUInt32BE();
    let text = "";
    for (let digit = 0; digit < 5; digit++) {
      text = Z85[number % 85] + text;
      number = Math.floor(number / 85);
    }
    return text;
  }).join("");
}
