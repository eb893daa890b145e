// @ts-check
/**
 * A plugin of TypeDoc: what the API reference has of the site. Each export gets a category by where its source is and what it
 * is named, each page a way back to the guide, and to the page of docs/ that explains it.
 */
import { Comment, CommentTag, Converter, JSX, ReflectionKind } from "typedoc";

/** The first that fits decides. @type {readonly (readonly [where: RegExp, category: string])[]} of `file#name` */
const CATEGORIES = [
  [/#\w*Error$|core\/errors\.ts#/, "Errors"],
  [/#\w*(?:Options|Properties|Limits|Settings)$/, "Options"],
  [
    /#\w*(?:Event|Events|EventStream|Stats|Reason|Observer|EventSubscriber|EventOfType|EventType)$/,
    "Events and statistics",
  ],
  [
    /(?:security|certificate|curve|authenticate|tls)[\w-]*[/.].*#|#\w*(?:Credentials|Curve|Certificate)\w*$/i,
    "Security",
  ],
  [/sockets\/(?:codec|envelope|message|shape|frame)[\w-]*\.ts#/, "Messages"],
  [
    /sockets\/(?:context|capability|endpoint-source)\.ts#|\/engine\/|core\/schemes\/|#Transport\w*$/,
    "Contexts and transports",
  ],
  [/sockets\/.*#/, "Sockets"],
];

/** The pages of docs/ that explain what a folder of src/ has; the first that fits. */
const GUIDES = /** @type {const} */ ([
  [
    /src\/patterns\/(binary-star|black-box|clone|espresso|freelance|last-value-cache|load-balancer|majordomo|pirate|sequenced|suicidal-snail|titanic)\//,
    "patterns/$1",
  ],
  [/src\/patterns\/federation\//, "patterns/load-balancer"],
  [/src\/patterns\//, "choosing"],
  [/src\/sessions\//, "sessions"],
  [/src\/cluster\/discovery\//, "discovery"],
  [/src\/cluster\/messaging\//, "messaging"],
  [/src\/cluster\//, "clusters"],
  [/src\/proxy\//, "proxy"],
  [/src\/link\//, "links"],
  [/src\/metrics\//, "metrics"],
  [/src\/dashboard\//, "dashboard"],
  [/src\/opentelemetry\//, "tracing"],
  [/src\/testing\//, "testing"],
  [/src\/browser\//, "browsers"],
  [/src\/core\/errors\.ts/, "errors"],
  [/security|certificate|curve/, "security"],
  [/src\/sockets\/codec/, "codecs"],
  [/src\/engine\//, "engines"],
  [/src\/(?:sockets|core|index)/, "sockets"],
]);

/** Where an export is from. @param {import("typedoc").ProjectReflection} project @param {import("typedoc").Reflection} reflection */
const fileOf = (project, reflection) =>
  project.getSymbolIdFromReflection(reflection)?.fileName?.replaceAll("\\", "/") ?? "";

/** What a program imports a module by: package.json leaves out the folders that hold several. @param {string} folder */
const importName = (folder) =>
  folder === "index" ? "shoal" : `shoal/${folder.replace(/^(?:patterns|cluster|sockets)\//, "")}`;

/** @param {import("typedoc").Application} app */
export function load(app) {
  app.converter.on(Converter.EVENT_RESOLVE_BEGIN, ({ project }) => {
    for (const module of project.getReflectionsByKind(ReflectionKind.Module))
      module.name = importName(module.name);
    for (const reflection of project.getReflectionsByKind(ReflectionKind.All)) {
      if (reflection.parent?.kindOf(ReflectionKind.SomeModule) !== true) continue;
      const place = `${fileOf(project, reflection)}#${reflection.name}`;
      const [, category] = CATEGORIES.find(([where]) => where.test(place)) ?? [];
      if (category === undefined) continue;
      const owners =
        "signatures" in reflection && reflection.signatures ? reflection.signatures : [reflection];
      for (const owner of /** @type {import("typedoc").Reflection[]} */ (owners)) {
        owner.comment ??= new Comment();
        owner.comment.blockTags.push(new CommentTag("@category", [{ kind: "text", text: category }]));
      }
    }
  });
  const up = (/** @type {string} */ url) => "../".repeat(url.split("/").length);
  app.renderer.hooks.on("body.begin", ({ page }) => {
    const to = (/** @type {string} */ name, /** @type {string} */ text) =>
      JSX.createElement("a", { href: `${up(page.url)}${name}.html` }, text);
    const links = [
      to("index", "shoal"),
      to("getting-started", "Guide"),
      to("choosing", "Patterns"),
      to("clusters", "Cluster"),
    ];
    return JSX.createElement("nav", { class: "site", "aria-label": "The site" }, ...links);
  });
  app.renderer.hooks.on("content.begin", ({ page }) => {
    const place = fileOf(page.project, page.model);
    const [where, name] = GUIDES.find(([where]) => where.test(place)) ?? [];
    if (where === undefined || name === undefined) return JSX.createElement(JSX.Fragment, null);
    const path = (where.exec(place)?.[0] ?? "").replace(where, name);
    const text = path.replace(/^.*\//, "").replaceAll("-", " ");
    return JSX.createElement(
      "p",
      { class: "guide" },
      "In the guide: ",
      JSX.createElement("a", { href: `${up(page.url)}${path}.html` }, text),
    );
  });
}
