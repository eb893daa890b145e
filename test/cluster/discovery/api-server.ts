/**
 * A part of a Kubernetes API server: the EndpointSlices of one namespace. Its replies have the shape of real ones (Kubernetes
 * API reference, EndpointSlice v1). It is killed, started again or refuses, as a test wants it.
 */
import { readFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import type { Certificates } from "../../support/certificates.js";

export interface Slice {
  readonly metadata: { readonly name: string; readonly [key: string]: unknown };
  readonly addressType: string;
  readonly endpoints: readonly object[] | null;
  readonly ports: readonly object[] | null;
}

export interface Refusal {
  readonly status: number;
  readonly reason?: string;
  readonly message: string;
}

/** A slice as the controller of Kubernetes makes it. */
export function slice(
  name: string,
  endpoints: readonly object[],
  { addressType = "IPv4", ports = [{ name: "node", port: 7946, protocol: "UDP" }] as readonly object[] } = {},
): Slice {
  return {
    metadata: {
      name,
      generateName: "shoal-",
      namespace: "sea",
      uid: "5f2b3c1e-8c0b-4f6e-9d2e-1c7a6d1f0c11",
      generation: 3,
      creationTimestamp: "2026-11-01T09:12:44Z",
      labels: {
        "app.kubernetes.io/name": "shoal",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
        "kubernetes.io/service-name": "shoal",
        "service.kubernetes.io/headless": "",
      },
      annotations: { "endpoints.kubernetes.io/last-change-trigger-time": "2026-11-01T09:13:01Z" },
      ownerReferences: [{ apiVersion: "v1", kind: "Service", name: "shoal", controller: true }],
    },
    addressType,
    endpoints,
    ports,
  };
}

/** A pod of a StatefulSet. */
export function pod(address: string, hostname?: string, conditions: object = {}): object {
  return {
    addresses: [address],
    conditions: { ready: true, serving: true, terminating: false, ...conditions },
    ...(hostname === undefined ? {} : { hostname }),
    targetRef: { kind: "Pod", namespace: "sea", name: hostname ?? "pod", uid: "0b6e" },
    nodeName: "worker-1",
  };
}

export class ApiServer {
  readonly #files: Certificates;
  readonly #slices = new Map<string, Slice>();
  #server: Server | undefined;
  #port = 0;
  token = "token-1";
  /** How often it was asked. */
  requests = 0;
  /** In place of what it has. */
  answer: Refusal | string | undefined;

  constructor(files: Certificates) {
    this.#files = files;
  }

  get url(): string {
    return `https://127.0.0.1:${this.#port}`;
  }

  /** Starts it, the first time or after `kill`, at its port. */
  async run(): Promise<void> {
    const server = createServer(
      { cert: readFileSync(this.#files.serverCert), key: readFileSync(this.#files.serverKey) },
      (request, response) => this.#onRequest(request, response),
    );
    this.#server = server;
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject).listen(this.#port, "127.0.0.1", resolve);
    });
    this.#port = (server.address() as AddressInfo).port;
  }

  /** Ends it, with all its connections. */
  async kill(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
  }

  set(changed: Slice): void {
    this.#slices.set(changed.metadata.name, changed);
  }

  #onRequest(request: IncomingMessage, response: ServerResponse): void {
    this.requests += 1;
    const answer = this.answer ?? this.#doubts(request) ?? this.#list();
    if (typeof answer === "string") response.end(answer);
    else {
      response.writeHead(answer.status, { "content-type": "application/json" });
      response.end(JSON.stringify(status(answer)));
    }
  }

  #doubts(request: IncomingMessage): Refusal | undefined {
    const url = new URL(request.url ?? "", "https://server");
    if (request.headers.authorization !== `Bearer ${this.token}`)
      return { status: 401, reason: "Unauthorized", message: "Unauthorized" };
    if (url.pathname !== "/apis/discovery.k8s.io/v1/namespaces/sea/endpointslices")
      return {
        status: 403,
        reason: "Forbidden",
        message:
          'endpointslices.discovery.k8s.io is forbidden: User "system:serviceaccount:sea:shoal" cannot list resource "endpointslices" in API group "discovery.k8s.io" in the namespace "other"',
      };
    if (url.searchParams.get("labelSelector") !== "kubernetes.io/service-name=shoal")
      return { status: 400, reason: "BadRequest", message: "unable to parse requirement" };
    return undefined;
  }

  #list(): string {
    return JSON.stringify({
      kind: "EndpointSliceList",
      apiVersion: "discovery.k8s.io/v1",
      metadata: { resourceVersion: "1000" },
      items: [...this.#slices.values()],
    });
  }
}

function status({ status: code, reason = "InternalError", message }: Refusal): object {
  return { kind: "Status", apiVersion: "v1", metadata: {}, status: "Failure", message, reason, code };
}
