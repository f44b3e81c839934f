// The demo's own server, and people who play on its page.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { screen } from "./browser.mjs";

/** Starts the demo; took is how long that was, in milliseconds. */
export async function start() {
  const began = performance.now();
  const demo = spawn(process.env.KILLSWITCH, ["demo", "--listen", "127.0.0.1:0"], { stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  for (const out of [demo.stdout, demo.stderr]) out.setEncoding("utf8").on("data", (s) => (said += s));
  const ended = new Promise((resolve) => demo.on("exit", resolve));
  let url;
  while (!url && demo.exitCode === null) {
    url = /http:\/\/\S+/.exec(said)?.[0];
    if (url) break;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.ok(url, `the demo said: ${said}`);
  await fetch(url);
  return {
    url,
    took: performance.now() - began,
    log: () => said,
    stop: async () => {
      demo.kill("SIGTERM");
      return ended;
    },
  };
}

export const state = async (url) => (await fetch(url + "/api/state")).json();

export const current = (s) => s.story.steps.findIndex((x) => x.state === "current");

/** Waits until the state is as it should be. */
export async function until(url, is, what) {
  for (const end = Date.now() + 15_000; Date.now() < end; ) {
    const s = await state(url);
    if (is(s)) return s;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.fail(`not in time: ${what}`);
}

/** Lets a person be seen on the page, on the second screen unless they are on one. */
export async function seat(page, person) {
  if (!(await screen(page, person).count())) await page.getByLabel("Slack as seen by").last().selectOption(person);
  return screen(page, person);
}

/** Clicks the newest button of a person's screen that has a label, and confirms. */
export async function click(page, person, label) {
  const mine = await seat(page, person);
  const button = mine.locator(".message .button").getByText(label, { exact: true }).last();
  const shown = await button.waitFor({ timeout: 2000 }).then(() => true, () => false);
  if (!shown) for (const more of await mine.getByRole("button", { name: /^Show \d+ earlier/ }).all()) await more.click();
  await button.click();
  const yes = mine.locator("[data-confirm]");
  const asked = await yes.waitFor({ timeout: 300 }).then(() => true, () => false);
  if (asked) await yes.click();
}

/** Types a command as a person does. */
export async function type(page, person, line) {
  const field = (await seat(page, person)).getByRole("textbox");
  await field.fill(line);
  await field.press("Enter");
}

/** Does the current step of the story: what people do by their own hands, the rest by the story's button. */
export async function step(page, url) {
  const s = await state(url);
  const n = current(s);
  const { who, hint, text } = s.story.steps[n];
  const person = s.people.find((p) => p.id === who);
  if (!person) await page.locator("[data-next]").click();
  else if (hint.startsWith("/killswitch ")) await type(page, who, hint);
  else if (/^click /i.test(hint)) await click(page, who, hint.slice("click ".length));
  else assert.fail(`nobody knows how to do: ${text} (${hint})`);
  await until(url, (now) => now.story.ended || current(now) > n, text);
  // The page has it, too.
  await page.waitForFunction(({ n, steps }) => {
    const place = document.querySelector(".place")?.textContent ?? "";
    return place.includes("all done") || Number(/step (\d+)/.exec(place)?.[1]) > n + 1 || n + 1 === steps;
  }, { n, steps: s.story.steps.length });
  return s.story.steps[n];
}
