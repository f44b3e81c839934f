// The pictures in docs/: the first containment of a story, as it is on the page, and the card that people judged on a phone.
import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { join } from "node:path";
import { desktop, launch, open, phone, screen } from "./browser.mjs";
import { alice, bob, root } from "./fixture.mjs";
import { start, state, step, until } from "./server.mjs";

const story = "stolen-role";
const most = 300 << 10; // bytes of a picture

async function picture(name, of) {
  const path = join(root, `docs/${name}.png`);
  await of.screenshot({ path });
  const { size: bytes } = statSync(path);
  assert.ok(bytes <= most, `${path} has ${bytes} bytes`);
  console.log(`${path}: ${bytes} bytes`);
}

const browser = await launch();
const demo = await start();
try {
  const page = await open(browser, `${demo.url}/#story=${story}`);
  await until(demo.url, (s) => s.story.id === story, "the story begins");
  const asks = (s) => s.messages.some((m) => /^(Approve\?|pending)/.test(m.text));
  while (!asks(await state(demo.url))) await step(page, demo.url);
  await page.setViewportSize({ ...phone, height: 2 * phone.height }); // the whole card beneath what sticks to the top
  await page.getByRole("tab", { name: "Bob" }).click();
  await page.mouse.move(0, 0);
  await page.waitForFunction(() => !document.querySelector(".flash") && !document.getAnimations().length);
  await picture("card-pending", screen(page, bob).locator("[data-ts]", { has: page.getByText("Approve", { exact: true }) }).last());
  await page.setViewportSize(desktop);

  const has = (s) => s.messages.some((m) => m.text.startsWith("contained"));
  while (!has(await state(demo.url))) await step(page, demo.url);
  for (const [device, size] of Object.entries({ desktop: { width: 1360, height: 800 }, phone })) {
    await page.setViewportSize(size);
    if (size === phone) await page.getByRole("tab", { name: "Bob" }).click();
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      await page.mouse.move(0, 0);
      await page.waitForFunction(() => !document.querySelector(".flash") && !document.getAnimations().length);
      await screen(page, alice).locator("[data-ts]").first().evaluate((e) => e.scrollIntoView({ block: "start" }));
      await screen(page, bob).locator("[data-ts]").last().evaluate((e) => e.scrollIntoView({ block: "end" }));
      await picture(`demo-${device}-${colorScheme}`, page);
    }
  }
  page.ok();
} finally {
  await browser.close();
  await demo.stop();
}
