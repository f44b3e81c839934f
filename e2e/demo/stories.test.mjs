// Every story, played to its end by two people on the page of the real demo.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { accessible, accessibleEverywhere, desktop, launch, open, phone, screen } from "./browser.mjs";
import { click, seat, start, state, step, until } from "./server.mjs";

let browser, demo;

before(async () => {
  browser = await launch();
  demo = await start();
});
after(async () => {
  await browser?.close();
  const code = await demo?.stop();
  assert.equal(code, 0, demo?.log());
});

test("it is up within two seconds", () => assert.ok(demo.took < 2000, `${demo.took} ms`));

// What the page says at the end: the credentials, who has them and as what; what else AWS has; the texts of cards.
const ends = {
  "stolen-role": {
    credentials: ["attacker at 203.0.113.77 as web-tier-role: denied", /^web-1, since \d\d:\d\d as web-tier-role: (works|denied)$/],
    aws: [],
    cards: [/^undone: revoke_sessions .*role\/web-tier-role/, /^restored: undo revoke_sessions/, /^high: UnauthorizedAccess:IAMUser\/InstanceCredentialExfiltration/],
  },
  "exposed-key": {
    credentials: ["attacker at 203.0.113.77 as deploy-bot: denied"],
    aws: [/user deploy-bot changed AKIADEPLOYBT2EXAMPLE inactive/],
    cards: [/^undone: deactivate_key/, /^restored: undo deactivate_key/, /AKIADEPLOYBT2EXAMPLE/],
  },
  persistence: {
    credentials: ["attacker at 203.0.113.77 as ops-bot: denied", "attacker at 203.0.113.77 as reporting: denied", "attacker at 203.0.113.77 as svc-backup: denied"],
    aws: [/user ops-bot changed AKIAOPSBOTXX2EXAMPLE inactive/, /role reporting changed denied by Killswitch/],
    cards: [/^AL-\w+: what user ops-bot made: 1 thing, 1 contained or gone/, /^contained: quarantine_user/, /^contained: detach_policies/],
  },
  instance: { credentials: ["miner on crawler-7 as crawler-role: denied"], aws: [], cards: [/^undone: isolate_instance/, /^restored: undo isolate_instance/, /^high: CryptoCurrency:EC2/] },
  freeze: {
    credentials: ["Dana, by the break-glass role as break-glass: denied", "attacker at 203.0.113.77 as experiments: denied"],
    aws: [],
    cards: [/^undone: apply_scp/, /^restored: undo apply_scp/],
  },
  race: {
    credentials: ["attacker at 203.0.113.77 as app-role: denied", "attacker at 203.0.113.77 as ci-deployer: denied"],
    aws: [/role app-role changed denied by Killswitch AdministratorAccess/, /killswitch-deny-222222222222/],
    cards: [/^contained, but not in full: detach_policies/, /^contained: deny_principal/],
  },
  storm: {
    credentials: ["attacker at 203.0.113.77 as web-tier-role: denied"],
    aws: [/role web-tier-role changed denied by Killswitch/],
    cards: [/^contained: revoke_sessions/, /^\d+ more alerts/, /^medium: UnauthorizedAccess:EC2\/SSHBruteForce/],
  },
  "slack-down": { credentials: ["attacker at 203.0.113.77 as app-role: denied"], aws: [/role app-role changed denied by Killswitch/], cards: [/^contained: revoke_sessions/] },
};

// What changes on the way: after a step, what the AWS panel says.
const onTheWay = {
  "stolen-role": [[/^Bob, a second/, /denied attacker at .* as web-tier-role/], [/^A minute later/, /works web-1, since/]],
  "exposed-key": [[/^Alice clicks/, /denied attacker at .* as deploy-bot/]],
  persistence: [[/^Alice clicks/, /works attacker at .* as svc-backup/], [/^Carol approves\. The list/, /denied attacker at .* as svc-backup/]],
  instance: [[/^Bob approves: security/, /instance crawler-7 changed cut off/]],
  freeze: [[/^Bob, a second/, /Sandbox 333333333333 frozen by killswitch-freeze/], [/^The break-glass/, /works Dana, by the break-glass role/]],
  race: [[/^The attacker takes/, /works attacker at .* as app-role/], [/^Killswitch looks again/, /denied attacker at .* as app-role/], [/^The attacker tries/, /denied attacker at .* as ci-deployer/]],
  storm: [[/^Bob approves/, /denied attacker/]],
  "slack-down": [[/^Bob clicks/, /denied attacker at .* as app-role/]],
};

const words = (s) => s.replace(/[▸▾]/g, " ").replace(/\s+/g, " ").trim();

test("every story, with two people", async (t) => {
  const { stories } = await state(demo.url);
  assert.deepEqual(stories.map((s) => s.id).sort(), Object.keys(ends).sort());
  for (const { id, title } of stories) {
    await t.test(title, async () => {
      const page = await open(browser, `${demo.url}/#story=${id}`);
      await until(demo.url, (s) => s.story.id === id, "the link begins the story");
      await page.locator("[data-next]").waitFor();
      await accessible(page, `${id}, at the start`);
      const told = async (what) => {
        await page.waitForFunction(({ source }) => new RegExp(source).test(document.querySelector(".aws").innerText.replace(/[▸▾]/g, " ").replace(/\s+/g, " ")), { source: what.source }, { timeout: 5000 }).catch(() => {});
        assert.match(words(await page.locator(".aws").innerText()), what);
      };
      const waits = [...onTheWay[id]];
      const measured = new Set();
      for (let now = await state(demo.url); !now.story.ended; now = await state(demo.url)) {
        const { text } = await step(page, demo.url);
        if (waits.length && waits[0][0].test(text)) await told(waits.shift()[1]);
        await approveIsOnTheFirstScreen(page, measured);
      }
      assert.deepEqual(waits, [], "steps that were not");
      assert.ok(measured.size > 0, "nothing was to be approved");

      const end = await state(demo.url);
      assert.doesNotMatch(end.story.verdict, /^Not as the story has it/);
      assert.equal(await page.locator("[data-verdict]").textContent(), `The end. ${end.story.verdict}`);
      for (const card of ends[id].cards) assert.ok(end.messages.some((m) => card.test(m.text)), `${card}: ${end.messages.map((m) => m.text).join("\n")}`);
      await cardsAreShown(page, end);
      const credentials = await page.locator("[data-credential]").evaluateAll((all) =>
        all.map((c) => `${c.querySelector("b").textContent} as ${/ as (\S+) in /.exec(c.textContent)[1]}: ${c.querySelector(".mark").textContent}`),
      );
      assert.equal(credentials.length, ends[id].credentials.length, credentials.join("\n"));
      for (const wanted of ends[id].credentials) assert.ok(credentials.some((c) => (wanted.test ? wanted.test(c) : wanted === c)), `${wanted}: ${credentials.join("\n")}`);
      for (const what of ends[id].aws) await told(what);
      await accessibleEverywhere(page, `${id}, at the end`, [stories.findIndex((s) => s.id === id) % 2 ? "dark" : "light"]);
      page.ok();
      await page.context().close();
    });
  }
});

// On a phone, Approve is on the first screen of the message that calls for it.
async function approveIsOnTheFirstScreen(page, measured) {
  const { messages, people } = await state(demo.url);
  for (const m of messages.filter((m) => !measured.has(m.ts) && m.blocks.some((b) => b.elements?.some((e) => e.action_id === "approve")))) {
    measured.add(m.ts);
    await seat(page, people[1].id);
    await page.setViewportSize(phone);
    await page.getByRole("tab", { name: people[1].name.split(" ")[0] }).click();
    const card = screen(page, people[1].id).locator(`[data-ts="${m.ts}"]`).first();
    const approve = card.getByRole("button", { name: /^Approve/ });
    await approve.waitFor();
    const [top, button] = [await card.boundingBox(), await approve.boundingBox()];
    const height = Math.ceil(button.y + button.height - top.y);
    console.log(`# ${height} px to Approve: ${m.text.slice(0, 60)}`);
    assert.ok(height <= 700, `Approve ends ${height} px down: ${m.text}`);
    await page.getByRole("tab").first().click();
    await page.setViewportSize(desktop);
  }
}

// Each message that both can see says on the page what it says in Slack.
async function cardsAreShown(page, { messages, people }) {
  let compared = 0;
  for (const person of people.slice(0, 2)) {
    for (const m of messages) {
      const at = screen(page, person.id).locator(`[data-ts="${m.ts}"]`);
      if (m.ephemeral_to && m.ephemeral_to !== person.id) assert.equal(await at.count(), 0, m.text);
      for (const [i, b] of m.blocks.entries()) {
        if (!(await at.count()) || b.text?.type !== "plain_text") continue;
        assert.equal(await at.locator("> .blocks > .block").nth(i).textContent(), b.text.text);
        compared++;
      }
    }
  }
  assert.ok(compared > 4, `${compared} texts compared`);
}

test("who may not approve, can't: the requester, an employee, a guest, an outsider", async () => {
  const page = await open(browser, `${demo.url}/#story=slack-down`);
  await until(demo.url, (s) => s.story.id === "slack-down", "the story begins");
  await fetch(`${demo.url}/api/story`, { method: "POST", headers: { "Content-Type": "application/json" }, body: '{"id":""}' });
  const [alice, ...others] = (await state(demo.url)).people;
  const field = screen(page, alice.id).getByRole("textbox");
  await field.fill('revoke_sessions prod/app-role reason="keys on a paste site"');
  await field.press("Enter");
  await until(demo.url, (s) => s.messages.some((m) => /^(Approve\?|pending 0\/1)/.test(m.text)), "the card");
  for (const p of [alice, ...others.filter((o) => o.role !== "responder")]) {
    await click(page, p.id, "Approve");
    await until(demo.url, (s) => s.messages.some((m) => m.ephemeral_to === p.id), `${p.name} is told why not`);
    const s = await state(demo.url);
    assert.ok(s.messages.some((m) => /^(Approve\?|pending 0\/1)/.test(m.text)), p.name);
    await screen(page, p.id).getByText(`Only visible to ${p.name}`).first().waitFor();
  }
  await page.getByRole("button", { name: "+1 h" }).click();
  await until(demo.url, (s) => s.messages.some((m) => m.text.startsWith("expired")), "an hour later it has expired");
  page.ok();
  await page.context().close();
});
