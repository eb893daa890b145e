/** The dashboard's page in Debian's Chromium: what is shown, keys, names that would like to be HTML, small screens. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type DashboardSourcesByName, serveDashboard } from "../../src/dashboard/index.js";
import { Pull, Push } from "../../src/index.js";
import { SocketProxy } from "../../src/proxy/index.js";
import { LONG } from "../support/long.js";
import { missing, peerAt } from "../support/peers.js";
import { Chromium, type Page } from "./support/chromium.js";

const reason = missing("chromium");
const TOKEN = "0123456789abcdef";
const HOSTILE = `<img src=x onerror="hacked=1">"'><script>hacked=1</script>\u202e`;

describe.skipIf(reason)(`the dashboard's page${reason === false ? "" : `: ${reason}`}`, () => {
  let chromium: Chromium;
  beforeAll(async () => {
    chromium = await Chromium.start(peerAt("chromium"));
  });
  afterAll(() => chromium.close());
  const closing: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close();
  });

  async function open(sources: DashboardSourcesByName): Promise<Page> {
    const server = await serveDashboard("127.0.0.1:0", sources, { interval: 200, token: TOKEN });
    closing.push(server.close);
    const page = await chromium.open(server.url);
    closing.push(page.close);
    await page.until(`document.getElementById("status")?.textContent.startsWith("Live")`);
    return page;
  }

  async function streamer(): Promise<SocketProxy> {
    const proxy = new SocketProxy({
      frontend: { type: "pull", bind: "tcp://127.0.0.1:*" },
      backend: { type: "push", bind: "tcp://127.0.0.1:*" },
    });
    closing.push(() => proxy.close());
    await proxy.start();
    return proxy;
  }

  async function press(page: Page, key: string): Promise<void> {
    const text = key.length === 1 ? key : key === "Enter" ? "\r" : undefined;
    // Without its code Escape closes no dialog.
    const code = { Enter: 13, Escape: 27 }[key];
    const pressed = { key, ...(code === undefined ? {} : { windowsVirtualKeyCode: code }) };
    await page.call("Input.dispatchKeyEvent", {
      type: "keyDown",
      ...pressed,
      ...(text === undefined ? {} : { text }),
    });
    await page.call("Input.dispatchKeyEvent", { type: "keyUp", ...pressed });
  }

  const focusBox = (name: string) =>
    `[...document.querySelectorAll("g[data-id]")].find((box) => box.dataset.id === "p0/${name}").focus()`;

  it("shows sources, connections and rates; keys filter, open and close; pausing needs the token", async () => {
    const proxy = await streamer();
    const push = new Push();
    closing.push(() => push.close({ linger: 0 }));
    push.connect(proxy.endpoints.frontend[0] as string);
    const page = await open({ orders: proxy, source: push });
    await page.until(`document.querySelectorAll("path.edge").length === 1`);
    const labels = await page.evaluate<string[]>(
      `[...document.querySelectorAll("g[data-id]")].map((box) => box.getAttribute("aria-label"))`,
    );
    expect(labels).toEqual([
      expect.stringMatching(/^orders, streamer, running, .*this program, 1 connection$/),
      expect.stringMatching(/^source, push, open, .*this program, 1 connection$/),
    ]);
    const rows = `[...document.querySelectorAll("#rows tr")].map((row) => row.querySelector(".name").textContent)`;
    expect(await page.evaluate(rows)).toEqual(["orders", "source"]);
    await page.evaluate(`document.querySelector("button.toggle").click()`);
    expect(await page.evaluate(rows)).toEqual(["orders", "frontend", "backend", "source"]);
    expect(await page.evaluate(`document.querySelectorAll("#charts canvas").length`)).toBe(2);

    await press(page, "/");
    for (const letter of "source") await press(page, letter);
    expect(await page.evaluate(rows)).toEqual(["source"]);
    await press(page, "Escape");
    expect(await page.evaluate(rows)).toHaveLength(4);

    await page.evaluate(`document.activeElement.blur(); ${focusBox("orders")}`);
    await press(page, "Enter");
    await page.until(`document.querySelector("#details[open] h2").textContent === "orders"`);
    await page.evaluate(`document.querySelector("#steer button[value=pause]").click()`);
    await page.until(`/token is needed/.test(document.querySelector("#steer [role=status]").textContent)`);
    expect(proxy.state).toBe("running");
    await page.evaluate(`(() => {
      const token = document.querySelector("#steer input");
      token.value = "${TOKEN}";
      token.dispatchEvent(new Event("input"));
      document.querySelector("#steer button[value=pause]").click();
    })()`);
    await page.until(`document.querySelector("#problems").textContent === "orders (streamer) is paused"`);
    expect(proxy.state).toBe("paused");
    await press(page, "Escape");
    await page.until(`document.querySelector("dialog[open]") === null`);
  });

  it("makes no HTML of names, and asks for nothing elsewhere", async () => {
    const pull = new Pull();
    closing.push(() => pull.close({ linger: 0 }));
    await pull.bind("tcp://127.0.0.1:*");
    const members = [{ name: HOSTILE, state: HOSTILE, addresses: [HOSTILE], tags: [HOSTILE] }];
    const node = { kind: "cluster", stats: () => ({ members: 1 }), members: () => members } as const;
    const page = await open({ [HOSTILE]: node, [`${HOSTILE} 2`]: pull });
    await page.evaluate(`document.querySelector("g[data-id]").dispatchEvent(new MouseEvent("click"))`);
    await page.until(`document.querySelector("#details td")?.textContent.startsWith("<img")`);
    expect(
      await page.evaluate(`({
        hacked: globalThis.hacked,
        made: document.querySelectorAll("img, #rows script, #map script, #details script, [onerror]").length,
        turned: document.body.textContent.includes("\\u202e"),
        elsewhere: performance.getEntriesByType("resource").filter(({ name }) => !name.startsWith(location.origin)).length,
      })`),
    ).toEqual({ made: 0, turned: false, elsewhere: 0 });
  });

  it.runIf(LONG)(
    "fits a narrow screen, has contrast in light and dark, and a name for each control",
    async () => {
      const page = await open({ orders: await streamer() });
      await page.call("Emulation.setDeviceMetricsOverride", {
        width: 360,
        height: 640,
        deviceScaleFactor: 1,
        mobile: true,
      });
      expect(await page.evaluate(`document.documentElement.scrollWidth`)).toBeLessThanOrEqual(360);
      await page.evaluate(`document.querySelector("g[data-id]").dispatchEvent(new MouseEvent("click"))`);
      for (const value of ["light", "dark"]) {
        await page.call("Emulation.setEmulatedMedia", {
          features: [{ name: "prefers-color-scheme", value }],
        });
        const worst = await page.evaluate<number>(CONTRAST);
        expect([value, worst >= 4.5], `contrast ${worst}`).toEqual([value, true]);
      }
      expect(
        await page.evaluate(`[...document.querySelectorAll("button, input, [role=button]")].filter((each) =>
        (each.textContent.trim() || each.getAttribute("aria-label") || each.labels?.[0]?.textContent || "") === "").length`),
      ).toBe(0);
    },
  );
});

/** The least contrast of a colour of text with the two backgrounds (WCAG 2, relative luminance). */
const CONTRAST = `(() => {
  const probe = document.createElement("span");
  document.body.append(probe);
  const luminance = (name) => {
    probe.style.color = "var(--" + name + ")";
    const [r, g, b] = getComputedStyle(probe).color.match(/[\\d.]+/g).map((part) => {
      const value = part / 255;
      return value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  let worst = 21;
  for (const text of ["text", "quiet", "accent", "good", "warn", "bad"])
    for (const back of ["back", "card"]) {
      const [low, high] = [luminance(text), luminance(back)].sort((a, b) => a - b);
      worst = Math.min(worst, (high + 0.05) / (low + 0.05));
    }
  probe.remove();
  return worst;
})()`;
