// What a page does beyond its text: colours, menu, copying, search. Without it all pages can be read.

const script = document.currentScript;
const siteRoot = script.dataset.root;

// Colours: the system's, light, dark.
const THEMES = ["os", "light", "dark"];
const SAID = { os: "as the system", light: "light", dark: "dark" };
const themeButton = document.querySelector("button.theme");
const systemDark = matchMedia("(prefers-color-scheme: dark)");

function showTheme() {
  const { theme } = document.documentElement.dataset;
  themeButton.setAttribute("aria-label", `Colours: ${SAID[theme]}`);
  themeButton.title = `Colours: ${SAID[theme]}`;
  // Pictures of both kinds go by the system alone, unless they are made to follow.
  const dark = theme === "dark" || (theme === "os" && systemDark.matches);
  for (const source of document.querySelectorAll("picture source")) source.media = dark ? "all" : "not all";
}

themeButton.addEventListener("click", () => {
  const { dataset } = document.documentElement;
  dataset.theme = THEMES[(THEMES.indexOf(dataset.theme) + 1) % THEMES.length];
  try {
    localStorage.setItem("tsd-theme", dataset.theme);
  } catch {
    // A browser that keeps nothing: the choice holds for this page.
  }
  showTheme();
});
systemDark.addEventListener("change", showTheme);
showTheme();

// The sidebar on small screens, and its present page in view on all.
const menu = document.querySelector("button.menu");
const sidebar = document.querySelector("#sidebar");
const openMenu = (open) => {
  sidebar.classList.toggle("open", open);
  menu.setAttribute("aria-expanded", String(open));
};
menu.addEventListener("click", () => openMenu(!sidebar.classList.contains("open")));
const here = sidebar.querySelector("[aria-current]");
if (here !== null) sidebar.scrollTop = here.offsetTop - sidebar.clientHeight / 2;

for (const block of document.querySelectorAll(".code")) {
  const button = document.createElement("button");
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(block.querySelector("code").textContent);
    button.textContent = "Copied";
    setTimeout(() => {
      button.textContent = "Copy";
    }, 1500);
  });
  block.append(button);
}

// Search: the index comes with the first search; each word has to be found, and where it is decides the order.
const dialog = document.querySelector("dialog");
const input = dialog.querySelector("input");
const list = dialog.querySelector("ol");
const status = dialog.querySelector("p");
const MOST = 30;
let entries;

window.searchIndex = (all) => {
  entries = all.map(([path, title, heading, text]) => {
    const lower = [title, heading, text].map((part) => part.toLowerCase());
    return { path, title, heading, text, lower };
  });
  search();
};

function openSearch() {
  if (!dialog.open) dialog.showModal();
  input.select();
  if (entries === undefined && document.querySelector("script.index") === null) {
    const loaded = document.createElement("script");
    loaded.className = "index";
    loaded.src = `${siteRoot}assets/search.js`;
    document.head.append(loaded);
  }
}

function score({ lower: [title, heading, text] }, words) {
  let sum = 0;
  for (const word of words) {
    const of = (part, weight) => {
      const at = part.indexOf(word);
      if (at === -1) return 0;
      const begins = at === 0 || !/[\p{L}\p{N}]/u.test(part[at - 1]);
      const whole = begins && !/[\p{L}\p{N}]/u.test(part[at + word.length] ?? " ");
      return weight * (whole ? 3 : begins ? 2 : 1);
    };
    const found = of(heading, 10) + of(title, heading === "" ? 14 : 4) + of(text, 1);
    if (found === 0) return 0;
    sum += found;
  }
  const phrase = words.join(" ");
  return sum + (heading === phrase || (heading === "" && title === phrase) ? 50 : 0);
}

function marked(element, text, words) {
  const escaped = words.map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  text.split(new RegExp(`(${escaped.join("|")})`, "i")).forEach((part, index) => {
    const node = document.createElement(index % 2 === 1 ? "mark" : "span");
    node.textContent = part;
    element.append(node);
  });
  return element;
}

function search() {
  const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
  list.replaceChildren();
  if (words.length === 0 || entries === undefined) {
    status.textContent = "";
    return;
  }
  const found = entries
    .map((entry) => ({ entry, score: score(entry, words) }))
    .filter(({ score }) => score > 0)
    .sort((a, b) => b.score - a.score);
  for (const { entry } of found.slice(0, MOST)) {
    const link = document.createElement("a");
    link.href = siteRoot + entry.path;
    marked(link, entry.heading === "" ? entry.title : `${entry.title} › ${entry.heading}`, words);
    const at = Math.max(0, entry.lower[2].indexOf(words[0]) - 50);
    const excerpt = entry.text.slice(at, at + 150);
    if (excerpt !== "") link.append(marked(document.createElement("small"), excerpt, words));
    const item = document.createElement("li");
    item.append(link);
    list.append(item);
  }
  list.querySelector("a")?.setAttribute("aria-selected", "true");
  status.textContent =
    found.length === 0 ? "Nothing found" : found.length === 1 ? "1 place" : `${found.length} places`;
}

function move(step) {
  const links = [...list.querySelectorAll("a")];
  const at = links.findIndex((link) => link.getAttribute("aria-selected") === "true");
  const next = links[Math.min(Math.max(at + step, 0), links.length - 1)];
  if (next === undefined) return;
  links[at]?.removeAttribute("aria-selected");
  next.setAttribute("aria-selected", "true");
  next.scrollIntoView({ block: "nearest" });
}

input.addEventListener("input", search);
input.addEventListener("keydown", (event) => {
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    move(event.key === "ArrowDown" ? 1 : -1);
  } else if (event.key === "Enter") {
    event.preventDefault();
    list.querySelector('a[aria-selected="true"]')?.click();
  }
});
list.addEventListener("click", () => dialog.close());
document.querySelector("button.search").addEventListener("click", openSearch);
document.addEventListener("keydown", (event) => {
  const typing = /^(?:INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
  if ((event.key === "/" && !typing) || (event.key === "k" && (event.ctrlKey || event.metaKey))) {
    event.preventDefault();
    openSearch();
  } else if (event.key === "Escape") openMenu(false);
});
