/** `NODE_DEBUG=shoal`: what happens to connections, in lines. */
import { expect, it } from "vitest";
import { run } from "./child.js";

const PROGRAM = `import { Pull, Push } from "shoal";
const pull = new Pull();
const endpoint = await pull.bind("tcp://127.0.0.1:*");
const push = new Push();
push.connect(endpoint);
await push.send("x");
await pull.receive();
const stranger = new Push({ plainUsername: "u", plainPassword: "p" });
const refused = new Promise((resolve) => stranger.events.once("handshake:error:protocol", resolve));
stranger.connect(endpoint);
await refused;
const lost = new Promise((resolve) => push.events.once("connect:retry", resolve));
await pull.close();
await lost;
await Promise.all([push, stranger].map((socket) => socket.close({ linger: 0 })));`;

it("prints each step of a connection, the reason of a refusal and of a loss, and nothing else without it", async () => {
  const { code, stderr } = await run(PROGRAM, { env: { NODE_DEBUG: "shoal" } });
  expect(code).toBe(0);
  for (const line of [
    /Pull bind \{"address":"tcp:\/\/127\.0\.0\.1:\d+"\}\n/,
    /Push connect:delay \{"address":"tcp:\/\/127\.0\.0\.1:\d+"\}\n/,
    /Push connect \{"address":"tcp:\/\/127\.0\.0\.1:\d+".*\}\n/,
    /tcp:\/\/127\.0\.0\.1:\d+ greeting \{"minor":1,"mechanism":"NULL","asServer":false\}\n/,
    /Push handshake \{"address":"tcp:\/\/127\.0\.0\.1:\d+".*\}\n/,
    /Push handshake:error:protocol \{"error":".*mechanism NULL, this socket PLAIN".*\}\n/,
    /Push disconnect \{.*"reason":"remote".*\}\n/,
    /Push connect:retry \{.*"interval":[\d.]+.*\}\n/,
  ])
    expect(stderr).toMatch(line);
  expect(await run(PROGRAM, {})).toMatchObject({ code: 0, stderr: "" });
});
