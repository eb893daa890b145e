/** Items of the kind PUBLISH as a publisher makes them. */
import { encodeName } from "../../../src/cluster/messaging/items.js";
import { Publication, TopicPlan } from "../../../src/cluster/messaging/publication.js";

export interface PublishFields {
  readonly client?: number;
  readonly subtopic?: string;
  readonly stamp?: number;
  readonly data?: string | Uint8Array;
  readonly context?: Buffer | undefined;
}

export function publishItem(topic: string, fields: PublishFields = {}): Buffer {
  const { client = 1, subtopic, stamp = 0, data = "x", context } = fields;
  const plan = new TopicPlan(topic);
  const publication = new Publication(plan);
  const name = subtopic === undefined ? undefined : encodeName(subtopic);
  publication.set(plan, client, name, stamp, data, context);
  return publication.item();
}
