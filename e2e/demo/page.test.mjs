// The page by itself: given states, without the demo's server.
import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { accessible, accessibleEverywhere, launch, open, phone, screen } from "./browser.mjs";
import { alice, bob, card, cards, company, message, section, serve } from "./fixture.mjs";

let browser, fixture, page;

before(async () => {
  browser = await launch();
  fixture = await serve(company());
});
beforeEach(async () => {
  await page?.context().close();
  fixture.state = company();
  fixture.answer = () => "";
  page = await open(browser, fixture.url);
  await screen(page, alice).waitFor();
  fixture.asked.length = 0;
});
after(async () => {
  await browser?.close();
  await fixture?.stop();
});

const show = async (...messages) => {
  fixture.show({ messages });
  await page.locator(`[data-ts="${messages.at(-1).ts}"]`).first().waitFor();
};

// What may stand between the source of mrkdwn and what is seen: marks, and entities.
const bare = (s) => s.replace(/[*_~\s\u2060]/g, "");
const clock = (_, at, format) => format.replace("{time}", new Date(at * 1000).toTimeString().slice(0, 5));
const seen = (mrkdwn) =>
  bare(mrkdwn.replace(/<!date\^(\d+)\^([^|>]+)\|[^>]+>/g, clock).replace(/<!subteam\^([^>]+)>/g, "@$1").replace(/<!here>/g, "@here").replace(/<@([^>]+)>/g, "@$1").replace(/<[^|>]+\|([^>]+)>/g, "$1").replace(/<(https[^>]+)>/g, "$1").replace(/&lt;/g, "<").replace(/&gt;/g, ">").replace(/&amp;/g, "&"));

test("every card of the bot is shown to the letter", async () => {
  const all = cards();
  assert.ok(all.length > 30, `${all.length} cards`);
  for (const c of all) {
    const m = message(c);
    await show(m);
    const item = screen(page, alice).locator(`[data-ts="${m.ts}"]`);
    const blocks = await item.locator(".block").evaluateAll((all) => all.map((b) => ({ text: b.textContent, buttons: [...b.querySelectorAll("button")].map((x) => x.textContent) })));
    assert.equal(blocks.length, c.blocks.length, c.name);
    for (const [i, b] of c.blocks.entries()) {
      assert.ok(!blocks[i].text.includes("not shown in the demo"), `${c.name}: ${blocks[i].text}`);
      const beside = b.accessory?.text.text ?? "";
      if (b.text?.type === "plain_text") assert.equal(blocks[i].text, b.text.text + beside, c.name);
      if (b.text?.type === "mrkdwn") assert.equal(bare(blocks[i].text), seen(b.text.text), c.name);
      if (b.type === "actions") assert.deepEqual(blocks[i].buttons, b.elements.map((e) => e.text.text), c.name);
    }
  }
  page.ok();
});

// What Slack makes of mrkdwn. https://docs.slack.dev/messaging/formatting-message-text
for (const [text, html] of [
  ["*bold*, _italic_ and ~gone~", "<strong>bold</strong>, <em>italic</em> and <s>gone</s>"],
  ["*bold _and italic_*", "<strong>bold <em>and italic</em></strong>"],
  ["app_role_name 2*3*4 a~b~c", "app_role_name 2*3*4 a~b~c"],
  ["*\u2060Deny *\u2060 for all", "*\u2060Deny *\u2060 for all"],
  ["*\u2060a* b", "*\u2060a* b"],
  ["* no*, *no * and *no\nno*", "* no*, *no * and *no\nno*"],
  ["`*code* &lt;x&gt;`", "<code>*code* &lt;x&gt;</code>"],
  ["```\n*fenced*\n```", "<pre>*fenced*</pre>"],
  ["&gt; quoted\nnot", "<blockquote>quoted</blockquote>not"],
  ["<@U02BOB> in <#C01INC>, <!here>", '<span class="mention">@Bob Brown</span> in <span class="mention">#incident</span>, <span class="mention">@here</span>'],
  ["<https://a.example/?x=1&amp;y=2|Open *it*>", '<a href="https://a.example/?x=1&amp;y=2" target="_blank" rel="noopener noreferrer">Open *it*</a>'],
  ["<!date^1795230000^{date_short} {time}|then>", `${new Date(1795230000e3).toLocaleDateString("sv")} ${new Date(1795230000e3).toTimeString().slice(0, 5)}`],
  ["<!date^9e99^{time}|then>", "then"],
  ["<javascript:alert(1)|click> <data:text/html,x|me>", "click me"],
  ["[click](javascript:alert(1)) ![x](https://evil.example/x.png)", "[click](javascript:alert(1)) ![x](https://evil.example/x.png)"],
  ["&lt;script&gt;alert(1)&lt;/script&gt; <b>", '&lt;script&gt;alert(1)&lt;/script&gt; <a href="b"'],
  ["&amp;lt; &amp;amp; &copy; :warning: arn:aws:iam::222222222222:role/x", "&amp;lt; &amp;amp; &amp;copy; :warning: arn:aws:iam::222222222222:role/x"],
]) {
  test(`mrkdwn ${JSON.stringify(text)}`, async () => {
    await show(message({ blocks: section(text) }));
    const got = await screen(page, alice).locator(".block.section .text").innerHTML();
    if (text.endsWith("<b>")) assert.equal(got, "&lt;script&gt;alert(1)&lt;/script&gt; b"); // not a link that may be followed
    else assert.equal(got, html);
    page.ok();
  });
}

test("plain text is not read", async () => {
  const text = "*bold* <@U02BOB> &lt; `x` <https://a.example|b>\n> q";
  await show(message({ blocks: section(text, "plain_text") }));
  assert.equal(await screen(page, alice).locator(".block.section .text").textContent(), text);
  assert.equal(await screen(page, alice).locator(".block.section .text *").count(), 0);
});

test("the dangerous button asks, and going back comes first", async () => {
  await show(message(card("pending")));
  const bobs = screen(page, bob);
  const approve = bobs.locator("[data-action=approve]");
  await approve.click();
  const ask = bobs.getByRole("alertdialog", { name: "Approve this?" });
  assert.match(await ask.textContent(), /It runs at once/);
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Go back");
  await accessible(page, "confirm dialog");
  await page.keyboard.press("Escape");
  assert.equal(await ask.count(), 0);
  assert.equal(await page.evaluate(() => document.activeElement.dataset.action), "approve");
  assert.deepEqual(fixture.asked, []);

  await approve.click();
  await ask.getByRole("button", { name: "Approve" }).click();
  await page.waitForFunction(() => !document.querySelector("[aria-busy=true]"));
  const { ts } = fixture.state.messages[0];
  const { value } = card("pending").blocks.flatMap((b) => b.elements ?? []).find((e) => e.action_id === "approve");
  assert.deepEqual(fixture.asked, [["click", { user: bob, ts, action_id: "approve", value }]]);
});

test("the keyboard keeps its place when the card changes", async () => {
  await show(message(card("pending")));
  const { ts } = fixture.state.messages[0];
  await screen(page, alice).locator("[data-action=cancel]").press("Enter");
  await screen(page, alice).getByRole("alertdialog").getByRole("button", { name: "Cancel" }).press("Enter");
  fixture.show({ messages: [{ ...fixture.state.messages[0], ...card("cancelled"), edited: 1 }] });
  await screen(page, alice).getByText("Cancelled").waitFor();
  assert.ok(await screen(page, alice).locator(`[data-ts="${ts}"]`).evaluate((e) => e.contains(document.activeElement)));
  await screen(page, alice).locator(".message.flash").waitFor();
});

test("what went wrong is said", async () => {
  fixture.answer = () => "Slack could not deliver it.";
  await show(message(card("pending")));
  await screen(page, alice).locator("[data-action=cancel]").click();
  await screen(page, alice).getByRole("alertdialog").getByRole("button", { name: "Cancel" }).click();
  await screen(page, alice).getByRole("alert").getByText("Slack could not deliver it.").waitFor();
});

const form = {
  id: "V1",
  view: {
    type: "modal",
    title: { type: "plain_text", text: "Denied" },
    submit: { type: "plain_text", text: "Add reason" },
    close: { type: "plain_text", text: "No reason" },
    blocks: [
      ...section("You denied it: it will not run."),
      { type: "input", block_id: "reason", label: { type: "plain_text", text: "Reason" }, element: { type: "plain_text_input", action_id: "reason", multiline: true, max_length: 600 } },
      { type: "input", block_id: "who", optional: true, label: { type: "plain_text", text: "Who" }, element: { type: "static_select", action_id: "who", options: [{ text: { type: "plain_text", text: "Me" }, value: "me" }] } },
    ],
  },
};

test("a form keeps the keyboard, and says what was typed", async () => {
  fixture.show({ views: { [alice]: [form] } });
  const dialog = screen(page, alice).getByRole("dialog", { name: "Denied" });
  await dialog.waitFor();
  const reached = new Set();
  for (let i = 0; i < 12; i++) {
    await page.keyboard.press("Tab");
    reached.add(await dialog.evaluate((d) => (d.contains(document.activeElement) ? document.activeElement.tagName + document.activeElement.textContent : "outside")));
  }
  assert.deepEqual([...reached], ["BUTTON✕", "DIV", "TEXTAREA", "SELECT", "BUTTONNo reason", "BUTTONAdd reason"].map((x) => [...reached].find((r) => r.startsWith(x))));
  await accessible(page, "form");
  assert.equal(await screen(page, bob).getByRole("dialog").count(), 0);
  await dialog.getByRole("button", { name: "Add reason" }).click(); // nothing typed
  assert.deepEqual(fixture.asked, []);
  await dialog.getByLabel("Reason").fill("It is mine.\nLeave it.");
  await dialog.getByLabel("Who").selectOption("me");
  await dialog.getByRole("button", { name: "Add reason" }).click();
  await page.keyboard.press("Escape");
  await page.waitForTimeout(100);
  assert.deepEqual(fixture.asked, [
    ["submit", { user: alice, view: "V1", values: { reason: { reason: "It is mine.\nLeave it." }, who: { who: "me" } } }],
    ["dismiss", { user: alice, view: "V1" }],
  ]);
});

test("only the person sees what only that person may see", async () => {
  await show(message({ text: "Have a look" }), message({ text: "You can't approve it yourself.", ephemeral_to: alice }));
  assert.match(await screen(page, alice).textContent(), /Only visible to Alice Anderson.*You can't approve/);
  assert.ok(!(await screen(page, bob).textContent()).includes("You can't approve"));
  await screen(page, alice).getByLabel("Slack as seen by").selectOption("U05GRACE");
  assert.match(await screen(page, "U05GRACE").textContent(), /Have a look/);
  assert.equal(await page.locator(".phone").getByText("You can't approve").count(), 0);
});

test("replies stand under what they reply to, broadcasts in the channel", async () => {
  const parent = message({ text: "high: something" });
  const replies = [1, 2, 3, 4, 5, 6].map((i) => message({ text: `reply ${i}`, thread_ts: parent.ts }));
  const broadcast = message({ ...card("pending"), thread_ts: parent.ts, broadcast: true });
  const later = message({ text: "something else" });
  await show(parent, ...replies, broadcast, later);
  const mine = screen(page, alice);
  const thread = mine.locator(`[data-ts="${parent.ts}"]`);
  assert.deepEqual(await thread.locator(".thread .message .text").allTextContents(), ["reply 4", "reply 5", "reply 6"]);
  await thread.getByRole("button", { name: "Show 3 earlier" }).click();
  assert.equal(await thread.locator(".thread .message").count(), 6);
  assert.match(await thread.locator(".elsewhere").textContent(), /also in the channel: pending/);
  assert.equal(await mine.locator("[data-action=approve]").count(), 1);
  assert.match(await mine.locator(`[data-ts="${broadcast.ts}"]`).textContent(), /replied to: high: something/);
  await thread.getByRole("button", { name: "7 replies" }).click();
  assert.equal(await thread.locator(".thread .message").count(), 0);
});

test("commands are sent, and come back with the arrow", async () => {
  const field = screen(page, bob).getByRole("textbox");
  for (const text of ["list", "/killswitch help"]) {
    await field.fill(text);
    await field.press("Enter");
    await page.waitForFunction(() => [...document.querySelectorAll(".composer input")].every((i) => i.value === ""));
  }
  assert.deepEqual(fixture.asked, [["command", { user: bob, text: "list" }], ["command", { user: bob, text: "help" }]]);
  await field.press("ArrowUp");
  await field.press("ArrowUp");
  assert.equal(await field.inputValue(), "list");
  await field.press("ArrowDown");
  await field.press("ArrowDown");
  assert.equal(await field.inputValue(), "");
});

test("the story says whose turn it is, types for them, and goes on", async () => {
  await page.getByText("step 2 of 3").waitFor();
  assert.match(await screen(page, alice).textContent(), /your turn/);
  await page.getByRole("button", { name: "Type it as Alice" }).click();
  await page.waitForFunction(() => document.activeElement.value === 'revoke_sessions prod/app-role reason="paste site"');
  assert.ok(await screen(page, alice).evaluate((e) => e.contains(document.activeElement)));
  await page.getByRole("button", { name: "Do it for me" }).click();
  await page.getByRole("button", { name: "+5 min" }).click();
  await page.getByLabel("Speed of time").selectOption("60");
  await page.getByLabel("How Slack is doing").selectOption("down");
  await page.getByRole("button", { name: "Reset" }).click();
  await page.getByRole("combobox", { name: "Story" }).selectOption("storm");
  await page.waitForTimeout(100);
  assert.deepEqual(fixture.asked, [["next", { as: "guide" }], ["time", { advance: "5m" }], ["time", { speed: 60 }], ["slack", { mode: "down" }], ["reset", {}], ["story", { id: "storm" }]]);
  assert.equal(new URL(page.url()).hash, "#story=storm");
});

test("the story leads to the button that it asks for", async () => {
  const wanted = message(card("pending"));
  const { story } = fixture.state;
  fixture.show({ story: { ...story, steps: story.steps.map((s, i) => ({ ...s, state: i === 2 ? "current" : "done" })) } });
  await show(wanted, ...[1, 2, 3, 4].map(() => message(card("contained"))));
  const mine = screen(page, bob);
  await mine.getByRole("button", { name: "your turn: show the button" }).click();
  const button = await page.evaluate(() => {
    const { top, bottom } = document.activeElement.getBoundingClientRect();
    const box = document.activeElement.closest(".messages").getBoundingClientRect();
    return { text: document.activeElement.textContent, ts: document.activeElement.closest("[data-ts]").dataset.ts, seen: top >= box.top && bottom <= box.bottom };
  });
  assert.deepEqual(button, { text: "Approve", ts: wanted.ts, seen: true });
});

test("a link begins its story, a reload goes on", async () => {
  for (const link of ["/#story=storm", "/?story=storm"]) {
    fixture.asked.length = 0;
    const other = await open(browser, fixture.url + link);
    await screen(other, alice).waitFor();
    await other.waitForTimeout(100);
    assert.deepEqual(fixture.asked, [["story", { id: "storm" }]], link);
    fixture.state.story = { ...fixture.state.story, id: "storm" };
    await other.reload();
    await screen(other, alice).waitFor();
    await other.waitForTimeout(100);
    assert.equal(fixture.asked.length, 1, link);
    fixture.state.story = { ...fixture.state.story, id: "stolen-role" };
    await other.context().close();
  }
});

test("a lost connection is said, and comes back", async () => {
  await fixture.stop();
  await page.getByText("Connection lost").waitFor();
  await page.getByRole("button", { name: "+1 h" }).click();
  await page.getByRole("alert").getByText("The demo does not answer").waitFor();
  await fixture.start();
  await page.getByText("Connection lost").waitFor({ state: "detached" });
  await show(message({ text: "There again" }));
});

test("nothing moves under a pointer that is on a button", async () => {
  const posts = [1, 2, 3].map(() => message(card("pending")));
  await show(...posts);
  const mine = screen(page, alice);
  const top = () => mine.locator(".messages").evaluate((e) => e.scrollTop);
  await mine.locator("[data-action=deny]").last().hover();
  const at = await top();
  await show(...posts, message({ text: "the newest" }));
  assert.equal(await top(), at);
  await mine.getByRole("button", { name: "New message" }).click();
  assert.ok((await top()) > at);
  await page.mouse.move(0, 0);
  await show(...fixture.state.messages, message({ text: "one more" }));
  assert.ok(await mine.getByText("one more").evaluate((e) => e.getBoundingClientRect().bottom <= e.closest(".messages").getBoundingClientRect().bottom + 1));
});

test("news are told to screen readers", async () => {
  const said = page.locator("#app > [role=status]");
  await show(message({ text: "high: something &amp; more" }));
  await page.waitForFunction(() => document.querySelector("#app > [role=status]").textContent !== "");
  assert.equal(await said.textContent(), "New message: high: something & more");
  await show(...fixture.state.messages, ...[1, 2, 3, 4].map((i) => message({ text: `m${i}` })));
  await page.waitForFunction(() => document.querySelector("#app > [role=status]").textContent.startsWith("4"));
});

test("a storm stays usable", async () => {
  const storm = Array.from({ length: 400 }, () => message(card("pending")));
  await show(...storm);
  const mine = screen(page, alice);
  assert.equal(await mine.locator(".messages > ol > li").count(), 60);
  for (let i = 0; i < 20; i++) fixture.show({ messages: [...fixture.state.messages, message({ text: `m${i}` })] });
  await mine.getByText("m19", { exact: true }).waitFor({ timeout: 10_000 });
  await mine.getByRole("button", { name: "Show 360 earlier messages" }).click();
  assert.equal(await mine.locator(".messages > ol > li").count(), 420);
});

test("AWS is told in words", async () => {
  const aws = page.getByRole("region", { name: "AWS, as it really is" });
  await aws.waitFor();
  assert.match(await aws.locator('[data-credential="attacker"]').textContent(), /^denied.*an explicit deny in an identity-based policy$/);
  assert.match(await aws.locator('[data-credential="left"]').textContent(), /^works/);
  assert.equal(await aws.locator('.bad[data-credential="left"]').count(), 1);
  assert.equal(await aws.locator('.usual[data-credential="new"]').count(), 1);
  assert.match(await aws.locator('[data-thing="app-role"]').textContent(), /changed.*denied by Killswitch/);
  assert.match(await aws.locator('[data-thing="old-role"]').textContent(), /deleted/);
  assert.match(await aws.locator('[data-thing="deploy-bot"]').textContent(), /AKIADEPLOYBT2EXAMPLE inactive.*AKIADEPLOYBT3EXAMPLE active/);
  assert.match(await aws.locator('[data-thing="web-1"]').textContent(), /cut off/);
  assert.match(await aws.locator('[data-account="222222222222"] > h3').textContent(), /frozen by killswitch-freeze/);
  await aws.locator('[data-thing="app-role"] summary').click();
  assert.match(await aws.locator('[data-thing="app-role"] pre').textContent(), /"Effect": "Deny"/);
  assert.match(await aws.locator(".calls li").first().textContent(), /s3:GetObject denied/);
});

test("it can be used by everybody, on every screen", async () => {
  await show(message({ text: "Has anybody *seen* this? <@U02BOB>", bot: false, user: "U05GRACE" }), ...cards().map((c) => message(c)), message({ text: "Only you", ephemeral_to: alice }));
  await accessibleEverywhere(page, "all cards");
  page.ok();
});

test("on a phone the arrows go from tab to tab", async () => {
  await page.setViewportSize(phone);
  await page.getByRole("tab", { name: "Alice" }).focus();
  for (const name of ["Bob", "AWS", "Story", "Alice"]) {
    await page.keyboard.press("ArrowRight");
    assert.equal(await page.getByRole("tab", { name }).getAttribute("aria-selected"), "true");
  }
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "nothing stands out");
});

test("it can be zoomed fourfold", async () => {
  await page.setViewportSize({ width: 320, height: 256 });
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= 320), "nothing stands out");
  assert.ok(await page.evaluate(() => document.documentElement.scrollHeight > 256), "the page scrolls");
});

test("nothing moves for those who want no motion", async () => {
  const duration = () => page.locator(".thing").first().evaluate((e) => getComputedStyle(e).transitionDuration);
  assert.equal(await duration(), "0.6s");
  await page.emulateMedia({ reducedMotion: "reduce" });
  assert.equal(await duration(), "0s");
});

test("the colours can be chosen, and stay chosen", async () => {
  const scheme = () => page.evaluate(() => getComputedStyle(document.documentElement).colorScheme);
  await page.getByLabel("Colours").selectOption("dark");
  assert.equal(await scheme(), "dark");
  await page.reload();
  await screen(page, alice).waitFor();
  assert.equal(await scheme(), "dark");
});
