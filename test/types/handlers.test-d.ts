/** What the type checker says of handlers whose result is not used: it may be anything. */
import type { ClusterNode } from "../../src/cluster/index.js";
import { FAILURES, ServiceError, type ShoalError } from "../../src/index.js";

declare const node: ClusterNode;
const list: unknown[] = [];

node.subscribe("t", ({ data }) => list.push(data));
node.subscribe("t", async ({ data }) => list.push(data));
node.createClient().subscribe("t", ({ data }) => list.push(data));
node.onMessage(({ data }) => list.push(data));
node.hook("member:found", ({ name }) => list.push(name));

export const error: ShoalError = new ServiceError("overloaded", "s", FAILURES.overloaded);
