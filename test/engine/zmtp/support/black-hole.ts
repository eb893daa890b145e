/**
 * A loopback address where nobody answers: a program listens, never accepts, and its
 * backlog is full, so the kernel leaves every further attempt to connect unanswered.
 */
import { connect } from "node:net";
import { until } from "../../../contract/support/wait.js";
import { start } from "../../../process/child.js";

/** Blocks its thread once it listens. */
const DEAF = `
  import { createServer } from "node:net";
  const [host, port] = process.argv.slice(1);
  const server = createServer();
  server.listen({ host, port: Number(port), backlog: 1 }, () => {
    process.stdout.write(server.address().port + "\\n", () => {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    });
  });
`;

/** @param port 0: the system's choice. @returns the port, and what ends it */
export async function blackHole(host: string, port = 0): Promise<{ port: number; end(): Promise<void> }> {
  const child = start(DEAF, { args: [host, String(port)], limit: 20_000 });
  const bound = Number(await child.line());
  let taken = 0;
  // As many as the kernel takes for a backlog of 1, and some more.
  const fillers = Array.from({ length: 6 }, () => {
    const socket = connect({ host, port: bound });
    socket.on("error", () => undefined);
    socket.once("connect", () => void taken++);
    return socket;
  });
  await until(() => taken >= 2, "a full backlog");
  return {
    port: bound,
    async end() {
      for (const socket of fillers) socket.destroy();
      await child.kill();
    },
  };
}
