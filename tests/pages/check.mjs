// What the pages must be in a browser. Each check prints a line; the last line counts them.
//
// - every page answers, and is complete in its landmarks; no request leaves for another host
// - axe finds nothing that is serious or critical, in either colour scheme, narrow and wide
// - nothing is wider than a narrow screen; Tab goes through all there is in the order of the document
// - without script they are the same, and forms work; strangers get a challenge
import { createRequire } from "node:module";
import { writeFile } from "node:fs/promises";

const { OPEN, GUARDED, KEY, SHOTS, PROFILE, MODULES, CHROMIUM, RESTORED } = process.env;
const require = createRequire(`${MODULES}/`);
const { chromium } = require("playwright-core");
const axe = require.resolve("axe-core/axe.min.js");

let passed = 0;
let failed = 0;
const check = (good, what, detail = "") => {
  if (good) passed += 1;
  else failed += 1;
  console.log(`${good ? "ok    " : "FAILED"} ${what}${good || detail === "" ? "" : `: ${detail}`}`);
};

/** Asks as a restore does. */
async function restore(base, session, headers = {}) {
  const ask = async (path) => {
    const response = await fetch(`${base}${path}`, {
      headers: { "x-nuget-session-id": session, "user-agent": "NuGet Command Line/6.14 (check)", ...headers },
    });
    const body = Buffer.from(await response.arrayBuffer());
    return { status: response.status, body };
  };
  const json = async (path) => JSON.parse((await ask(path)).body);
  const index = await json("/v3/index.json");
  const { pathname } = new URL(index.resources.find((it) => it["@type"] === "RegistrationsBaseUrl/3.6.0")["@id"]);
  const found = await json("/v3/query?q=example&take=50&prerelease=true");
  for (const { id } of found.data) {
    const name = id.toLowerCase();
    const { versions } = await json(`/v3/flat/${name}/index.json`);
    await ask(`${pathname}${name}/index.json`);
    await Promise.all(versions.map((it) => ask(`/v3/flat/${name}/${it}/${name}.${it}.nupkg`)));
  }
  await ask("/v3/flat/example.nowhere/index.json");
  const lost = await ask("/v3/flat/contoso.secret/index.json");
  check(lost.status >= 500, `a feed that is down fails what it owns (${session.slice(0, 8)})`, lost.status);
  return found.data.map(({ id }) => id.toLowerCase());
}

const SESSIONS = ["6f9619ff-8b86-d011-b42d-00c04fc964ff", "0f8fad5b-d9cb-469f-a165-70867728950e"];
const ids = await restore(OPEN, SESSIONS[0]);
check(ids.length > 2, "the restore found packages", ids);
await restore(OPEN, SESSIONS[1]);
const auth = { authorization: `Basic ${Buffer.from(`any:${KEY}`).toString("base64")}` };
await restore(GUARDED, SESSIONS[0], auth);

const browser = await chromium.launchPersistentContext(PROFILE, {
  executablePath: CHROMIUM,
  headless: true,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});
const strangers = new Set();
browser.on("request", (request) => {
  const { protocol, origin } = new URL(request.url());
  if (protocol !== "data:" && ![OPEN, GUARDED].includes(origin)) strangers.add(request.url());
});

// The picture of the documentation, while the restores are live.
const shown = await browser.newPage();
await shown.setViewportSize({ width: 1120, height: 900 });
await shown.goto(`${OPEN}/-/state`);
await shown.screenshot({ path: `${SHOTS}/docs-state.png` });
await shown.close();

const PAGES = [
  ["setup", "/"],
  ["state", "/-/state"],
  ["restore", `/-/restores/${SESSIONS[0]}`],
  ["packages", "/-/packages"],
  ["package", `/-/packages/${ids[0]}`],
  ["nothing", "/-/packages/no.such.package"],
  ["error", "/-/no/such/page", 404],
];
const SCREENS = [["wide", 1280, 900], ["narrow", 390, 844]];
const SCHEMES = ["light", "dark"];

/** What Tab stops at, from the beginning until it leaves the page. */
async function stops(page) {
  const places = [];
  for (let at = 0; at < 400; at += 1) {
    await page.keyboard.press("Tab");
    const place = await page.evaluate(() => {
      const all = [...document.querySelectorAll("a[href], button, input:not([type=hidden]), summary")];
      const shown = all.filter((it) => it.checkVisibility({ contentVisibilityAuto: true }) && !it.closest("details:not([open]) form"));
      return { at: shown.indexOf(document.activeElement), of: shown.length };
    });
    if (place.at < 0 || places.some((it) => it.at === place.at)) return { places, of: place.of };
    places.push(place);
  }
  return { places, of: -1 };
}

for (const [screen, width, height] of SCREENS) {
  for (const scheme of SCHEMES) {
    const page = await browser.newPage();
    await page.setViewportSize({ width, height });
    await page.emulateMedia({ colorScheme: scheme });
    for (const [name, path, status = 200] of PAGES) {
      const what = `${name}, ${screen}, ${scheme}`;
      const errors = [];
      const heard = (message) => message.type() === "error" && !message.text().includes(`status of ${status} `) && errors.push(message.text());
      page.on("console", heard);
      const response = await page.goto(`${OPEN}${path}`);
      check(response.status() === status, `${what}: answers`, response.status());
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      const outside = await page.evaluate(() =>
        [...document.querySelectorAll("main *")].filter((it) => it.getBoundingClientRect().right > innerWidth + 1)
          .map((it) => it.outerHTML.slice(0, 100)));
      check(wide <= 0, `${what}: fits the screen`, `${wide} px too wide: ${outside.slice(0, 3)}`);
      await page.screenshot({ path: `${SHOTS}/${name}-${screen}-${scheme}.png`, fullPage: true });
      const { places, of } = await stops(page);
      const inOrder = places.every((place, at) => place.at === at);
      check(inOrder && places.length === of, `${what}: Tab goes through all ${of} in order`,
        JSON.stringify(places.map((it) => it.at)));
      check(errors.length === 0, `${what}: the console is quiet`, errors);
      page.off("console", heard);
      // What axe runs in must be let in past the page's own policy.
      const session = await page.context().newCDPSession(page);
      await session.send("Page.setBypassCSP", { enabled: true });
      await page.reload();
      await page.addScriptTag({ path: axe });
      const { violations } = await page.evaluate(() => globalThis.axe.run());
      await session.send("Page.setBypassCSP", { enabled: false });
      const told = violations.map((it) => `${it.impact} ${it.id}: ${it.nodes[0].html}`);
      check(told.length === 0, `${what}: axe finds nothing`, told.join("; "));
      const outline = await page.evaluate(() =>
        [...document.querySelectorAll("h1,h2,h3,h4")].map((it) => Number(it.tagName[1])));
      const steps = outline.every((level, at) => at === 0 ? level === 1 : level - outline[at - 1] <= 1);
      check(steps, `${what}: headings skip no level`, outline);
    }
    await page.close();
  }
}

// The accessibility tree is what a screen reader reads, in that order.
const reader = await browser.newPage();
await reader.goto(`${OPEN}/-/state`);
const tree = await reader.locator("body").ariaSnapshot();
await writeFile(`${SHOTS}/state.tree.txt`, tree);
const order = ["Skip to content", "navigation \"Pages\"", "main", "heading \"State\"", "heading \"Restores\"",
  "columnheader \"Waterfall\"", "heading \"Feeds\"", "heading \"Recent failures\"", "heading \"Store\"", "contentinfo"];
const at = order.map((it) => tree.indexOf(it));
check(at.every((it, number) => it >= 0 && (number === 0 || it > at[number - 1])), "a screen reader hears the state in order", at);
await reader.goto(`${OPEN}/-/state`);
await reader.keyboard.press("Tab");
await reader.keyboard.press("Enter");
check((await reader.evaluate(() => document.activeElement.id)) === "content", "the first link skips to the content");
check((await reader.getByText("502").count()) > 0, "the state shows what failed");
const corp = reader.locator("section[aria-labelledby=feeds] tr", { hasText: "corp" });
check((await corp.innerText()).includes("does not answer"), "the state shows the feed that is down");
const rows = await reader.locator("section[aria-labelledby=restores] tbody tr").count();
// NuGet begins another session for what it audits.
check(RESTORED ? rows > 2 : rows === 2, `the state shows the restores${RESTORED ? `, that of ${RESTORED} too` : ""}`, rows);
if (RESTORED) {
  const largest = await reader.locator("section[aria-labelledby=restores] tbody tr", { hasText: "NuGet-Libs" }).evaluateAll((all) => {
    const requests = all.map((it) => Number(it.querySelector("[data-name=Requests]").textContent));
    return all[requests.indexOf(Math.max(...requests))].querySelector("a").getAttribute("href");
  });
  await reader.goto(`${OPEN}/-/${largest}`);
  check((await reader.locator("tbody tr", { hasText: ".nupkg" }).count()) > 2, "the waterfall of a real client has its packages");
  await reader.screenshot({ path: `${SHOTS}/real-restore.png`, fullPage: true });
}

// Forms, in a browser without script.
const plain = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox", "--disable-gpu"] });
const still = await plain.newContext({ javaScriptEnabled: false });
const form = await still.newPage();
await form.goto(`${OPEN}/-/packages/${ids[0]}`);
await form.getByRole("button", { name: "Pin all of it", exact: true }).click();
check((await form.getByRole("status").innerText()).startsWith("Pinned."), "a package is pinned by its form");
await form.getByText("Remove all of it…").click();
await form.getByRole("button", { name: `Remove ${ids[0]}`, exact: true }).click();
check((await form.getByText("No version of it is stored.").count()) === 1, "a package is removed by its form");
await form.goto(`${OPEN}/-/packages`);
await form.getByLabel("Ids that begin with").fill(ids[1].slice(0, -1));
await form.getByRole("button", { name: "Find" }).click();
check((await form.getByRole("link", { name: ids[1], exact: true }).count()) === 1, "packages are found by how they begin");

// A page of somebody else has a form for us.
const evil = await still.newPage();
await evil.setContent(`<form method="post" action="${OPEN}/-/packages/${ids[1]}"><button name="do" value="purge">x</button></form>`);
const [refused] = await Promise.all([evil.waitForResponse(/packages/), evil.getByRole("button").click()]);
check(refused.status() === 403, "a form of another site is refused", refused.status());
await plain.close();

// Access.
for (const [headers, path, expected] of [
  [{}, "/", 401], [{}, "/-/state", 401], [auth, "/", 200], [auth, "/-/state", 200],
  [{ authorization: `Basic ${Buffer.from("any:team-key").toString("base64")}` }, "/-/state", 403],
  [{ authorization: `Basic ${Buffer.from("any:team-key").toString("base64")}` }, "/", 200],
]) {
  const { status } = await fetch(`${GUARDED}${path}`, { headers: { accept: "text/html", ...headers } });
  check(status === expected, `${path} with ${Object.keys(headers).length} credentials is ${expected}`, status);
}
const guarded = await browser.newPage();
await guarded.setExtraHTTPHeaders(auth);
for (const scheme of SCHEMES) {
  await guarded.emulateMedia({ colorScheme: scheme });
  await guarded.goto(`${GUARDED}/`);
  await guarded.screenshot({ path: `${SHOTS}/setup-guarded-${scheme}.png`, fullPage: true });
}
await guarded.goto(`${GUARDED}/-/packages/${ids[0]}`);
check((await guarded.locator("section[aria-labelledby=asked]").innerText()).includes("ops"), "the page of a package tells who asked");
await browser.close();
check(strangers.size === 0, "no request left for another host", [...strangers]);
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
