// The form that asks for a containment, filled in on the page of the real demo.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { accessibleEverywhere, launch, open, phone, screen } from "./browser.mjs";
import { start, state, until } from "./server.mjs";

let browser, demo;

before(async () => {
  browser = await launch();
  demo = await start();
});
after(async () => {
  await browser?.close();
  assert.equal(await demo?.stop(), 0, demo?.log());
});

test("a containment is asked for by the form", async () => {
  const page = await open(browser, demo.url);
  await page.setViewportSize(phone);
  const { people } = await state(demo.url);
  const alice = screen(page, people[0].id);
  await alice.getByRole("button", { name: "Send" }).click(); // the command with nothing behind it
  const form = alice.getByRole("dialog", { name: "Contain" });
  await form.getByRole("combobox", { name: /^Action/ }).selectOption("isolate_instance");
  await form.getByRole("combobox", { name: /^Region/ }).waitFor();
  const view = async (name) => process.env.SHOTS && page.screenshot({ path: `${process.env.SHOTS}/form-${name}.png` });
  await view("action");
  await accessibleEverywhere(page, "the form", ["light"]);
  await page.setViewportSize(phone);

  await form.getByRole("textbox", { name: /^Target/ }).fill("i-0d3e1a5b7c9f2000");
  await form.getByRole("textbox", { name: /^Reason/ }).fill("it mines");
  await form.getByRole("button", { name: "Ask for approval" }).click();
  const wrong = form.getByText("is not an instance's ID");
  await wrong.waitFor();
  await view("mistake");
  assert.equal(await form.getByRole("textbox", { name: /^Target/ }).inputValue(), "i-0d3e1a5b7c9f2000", "what was typed is kept");
  assert.equal(await form.getByRole("textbox", { name: /^Reason/ }).inputValue(), "it mines");
  const [field, line] = [await form.getByRole("textbox", { name: /^Target/ }).boundingBox(), await wrong.boundingBox()];
  assert.ok(line.y > field.y && line.y - field.y < 150, "the line is under its field");

  await form.getByRole("textbox", { name: /^Target/ }).fill("i-0d3e1a5b7c9f20007");
  await form.getByRole("combobox", { name: /^Account/ }).selectOption({ label: "222222222222 prod" });
  await form.getByRole("combobox", { name: /^Region/ }).selectOption("us-east-1");
  await form.getByRole("button", { name: "Ask for approval" }).click();
  await until(demo.url, (s) => s.messages.some((m) => /^Approve\? .* asks to isolate instance: i-0d3e1a5b7c9f20007 .*it mines/.test(m.text)), "the card is there");
  await form.getByText(/KS-[0-9A-Z]{12}/).waitFor();
  await view("asked");
  await form.getByRole("button", { name: "Close" }).last().click();
  await form.waitFor({ state: "detached" });
  page.ok();
  await page.context().close();
});
