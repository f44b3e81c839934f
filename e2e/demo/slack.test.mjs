// The form on the page of a Slack that others wrote, with `killswitch serve` behind it. That page does not
// say when an action is chosen: the fields of the action come with the first answer.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { launch } from "./browser.mjs";

const config = `
slack: {team: T01ACME, incident_channel: C01INC}
people:
  - {id: alice, name: Alice, slack: U01ALICE}
  - {id: bob, name: Bob, slack: U02BOB}
groups: {responders: {people: [alice, bob]}}
aws:
  hub_account: "111111111111"
  responder_role: killswitch-responder
  restorer_role: killswitch-restorer
  external_id: 4b3c2a1f
  regions: [us-east-1, eu-west-1]
  accounts: {prod: "222222222222", sandbox: "333333333333"}
policy:
  default: {requesters: responders, approvers: responders, approvals: 1, approve_within: 30m, run_within: 5m}
  undo: {approvals: 1}
`;

const freePort = () =>
  new Promise((resolve) => {
    const s = createServer().listen(0, "127.0.0.1", () => {
      const { port } = s.address();
      s.close(() => resolve(port));
    });
  });

const answers = async (url) => {
  for (const end = Date.now() + 15_000; Date.now() < end; await new Promise((r) => setTimeout(r, 50))) {
    if (await fetch(url).then((r) => r.ok, () => false)) return;
  }
  assert.fail(`${url} does not answer`);
};

let browser, slack;
const running = [];

before(async () => {
  const dir = mkdtempSync(join(tmpdir(), "form-"));
  const start = (path, args, env) => running.push(spawn(path, args, { stdio: ["ignore", "inherit", "inherit"], env: { PATH: process.env.PATH, ...env } }));
  const [slackPort, port] = [await freePort(), await freePort()];
  slack = `http://localhost:${slackPort}`;
  writeFileSync(join(dir, "killswitch.yaml"), config);
  writeFileSync(join(dir, "workspace.json"), JSON.stringify({
    workspace: { name: "Acme", domain: "acme", teamId: "T01ACME" },
    app: { appId: "A01KILL", botUserId: "U01BOT", botName: "killswitch", botToken: "xoxb-e2e", signingSecret: "e2e", mode: "events", requestUrl: `http://127.0.0.1:${port}/slack` },
    users: [{ id: "U01ALICE", name: "alice", real_name: "Alice" }, { id: "U02BOB", name: "bob", real_name: "Bob" }, { id: "U01BOT", name: "killswitch", real_name: "Killswitch", is_bot: true }],
    channels: [{ id: "C01INC", name: "incident", members: ["U01ALICE", "U02BOB", "U01BOT"] }],
  }));
  const localSlack = join(dirname(createRequire(import.meta.url).resolve("local-slack-linux-x64/package.json")), "bin/local-slack");
  start(localSlack, ["--config", join(dir, "workspace.json"), "--port", String(slackPort), "--files-dir", dir]);
  await answers(`${slack}/_control/log`);
  start(process.env.KILLSWITCH, ["serve", "--config", join(dir, "killswitch.yaml"), "--listen", `127.0.0.1:${port}`, "--data", join(dir, "data")], {
    SLACK_SIGNING_SECRET: "e2e", SLACK_BOT_TOKEN: "xoxb-e2e", SLACK_API_URL: `${slack}/api/`,
    AWS_ENDPOINT_URL: "http://127.0.0.1:1", AWS_REGION: "us-east-1", AWS_ACCESS_KEY_ID: "test", AWS_SECRET_ACCESS_KEY: "test", // nobody is there: plans fail
  });
  await answers(`http://127.0.0.1:${port}/healthz`);
  browser = await launch();
});
after(async () => {
  await browser?.close();
  for (const p of running) p.kill();
});

test("the form on another's page", async () => {
  const page = await browser.newPage({ viewport: { width: 1200, height: 1000 } });
  const view = async (name) => process.env.SHOTS && page.screenshot({ path: `${process.env.SHOTS}/slack-form-${name}.png` });
  await page.goto(slack);
  await page.locator(".status.ok").waitFor();
  await fetch(`${slack}/_control/command`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ channel: "C01INC", user: "U01ALICE", command: "/killswitch", text: "" }) });
  const form = page.locator(".modal");
  const field = (label) => form.locator(".bk-input", { has: page.getByText(label, { exact: true }) }).locator("select, input, textarea");
  await field("Action").selectOption("isolate_instance");
  await field("Target").fill("i-0d3e1a5b7c9f20007");
  await field("Reason").fill("it mines");
  await form.getByRole("button", { name: "Ask for approval" }).click();
  await form.getByText("is missing").first().waitFor();
  await view("mistake");
  assert.equal(await field("Target").inputValue(), "i-0d3e1a5b7c9f20007", "what was typed is kept");
  assert.equal(await field("Reason").inputValue(), "it mines");

  // That page shows no initial option, and sends of a view only what was touched.
  await field("Action").selectOption("isolate_instance");
  for (const [label, text] of [["Target", "i-0d3e1a5b7c9f20007"], ["Reason", "it mines"]]) {
    await field(label).fill("");
    await field(label).fill(text);
  }

  await field("Account").selectOption("222222222222 prod");
  await field("Region").selectOption("us-east-1");
  await form.getByRole("button", { name: "Ask for approval" }).click();
  await form.getByText(/KS-[0-9A-Z]{12}/).waitFor();
  await page.waitForTimeout(3500); // the view is sent once more
  await view("asked");
  assert.match(await form.innerText(), /KS-[0-9A-Z]{12}/);
});
