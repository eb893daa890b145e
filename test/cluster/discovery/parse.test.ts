/** Sources as texts of the command line. */
import { describe, expect, it } from "vitest";
import { parseDiscovery } from "../../../src/cluster/discovery/parse.js";
import { thrown } from "../../contract/support/wait.js";

const SELF = { id: "0".repeat(32), name: "a@host", cluster: "default", address: "10.0.0.1:7946" };

describe("a text of discovery", () => {
  it.each([
    ["static:10.0.0.5:7946,db.example:1", "static"],
    ["dns://billing.example:7946", "dns:billing.example"],
    ["etcd://10.0.0.5:2379/emqcl", "etcd:10.0.0.5:2379/emqcl"],
    ["etcd://10.0.0.5:2379", "etcd:10.0.0.5:2379/shoal"],
    ["etcd://a:2379,b:2379/x?ttl=30000&publish=false", "etcd:a:2379/x"],
    ["etcds://a:2379/x", "etcd:a:2379/x"],
    ["broadcast:", "broadcast:23773"],
    ["broadcast:?port=5000&interval=1000&interface=eth0", "broadcast:5000"],
    ["kubernetes://prod/billing:7946?server=https://10.0.0.1:6443", "kubernetes:prod/billing"],
    ["kubernetes://prod/billing:gossip?addressType=dns&server=https://10.0.0.1", "kubernetes:prod/billing"],
  ])("%s is a source", (text, name) => {
    expect(parseDiscovery(text).name).toBe(name);
  });

  it.each([
    ["static:10.0.0.5:7946,db.example:1", ["10.0.0.5:7946", "db.example:1"]],
    ["dns://db.example:1", ["db.example:1"]],
  ])("%s has its addresses and names, which the node looks up", async (text, addresses) => {
    const lists = parseDiscovery(text).discover(SELF, new AbortController().signal)[Symbol.asyncIterator]();
    expect((await lists.next()).value).toEqual(addresses);
  });

  it.each([
    ["", "one of"],
    ["static", "one of"],
    ["ectd://a:2379/x", "did you mean etcd?"],
    ["constructor:x", "one of"],
    ["10.0.0.5:7946", "one of"],
    ["static:", "host:port"],
    ["static://10.0.0.5:7946", "expected static:HOST:PORT"],
    ["static:10.0.0.5:7946,,", "host:port"],
    ["static:10.0.0.5:7946?x=1", "has no option x"],
    ["dns:billing.example", "expected dns://NAME"],
    ["dns://:1", "host:port"],
    ["dns://a/b:1", "host:port"],
    ["dns://billing.example", "expected dns://NAME:PORT"],
    ["dns://a.example:99999", "port"],
    ["etcd://a:2379/x?tll=1", "did you mean ttl?"],
    ["etcd://a:2379/x?ttl=soon", "ttl of etcdSource must be a whole number"],
    ["etcd://a:2379/x?ttl=1&ttl=2", "has ttl twice"],
    ["etcd://user:secret@a:2379/x", "must not contain a user and password"],
    ["etcd://a:2379/x?publish=yes", "publish of etcdSource must be true or false"],
    ["etcd:///x", "server"],
    ["broadcast:eth0", "expected broadcast:?OPTION=VALUE"],
    ["kubernetes://billing", "expected kubernetes://NAMESPACE/SERVICE"],
    ["kubernetes://prod/billing:80:90?server=https://10.0.0.1", "SERVICE[:PORT]"],
    ["kubernetes://a/b/c", "expected kubernetes://NAMESPACE/SERVICE"],
    [`static:${"x".repeat(5_000)}:1`, "at most 4096"],
    [7 as never, "a text"],
  ])("%s is refused", (text, reason) => {
    const { code, message } = thrown(() => parseDiscovery(text));
    expect([code, message]).toEqual(["EINVAL", expect.stringContaining(reason)]);
    expect(message).not.toContain("secret");
    expect(message).not.toContain(`did you mean ${text}?`);
  });
});
