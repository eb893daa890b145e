/** Tables that lead from the configuration of other programs to shoal's: each of their keys has a row, with their default. */
import { describe, expect, it } from "vitest";
import { codes, tableUnder } from "./support/markdown.js";

/** emqttd's, with the values in its documentation; the empty ones are names that choose a source. */
const EMQTTD: Readonly<Record<string, string>> = {
  "node.name": "emq@127.0.0.1",
  "cluster.static.seeds": "emq1@127.0.0.1,ekka2@127.0.0.1",
  "cluster.mcast.addr": "239.192.0.1",
  "cluster.mcast.ports": "4369,4370",
  "cluster.mcast.iface": "0.0.0.0",
  "cluster.mcast.ttl": "255",
  "cluster.mcast.loop": "on",
  "cluster.dns.name": "localhost",
  "cluster.dns.app": "ekka",
  "cluster.etcd.server": "http://127.0.0.1:2379",
  "cluster.etcd.prefix": "emqcl",
  "cluster.etcd.node_ttl": "1m",
  "cluster.k8s.apiserver": "http://10.110.111.204:8080",
  "cluster.k8s.service_name": "ekka",
  "cluster.k8s.address_type": "ip",
  "cluster.k8s.app_name": "ekka",
  "cluster.autoheal": "on",
  "cluster.autoclean": "5m",
  inet_dist_listen_min: "20000",
  inet_dist_listen_max: "21000",
};

/** Those of the client of WSO2's message broker. */
const WSO2: Readonly<Record<string, string>> = {
  INITIAL_ADDRESSES: "IP_1,IP_2,IP_3",
  RETRIES: "0",
  CONNECTION_DELAY: "0",
  CYCLE_COUNT: "2",
  TIME: "60",
  USER_NAME: "admin",
  PASSWORD: "admin",
  TRUSTSTORE_LOCATION: "wso2carbon.jks",
  CARBON_CLIENT_ID: "carbon",
  CARBON_VIRTUAL_HOST_NAME: "carbon",
  CF_NAME: "qpidConnectionfactory",
  QPID_ICF: "class",
  AUTHENTICATION_CLIENT: "",
  CF_NAME_PREFIX: "",
  CARBON_PROPERTIES: "",
  FAILOVER_PROPERTIES: "",
  TRUSTSTORE: "",
  TOPIC_NAME: "MYTopic",
};

describe.each([
  ["operation.md", "From emqttd's configuration", EMQTTD],
  ["dynamic-clients.md", "The client", WSO2],
])("docs/%s, %s", (file, heading, keys) => {
  const rows = tableUnder(file, heading);

  it.each(Object.entries(keys))("has %s with its default", (key, value) => {
    const row = rows.find(([cell = ""]) => codes(cell).includes(key));
    expect(row?.[1]).toContain(value);
  });
});
