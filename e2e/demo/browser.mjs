// A browser, and pages that notice what no page of ours may do: fail, or ask anybody but its own server for anything.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

export const desktop = { width: 1440, height: 900 };
export const phone = { width: 390, height: 844 };

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Starts the browser that e2e/demo/run found. It shows our own page alone, so it needs no sandbox of its own. */
export const launch = () => chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox"] });

/** Opens a page; ok() tells whether all was well so far. */
export async function open(browser, url, options = {}) {
  const context = await browser.newContext({ viewport: desktop, ...options });
  const page = await context.newPage();
  const amiss = [];
  page.on("console", (m) => ["error", "warning"].includes(m.type()) && amiss.push(`console: ${m.text()}`));
  page.on("pageerror", (e) => amiss.push(`error: ${e.message}`));
  page.on("dialog", (d) => {
    amiss.push(`dialog: ${d.message()}`);
    void d.dismiss();
  });
  const origin = new URL(url).origin;
  context.on("request", (r) => {
    if (!r.url().startsWith(origin + "/") && !r.url().startsWith("data:")) amiss.push(`request: ${r.url()}`);
  });
  await page.goto(url);
  page.ok = () => assert.deepEqual(amiss, []);
  page.forget = () => amiss.splice(0);
  return page;
}

/** Fails if axe finds that the page does not keep to WCAG 2.1 AA, or to what is good practice. */
export async function accessible(page, where) {
  await page.evaluate(() => Promise.allSettled(document.getAnimations().map((a) => a.finished)));
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run({ runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"], resultTypes: ["violations"] }));
  const said = violations.map((v) => `${where}: ${v.id}: ${v.help}\n` + v.nodes.map((n) => `    ${n.html.slice(0, 200)}\n    ${n.failureSummary?.replaceAll("\n", " ")}`).join("\n"));
  assert.equal(said.join("\n"), "");
}

/** Looks at a page as it is now, on a desktop and, tab by tab, on a phone. */
export async function accessibleEverywhere(page, where, schemes = ["light", "dark"]) {
  for (const colorScheme of schemes) {
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize(desktop);
    await accessible(page, `${where}, desktop, ${colorScheme}`);
    await page.setViewportSize(phone);
    for (const tab of await page.getByRole("tab").all()) {
      await tab.click();
      await accessible(page, `${where}, phone, ${colorScheme}, ${await tab.textContent()}`);
    }
    await page.getByRole("tab").first().click();
  }
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize(desktop);
}

/** A person's Slack on the page. */
export const screen = (page, person) => page.locator(`.phone[data-person="${person}"]`);
