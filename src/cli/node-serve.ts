/** shoal node serve: a service of a cluster by a program per request, or an echo. */

import { ClusterNode } from "../cluster/index.js";
import { isStreamedBody } from "../cluster/requests/body-source.js";
import { isBytes } from "../core/bytes.js";
import { asUsage, describe } from "./failure.js";
import { Log } from "./log.js";
import { nodeConfigurationOfFlags } from "./node-config.js";
import { type OperationSettings, operate } from "./operation.js";
import { type AnswerSettings, answerer } from "./service.js";
import { Stop } from "./stop.js";

/** Bytes of a streamed body that are gathered for a program. */
const MAX_GATHERED = 16_777_216;

export interface ServeSettings extends AnswerSettings, OperationSettings {
  readonly concurrency?: number;
  /** Values of flags (`nodeFlags`). */
  readonly [flag: string]: unknown;
}

export async function serveService(service: string, settings: ServeSettings): Promise<void> {
  const { key, passwordFile, concurrency = 1 } = settings;
  const answer = answerer(settings, { SHOAL_SERVICE: service });
  const log = new Log("node serve");
  const { options } = await nodeConfigurationOfFlags({
    name: `${service.replace(/[^A-Za-z0-9]+/g, "-")}-${process.pid}`,
    ...(key === undefined && passwordFile === undefined ? {} : { scope: "link" }),
    ...settings,
  });
  const node = new ClusterNode(options);
  node.events.on("handler:failed", ({ error }) => log.warn(`a request failed: ${describe(error)}`));
  await operate(
    { settings, log, stop: new Stop().listen(), service: node, sources: () => ({ node }) },
    async () => {
      const served = await asUsage(() =>
        node.serve(
          service,
          async (body, { signal }) => {
            // The program gets bytes. Its output is a string if the request was one.
            const isText = typeof body === "string";
            const input = isStreamedBody(body) ? await gathered(body) : bytesOf(body);
            const [reply] = [await answer([input], { signal })].flat();
            return isText ? String(reply) : reply;
          },
          { concurrency, exposeErrors: true }, // The program is the operator's own, as are its errors.
        ),
      );
      await asUsage(() => node.start());
      // A slow member learns of the service later.
      await served.ready.catch((error: unknown) => log.warn(describe(error)));
      log.info(`serving ${service} in the cluster ${node.group} as ${node.self.name}`);
    },
  );
}

function bytesOf(body: unknown): Buffer {
  if (typeof body === "string" || isBytes(body)) return Buffer.from(body as string);
  return Buffer.from(body === undefined ? "" : JSON.stringify(body));
}

async function gathered(body: AsyncIterable<unknown>): Promise<Buffer> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of body) {
    const piece = bytesOf(part);
    bytes += piece.length;
    if (bytes > MAX_GATHERED) throw new Error(`a body in parts has ${MAX_GATHERED} bytes at most`);
    parts.push(piece);
  }
  return Buffer.concat(parts);
}
