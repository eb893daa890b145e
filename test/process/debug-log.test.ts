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
    /Pull 1: tcp:\/\/127\.0\.0\.1:\d+ listens\n/,
    /Push 2: tcp:\/\/127\.0\.0\.1:\d+ dials\n/,
    /Push 2: tcp:\/\/127\.0\.0\.1:\d+ connected\n/,
    /tcp:\/\/127\.0\.0\.1:\d+ NULL handshake: \d+ bytes came\n/,
    /Push 2: tcp:\/\/127\.0\.0\.1:\d+ ready\n/,
    /Push 3: tcp:\/\/127\.0\.0\.1:\d+ refused.*: .*mechanism NULL, this socket PLAIN\n/,
    /Push 2: tcp:\/\/127\.0\.0\.1:\d+ lost \(remote\)/,
    /Push 2: tcp:\/\/127\.0\.0\.1:\d+ is dialled again in \d+ ms: /,
  ])
    expect(stderr).toMatch(line);
  expect(await run(PROGRAM, {})).toMatchObject({ code: 0, stderr: "" });
});
