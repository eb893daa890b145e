/** A client asks all workers that a service has now: each is given the request once, and each answer is passed on. */
import { BrokerRequest, type Client, Group, type Service, type Worker } from "./broker-tables.js";
import { answer, asked, type Frames } from "./messages-broker.js";
import { bytesOf, Dialect, EMPTY } from "./protocol.js";
import type { RequestCommand } from "./protocol-broker.js";

/** One worker, and what it is asked. */
export type Asking = readonly [worker: Worker, request: BrokerRequest];

/** Tells the client who is asked. @param service `undefined`: there is none, and so no worker */
export function askAll(
  client: Buffer,
  command: RequestCommand,
  owner: Client | undefined,
  service: Service | undefined,
  send: (message: Frames) => void,
): readonly Asking[] {
  const group = new Group(client, command.head);
  const workers = service === undefined ? [] : [...service.workers];
  send(
    asked(
      group,
      workers.map((worker) => worker.name),
    ),
  );
  if (service === undefined || workers.length === 0) {
    send(answer(group, true, EMPTY, [], 0));
    return [];
  }
  owner?.groups.set(groupKey(command.head), group);
  const bytes = bytesOf(command.frames, command.bodyAt);
  return workers.map((worker) => {
    const request = new BrokerRequest(client, command, service, bytes);
    request.group = group;
    group.open.add(request);
    return [worker, request] as const;
  });
}

/** An id as a key of a client's ask-alls. @param head of the request, or of its cancelling */
export function groupKey(head: Buffer): string {
  return head.toString("latin1", 7, 23);
}

/** A worker of shoal's has a queue of its own; a plain one is given one request at a time. */
export function takesAtOnce(worker: Worker): boolean {
  return worker.dialect === Dialect.Shoal || worker.free;
}
